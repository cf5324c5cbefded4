//! A drain, as one connection sees it: it is told, it is closed in time, and how idle it is.

use std::time::Duration;

use crate::now::Now;
use crate::reason::{Cause, TimeoutKind};

use super::state::State;
use super::{Connection, Event, Interests};

/// How a drain finds a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not established yet, or without a session: nobody has begun anything with it.
    Unadopted,
    /// In use, and its session is told.
    Told,
    /// In use, and its session does not handle `Draining`.
    Untold,
    /// It ends already.
    Ending,
}

impl Connection {
    /// The pool drains, and so much time is left: a session that handles it is told. Say it once.
    pub fn handle_draining(&mut self, left: Duration) -> Standing {
        self.stop_redialling();
        match self.state {
            State::Connecting | State::Cancelling { .. } | State::Adopting => Standing::Unadopted,
            State::Open { .. } if self.interests.contains(Interests::DRAINING) => {
                self.notices.push_back(Event::Draining(left));
                Standing::Told
            }
            State::Open { .. } => Standing::Untold,
            State::Closing(_) | State::Lingering { .. } | State::Over { .. } => Standing::Ending,
        }
    }

    /// Closes it when what is queued is sent, for which there is so much time; a closing that is under
    /// way gets no more than that either. An attempt to connect is given up.
    pub fn close_within(&mut self, cause: Cause, flush: Duration, now: &mut Now) {
        if let State::Closing(closing) = &mut self.state {
            closing.deadline = closing.deadline.min(flush);
            self.timers.shorten(TimeoutKind::Flush, now.get(), flush);
        } else {
            self.close(cause, true, Some(flush), now);
        }
    }

    /// Bytes that moved so far, both ways together.
    #[must_use]
    pub const fn moved(&self) -> u64 {
        self.bytes_in.wrapping_add(self.bytes_out)
    }

    /// Whether it is in use, so that a close would come from outside.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether something waits to be sent, to be taken, or is with the session, or a handshake is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.outbox.is_empty()
            || !self.inbound.is_empty()
            || self.credit.frames_out() > 0
            || self.has_notice()
            || self.is_securing()
    }
}
