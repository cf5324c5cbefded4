//! `PoolActor`, the root of the tree, and `Pool`, its handle.

mod actor;
mod builder;
mod drain;
mod pressure;
mod shards;
mod status;

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{Addr, Recipient};
use switchboard_core::{
    Budget, ClientId, ConnectError, ConnectPhase, Connection, CrashPolicy, Interests, Receive,
};
use tokio::sync::{oneshot, watch};
use tracing::Span;

use crate::client::{Client, ClientInfo, Origin, Shared};
use crate::drain::{Drain, DrainReport};
use crate::error::{ListenError, PoolDraining, PoolStopped};
use crate::failure::{FailureHandler, HandlerFailed};
use crate::message::PoolEvent;
use crate::options::{Connect, ConnectionOptions, Listen};
use crate::placement::Placer;
use crate::places::{Passes, PoolGates};
use crate::server::Server;
use crate::session::{IntoSession, Seat, SessionFactory, make_session, own};
use crate::shard::{
    AttachOnce, Count, FindClient, ListClients, MakeSession, OpenListener, OpenOutbound, Outbound,
    ShardHandle,
};
use crate::supervisor::{Supervise, SuperviseError, Supervisor};
use crate::workers::{Seating, Workers};

use actor::StartSupervisor;
pub use actor::{GetFailureHandler, PoolActor, SetFailureHandler, Stop, Subscribe};
pub use builder::PoolBuilder;
pub(crate) use pressure::PressureReport;
pub(crate) use shards::{ShardEnd, ShardEnded};
pub use status::{PoolStatus, Totals};

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

/// Opening.
impl Pool {
    /// A pool with other settings than the defaults.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// Opens a listener. Each peer gets a session of its own from `session`, which is called on the
    /// thread that the session will live on, before a byte is read: a worker's, if the pool has
    /// [workers](PoolBuilder::workers), else that of the connection.
    ///
    /// # Errors
    /// Names the address and how far it came: a bad or busy address, a name that does not resolve, a
    /// preset receive that the session does not handle, a draining or stopped pool (XAS-24).
    pub async fn listen<F, S>(&self, listen: Listen, session: F) -> Result<Server, ListenError>
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        let address = &listen.target.address;
        listen
            .validate()
            .map_err(|why| ListenError::options(address, why))?;
        check_first_receive::<S, _>(&mut listen.clone())
            .map_err(|why| ListenError::options(address, why))?;
        let seating = Seating::of(listen.on_workers, own::<S>(), self.workers())
            .map_err(|why| ListenError::options(address, why))?;
        if self.is_draining() {
            return Err(ListenError::draining(address));
        }
        if !self.is_running() {
            return Err(ListenError::stopped(address));
        }
        let address = address.clone();
        let open = OpenListener {
            listen,
            factory: SessionFactory::new(session),
            seating,
            pool: self.clone(),
        };
        let shards = &self.inner.shards;
        let shard = &shards[self
            .inner
            .placer
            .in_turn(shards.len(), |at| shards[at].load())];
        tokio::select! {
            // None that lives was found: this one is started again, or the pool stops.
            () = shard.up() => {}
            _ = self.stopped() => return Err(ListenError::stopped(address)),
        }
        let sent = shard.address().send(open);
        match sent.await {
            Ok(outcome) => outcome,
            Err(_) if self.is_running() => Err(ListenError::shard_failed(address)),
            Err(_) => Err(ListenError::stopped(address)),
        }
    }

    /// Opens a connection. It begins at once, whether or not the result is awaited: the session from
    /// `session` is told [`Connected`](crate::message::Connected) or
    /// [`ConnectFailed`](crate::message::ConnectFailed), and [`Connecting::client`] can be given
    /// commands already (XAS-31, XAS-35, AC-13).
    pub fn connect<F, S>(&self, connect: Connect, session: F) -> Connecting
    where
        F: FnOnce(Client) -> S + Send + 'static,
        S: IntoSession,
    {
        let attach: AttachOnce = Box::new(move |client, member, span| {
            let made = make_session(|| session(client.clone()))?;
            Ok(made.attach(Seat {
                client,
                member,
                span,
            }))
        });
        self.open_outbound::<S>(connect, MakeSession::Once(attach))
    }

    /// The same, with a session that can be made again: for connections that live on when their session
    /// panics, as [`ConnectionOptions::on_crash`] says.
    pub fn connect_supervised<F, S>(&self, connect: Connect, session: F) -> Connecting
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        self.open_outbound::<S>(
            connect,
            MakeSession::Always(SessionFactory::new(session).attach),
        )
    }

    fn open_outbound<S: IntoSession>(&self, connect: Connect, make: MakeSession) -> Connecting {
        let shards = &self.inner.shards;
        let load = |shard: usize| shards[shard].load();
        let handle = &shards[self.inner.placer.place(shards.len(), load, None)];
        let config = Arc::new(connect.config.clone());
        let chance = || RandomState::new().hash_one(0);
        let seed = config.reconnect.as_ref().and_then(|again| again.seed);
        let machine = Connection::connecting(config).with_reconnect(seed.unwrap_or_else(chance));
        let shared = Shared::new(handle.ids.client(), self.clone(), Origin::Outbound, machine);
        let client = Client::new(shared);
        let (outcome, result) = oneshot::channel();
        let connecting = Connecting {
            client: client.clone(),
            target: connect.target.address.clone(),
            result,
        };
        let refuse = |kind: io::ErrorKind, why: String| {
            let error = io::Error::new(kind, why);
            ConnectError::new(&connecting.target, ConnectPhase::Options, &error)
        };
        let seating = connect
            .validate()
            .and_then(|()| check_first_receive::<S, _>(&mut connect.clone()))
            .and_then(|()| check_crash_policy(&connect, &make))
            .and_then(|()| Seating::of(connect.on_workers, own::<S>(), self.workers()));
        let (seating, problem) = match seating {
            Ok(seating) => (seating, None),
            Err(why) => (Seating::Here, Some(why)),
        };
        let (passes, full) = match self.inner.gates.try_enter() {
            Ok(passes) => (passes, None),
            Err(full) => (Passes::default(), Some(full)),
        };
        let refusal = if let Some(why) = problem {
            Some(refuse(io::ErrorKind::InvalidInput, why))
        } else if self.is_draining() {
            Some(refuse(
                io::ErrorKind::NotConnected,
                PoolDraining.to_string(),
            ))
        } else if !self.is_running() {
            Some(refuse(io::ErrorKind::NotConnected, PoolStopped.to_string()))
        } else {
            full.map(|full| refuse(io::ErrorKind::QuotaExceeded, full.to_string()))
        };
        let open = OpenOutbound::new(Outbound {
            client,
            connect,
            make,
            seating,
            outcome,
            passes,
            share: handle.take_share(),
            refusal,
        });
        if handle.is_up() || !self.is_running() {
            handle.address().do_send(open);
        } else {
            // It waits until the shard is started again.
            self.inner.address.do_send(open);
        }
        connecting
    }
}

