//! How a pool tells that its memory budget is exceeded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::WeakAddr;
use switchboard_core::Budget;
use tracing::Span;

use crate::message::PoolEvent;
use crate::telemetry;

use super::PoolActor;

/// Tells it, without keeping the pool alive.
#[derive(Clone)]
pub(crate) struct PressureReport {
    pub(super) pool: WeakAddr<PoolActor>,
    pub(super) subscribed: Arc<AtomicBool>,
    pub(super) span: Span,
}

impl PressureReport {
    pub(crate) fn pressure(&self, budget: &Budget) {
        let (used, budget) = (budget.used(), budget.limit());
        telemetry::memory_pressure(&self.span, used, budget);
        self.tell(PoolEvent::MemoryPressure { used, budget });
    }

    pub(crate) fn relieved(&self, budget: &Budget) {
        let (used, budget) = (budget.used(), budget.limit());
        telemetry::memory_relieved(&self.span, used, budget);
        self.tell(PoolEvent::MemoryRelieved { used, budget });
    }

    fn tell(&self, event: PoolEvent) {
        if self.subscribed.load(Ordering::Relaxed)
            && let Some(pool) = self.pool.upgrade()
        {
            pool.do_send(event);
        }
    }
}
