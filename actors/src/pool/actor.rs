//! The root actor: it stops the tree and passes events on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient,
    WrapFuture,
};
use tokio::sync::watch;
use tracing::Span;

use crate::drain::DrainReport;
use crate::failure::{FailureHandler, HandlerFailed};
use crate::message::PoolEvent;
use crate::shard::{ShardHandle, StopShard};
use crate::supervisor::{Supervise, Supervision, Supervisor, launch};
use crate::telemetry;
use crate::workers::{StopWorkers, WorkersActor};

#[cfg(doc)]
use super::Pool;
use super::shards::Shards;
use super::{GRACE, Phase};

/// The root of the tree: it owns the arbiters, passes events on to subscribers, and stops everything
/// in order. It is never on the path of data.
pub struct PoolActor {
    pub(super) shards: Shards,
    pub(super) workers: Option<Addr<WorkersActor>>,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) subscribed: Arc<AtomicBool>,
    pub(super) draining: Arc<AtomicBool>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) span: Span,
    pub(super) failures: FailureHandler,
    /// In the order in which they were started.
    pub(super) supervisors: Vec<Supervisor>,
}

pub(super) struct Subscriber {
    recipient: Recipient<PoolEvent>,
    missed: u64,
}

impl Subscriber {
    /// Tells it, if its mailbox has room. `false`: it is gone.
    fn tell(&mut self, event: &PoolEvent) -> bool {
        use actix::prelude::SendError::{Closed, Full};
        if self.missed > 0 {
            let events = self.missed;
            match self.recipient.try_send(PoolEvent::Missed { events }) {
                Ok(()) => self.missed = 0,
                Err(Full(_)) => {}
                Err(Closed(_)) => return false,
            }
        }
        match self.recipient.try_send(event.clone()) {
            Ok(()) => true,
            Err(Full(_)) => {
                self.missed += 1;
                true
            }
            Err(Closed(_)) => false,
        }
    }
}

impl PoolActor {
    /// Whether no stop has begun.
    fn is_up(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Running | Phase::Draining)
    }
}

impl Actor for PoolActor {
    type Context = Context<Self>;
}

impl Handler<PoolEvent> for PoolActor {
    type Result = ();

    fn handle(&mut self, event: PoolEvent, _: &mut Self::Context) {
        self.tell(&event);
    }
}

impl PoolActor {
    /// Passes an event on to subscribers.
    pub(super) fn tell(&mut self, event: &PoolEvent) {
        let before = self.subscribers.len();
        self.subscribers
            .retain_mut(|subscriber| subscriber.tell(event));
        if before > 0 && self.subscribers.is_empty() {
            self.subscribed.store(false, Ordering::Relaxed);
        }
    }
}

/// Sends every [`PoolEvent`] to this recipient from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe {
    /// Where to.
    pub recipient: Recipient<PoolEvent>,
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscribe")
    }
}

impl Handler<Subscribe> for PoolActor {
    type Result = ();

    fn handle(&mut self, subscribe: Subscribe, _: &mut Self::Context) {
        self.subscribers.push(Subscriber {
            recipient: subscribe.recipient,
            missed: 0,
        });
        self.subscribed.store(true, Ordering::Relaxed);
    }
}

/// Sets whom the pool tells that a session panicked; see
/// [`Pool::set_failure_handler`](super::Pool::set_failure_handler).
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetFailureHandler(pub Option<Recipient<HandlerFailed>>);

impl fmt::Debug for SetFailureHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetFailureHandler")
    }
}

impl Handler<SetFailureHandler> for PoolActor {
    type Result = ();

    fn handle(&mut self, set: SetFailureHandler, _: &mut Self::Context) {
        self.failures.set(set.0);
    }
}

/// Asks whom the pool tells that a session panicked; `None`: the log.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<Recipient<HandlerFailed>>")]
pub struct GetFailureHandler;

impl Handler<GetFailureHandler> for PoolActor {
    type Result = Option<Recipient<HandlerFailed>>;

    fn handle(&mut self, _: GetFailureHandler, _: &mut Self::Context) -> Self::Result {
        self.failures.get()
    }
}

/// Starts a supervisor on the pool's own thread.
#[derive(Message)]
#[rtype(result = "Option<Supervisor>")]
pub(super) struct StartSupervisor(pub(super) Supervise);

impl Handler<StartSupervisor> for PoolActor {
    type Result = Option<Supervisor>;

