//! `PoolActor`, the root of the tree, and `Pool`, its handle.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient, WrapFuture};
use actix::{ActorFutureExt, Addr};
use actix_rt::Arbiter;
use switchboard_core::{
    ClientId, ClosedReason, ConnectError, ConnectPhase, Connection, Gate, IdSource, Interests,
};
use tokio::sync::{oneshot, watch};
use tracing::Span;

use crate::client::{Client, ClientInfo, Origin, Shared};
use crate::error::{ListenError, PoolStopped, StartError};
use crate::message::PoolEvent;
use crate::options::{Connect, ConnectionOptions, Listen};
use crate::server::Server;
use crate::session::{IntoSession, Seat, make_session};
use crate::shard::{
    Count, FindClient, ListClients, OpenListener, OpenOutbound, ShardActor, ShardHandle, StopShard,
};
use crate::telemetry;
use crate::transport::{Network, TcpNetwork};

/// How long a stop lets connections send what is queued, unless it is told otherwise.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How many shards an id can tell apart.
const MOST_SHARDS: usize = 1 << 16;

/// Settings of a pool that is not started yet.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct PoolBuilder {
    name: String,
    shards: Option<usize>,
    max_connections: Option<usize>,
    network: Arc<dyn Network>,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        Self {
            name: "pool".into(),
            shards: None,
            max_connections: None,
            network: Arc::new(TcpNetwork),
        }
    }
}

impl PoolBuilder {
    /// The pool's name in logs. Default: `pool`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many arbiters, each a thread with its own share of the connections. Default: one per
    /// available core. 0: none, everything runs on the calling thread.
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The most connections of the whole pool at one time, exactly. Default: no limit; the system's
    /// own is its number of open files.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// What carries the bytes. Default: the system's TCP.
    pub fn network(mut self, network: impl Network) -> Self {
        self.network = Arc::new(network);
        self
    }

    /// Starts the pool on the calling thread, which must run an actix system, or any tokio local set
    /// if there are 0 shards. No port and no helper socket is opened (XAS-04).
    ///
    /// # Errors
    /// Without such a system, or when the system gives no thread.
    ///
    /// # Panics
    /// On a thread without a tokio local set, as every start of an actix actor does.
    pub fn start(self) -> Result<Pool, StartError> {
        let shards = self.shards.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
        });
        if shards > MOST_SHARDS {
            let (asked, most) = (shards, MOST_SHARDS);
            return Err(StartError::TooManyShards { asked, most });
        }
        if shards > 0 && actix_rt::System::try_current().is_none() {
            return Err(StartError::NoSystem);
        }
        let mut arbiters = Vec::new();
        let mut handles = Vec::new();
        for index in 0..shards.max(1) {
            let ids = Arc::new(IdSource::new(u16::try_from(index).unwrap_or(u16::MAX)));
            let (network, shard_ids) = (Arc::clone(&self.network), Arc::clone(&ids));
            let address = if shards == 0 {
                ShardActor::new(shard_ids, network).start()
            } else {
                let arbiter = Arbiter::try_new().map_err(StartError::Runtime)?;
                let address = ShardActor::start_in_arbiter(&arbiter.handle(), |_| {
                    ShardActor::new(shard_ids, network)
                });
                arbiters.push(arbiter);
                address
            };
            handles.push(ShardHandle { address, ids });
        }
        let (phase, phases) = watch::channel(Phase::Running);
        let subscribed = Arc::new(AtomicBool::new(false));
        let actor = PoolActor {
            shards: handles.clone(),
            arbiters,
            subscribers: Vec::new(),
            subscribed: Arc::clone(&subscribed),
            phase,
            span: telemetry::pool_span(&self.name),
        };
        let span = actor.span.clone();
        Ok(Pool {
            inner: Arc::new(Inner {
                name: self.name,
                address: actor.start(),
                shards: handles,
                next_shard: AtomicUsize::new(0),
                gate: self.max_connections.map_or_else(Gate::unlimited, Gate::new),
                subscribed,
                phases,
                passes: watch::Sender::new(0),
                span,
            }),
        })
    }
}

/// The handle of a pool. Cheap to clone, usable from any thread. Dropping it stops nothing.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    address: Addr<PoolActor>,
    shards: Vec<ShardHandle>,
    next_shard: AtomicUsize,
    gate: Gate,
    subscribed: Arc<AtomicBool>,
    phases: watch::Receiver<Phase>,
    passes: watch::Sender<u64>,
    span: Span,
}

/// Where a pool is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping,
    Stopped(Totals),
}

