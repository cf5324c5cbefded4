//! `PoolActor`, the root of the tree, and `Pool`, its handle.

mod actor;
mod admission;
mod builder;
mod drain;
mod opening;
mod pressure;
mod sequence;
mod shards;
mod status;
mod waiting;
#[cfg(unix)]
mod watching;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::{Addr, Recipient};
use switchboard_core::{Budget, ClientId};
use tokio::sync::watch;
use tracing::Span;

use crate::client::{Client, ClientInfo, clock};
use crate::drain::{Drain, DrainReport};
use crate::error::PoolStopped;
use crate::failure::{FailureHandler, HandlerFailed};
use crate::handle::Handle;
use crate::message::PoolEvent;
use crate::placement::Placer;
use crate::places::PoolGates;
use crate::shard::{Count, Find, ListClients, ShardHandle};
use crate::supervisor::{Supervise, SuperviseError, Supervisor};
use crate::workers::Workers;

use actor::StartSupervisor;
pub use actor::{GetFailureHandler, PoolActor, SetFailureHandler, Stop, Subscribe};
pub(crate) use admission::Place;
pub use builder::PoolBuilder;
pub(crate) use opening::unhandled;
pub(crate) use pressure::PressureReport;
pub(crate) use shards::{ShardEnd, ShardEnded};
pub use status::{PoolStatus, Totals};
pub use waiting::{Connecting, Stopping};

/// How long a stop lets connections send what is queued, unless it is told otherwise.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// The handle of a pool. Cheap to clone, usable from any thread. Dropping it stops nothing.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    address: Addr<PoolActor>,
    shards: Vec<ShardHandle>,
    placer: Placer,
    workers: Option<Arc<Workers>>,
    /// Whether each shard has a thread of its own.
    threads: bool,
    gates: PoolGates,
    budget: Option<Budget>,
    subscribed: Arc<AtomicBool>,
    failures: FailureHandler,
    /// Whether a drain was asked for: known before the root hears of it.
    draining: Arc<AtomicBool>,
    /// What a signal begins.
    on_signal: Drain,
    phases: watch::Receiver<Phase>,
    passes: watch::Sender<u64>,
    /// When it was started.
    began: Instant,
    span: Span,
}

/// Where a pool is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
    Stopping,
    /// With what a drain before it has brought about, and the last counters.
    Stopped(Box<DrainReport>),
}

impl Pool {
    /// A pool with other settings than the defaults.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }
}

/// Looking.
impl Pool {
    /// The pool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The root actor, for commands as messages.
    #[must_use]
    pub fn addr(&self) -> Addr<PoolActor> {
        self.inner.address.clone()
    }

    /// Every connection, in the order of their ids (XAS-05). Never blocks data.
    ///
    /// # Errors
    /// When the pool is stopped.
    pub async fn connections(&self) -> Result<Vec<ClientInfo>, PoolStopped> {
        let mut all = Vec::new();
        for shard in &self.inner.shards {
            match shard.address().send(ListClients).await {
                Ok(clients) => all.extend(clients),
                // It is down, and so are its connections.
                Err(_) if self.is_up() => {}
                Err(_) => return Err(PoolStopped),
            }
        }
        Ok(all)
    }

    /// The connection with this id; `None` if it is closed, never was, or is none (XAS-06).
    pub async fn connection(&self, id: ClientId) -> Option<Client> {
        match self.find(id).await? {
            Handle::Client(client) => Some(client),
            _ => None,
        }
    }

    /// Whatever has this id: a connection, a socket, a process; `None` if it is closed or never was.
    pub async fn find(&self, id: ClientId) -> Option<Handle> {
        let shard = self.inner.shards.get(id.shard())?;
        shard.address().send(Find(id)).await.ok()?
    }

    /// What the pool is doing.
    ///
    /// # Errors
    /// When it is stopped; [`stop_report`](Self::stop_report) has the last counters.
    pub async fn status(&self) -> Result<PoolStatus, PoolStopped> {
        let mut status = PoolStatus {
            running: self.is_running(),
            draining: self.is_draining(),
            shards: self.inner.shards.len(),
            workers: self
                .workers()
                .map_or_else(Vec::new, |workers| workers.status()),
            servers: 0,
            actors: 0,
            memory: self.budget().map(Budget::used),
            totals: Totals::default(),
        };
        for shard in &self.inner.shards {
            match shard.address().send(Count).await {
                Ok(census) => {
                    status.servers += census.servers;
                    status.actors += census.actors;
                    status.totals.add(&census.totals);
                }
                Err(_) if self.is_up() => {
                    status.servers += shard.servers().len();
                    status.totals.add(&shard.totals());
                }
                Err(_) => return Err(PoolStopped),
            }
        }
        Ok(status)
    }

