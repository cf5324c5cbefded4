//! The pool in the background: there while anybody has a handle of it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::StartError;
use crate::pool::Pool;
use crate::run::Background;

use super::error::OpenError;
use super::wait;

static RUNNING: Mutex<Weak<Runtime>> = Mutex::new(Weak::new());

/// A pool on a thread of its own, which ends with the last one who holds it.
#[derive(Debug)]
pub(super) struct Runtime {
    /// There until it is dropped.
    background: Option<Background>,
    pool: Pool,
}

impl Runtime {
    /// The one that runs, or else a new one; for a thread that may block.
    pub(super) fn running() -> Result<Arc<Self>, OpenError> {
        if wait::is_in_async() {
            return Err(OpenError::InsideAsync);
        }
        // Outlives the lock: to stop takes a while.
        let stopped;
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        match running.upgrade() {
            Some(runtime) if runtime.pool.is_running() => return Ok(runtime),
            other => stopped = other,
        }
        let runtime = Arc::new(Self::start().map_err(OpenError::Start)?);
        *running = Arc::downgrade(&runtime);
        drop(running);
        drop(stopped);
        Ok(runtime)
    }

    fn start() -> Result<Self, StartError> {
        let background = Pool::builder().name("blocking").shards(0).background()?;
        let pool = background.pool().clone();
        Ok(Self {
            background: Some(background),
            pool,
        })
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(background) = self.background.take()
            && wait::is_in_async()
        {
            // Whoever cannot wait for its end has it end by itself.
            background.leave();
        }
    }
}