    fn handle(&mut self, start: StartSupervisor, ctx: &mut Self::Context) -> Self::Result {
        if !self.is_up() {
            return None;
        }
        let above = Root {
            pool: ctx.address(),
            subscribed: Arc::clone(&self.subscribed),
        };
        let supervisor = launch(start.0, above, &self.span);
        self.supervisors.retain(Supervisor::is_running);
        self.supervisors.push(supervisor.clone());
        Some(supervisor)
    }
}

/// What supervisors know of the pool above them.
pub(super) struct Root {
    pub(super) pool: Addr<PoolActor>,
    pub(super) subscribed: Arc<AtomicBool>,
}

impl Supervision for Root {
    fn report(&self, event: PoolEvent) {
        if self.subscribed.load(Ordering::Relaxed) {
            self.pool.do_send(event);
        }
    }

    fn escalate(&self) {
        self.pool.do_send(Stop { grace: GRACE });
    }
}

/// Stops the pool; see [`Pool::stop_within`]. [`Pool::stopped`] resolves when it is done.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop {
    /// How long connections may take to send what is queued; zero resets them.
    pub grace: Duration,
}

impl Handler<Stop> for PoolActor {
    type Result = ();

    fn handle(&mut self, stop: Stop, ctx: &mut Self::Context) {
        let first = self.is_up();
        if !first && !stop.grace.is_zero() {
            return;
        }
        self.phase.send_replace(Phase::Stopping);
        telemetry::pool_stopping(&self.span, stop.grace);
        if stop.grace.is_zero() {
            for supervisor in &self.supervisors {
                supervisor.hurry();
            }
        }
        if !first {
            // The first one sees to the end, which comes sooner now.
            for shard in self.shards.homes() {
                shard.address().do_send(StopShard { grace: stop.grace });
            }
            return;
        }
        self.shards.raise();
        let shards = self.shards.homes();
        // Sessions may need what is supervised, so that goes last.
        let supervisors = self.supervisors.clone();
        let stopping = async move {
            let stop_one = |shard: &ShardHandle| {
                let shard = Arc::clone(shard);
                let reply = shard.address().send(StopShard { grace: stop.grace });
                actix_rt::spawn(async move {
                    let report = reply.await.ok();
                    if report.is_none() {
                        // It was down, and nobody else closes what it would have come back with.
                        shard.close_servers().await;
                    }
                    report
                })
            };
            let replies: Vec<_> = shards.iter().map(stop_one).collect();
            let mut stopped = Vec::new();
            for (shard, reply) in shards.into_iter().zip(replies) {
                stopped.push((shard, reply.await.ok().flatten()));
            }
            for supervisor in supervisors.into_iter().rev() {
                supervisor.stop().await;
            }
            stopped
        };
        let finished = stopping.into_actor(self).then(|stopped, pool, _| {
            let arbiters = pool.shards.take_threads();
            let leaving = pool.shards.take_leaving();
            let workers = pool.workers.clone();
            async move {
                if let Some(workers) = workers {
                    // Gone already, it has ended its threads.
                    let _ = workers.send(StopWorkers).await;
                }
                for arbiter in &arbiters {
                    arbiter.stop();
                }
                if !arbiters.is_empty() {
                    let join = move || {
                        for arbiter in arbiters {
                            // A shard that panicked is as gone as one that ended.
                            let _ = arbiter.join();
                        }
                    };
                    let _ = tokio::task::spawn_blocking(join).await;
                }
                for thread in leaving {
                    // It tells nothing but its end.
                    let _ = thread.await;
                }
                let mut report = DrainReport::default();
                for (shard, stopped) in stopped {
                    report.add(&stopped.unwrap_or_else(|| shard.last_report()));
                }
                report
            }
            .into_actor(pool)
        });
        let drained = self.draining.load(Ordering::Acquire);
        ctx.spawn(finished.map(move |report, pool, ctx| {
            if drained {
                telemetry::pool_drained(&pool.span, &report);
            }
            telemetry::pool_stopped(&pool.span, &report.totals);
            pool.phase.send_replace(Phase::Stopped(Box::new(report)));
            ctx.stop();
        }));
    }
}

impl Drop for PoolActor {
    fn drop(&mut self) {
        for arbiter in self.shards.take_threads() {
            arbiter.stop();
        }
        for shard in self.shards.homes() {
            shard.abandon();
        }
    }
}

impl fmt::Debug for PoolActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolActor").finish_non_exhaustive()
    }
}