    /// Whether it opens listeners and connections: true from the start until a drain is asked for or a
    /// stop has begun (XAS-12).
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.is_asked_to_drain()
            && *self.inner.phases.borrow() == Phase::Running
            && self.inner.address.connected()
    }

    /// Whether no stop has begun: it may drain.
    fn is_up(&self) -> bool {
        matches!(
            *self.inner.phases.borrow(),
            Phase::Running | Phase::Draining
        ) && self.inner.address.connected()
    }

    /// The last counters, once the pool is stopped.
    #[must_use]
    pub fn stop_report(&self) -> Option<Totals> {
        match &*self.inner.phases.borrow() {
            Phase::Stopped(report) => Some(report.totals.clone()),
            Phase::Running | Phase::Draining | Phase::Stopping => None,
        }
    }

    /// Sends every [`PoolEvent`] there, from now on. The recipient's mailbox bounds how many wait (16
    /// unless its actor says otherwise): what does not fit is counted in [`PoolEvent::Missed`].
    pub fn subscribe(&self, recipient: Recipient<PoolEvent>) {
        // From now on: events that happen meanwhile stand behind the subscription in the mailbox.
        self.inner.subscribed.store(true, Ordering::Relaxed);
        self.inner.address.do_send(Subscribe { recipient });
    }

    /// Sets whom the pool tells that a session panicked, in place of the log; `None` is the log again
    /// (UA-24). At once, for all connections. When its mailbox is full (16 unless its actor says
    /// otherwise) or closed, the log is told instead.
    pub fn set_failure_handler(&self, handler: Option<Recipient<HandlerFailed>>) {
        self.inner.failures.set(handler);
    }

    /// Whom the pool tells that a session panicked; `None`: the log (UA-24).
    #[must_use]
    pub fn failure_handler(&self) -> Option<Recipient<HandlerFailed>> {
        self.inner.failures.get()
    }

    pub(crate) fn failed(&self, failed: HandlerFailed) {
        self.inner.failures.tell(failed);
    }

    pub(crate) fn report(&self, event: PoolEvent) {
        if self.inner.subscribed.load(Ordering::Relaxed) {
            self.inner.address.do_send(event);
        }
    }

    /// One actor has done a batch of work. Costs nothing while nobody counts.
    #[inline]
    pub(crate) fn pass(&self) {
        if self.inner.passes.receiver_count() > 0 {
            self.inner.passes.send_modify(|passes| *passes += 1);
        }
    }

    pub(crate) fn watch_passes(&self) -> watch::Receiver<u64> {
        self.inner.passes.subscribe()
    }

    /// What a signal begins.
    pub(crate) fn on_signal(&self) -> Drain {
        self.inner.on_signal
    }

    pub(crate) fn gates(&self) -> &PoolGates {
        &self.inner.gates
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        clock().saturating_duration_since(self.inner.began)
    }

    pub(crate) fn budget(&self) -> Option<&Budget> {
        self.inner.budget.as_ref()
    }

    pub(crate) fn shards(&self) -> &[ShardHandle] {
        &self.inner.shards
    }

    /// Who decides about shards where a listener does not.
    pub(crate) fn placer(&self) -> &Placer {
        &self.inner.placer
    }

    pub(crate) fn workers(&self) -> Option<&Arc<Workers>> {
        self.inner.workers.as_ref()
    }

    /// Whether each shard has a thread of its own, which can die alone.
    pub(crate) fn has_threads(&self) -> bool {
        self.inner.threads
    }

    pub(crate) fn span(&self) -> &Span {
        &self.inner.span
    }
}

/// Supervising actors of one's own.
impl Pool {
    /// Starts a supervisor and its children, on the thread that the pool was started on. It ends when the
    /// pool stops, after all connections; supervisors that were started later end before it.
    ///
    /// # Errors
    /// When two children have the same name, the pauses cannot work, or the pool is stopped.
    pub async fn supervise(&self, supervise: Supervise) -> Result<Supervisor, SuperviseError> {
        supervise.validate()?;
        let started = self.inner.address.send(StartSupervisor(supervise)).await;
        Ok(started.ok().flatten().ok_or(PoolStopped)?)
    }
}

/// Stopping.
impl Pool {
    /// Stops: closes every listener, closes every connection after it has sent what was queued (10 s
    /// at most), and ends the threads. It begins at once, whether or not it is awaited, and may be
    /// called from anywhere, also from inside a handler (XAS-11). It resolves when every `Closed` was
    /// handled and every actor is gone. Calling it again awaits the same stop.
    pub fn stop(&self) -> Stopping {
        self.stop_within(GRACE)
    }

    /// Stops, with another time for sending what is queued; zero resets every connection and drops every
    /// supervised child, also while another stop is under way.
    pub fn stop_within(&self, grace: Duration) -> Stopping {
        self.inner.address.do_send(Stop { grace });
        self.stopped()
    }

    /// Resolves when the pool is stopped, by whomever.
    #[must_use]
    pub fn stopped(&self) -> Stopping {
        let ended = drain::ended(self.inner.phases.clone());
        Stopping::until(async { ended.await.totals })
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.inner.name)
            .field("shards", &self.inner.shards.len())
            .finish_non_exhaustive()
    }
}
