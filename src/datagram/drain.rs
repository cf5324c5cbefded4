//! A drain, as one datagram socket sees it.

use std::time::Duration;

use crate::connection::{Interests, Standing};
use crate::now::Now;
use crate::reason::Cause;

use super::state::State;
use super::{DatagramEvent, Datagrams};

impl Datagrams {
    /// The pool drains, and so much time is left: a session that handles it is told. Say it once.
    pub fn handle_draining(&mut self, left: Duration) -> Standing {
        match self.state {
            State::Adopting => Standing::Unadopted,
            State::Open if self.interests.contains(Interests::DRAINING) => {
                self.notices.push(DatagramEvent::Draining(left));
                Standing::Told
            }
            State::Open => Standing::Untold,
            State::Closing(_) | State::Over { .. } => Standing::Ending,
        }
    }

    /// Closes it when what is queued is sent, for which there is so much time; a closing that is under
    /// way gets no more than that either.
    pub fn close_within(&mut self, cause: Cause, flush: Duration, now: &mut Now) {
        let State::Closing(closing) = &mut self.state else {
            self.close(cause, true, Some(flush), now);
            return;
        };
        closing.deadline = closing.deadline.min(flush);
        if let Some(at) = now.get().checked_add(flush)
            && self.deadline_at.is_none_or(|earlier| at < earlier)
        {
            self.deadline_at = Some(at);
        }
    }

    /// What moved so far, both ways together: bytes, and one for each datagram.
    #[must_use]
    pub const fn moved(&self) -> u64 {
        self.bytes_in
            .wrapping_add(self.bytes_out)
            .wrapping_add(self.counts.received)
            .wrapping_add(self.counts.sent)
    }

    /// Whether it is in use, so that a close would come from outside.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether something waits to be sent, to be taken or to be told, or is with the session.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.queued() > 0
            || !self.inbound.is_empty()
            || self.credit.frames_out() > 0
            || !self.notices.is_empty()
    }
}