/// Refuses to replace sessions that can be made only once.
fn check_crash_policy(connect: &Connect, make: &MakeSession) -> Result<(), String> {
    match (connect.config.crash, make) {
        (CrashPolicy::Restart { .. }, MakeSession::Once(_)) => {
            Err("a session that is to be replaced when it panics needs connect_supervised".into())
        }
        _ => Ok(()),
    }
}

/// Refuses a preset receive that the session type is known not to handle.
fn check_first_receive<S: IntoSession, O: ConnectionOptions>(
    options: &mut O,
) -> Result<(), String> {
    match unhandled(S::KNOWN, options.config_mut().first_receive.as_ref()) {
        None => Ok(()),
        Some(event) => Err(format!("the session does not handle {event}")),
    }
}

/// The event that a session of this kind would have to handle to take this receive, and does not.
pub(crate) fn unhandled(
    known: Option<Interests>,
    receive: Option<&Receive>,
) -> Option<&'static str> {
    use switchboard_core::ReceiveKind;
    let (needed, event) = match receive?.kind {
        ReceiveKind::Line { .. } => (Interests::LINE, "LineReceived"),
        ReceiveKind::Message { .. } => (Interests::MESSAGE, "MessageReceived"),
        _ => (Interests::DATA, "DataReceived"),
    };
    (!known?.contains(needed)).then_some(event)
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

    /// The connection with this id; `None` if it is closed or never was (XAS-06).
    pub async fn connection(&self, id: ClientId) -> Option<Client> {
        let shard = self.inner.shards.get(id.shard())?;
        let found = shard.address().send(FindClient(id));
        found.await.ok()?
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

    /// Stops, with another time for sending what is queued; zero resets every connection.
    pub fn stop_within(&self, grace: Duration) -> Stopping {
        self.inner.address.do_send(Stop { grace });
        self.stopped()
    }

    /// Resolves when the pool is stopped, by whomever.
    #[must_use]
    pub fn stopped(&self) -> Stopping {
        let ended = drain::ended(self.inner.phases.clone());
        Stopping {
            wait: Box::pin(async { ended.await.totals }),
        }
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

/// An outbound connection on its way. Dropping it does not give it up: [`Client::abort`] does.
#[derive(Debug)]
pub struct Connecting {
    client: Client,
    target: String,
    result: oneshot::Receiver<Result<Client, ConnectError>>,
}

impl Connecting {
    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.client.id()
    }

    /// The connection's handle: what is sent already is sent once it is established.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

impl Future for Connecting {
    type Output = Result<Client, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let result = std::task::ready!(Pin::new(&mut self.result).poll(cx));
        Poll::Ready(result.unwrap_or_else(|_| {
            let error = io::Error::new(io::ErrorKind::Interrupted, PoolStopped);
            Err(ConnectError::new(
                &self.target,
                ConnectPhase::Connect,
                &error,
            ))
        }))
    }
}

/// A stop under way; resolves to the last counters.
pub struct Stopping {
    wait: Pin<Box<dyn Future<Output = Totals> + Send>>,
}

impl Future for Stopping {
    type Output = Totals;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Totals> {
        self.wait.as_mut().poll(cx)
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopping")
    }
}
