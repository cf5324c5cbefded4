//! Tells when a listener has many connections, and when they are few again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard_core::ServerId;
use switchboard_core::gate::{Alarm, AlarmChange, AlarmCounter};
use tracing::Span;

use crate::message::PoolEvent;
use crate::pool::Pool;
use crate::telemetry;

/// The alarm of one listener. It outlives the listener for as long as there are connections.
pub(crate) struct AlarmBell {
    counter: Mutex<AlarmCounter>,
    server: ServerId,
    pool: Pool,
    span: Span,
}

impl AlarmBell {
    pub(super) fn new(alarm: Alarm, server: ServerId, pool: Pool, span: Span) -> Arc<Self> {
        Arc::new(Self {
            counter: Mutex::new(AlarmCounter::new(alarm)),
            server,
            pool,
            span,
        })
    }

    /// Counts a connection for as long as it has this.
    pub(super) fn enter(self: &Arc<Self>) -> Presence {
        self.count(AlarmCounter::enter);
        Presence(Arc::clone(self))
    }

    pub(super) fn is_raised(&self) -> bool {
        self.lock().is_raised()
    }

    fn count(&self, step: fn(&mut AlarmCounter) -> Option<AlarmChange>) {
        let mut counter = self.lock();
        let change = step(&mut counter);
        let live = counter.live();
        let server = self.server;
        // Told under the lock, which is the alarm's own: so they come in the order in which they were.
        match change {
            Some(AlarmChange::Raised) => self.pool.report(PoolEvent::AlarmRaised { server, live }),
            Some(AlarmChange::Cleared) => {
                self.pool.report(PoolEvent::AlarmCleared { server, live });
            }
            None => return,
        }
        drop(counter);
        telemetry::alarm(&self.span, change == Some(AlarmChange::Raised), live);
    }

    fn lock(&self) -> MutexGuard<'_, AlarmCounter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for AlarmBell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlarmBell")
            .field("counter", &self.lock())
            .finish_non_exhaustive()
    }
}

/// One connection that the alarm counts.
#[derive(Debug)]
pub(crate) struct Presence(Arc<AlarmBell>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.count(AlarmCounter::leave);
    }
}
