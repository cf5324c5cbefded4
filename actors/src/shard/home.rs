//! What stays of a shard when its thread or its actor has died: its ids, its counters, its listeners,
//! and where it is reached.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::dev::channel::{AddressReceiver, channel};
use actix::{Addr, WeakAddr};
use switchboard_core::{ClosedReason, IdSource, ServerId};
use tokio::sync::{mpsc, watch};

use crate::drain::DrainReport;
use crate::placement::{Load, Share};
use crate::pool::{PoolActor, ShardEnd, ShardEnded, Totals};
use crate::server::{Server, ServerState};
use crate::transport::Network;

use super::pressure::KeepBudget;
use super::{ShardActor, ShardLocal};

/// How many commands may wait where somebody minds; actix's own default.
const MAILBOX: usize = 16;

/// A shard, as seen from any thread. It is never on the path of data.
pub(crate) type ShardHandle = Arc<ShardHome>;

/// A shard, over all its restarts.
pub(crate) struct ShardHome {
    pub(crate) ids: IdSource,
    index: usize,
    /// Its connections, from the moment at which they are sent here.
    load: Load,
    address: watch::Sender<Arc<Addr<ShardActor>>>,
    totals: Mutex<Totals>,
    /// What a drain had brought about when its thread ended.
    drained: Mutex<DrainReport>,
    servers: Mutex<Vec<Arc<ServerState>>>,
}

/// The mailbox of a shard's actor that is to be started.
pub(crate) type Mailbox = AddressReceiver<ShardActor>;

impl ShardHome {
    /// A shard, and the mailbox of its first actor.
    pub(crate) fn new(index: u16) -> (ShardHandle, Mailbox) {
        let (sender, mailbox) = channel(MAILBOX);
        let home = Arc::new(Self {
            ids: IdSource::new(index),
            index: usize::from(index),
            load: Load::default(),
            address: watch::Sender::new(Arc::new(Addr::new(sender))),
            totals: Mutex::default(),
            drained: Mutex::default(),
            servers: Mutex::default(),
        });
        (home, mailbox)
    }

    /// Commands go to another actor from now on.
    pub(crate) fn renew(&self) -> Mailbox {
        let (sender, mailbox) = channel(MAILBOX);
        self.address.send_replace(Arc::new(Addr::new(sender)));
        mailbox
    }

    /// The actor of the moment.
    pub(crate) fn address(&self) -> Arc<Addr<ShardActor>> {
        Arc::clone(&self.address.borrow())
    }

    /// Whether it has an actor.
    pub(crate) fn is_up(&self) -> bool {
        self.address.borrow().connected()
    }

    /// How many connections it has; `None`: it is down.
    pub(crate) fn load(&self) -> Option<usize> {
        self.is_up().then(|| self.connections())
    }

    /// How many connections it has, up or not.
    pub(crate) fn connections(&self) -> usize {
        self.load.count()
    }

    /// One more connection is sent here.
    pub(crate) fn take_share(&self) -> Share {
        self.load.add()
    }

    /// Waits until it has an actor.
    pub(crate) async fn up(&self) {
        // The sender is here, so it cannot be gone.
        let mut address = self.address.subscribe();
        let _ = address.wait_for(|address| address.connected()).await;
    }

    pub(crate) const fn index(&self) -> usize {
        self.index
    }

    /// Its counters, over all its restarts.
    pub(crate) fn count(&self) -> MutexGuard<'_, Totals> {
        lock(&self.totals)
    }

    /// Its counters while it is down: whatever has not ended is counted as living.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = self.count().clone();
        totals.live = (totals.accepted + totals.connected + totals.opened)
            .saturating_sub(totals.closed_in_all());
        totals
    }

    /// Its thread ends: what a drain has brought about so far.
    pub(super) fn remember_drain(&self, report: DrainReport) {
        *lock(&self.drained) = report;
    }

    /// Its part of a drain's report when its thread has ended.
    pub(crate) fn last_report(&self) -> DrainReport {
        let mut report = lock(&self.drained).clone();
        report.totals = self.totals();
        report
    }

    pub(crate) fn remember_server(&self, server: Arc<ServerState>) {
        lock(&self.servers).push(server);
    }

    pub(crate) fn forget_server(&self, id: ServerId) {
        let mut servers = lock(&self.servers);
        let found = servers.iter().position(|server| server.id == id);
        let server = found.map(|position| servers.remove(position));
        drop(servers);
        // It may be the last hold on what the user's factory has captured.
        drop(server);
    }

    /// The pool has ended without a stop: listeners and pool must not keep one another.
    pub(crate) fn abandon(&self) {
        let servers = std::mem::take(&mut *lock(&self.servers));
        drop(servers);
    }

    /// Closes its listeners while it is down, so that nobody brings them back.
    pub(crate) async fn close_servers(&self) {
        for server in self.servers() {
            if server.is_kept() {
                // Its thread is there, and only the shard's actor is gone.
                Server::of(&server).close().await;
            } else {
                server.finish(ClosedReason::Error);
            }
        }
    }

    /// Its listeners, in the order in which they were opened.
    pub(crate) fn servers(&self) -> Vec<Arc<ServerState>> {
        lock(&self.servers).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ShardHome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHome")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// What a shard needs to live on a thread.
pub(crate) struct Settling {
    pub(crate) home: ShardHandle,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) pool: WeakAddr<PoolActor>,
    /// The pool's memory budget, if there is one.
    pub(crate) keep: Option<KeepBudget>,
    /// Whether memory goes back to the system after a spike.
    pub(crate) gives_back: bool,
    /// The mailboxes of its actors: each one that comes starts one.
    pub(crate) mailboxes: mpsc::UnboundedReceiver<Mailbox>,
}

impl Settling {
    /// Lives on the calling thread until the pool ends, or the thread does, which the pool is told.
    pub(crate) async fn live(mut self) {
        let alive = Alive {
            home: Arc::clone(&self.home),
            pool: self.pool.clone(),
        };
        let local = Rc::new(ShardLocal::new(Arc::clone(&self.home)));
        let visiting = local.visiting();
        let keeper = self.keep.take().map(|keep| keep.start(&local));
        let ebbing = self.gives_back.then(|| local.give_back_memory());
        while let Some(mailbox) = self.mailboxes.recv().await {
            let (home, pool) = (Arc::clone(&self.home), self.pool.clone());
            ShardActor::launch(mailbox, &local, &self.network, move |text| {
                tell(&pool, &home, ShardEnd::Panicked(text));
            });
        }
        drop((ebbing, keeper, visiting, alive));
    }
}

/// Tells the pool when its thread is gone.
struct Alive {
    home: ShardHandle,
    pool: WeakAddr<PoolActor>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        tell(&self.pool, &self.home, ShardEnd::ThreadEnded);
    }
}

fn tell(pool: &WeakAddr<PoolActor>, home: &ShardHome, end: ShardEnd) {
    // A pool that is gone misses nothing.
    if let Some(pool) = pool.upgrade() {
        let shard = home.index();
        pool.do_send(ShardEnded { shard, end });
    }
}
