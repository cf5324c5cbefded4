//! The shards of a pool: how they are started, and started again when they have failed.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Handler, Message, WeakAddr, WrapFuture};
use actix_rt::Arbiter;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::message::PoolEvent;
use crate::shard::{KeepBudget, Mailbox, OpenOutbound, Revive, Settling, ShardHandle, ShardHome};
use crate::supervisor::{RestartRules, Vigil};
use crate::telemetry;
use crate::transport::Network;

use super::actor::{PoolActor, Stop};
use super::{GRACE, Phase};

/// The shards of a pool and what they stand on.
pub(super) struct Shards {
    /// Whether each has a thread of its own.
    threads: bool,
    network: Arc<dyn Network>,
    pool: WeakAddr<PoolActor>,
    keep: Option<KeepBudget>,
    gives_back: bool,
    sites: Vec<Site>,
    /// All of them together: a fault that they share fails them together.
    vigil: Vigil,
}

/// One shard.
struct Site {
    home: ShardHandle,
    ground: Ground,
    /// Whether its actor has ended, which is told before its address shows it.
    is_down: bool,
    /// Until its last thread, which has ended its work, is gone.
    leaving: Option<oneshot::Receiver<()>>,
    /// Connections that were begun while it was down.
    waiting: Vec<OpenOutbound>,
}

/// Where a shard lives.
enum Ground {
    /// On a thread of its own.
    Thread(Arbiter, mpsc::UnboundedSender<Mailbox>),
    /// On the pool's own thread.
    Here(mpsc::UnboundedSender<Mailbox>),
    /// Nowhere: its thread has ended.
    Down,
}

impl Shards {
    pub(super) fn new(
        threads: bool,
        network: Arc<dyn Network>,
        pool: WeakAddr<PoolActor>,
        keep: Option<KeepBudget>,
        gives_back: bool,
        rules: RestartRules,
    ) -> Self {
        Self {
            threads,
            network,
            pool,
            keep,
            gives_back,
            sites: Vec::new(),
            vigil: Vigil::new(rules, 0),
        }
    }

    /// Starts one more.
    pub(super) fn add(&mut self, index: u16) -> std::io::Result<()> {
        let (home, mailbox) = ShardHome::new(index);
        let ground = self.settle(&home)?;
        ground.start(mailbox);
        self.sites.push(Site {
            home,
            ground,
            is_down: false,
            leaving: None,
            waiting: Vec::new(),
        });
        Ok(())
    }

    /// The handles of all.
    pub(super) fn homes(&self) -> Vec<ShardHandle> {
        self.sites
            .iter()
            .map(|site| Arc::clone(&site.home))
            .collect()
    }

    /// Finds a shard something to live on.
    fn settle(&self, home: &ShardHandle) -> std::io::Result<Ground> {
        let (mailboxes, received) = mpsc::unbounded_channel();
        let settling = Settling {
            home: Arc::clone(home),
            network: Arc::clone(&self.network),
            pool: self.pool.clone(),
            keep: self.keep.clone(),
            gives_back: self.gives_back,
            mailboxes: received,
        };
        if !self.threads {
            actix_rt::spawn(settling.live());
            return Ok(Ground::Here(mailboxes));
        }
        let arbiter = Arbiter::try_new()?;
        arbiter.spawn_fn(move || {
            actix_rt::spawn(settling.live());
        });
        Ok(Ground::Thread(arbiter, mailboxes))
    }

    /// Starts the actors that are down and have a thread: without one a shard does not stop in order.
    pub(super) fn raise(&self) {
        for site in &self.sites {
            if site.is_down && !matches!(site.ground, Ground::Down) {
                site.ground.start(site.home.renew());
            }
        }
    }

    /// Lets go of what was begun on shards that are down.
    pub(super) fn forget_waiting(&mut self) {
        for site in &mut self.sites {
            site.waiting.clear();
        }
    }

    /// What resolves when threads are gone that nobody else waits for.
    pub(super) fn take_leaving(&mut self) -> Vec<oneshot::Receiver<()>> {
        let leaving = self.sites.iter_mut().map(|site| site.leaving.take());
        leaving.flatten().collect()
    }

    /// Lets go of what was begun on shards that are down, and takes the threads.
    pub(super) fn take_threads(&mut self) -> Vec<Arbiter> {
        self.forget_waiting();
        self.sites
            .iter_mut()
            .filter_map(Site::take_thread)
            .collect()
    }
}

impl Site {
    fn take_thread(&mut self) -> Option<Arbiter> {
        match std::mem::replace(&mut self.ground, Ground::Down) {
            Ground::Thread(arbiter, _) => Some(arbiter),
            Ground::Here(_) | Ground::Down => None,
        }
    }
}

