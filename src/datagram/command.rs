//! Commands: what the session wants, except to send.

use std::time::Duration;

use crate::address::Address;
use crate::connection::Interests;
use crate::now::Now;
use crate::reason::{Cause, ClosePhase};

use super::inbound::Received;
use super::state::{Closing, State};
use super::{DatagramEvent, Datagrams, Peer};

impl Datagrams {
    /// A session took the socket and handles these events: datagrams may move. A socket that serves no
    /// session, but one-shot receivers only, is adopted with none. After a crash it is
    /// [`handle_successor`](Self::handle_successor).
    pub fn adopt(&mut self, interests: Interests, now: &mut Now) {
        if self.vacant {
            self.handle_successor(interests, now);
            return;
        }
        match self.state {
            State::Adopting => {
                self.interests = interests;
                self.state = State::Open;
                self.touch(now);
                if self.outbox.is_paused() {
                    self.notify(DatagramEvent::WritePaused);
                }
            }
            // It was closed before: the session hears of its end.
            State::Closing(_) | State::Over { .. } if self.interests.is_empty() => {
                self.interests = interests;
            }
            State::Open | State::Closing(_) | State::Over { .. } => {}
        }
    }

    /// The socket has this peer from now on, or none (AIO-15). What is queued already goes where it was
    /// to go.
    pub fn set_connected(&mut self, peer: Option<Address>) {
        let peer = peer.map_or(Peer::Anybody, Peer::Connected);
        if let Peer::Connected(before) = std::mem::replace(&mut self.peer, peer) {
            self.outbox.address(&before);
        }
    }

    /// Stops delivery and reading (AIO-03). Repeating it does nothing.
    pub const fn pause_reading(&mut self) {
        self.reading_paused = true;
    }

    /// Goes on with delivery and reading. Repeating it does nothing.
    pub const fn resume_reading(&mut self) {
        self.reading_paused = false;
    }

    /// So many one-shot receivers wait now (UA-26). The oldest datagrams are theirs, and are read even if
    /// the session takes none.
    pub const fn expect_one(&mut self, count: usize) {
        self.receivers = count;
    }

    /// Takes the oldest datagram that waits, for a one-shot receiver, of which one fewer is left then. It
    /// needs no credit. Nothing once the socket closes.
    pub fn take_datagram(&mut self) -> Option<Received> {
        if !self.is_open() {
            return None;
        }
        let received = self.inbound.take(0)?;
        self.receivers = self.receivers.saturating_sub(1);
        Some(received)
    }

    /// Begins to close, for good: nothing more is read, everything queued is sent (or, without `flush`,
    /// dropped), names that are being looked up included (XAS-64). Received datagrams that nobody took are
    /// joined in the report's `unread`, and counted. `false`: it was closing already.
    pub fn close(
        &mut self,
        cause: Cause,
        flush: bool,
        deadline: Option<Duration>,
        now: &mut Now,
    ) -> bool {
        let was_open = match &mut self.state {
            State::Adopting | State::Open => true,
            State::Closing(closing) => {
                if let Some(deadline) = deadline {
                    closing.deadline = deadline;
                    self.deadline_at = now.get().checked_add(deadline);
                }
                false
            }
            State::Over { .. } => return false,
        };
        if was_open {
            self.begin_close(cause, deadline, now);
        }
        if !flush && let State::Closing(_) = self.state {
            self.conclude(None);
        }
        was_open
    }

    /// Ends it now: what is queued is dropped (AIO-16). `false`: it was over already.
    pub fn abort(&mut self, cause: Cause) -> bool {
        match self.state {
            State::Adopting | State::Open => self.end(cause),
            State::Closing(_) => self.conclude(Some(cause)),
            State::Over { .. } => return false,
        }
        true
    }

    pub(super) fn notify(&mut self, event: DatagramEvent) {
        if self.interests.contains(event.interest()) && !self.is_over() {
            self.notices.push(event);
        }
    }

    /// Over at once, from use.
    pub(super) fn end(&mut self, cause: Cause) {
        let closing = Closing::new(cause, self.phase(), Duration::ZERO);
        self.state = State::Closing(Box::new(closing));
        self.conclude(None);
    }

    pub(super) const fn phase(&self) -> ClosePhase {
        match self.state {
            State::Adopting => ClosePhase::Adopting,
            _ => ClosePhase::Open,
        }
    }
}
