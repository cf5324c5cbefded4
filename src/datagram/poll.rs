//! What is to be done: deadlines, datagrams to send, wishes to read, events to tell.

use std::time::Instant;

use bytes::Bytes;

use crate::connection::{Interests, Permit};
use crate::now::Now;

use super::inbound::Received;
use super::state::State;
use super::{DatagramEvent, Datagrams, Outgoing};

impl Datagrams {
    /// The driver looks again: each way may move its budget once more.
    pub fn begin_round(&mut self) {
        self.read_budget = self.config.budget;
        self.write_budget = self.config.budget;
    }

    /// Whether a budget is used up, and more could be done without it.
    #[must_use]
    pub fn wants_round(&self) -> bool {
        (self.read_budget == 0 && self.may_read())
            || (self.write_budget == 0 && self.may_send() && !self.outbox.is_empty())
    }

    /// How many datagrams may be received now. None while nobody takes any, while reading is paused, for
    /// want of room, and once it closes.
    #[must_use]
    pub fn read_wish(&self) -> usize {
        if self.read_budget == 0 {
            return 0;
        }
        self.read_room().min(self.read_budget)
    }

    /// Whether a datagram may be received now: whether [`read_wish`](Self::read_wish) is not 0.
    #[must_use]
    pub fn wants_datagram(&self) -> bool {
        self.read_budget > 0 && self.may_read()
    }

    /// Whether one more datagram has a place, whether it is wanted just now or not: for one that came
    /// over another socket, which cannot leave it with the system.
    #[must_use]
    pub fn has_room(&self) -> bool {
        matches!(self.state, State::Adopting | State::Open) && self.has_credit()
    }

    /// Lends out the head of the queue, if it may go now.
    #[must_use]
    pub fn poll_send(&self) -> Option<Outgoing<'_>> {
        if self.write_budget == 0 || !self.may_send() {
            return None;
        }
        let head = self.outbox.head()?;
        // A connected socket need not accept an address, not even that of its peer.
        let to = head.to.as_ref().filter(|to| self.connected() != Some(to));
        Some(Outgoing {
            data: &head.data,
            to,
        })
    }

    /// The next deadline, if any.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let clocks = [
            self.shortage.until(),
            self.stuck.until(),
            self.deadline_at,
            self.idle_at,
        ];
        clocks.into_iter().flatten().min()
    }

    /// Whether [`poll_event`](Self::poll_event) would give something.
    #[must_use]
    pub fn has_event(&self) -> bool {
        (!self.notices.is_empty() && !self.vacant)
            || self.is_deliverable()
            || matches!(self.state, State::Over { report: Some(_) })
    }

    /// The next event for the session, with the credit that it took. Notices come before the datagrams
    /// that are still waiting, the end comes last. If it is over while it waits for another session, the
    /// end is all that is told.
    pub fn poll_event(&mut self, _now: &mut Now) -> Option<(DatagramEvent, Permit)> {
        if !self.vacant
            && let Some(notice) = self.notices.pop()
        {
            return Some((notice, Permit::NONE));
        }
        if self.is_deliverable()
            && let Some(received) = self.inbound.take(self.receivers)
        {
            let Received {
                from,
                data,
                truncated,
            } = received;
            let permit = self.credit.take(Permit::one(data.len()));
            let event = DatagramEvent::Received {
                from,
                data,
                truncated,
            };
            return Some((event, permit));
        }
        if let State::Over { report } = &mut self.state {
            let detail = report.take()?;
            self.notices.clear(&mut self.spent);
            return Some((DatagramEvent::Closed(detail), Permit::NONE));
        }
        None
    }

    /// An event was handled: its credit comes back.
    pub fn give_back(&mut self, permit: Permit, _now: &mut Now) {
        self.credit.give_back(permit);
    }

    /// What was to be sent and nobody needs any more. To let go of it may run code of whoever made it, which
    /// must not find the socket locked.
    pub fn take_spent(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.spent)
    }

    /// Whether [`take_spent`](Self::take_spent) would give something.
    #[must_use]
    pub const fn has_spent(&self) -> bool {
        !self.spent.is_empty()
    }

    /// The same as [`take_spent`](Self::take_spent), in exchange for an empty list whose memory is used again.
    ///
    /// # Panics
    /// In debug builds, if the list is not empty.
    pub fn swap_spent(&mut self, empty: &mut Vec<Bytes>) {
        debug_assert!(empty.is_empty(), "what it holds would be let go of late");
        std::mem::swap(&mut self.spent, empty);
    }

    pub(super) fn is_deliverable(&self) -> bool {
        self.inbound.len() > self.receivers && self.is_wanted() && self.is_open()
    }

    /// Whether the session takes datagrams now.
    fn is_wanted(&self) -> bool {
        self.interests.contains(Interests::DATAGRAM) && !self.reading_paused && !self.vacant
    }

    const fn may_send(&self) -> bool {
        matches!(self.state, State::Open | State::Closing(_)) && self.shortage.until().is_none()
    }

    /// How many datagrams may be received, whatever the budget says.
    fn read_room(&self) -> usize {
        if !self.is_open() {
            return 0;
        }
        let wanted = if self.is_wanted() {
            usize::MAX
        } else {
            self.receivers.saturating_sub(self.inbound.len())
        };
        if wanted == 0 {
            return 0;
        }
        let room = self.credit_left();
        // Nobody waits for long because the session is behind.
        if room == 0 && self.receivers > 0 && self.inbound.is_empty() {
            return 1;
        }
        wanted.min(room)
    }

    /// Whether a datagram may be received, whatever the budget says.
    fn may_read(&self) -> bool {
        if !self.is_open() {
            return false;
        }
        let wanted = self.is_wanted() || self.receivers > self.inbound.len();
        // Nobody waits for long because the session is behind.
        wanted && (self.has_credit() || (self.receivers > 0 && self.inbound.is_empty()))
    }

    /// Whether there is credit for one more, of whatever length.
    fn has_credit(&self) -> bool {
        let config = &self.config;
        let held = self.inbound.len() + self.credit.frames_out() as usize;
        let held_bytes = self.inbound.bytes() + self.credit.bytes_out();
        let left = config.recv_bytes.saturating_sub(held_bytes);
        held < config.recv_datagrams && (held_bytes == 0 || left >= config.recv_size.max(1))
    }

    fn credit_left(&self) -> usize {
        let config = &self.config;
        let held = self.inbound.len() + self.credit.frames_out() as usize;
        let datagrams = config.recv_datagrams.saturating_sub(held);
        let held = self.inbound.bytes() + self.credit.bytes_out();
        let bytes = config.recv_bytes.saturating_sub(held) / config.recv_size.max(1);
        datagrams.min(bytes.max(usize::from(held == 0)))
    }
}