/// A pool's counters: `accepted + connected` is always `live` and all of `closed` together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Peers that came in and became connections.
    pub accepted: u64,
    /// Outbound connections that were established.
    pub connected: u64,
    /// Outbound connections that never came to be.
    pub connect_failed: u64,
    /// Outbound connections that are being established.
    pub connecting: u64,
    /// Connections that are there now.
    pub live: u64,
    /// Connections that ended, by the number of their [`ClosedReason`].
    pub closed: [u64; 4],
}

impl Totals {
    /// All connections that ended.
    #[must_use]
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.connected += other.connected;
        self.connect_failed += other.connect_failed;
        self.connecting += other.connecting;
        self.live += other.live;
        for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Totals {
    /// One line by reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted, {} connected, {} closed",
            self.accepted,
            self.connected,
            self.closed_in_all()
        )?;
        for (reason, count) in ClosedReason::ALL.iter().zip(self.closed) {
            write!(f, ", {reason}: {count}")?;
        }
        write!(f, ", {} live", self.live)
    }
}

/// What a pool is doing (XAS-12).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Whether it takes commands: false from a stop on.
    pub running: bool,
    /// Its shards.
    pub shards: usize,
    /// Its listeners that listen.
    pub servers: usize,
    /// The actors of its connections: one for each, and one for each session of its own.
    pub actors: usize,
    /// Its counters.
    pub totals: Totals,
}

impl PoolStatus {
    /// Whether there is nothing that could make an event.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.servers == 0 && self.totals.live == 0 && self.totals.connecting == 0
    }
}

/// Opening.
impl Pool {
    /// A pool with other settings than the defaults.
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }

    /// Opens a listener. Each peer gets a session of its own from `session`, which is called on the
    /// thread that the connection lives on, before a byte is read.
    ///
    /// # Errors
    /// Names the address and how far it came: a bad or busy address, a name that does not resolve, a
    /// preset receive that the session does not handle, a stopped pool (XAS-24).
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
        if !self.is_running() {
            return Err(ListenError::stopped(address));
        }
        let address = address.clone();
        let open = OpenListener {
            listen,
            attach: Arc::new(move |client, crew, span| {
                let made = make_session(|| session(client.clone()))?;
                Ok(made.attach(Seat { client, crew, span }))
            }),
            pool: self.clone(),
        };
        let shard = self.next_shard();
        match self.inner.shards[shard].address.send(open).await {
            Ok(outcome) => outcome,
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
        let shard = self.next_shard();
        let handle = &self.inner.shards[shard];
        let config = Arc::new(connect.config.clone());
        let machine = Connection::connecting(config);
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
        let problem = connect
            .validate()
            .and_then(|()| check_first_receive::<S, _>(&mut connect.clone()))
            .err();
        let pass = self.inner.gate.try_enter();
        let refusal = if let Some(why) = problem {
            Some(refuse(io::ErrorKind::InvalidInput, why))
        } else if !self.is_running() {
            Some(refuse(io::ErrorKind::NotConnected, PoolStopped.to_string()))
        } else if pass.is_none() {
            let why = format!("the pool is at its limit of {}", self.inner.gate.limit());
            Some(refuse(io::ErrorKind::QuotaExceeded, why))
        } else {
            None
        };
        handle.address.do_send(OpenOutbound {
            client,
            connect,
            attach: Box::new(move |client, crew, span| {
                let made = make_session(|| session(client.clone()))?;
                Ok(made.attach(Seat { client, crew, span }))
            }),
            outcome,
            passes: (None, pass),
            refusal,
        });
        connecting
    }

    fn next_shard(&self) -> usize {
        self.inner.next_shard.fetch_add(1, Ordering::Relaxed) % self.inner.shards.len()
    }
}

