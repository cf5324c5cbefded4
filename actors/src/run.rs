//! Running a pool to its end: until a signal, until it is idle, in this thread or in the background.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_rt::System;

use crate::error::{Error, StartError};
use crate::pool::{Pool, PoolBuilder, Totals};

/// How often an idle pool is looked for.
const IDLE_PAUSE: Duration = Duration::from_millis(10);

impl Pool {
    /// Runs until the process is told to end (SIGINT, SIGTERM) or the pool is stopped. The first
    /// signal drains it: listeners close, sessions are told and finish, what is queued is still sent
    /// ([`PoolBuilder::drain_on_signal`]). A second one resets what is left.
    ///
    /// # Errors
    /// When the signals cannot be listened for.
    pub fn run_until_signal(&self) -> impl Future<Output = Result<(), Error>> {
        self.run_until(Signals::new())
    }

    async fn run_until(&self, signals: io::Result<Signals>) -> Result<(), Error> {
        let mut signals = signals?;
        tokio::select! {
            () = signals.next() => self.drain_unless(&mut signals).await,
            _ = self.stopped() => {}
        }
        Ok(())
    }

    /// Drains, or stops at once when another signal comes.
    async fn drain_unless(&self, signals: &mut Signals) {
        let draining = self.drain(self.on_signal());
        tokio::select! {
            _ = draining => return,
            () = signals.next() => {}
        }
        self.stop_within(Duration::ZERO).await;
    }

    /// Runs until no connection is left; at once if there is none (AC-01).
    ///
    /// # Errors
    /// When the pool is stopped meanwhile.
    pub async fn run_until_idle(&self) -> Result<(), Error> {
        loop {
            let totals = self.status().await?.totals;
            if totals.live == 0 && totals.connecting == 0 {
                return Ok(());
            }
            tokio::time::sleep(IDLE_PAUSE).await;
        }
    }
}

impl Pool {
    /// Runs until so many batches of events were handled, each awaited for `timeout` at most (AC-01):
    /// a batch is an accepted peer or all that one wake of a connection brought. Returns how many
    /// there were; at once if the pool has neither listeners nor connections.
    ///
    /// # Errors
    /// When the pool is stopped meanwhile.
    pub async fn run_passes(&self, count: u64, timeout: Duration) -> Result<u64, Error> {
        let mut passes = self.watch_passes();
        let before = *passes.borrow_and_update();
        for _ in 0..count {
            if self.status().await?.is_empty() {
                break;
            }
            // The timeout is per batch, as each pass of the seed's loop waits anew.
            if tokio::time::timeout(timeout, passes.changed())
                .await
                .is_ok()
            {
                let done = passes.borrow_and_update().wrapping_sub(before);
                if done >= count {
                    break;
                }
            }
        }
        Ok((*passes.borrow() - before).min(count))
    }
}

thread_local! {
    static DEFAULT_POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
}

/// The calling thread's own pool, started on it when first asked for and again after it was stopped
/// (AC-02). It has no shards: everything in it runs on this thread.
///
/// # Errors
/// As [`PoolBuilder::start`].
///
/// # Panics
/// On a thread without a tokio local set, as [`PoolBuilder::start`].
pub fn default_pool() -> Result<Pool, StartError> {
    DEFAULT_POOL.with_borrow_mut(|pool| match pool {
        Some(pool) if pool.is_running() => Ok(pool.clone()),
        none => {
            let started = Pool::builder().name("default").shards(0).start()?;
            Ok(none.insert(started).clone())
        }
    })
}

impl PoolBuilder {
    /// Starts the pool in an actix system on this thread, runs `work` with it, and then the pool until
    /// a signal or a stop; returns the last counters (XAS-07). A signal ends `work` too, and drains the
    /// pool as in [`Pool::run_until_signal`].
    ///
    /// # Errors
    /// When the pool cannot be started, or what `work` gives.
    pub fn run<F, W>(self, work: F) -> Result<Totals, Error>
    where
        F: FnOnce(Pool) -> W,
        W: Future<Output = Result<(), Error>>,
    {
        System::new().block_on(async move {
            let pool = self.start()?;
            // Heard from here on: one that comes while `work` still prepares drains, too.
            let mut signals = Signals::new()?;
            let until_stopped = async {
                work(pool.clone()).await?;
                pool.stopped().await;
                Ok(())
            };
            let outcome = tokio::select! {
                outcome = until_stopped => outcome,
                () = signals.next() => {
                    pool.drain_unless(&mut signals).await;
                    Ok(())
                }
            };
            let totals = pool.stop().await;
            outcome.map(|()| totals)
        })
    }

    /// Starts the pool on a thread of its own and returns when it is ready (XAS-08). For programs
    /// that have no actix system.
    ///
    /// # Errors
    /// When the pool cannot be started.
    pub fn background(self) -> Result<Background, StartError> {
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("switchboard".into())
            .spawn(move || {
                System::new().block_on(async move {
                    match self.start() {
                        Err(error) => {
                            let _ = ready.send(Err(error));
                        }
                        Ok(pool) => {
                            let _ = ready.send(Ok(pool.clone()));
                            pool.stopped().await;
                        }
                    }
                });
            })
            .map_err(StartError::Runtime)?;
        let pool = started.recv().unwrap_or_else(|_| {
            let error = io::Error::other("the pool's thread ended before it was ready");
            Err(StartError::Runtime(error))
        })?;
        Ok(Background {
            pool,
            thread: Some(thread),
        })
    }
}

/// A pool on a thread of its own. Dropped, it stops the pool and waits for the thread.
#[derive(Debug)]
pub struct Background {
    pool: Pool,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// The pool's handle.
    #[must_use]
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Stops the pool, waits for its thread, and returns the last counters.
    #[must_use]
    pub fn stop(mut self) -> Totals {
        self.join();
        self.pool.stop_report().unwrap_or_default()
    }

    /// Runs a future on the calling thread, for the handles' awaiting calls.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub fn block_on<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(future))
    }

    /// Stops the pool, and lets the thread end by itself.
    pub(crate) fn leave(mut self) {
        drop(self.pool.stop());
        self.thread = None;
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(self.pool.stop());
            // A handle may be dropped by the thread itself, which cannot wait for its own end. It reports
            // nothing that the pool has not reported.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.join();
    }
}

/// The signals that ask a process to end.
struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
