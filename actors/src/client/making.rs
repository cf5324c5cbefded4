//! Sessions that a worker makes: until one is there the connection waits, and nothing is read.
//!
//! The connection may end meanwhile. Before the worker begins, its session is given up then: there is
//! nobody to be told. From when it has begun the connection's actor waits, and the session is told the
//! end. A failure to connect is owed to the session in any case.

use switchboard_core::connection::Ending;
use switchboard_core::{Cause, ConnectionState, Interests, Now};

use crate::session::Outlet;

use super::shared::{Core, wake};
use super::{Shared, clock};

/// How far a worker is with making a connection's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// It has not begun.
    Awaited,
    /// The factory is at work.
    Begun,
    /// The session is there, or will never be. Always so where no worker makes it.
    Done,
}

impl Shared {
    /// A worker will make the session, which handles these events.
    pub(crate) fn await_session(&self, interests: Interests) -> Outlet {
        let mut core = self.lock();
        core.making = Making::Awaited;
        if !core.machine.is_vacant() {
            core.machine.set_interests(interests);
            core.machine.handle_unadopted(&mut Now::ask(clock));
        }
        Outlet::Awaited
    }

    /// A worker begins to make the session. `false`: nobody needs it any more.
    pub(crate) fn begin_session(&self) -> bool {
        let mut core = self.lock();
        let wanted = !core.session_gone
            && (core.is_failure_owed()
                || core.machine.is_vacant()
                || matches!(
                    core.machine.state(),
                    ConnectionState::Connecting | ConnectionState::Adopting
                ));
        if wanted {
            core.making = Making::Begun;
        } else {
            core.session_gone = true;
            wake(core);
        }
        wanted
    }

    /// The session is there.
    pub(crate) fn session_made(
        &self,
        interests: Interests,
    ) -> Result<(), switchboard_core::ArmError> {
        let mut core = self.lock();
        core.making = Making::Done;
        let mut now = Now::ask(clock);
        if core.machine.is_vacant() {
            core.machine.handle_successor(interests, &mut now);
        } else {
            core.machine.set_interests(interests);
        }
        let adopted = core.machine.adopt(&mut now);
        wake(core);
        adopted
    }

    /// The session could not be made.
    pub(crate) fn session_not_made(&self, cause: Cause) {
        let mut core = self.lock();
        core.making = Making::Done;
        let seat = core.seat;
        drop(core);
        self.session_gone(seat, cause);
    }
}

impl Core {
    pub(super) fn is_session_made(&self) -> bool {
        self.making == Making::Done
    }

    /// Whether the connection has ended before anybody began to make its session.
    pub(super) fn is_session_too_late(&self) -> bool {
        self.making == Making::Awaited
            && self.machine.state() == ConnectionState::Closed
            && !self.is_failure_owed()
    }

    /// Whether a worker has begun to make it.
    pub(super) fn is_session_begun(&self) -> bool {
        self.making != Making::Awaited
    }

    /// Whether the session is owed the news that it never got a connection.
    fn is_failure_owed(&self) -> bool {
        // A session was to come after the handshake.
        matches!(self.machine.ending(), Some(Ending::ConnectFailed(_)))
            || self.machine.ends_securing()
    }
}