impl Ground {
    /// Starts an actor for this mailbox. `false`: there is nothing to start it on.
    fn start(&self, mailbox: Mailbox) -> bool {
        match self {
            Self::Thread(_, mailboxes) | Self::Here(mailboxes) => mailboxes.send(mailbox).is_ok(),
            Self::Down => false,
        }
    }
}

/// How a shard ended.
#[derive(Debug)]
pub(crate) enum ShardEnd {
    /// Its actor panicked, with this text; everything else of it is there.
    Panicked(String),
    /// Its thread ended, and everything on it.
    ThreadEnded,
}

/// A shard is down.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ShardEnded {
    pub(crate) shard: usize,
    pub(crate) end: ShardEnd,
}

impl Handler<ShardEnded> for PoolActor {
    type Result = ();

    fn handle(&mut self, ended: ShardEnded, ctx: &mut Self::Context) {
        let shard = ended.shard;
        self.shards.sites[shard].is_down = true;
        if !self.is_running() {
            return;
        }
        match ended.end {
            ShardEnd::Panicked(text) => self.shard_failed(shard, text, ctx),
            ShardEnd::ThreadEnded => {
                let Some(thread) = self.shards.sites[shard].take_thread() else {
                    return;
                };
                // Its connections are all counted when the thread is gone.
                let (gone, leaving) = oneshot::channel::<()>();
                self.shards.sites[shard].leaving = Some(leaving);
                let joined = tokio::task::spawn_blocking(move || {
                    drop(thread.join());
                    drop(gone);
                });
                let failed = joined.into_actor(self).map(move |_, pool, ctx| {
                    pool.shard_failed(shard, "its thread ended".into(), ctx);
                });
                ctx.spawn(failed);
            }
        }
    }
}

/// Begins an outbound connection on a shard that was down a moment ago.
impl Handler<OpenOutbound> for PoolActor {
    type Result = ();

    fn handle(&mut self, open: OpenOutbound, _: &mut Self::Context) {
        let site = &mut self.shards.sites[open.shard()];
        if !site.is_down && site.home.is_up() {
            site.home.address().do_send(open);
        } else if self.is_running() {
            self.shards.sites[open.shard()].waiting.push(open);
        }
    }
}

impl PoolActor {
    fn shard_failed(&mut self, shard: usize, text: String, ctx: &mut <Self as Actor>::Context) {
        if !self.is_running() {
            return;
        }
        let pause = self.shards.vigil.failed();
        telemetry::shard_failed(&self.span, shard, &text);
        self.tell(&PoolEvent::ShardFailed {
            shard,
            text,
            restart_in: pause,
        });
        match pause {
            Some(pause) => self.start_shard_in(pause, shard, ctx),
            None => {
                let (most, period) = self.shards.vigil.limits();
                telemetry::escalated(&self.span, most, period);
                let supervisor = format!("shard {shard}");
                self.tell(&PoolEvent::Escalated { supervisor });
                self.handle(Stop { grace: GRACE }, ctx);
            }
        }
    }

    fn start_shard_in(&self, pause: Duration, shard: usize, ctx: &mut <Self as Actor>::Context) {
        let paused = sleep(pause).into_actor(self);
        ctx.spawn(paused.map(move |(), pool, ctx| pool.start_shard(shard, ctx)));
    }

    /// Starts a shard again: its actor, on another thread if its own is gone.
    fn start_shard(&mut self, shard: usize, ctx: &mut <Self as Actor>::Context) {
        if !self.is_running() || !self.shards.sites[shard].is_down {
            return;
        }
        let home = Arc::clone(&self.shards.sites[shard].home);
        let is_gone = matches!(self.shards.sites[shard].ground, Ground::Down);
        if is_gone {
            match self.shards.settle(&home) {
                Ok(ground) => self.shards.sites[shard].ground = ground,
                Err(error) => return self.shard_failed(shard, error.to_string(), ctx),
            }
        }
        if !self.shards.sites[shard].ground.start(home.renew()) {
            // Its thread ended meanwhile, which is told.
            return;
        }
        self.shards.sites[shard].is_down = false;
        self.shards.vigil.up();
        // On the thread that it had, its listeners have noticed nothing.
        let back = is_gone.then(|| home.address().send(Revive));
        let back = async move {
            match back {
                Some(back) => back.await.is_ok(),
                None => true,
            }
        };
        ctx.spawn(back.into_actor(self).map(move |back, pool, _| {
            if back {
                pool.shard_is_back(shard);
            }
        }));
    }

    fn shard_is_back(&mut self, shard: usize) {
        telemetry::shard_restarted(&self.span, shard);
        self.tell(&PoolEvent::ShardRestarted { shard });
        let site = &mut self.shards.sites[shard];
        let address = site.home.address();
        for open in std::mem::take(&mut site.waiting) {
            address.do_send(open);
        }
    }

    fn is_running(&self) -> bool {
        *self.phase.borrow() == Phase::Running
    }
}
