//! `WorkersActor` keeps the workers' threads: it starts them again and ends them.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
    ResponseActFuture, WrapFuture,
};
use actix_rt::Arbiter;
use switchboard_core::restart::{Backoff, Intensity};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Span;

use crate::client::clock;
use crate::message::PoolEvent;
use crate::supervisor::{RestartRules, Supervision};
use crate::telemetry;

use super::{Worker, Workers};

/// How long a stop waits for threads whose sessions did not end in the time that they had.
const PATIENCE: Duration = Duration::from_secs(1);
/// The supervisor's name in [`PoolEvent::Escalated`].
const NAME: &str = "workers";

/// Owns the workers' threads. A thread that ends (a handler has stopped its arbiter) is started again.
pub(crate) struct WorkersActor {
    workers: Arc<Workers>,
    threads: Vec<Thread>,
    intensity: Intensity,
    above: Box<dyn Supervision>,
    span: Span,
    stopping: bool,
}

struct Thread {
    arbiter: Option<Arbiter>,
    /// Resolves when the thread's event loop has ended.
    ended: Option<oneshot::Receiver<()>>,
    backoff: Backoff,
}

/// Threads that are not supervised yet. Dropped, they end.
pub(crate) struct Crowd {
    pub(crate) workers: Arc<Workers>,
    threads: Vec<Thread>,
    /// Of all threads together; one restart more stops the pool.
    intensity: Intensity,
}

impl Crowd {
    /// Starts so many workers.
    pub(crate) fn start(count: usize, rules: &RestartRules) -> io::Result<Self> {
        let workers = Arc::new(Workers::new(count));
        let (most, period) = rules.intensity;
        let mut crowd = Self {
            workers: Arc::clone(&workers),
            threads: Vec::new(),
            intensity: Intensity::new(most, period),
        };
        for index in 0..count {
            let (arbiter, ended) = start_thread(&workers, index)?;
            let seed = u64::try_from(index).unwrap_or(0);
            crowd.threads.push(Thread {
                arbiter: Some(arbiter),
                ended: Some(ended),
                backoff: Backoff::new(rules.backoff.clone(), seed),
            });
        }
        Ok(crowd)
    }

    /// Has them supervised.
    pub(crate) fn supervise(mut self, above: impl Supervision, span: Span) -> Addr<WorkersActor> {
        WorkersActor {
            workers: Arc::clone(&self.workers),
            threads: std::mem::take(&mut self.threads),
            intensity: self.intensity.clone(),
            above: Box::new(above),
            span,
            stopping: false,
        }
        .start()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        end(&self.threads);
    }
}

/// Asks the threads to end.
fn end(threads: &[Thread]) {
    for arbiter in threads.iter().filter_map(|thread| thread.arbiter.as_ref()) {
        arbiter.stop();
    }
}

fn start_thread(
    workers: &Arc<Workers>,
    index: usize,
) -> io::Result<(Arbiter, oneshot::Receiver<()>)> {
    let arbiter = Arbiter::try_new()?;
    let (end, ended) = oneshot::channel();
    workers.workers[index]
        .running
        .store(true, Ordering::Release);
    let shift = Shift {
        workers: Arc::clone(workers),
        index,
        _end: end,
    };
    arbiter.spawn(shift.work());
    Ok((arbiter, ended))
}

/// A worker's time on one thread; dropped with the thread's event loop.
struct Shift {
    workers: Arc<Workers>,
    index: usize,
    _end: oneshot::Sender<()>,
}

impl Shift {
    fn worker(&self) -> &Worker {
        &self.workers.workers[self.index]
    }

    /// Makes sessions, one after the other; those that are there have their turns in between.
    async fn work(self) {
        super::arrive();
        loop {
            while let Some(errand) = self.worker().next() {
                errand.run();
                tokio::task::yield_now().await;
            }
            self.worker().called.notified().await;
        }
    }
}

impl Drop for Shift {
    /// Who still waits for a session goes to a worker that runs.
    fn drop(&mut self) {
        self.worker().running.store(false, Ordering::Release);
        let waiting = std::mem::take(&mut *super::lock(&self.worker().errands));
        for errand in waiting {
            self.workers.assign(errand);
        }
        self.workers.changed.notify_waiters();
    }
}

