//! A session that fails or ends: the connection closes, or another session takes over.

use std::rc::Rc;
use std::task::Context as TaskContext;

use switchboard_core::{Cause, ConnectionState, Interests, Now};

use crate::failure;
use crate::session::Outlet;
use crate::telemetry;

use super::home::thread_ends;
use super::shared::{Core, Reader, wake};
use super::{ClientActor, Shared, clock};

impl Shared {
    /// It has a session now, the first one or a successor; or nobody at all.
    pub(crate) fn seated(&self, interests: Interests, nobody: bool) {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        if core.machine.is_vacant() {
            core.machine.handle_successor(interests, &mut now);
        } else {
            core.machine.set_interests(interests);
        }
        if nobody {
            core.machine.close(Cause::NoSession, true, None, &mut now);
        }
    }

    /// Which session the connection is on.
    pub(crate) fn seat(&self) -> u32 {
        self.lock().seat
    }

    /// The session of this seat failed or ended; the connection closes, or gets another one.
    pub(crate) fn session_gone(&self, seat: u32, mut cause: Cause) {
        if cause == Cause::SessionStopped && thread_ends() {
            // It did not end by itself.
            cause = Cause::RuntimeFailed;
        }
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        if seat != core.seat {
            return;
        }
        // Also when the connection was closing already: no panic goes unseen.
        let unseen = matches!(cause, Cause::SessionPanicked { .. })
            && !std::mem::replace(&mut core.session_failed, true);
        let failure = unseen.then(|| cause.clone());
        #[cfg(unix)]
        let concern = cause.clone();
        self.recall(&mut core, &mut now);
        core.in_flight = false;
        core.turn_at_home = false;
        let restarted = core.machine.handle_session_gone(cause, &mut now);
        core.count_held();
        let session = if restarted {
            core.seat += 1;
            core.session_failed = false;
            // The socket may wake who is gone: the actor has to look for itself.
            core.reader = Reader::Nobody;
            core.session.take()
        } else {
            core.session_gone = true;
            None
        };
        wake(core);
        drop(session);
        #[cfg(unix)]
        if let Some(pipe) = &self.pipe_of {
            // It is the process's session, which tells of its failure.
            pipe.session_gone(concern);
            return;
        }
        if let Some(cause) = failure {
            failure::report(&self.pool, self.id, cause, restarted);
        }
    }
}

impl Core {
    /// Whether it waits for another session, and nobody makes one.
    pub(super) fn is_vacant(&self) -> bool {
        self.machine.is_vacant() && self.is_session_made()
    }
}

impl ClientActor {
    /// Gives the connection another session after one panicked.
    pub(super) fn replace_session(&mut self, shared: &Shared, cx: &TaskContext<'_>, now: &mut Now) {
        // Letting go of a mailbox may drop messages, which needs the lock.
        self.outlet = Outlet::None;
        let Some(factory) = self.rare.as_ref().and_then(|rare| rare.factory.as_ref()) else {
            return;
        };
        let local = Rc::clone(&self.berth.local);
        self.outlet = factory.make(&self.client, &local);
        let mut core = shared.lock();
        if !core.is_session_made() {
            // A worker is at it.
        } else if core.machine.is_vacant() {
            // This one panicked while it was made; others have their turn before the next one.
            cx.waker().wake_by_ref();
        } else if !matches!(self.outlet, Outlet::None)
            && core.machine.state() == ConnectionState::Adopting
            && let Err(error) = core.machine.adopt(now)
        {
            telemetry::not_adopted(&self.client, &error);
        }
    }
}
