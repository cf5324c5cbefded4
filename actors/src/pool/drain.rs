//! The root's part of a drain: it has every shard drain, and then stops.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Handler, ResponseFuture, WrapFuture};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::drain::{Drain, DrainReport};
use crate::shard::{DrainShard, Pacer, ShardHandle};
use crate::telemetry;

use super::actor::{PoolActor, Stop};
use super::{Phase, Pool};

/// The grace of the stop behind a drain: connections that were still on their way to a shard.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// Deadlines that are further away are as good as none.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// Draining.
impl Pool {
    /// Drains: opens nothing new, lets sessions finish, closes what is left, and stops; see [`Drain`].
    /// [`listen`](Self::listen) and [`connect`](Self::connect) are refused from when this returns. It
    /// goes on whether or not it is awaited, and may be called from anywhere, also from inside a
    /// handler. It resolves when the pool is stopped.
    ///
    /// Another drain awaits the one that is under way. A [`stop`](Self::stop) cuts it short: what is
    /// left is closed now, within the stop's grace, and without a grace it is reset. A pool that was
    /// stopped without a drain reports nothing but its counters.
    pub fn drain(
        &self,
        drain: Drain,
    ) -> impl Future<Output = DrainReport> + Send + 'static + use<> {
        self.inner.draining.store(true, Ordering::Release);
        self.inner.address.do_send(drain);
        ended(self.inner.phases.clone())
    }

    /// Whether it drains: from the call of [`drain`](Self::drain) until a stop begins, be it the
    /// drain's own.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let phase = self.inner.phases.borrow();
        self.is_asked_to_drain() && matches!(*phase, Phase::Running | Phase::Draining)
    }

    pub(super) fn is_asked_to_drain(&self) -> bool {
        self.inner.draining.load(Ordering::Acquire)
    }
}

/// Waits for the pool's end, of whatever kind.
pub(super) async fn ended(mut phases: watch::Receiver<Phase>) -> DrainReport {
    let stopped = phases
        .wait_for(|phase| matches!(phase, Phase::Stopped(_)))
        .await;
    match stopped.as_deref() {
        Ok(Phase::Stopped(report)) => DrainReport::clone(report),
        // The root actor is gone with its thread: nothing is left to count.
        _ => DrainReport::default(),
    }
}

impl Handler<Drain> for PoolActor {
    type Result = ResponseFuture<DrainReport>;

    fn handle(&mut self, drain: Drain, ctx: &mut Self::Context) -> Self::Result {
        if *self.phase.borrow() == Phase::Running {
            self.begin_drain(drain, ctx);
        }
        Box::pin(ended(self.phase.subscribe()))
    }
}

impl PoolActor {
    fn begin_drain(&mut self, drain: Drain, ctx: &mut actix::Context<Self>) {
        self.draining.store(true, Ordering::Release);
        self.phase.send_replace(Phase::Draining);
        telemetry::pool_draining(&self.span, &drain);
        let deadline = Instant::now() + drain.within.min(FAR_AWAY);
        let pacer = drain.pace.map(|pace| Arc::new(Pacer::new(pace)));
        let order = |pacer| DrainShard {
            drain,
            deadline,
            pacer,
        };
        self.shards.raise();
        self.shards.forget_waiting();
        let drain_one = |shard: ShardHandle| {
            let reply = shard.address().send(order(pacer.clone()));
            actix_rt::spawn(async move {
                if reply.await.is_err() {
                    // A shard that is gone has no connections, and its listeners are not to come back.
                    shard.close_servers().await;
                }
            })
        };
        let ends: Vec<_> = self.shards.homes().into_iter().map(drain_one).collect();
        let drained = async move {
            for end in ends {
                // Nothing in it panics.
                let _ = end.await;
            }
        };
        ctx.spawn(drained.into_actor(self).map(|(), _, ctx| {
            // Comes to nothing if a stop has taken over.
            ctx.notify(Stop { grace: AFTERWARDS });
        }));
    }
}