impl Actor for WorkersActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for index in 0..self.threads.len() {
            self.watch(index, ctx);
        }
    }
}

impl WorkersActor {
    /// Waits for the end of a worker's thread.
    fn watch(&mut self, index: usize, ctx: &mut Context<Self>) {
        self.threads[index].backoff.up(clock());
        if let Some(ended) = self.threads[index].ended.take() {
            let ended = ended.into_actor(self);
            ctx.spawn(ended.map(move |_, actor, ctx| actor.ended(index, ctx)));
        }
    }

    fn ended(&mut self, index: usize, ctx: &mut Context<Self>) {
        if self.stopping {
            return;
        }
        let thread = &mut self.threads[index];
        if let Some(arbiter) = thread.arbiter.take() {
            // Only the task has ended if something of ours has failed in it.
            arbiter.stop();
        }
        let now = clock();
        let allowed = self.intensity.allows(now);
        let restart_in = allowed.then(|| thread.backoff.next_pause(now));
        telemetry::worker_ended(&self.span, index, restart_in);
        self.above.report(PoolEvent::WorkerEnded {
            worker: index,
            restart_in,
        });
        if let Some(pause) = restart_in {
            ctx.run_later(pause, move |actor, ctx| actor.restart(index, ctx));
        } else {
            let (most, period) = (self.intensity.most(), self.intensity.period());
            telemetry::escalated(&self.span, most, period);
            self.above.report(PoolEvent::Escalated {
                supervisor: NAME.into(),
            });
            self.above.escalate();
            // Nobody comes to make what is waited for, and a stop would wait, too.
            self.workers.close();
        }
    }

    fn restart(&mut self, index: usize, ctx: &mut Context<Self>) {
        if self.stopping {
            return;
        }
        // A system without threads left counts as one more failure.
        let Ok((arbiter, ended)) = start_thread(&self.workers, index) else {
            return self.ended(index, ctx);
        };
        let restarts = &self.workers.workers[index].restarts;
        let restarts = restarts.fetch_add(1, Ordering::Relaxed) + 1;
        self.threads[index].arbiter = Some(arbiter);
        self.threads[index].ended = Some(ended);
        self.watch(index, ctx);
        telemetry::worker_restarted(&self.span, index, restarts);
        self.above.report(PoolEvent::WorkerRestarted {
            worker: index,
            restarts,
        });
    }
}

/// Ends the threads; replies when they have ended, or when those that are still blocked had their time.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StopWorkers;

impl Handler<StopWorkers> for WorkersActor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: StopWorkers, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        self.workers.close();
        end(&self.threads);
        let threads = std::mem::take(&mut self.threads);
        let workers = Arc::clone(&self.workers);
        let span = self.span.clone();
        let stopping = async move {
            // Nobody can stop a thread that a handler blocks: it ends when the handler returns.
            let _ = timeout(PATIENCE, workers.ended()).await;
            let mut ending = Vec::new();
            for (index, thread) in threads.into_iter().enumerate() {
                if workers.is_running(index) {
                    telemetry::worker_left(&span, index);
                } else {
                    ending.extend(thread.arbiter);
                }
            }
            let join = move || {
                for arbiter in ending {
                    // A thread that panicked is as gone as one that ended.
                    let _ = arbiter.join();
                }
            };
            let _ = timeout(PATIENCE, tokio::task::spawn_blocking(join)).await;
        };
        Box::pin(stopping.into_actor(self).map(|(), _, ctx| ctx.stop()))
    }
}

impl Workers {
    /// Waits until no thread is left.
    async fn ended(&self) {
        loop {
            // Made before the look, it does not miss who ends after it.
            let changed = self.changed.notified();
            if (0..self.workers.len()).all(|index| !self.is_running(index)) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for WorkersActor {
    /// The pool's own thread may end without a stop.
    fn drop(&mut self) {
        self.workers.close();
        end(&self.threads);
    }
}

impl fmt::Debug for WorkersActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkersActor").finish_non_exhaustive()
    }
}