/// Refuses a preset receive that the session type is known not to handle.
fn check_first_receive<S: IntoSession, O: ConnectionOptions>(
    options: &mut O,
) -> Result<(), String> {
    use switchboard_core::ReceiveKind;
    let Some(known) = S::KNOWN else {
        return Ok(());
    };
    let (needed, event) = match &options.config_mut().first_receive {
        None => return Ok(()),
        Some(receive) => match receive.kind {
            ReceiveKind::Line { .. } => (Interests::LINE, "LineReceived"),
            ReceiveKind::Message { .. } => (Interests::MESSAGE, "MessageReceived"),
            _ => (Interests::DATA, "DataReceived"),
        },
    };
    if known.contains(needed) {
        Ok(())
    } else {
        Err(format!("the session does not handle {event}"))
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
            all.extend(
                shard
                    .address
                    .send(ListClients)
                    .await
                    .map_err(|_| PoolStopped)?,
            );
        }
        Ok(all)
    }

    /// The connection with this id; `None` if it is closed or never was (XAS-06).
    pub async fn connection(&self, id: ClientId) -> Option<Client> {
        let shard = self.inner.shards.get(id.shard())?;
        shard.address.send(FindClient(id)).await.ok()?
    }

    /// What the pool is doing.
    ///
    /// # Errors
    /// When it is stopped; [`stop_report`](Self::stop_report) has the last counters.
    pub async fn status(&self) -> Result<PoolStatus, PoolStopped> {
        let mut status = PoolStatus {
            running: self.is_running(),
            shards: self.inner.shards.len(),
            servers: 0,
            actors: 0,
            totals: Totals::default(),
        };
        for shard in &self.inner.shards {
            let census = shard.address.send(Count).await;
            let census = census.map_err(|_| PoolStopped)?;
            status.servers += census.servers;
            status.actors += census.actors;
            status.totals.add(&census.totals);
        }
        Ok(status)
    }

    /// Whether it takes commands: true from the start until a stop has begun (XAS-12).
    #[must_use]
    pub fn is_running(&self) -> bool {
        *self.inner.phases.borrow() == Phase::Running && self.inner.address.connected()
    }

    /// The last counters, once the pool is stopped.
    #[must_use]
    pub fn stop_report(&self) -> Option<Totals> {
        match &*self.inner.phases.borrow() {
            Phase::Stopped(totals) => Some(totals.clone()),
            Phase::Running | Phase::Stopping => None,
        }
    }

    /// Sends every [`PoolEvent`] there, from now on. The recipient's mailbox bounds how many wait (16
    /// unless its actor says otherwise): what does not fit is counted in [`PoolEvent::Missed`].
    pub fn subscribe(&self, recipient: Recipient<PoolEvent>) {
        // From now on: events that happen meanwhile stand behind the subscription in the mailbox.
        self.inner.subscribed.store(true, Ordering::Relaxed);
        self.inner.address.do_send(Subscribe { recipient });
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

    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    pub(crate) fn shards(&self) -> &[ShardHandle] {
        &self.inner.shards
    }

    pub(crate) fn span(&self) -> &Span {
        &self.inner.span
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
        let mut phases = self.inner.phases.clone();
        let wait = async move {
            let stopped = phases
                .wait_for(|phase| matches!(phase, Phase::Stopped(_)))
                .await;
            match stopped.as_deref() {
                Ok(Phase::Stopped(totals)) => totals.clone(),
                // The root actor is gone with its thread: nothing is left to count.
                _ => Totals::default(),
            }
        };
        Stopping {
            wait: Box::pin(wait),
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

/// The root of the tree: it owns the arbiters, passes events on to subscribers, and stops everything
/// in order. It is never on the path of data.
pub struct PoolActor {
    shards: Vec<ShardHandle>,
    arbiters: Vec<Arbiter>,
    subscribers: Vec<Subscriber>,
    subscribed: Arc<AtomicBool>,
    phase: watch::Sender<Phase>,
    span: Span,
}

struct Subscriber {
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

impl Actor for PoolActor {
    type Context = Context<Self>;
}

impl Handler<PoolEvent> for PoolActor {
    type Result = ();

    fn handle(&mut self, event: PoolEvent, _: &mut Self::Context) {
        let before = self.subscribers.len();
        self.subscribers
            .retain_mut(|subscriber| subscriber.tell(&event));
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
        let first = *self.phase.borrow() == Phase::Running;
        if !first && !stop.grace.is_zero() {
            return;
        }
        self.phase.send_replace(Phase::Stopping);
        telemetry::pool_stopping(&self.span, stop.grace);
        let shards = self.shards.clone();
        let stopping = async move {
            let mut totals = Totals::default();
            let replies: Vec<_> = shards
                .iter()
                .map(|shard| shard.address.send(StopShard { grace: stop.grace }))
                .map(actix_rt::spawn)
                .collect();
            for reply in replies {
                if let Ok(Ok(shard)) = reply.await {
                    totals.add(&shard);
                }
            }
            totals
        };
        let finished = stopping.into_actor(self).then(|totals, pool, _| {
            let arbiters = std::mem::take(&mut pool.arbiters);
            async move {
                for arbiter in &arbiters {
                    arbiter.stop();
                }
                let join = move || {
                    for arbiter in arbiters {
                        // A shard that panicked is as gone as one that ended.
                        let _ = arbiter.join();
                    }
                };
                let _ = tokio::task::spawn_blocking(join).await;
                totals
            }
            .into_actor(pool)
        });
        ctx.spawn(finished.map(|totals, pool, ctx| {
            telemetry::pool_stopped(&pool.span, &totals);
            pool.phase.send_replace(Phase::Stopped(totals));
            ctx.stop();
        }));
    }
}

impl Drop for PoolActor {
    fn drop(&mut self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

impl fmt::Debug for PoolActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolActor").finish_non_exhaustive()
    }
}
