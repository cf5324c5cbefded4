//! What becomes of a socket whose session panicked: it closes, or another session takes it over.

use crate::config::CrashPolicy;
use crate::connection::{Crashes, Credit, Interests};
use crate::now::Now;
use crate::reason::Cause;

use super::state::State;
use super::{DatagramEvent, Datagrams};

impl Datagrams {
    /// The session failed or ended; whatever it had not given back is void. `true`: the socket stays open
    /// without a session, received datagrams wait, and somebody is to give it another one
    /// ([`handle_successor`](Self::handle_successor)). One-shot receivers are served on.
    pub fn handle_session_gone(&mut self, cause: Cause, now: &mut Now) -> bool {
        self.credit = Credit::default();
        if self.is_succeeded(&cause, now) {
            self.vacant = true;
            self.reading_paused = false;
            self.deadline_at = now.get().checked_add(self.config.adoption_timeout);
            return true;
        }
        self.vacant = false;
        self.interests = Interests::NONE;
        self.notices.clear(&mut self.spent);
        if self.config.crash == CrashPolicy::Abort && matches!(cause, Cause::SessionPanicked { .. })
        {
            if matches!(self.state, State::Adopting | State::Open) {
                self.end(cause);
            }
        } else {
            self.begin_close(cause, None, now);
        }
        false
    }

    /// Another session has it now: it is told how things stand.
    pub fn handle_successor(&mut self, interests: Interests, now: &mut Now) {
        if !std::mem::take(&mut self.vacant) {
            return;
        }
        self.interests = interests;
        let mut first = Vec::new();
        match self.state {
            State::Adopting => {
                self.deadline_at = None;
                self.state = State::Open;
                self.touch(now);
            }
            State::Open => self.deadline_at = None,
            // Its deadline is that of the close.
            State::Closing(_) | State::Over { .. } => {}
        }
        if self.is_open() {
            first.push(DatagramEvent::Adopted {
                unread: self.inbound.bytes(),
                restarts: self.restarts(),
            });
        }
        if self.outbox.is_paused() && !self.is_over() {
            first.push(DatagramEvent::WritePaused);
        }
        first.retain(|event| interests.contains(event.interest()));
        self.notices.hand_over(interests, first, &mut self.spent);
    }

    /// Whether it waits for another session.
    #[must_use]
    pub const fn is_vacant(&self) -> bool {
        self.vacant
    }

    /// How many of its sessions panicked and were replaced.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.crashes
            .as_ref()
            .map_or(0, |crashes| crashes.restarts())
    }

    /// Whether the socket lives on without the session that it had.
    fn is_succeeded(&mut self, cause: &Cause, now: &mut Now) -> bool {
        let CrashPolicy::Restart { max, within } = self.config.crash else {
            return false;
        };
        if !matches!(cause, Cause::SessionPanicked { .. })
            || !matches!(self.state, State::Adopting | State::Open)
        {
            return false;
        }
        let new = || Box::new(Crashes::new(max, within));
        self.crashes.get_or_insert_with(new).count(now.get())
    }
}
