//! `ServerActor` accepts peers; `Server` is its handle.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFuture, Addr, AsyncContext, Context, Handler, Message};
use switchboard_core::{
    AcceptBackoff, AcceptFault, BufferSlots, ClosedReason, ConnectionConfig, Gate, ServerId,
};
use tokio::time::{Sleep, sleep};
use tracing::Span;

use crate::client::Passes;
use crate::message::PoolEvent;
use crate::options::{AtLimit, Listen};
use crate::pool::Pool;
use crate::shard::{Admitted, Attach, HandOver, ShardLocal, SlotLease};
use crate::supervisor::{Exit, start_guarded};
use crate::telemetry;
use crate::transport::{Incoming, Listener};

/// How many peers one wake accepts before the connections get their turn.
const ACCEPT_TURN: usize = 16;
/// How often a listener looks for free slots while there are none.
const SLOT_PAUSE: Duration = Duration::from_millis(20);

/// The handle of a listener. Cheap to clone, usable from any thread; dropping it does not close the
/// listener.
#[derive(Clone)]
pub struct Server {
    state: Arc<ServerState>,
    address: Addr<ServerActor>,
}

/// A listener's facts and counters, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The listener.
    pub id: ServerId,
    /// The address as it was asked for (XAS-29).
    pub requested: String,
    /// The real address.
    pub local_addr: SocketAddr,
    /// Peers that became connections: always `live` and all of `closed` together.
    pub accepted: u64,
    /// Connections that are there now.
    pub live: u64,
    /// Connections that ended, by the number of their [`ClosedReason`].
    pub closed: [u64; 4],
    /// Peers that were closed at once because of a limit.
    pub rejected: u64,
    /// Peers that were gone before they could be accepted, and other passing faults.
    pub faults: u64,
    /// Times that accepting paused because the system had nothing left.
    pub pauses: u64,
}

impl Server {
    /// The listener's id.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.state.id
    }

    /// The address that peers reach it at: a port of 0 has become a real one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.state.local_addr
    }

    /// The address as it was asked for (XAS-29).
    #[must_use]
    pub fn requested(&self) -> &str {
        &self.state.requested
    }

    /// Its facts and counters.
    #[must_use]
    pub fn info(&self) -> ServerInfo {
        self.state.info()
    }

    /// Changes the most connections of this listener at one time; at once, but no connection is
    /// closed for it.
    pub fn set_max_connections(&self, connections: usize) {
        self.state.gate.set_limit(connections);
    }

    /// Closes the listener: its port refuses from when this returns, its connections stay (XAS-28).
    /// Closing it again does nothing.
    pub async fn close(&self) {
        // An actor that is gone has closed its port.
        let _ = self.address.send(CloseServer).await;
    }

    /// Whether it still listens.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.state.listening.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.id())
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// What a listener, its handle and its connections share.
pub(crate) struct ServerState {
    pub(crate) id: ServerId,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) attach: Attach,
    pub(crate) span: Span,
    requested: String,
    local_addr: SocketAddr,
    /// The address of an actor tells it too late: the actor ends after it has let go of its port.
    listening: AtomicBool,
    gate: Gate,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    live: AtomicU64,
    closed: [AtomicU64; 4],
    rejected: AtomicU64,
    faults: AtomicU64,
    pauses: AtomicU64,
}

impl ServerState {
    pub(crate) fn opened(&self) {
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        self.counts.live.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, reason: ClosedReason) {
        self.counts.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.counts.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// A peer was accepted, but its socket could not be moved to its shard.
    pub(crate) fn lost(&self, error: &std::io::Error) {
        self.counts.faults.fetch_add(1, Ordering::Relaxed);
        telemetry::accept_fault(&self.span, error);
    }

    fn info(&self) -> ServerInfo {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerInfo {
            id: self.id,
            requested: self.requested.clone(),
            local_addr: self.local_addr,
            accepted: read(&self.counts.accepted),
            live: read(&self.counts.live),
            closed: [0, 1, 2, 3].map(|reason: usize| read(&self.counts.closed[reason])),
            rejected: read(&self.counts.rejected),
            faults: read(&self.counts.faults),
            pauses: read(&self.counts.pauses),
        }
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Who may come in, and where they go.
pub(crate) struct Admission {
    pool: Pool,
    at_limit: AtLimit,
    slots: Option<BufferSlots>,
    next_shard: usize,
}

/// Accepts peers and gives each to a shard. It is started and supervised by the pool.
pub struct ServerActor {
    state: Arc<ServerState>,
    listener: Option<Box<dyn Listener>>,
    local: Rc<ShardLocal>,
    admission: Admission,
    backoff: AcceptBackoff,
    pause: Option<Pin<Box<Sleep>>>,
    closed_by: ClosedReason,
}

/// Whether there is room for one more.
enum Room {
    Free(Passes, Option<SlotLease>),
    Full,
}

impl ServerActor {
    pub(crate) fn launch(
        id: ServerId,
        listener: Box<dyn Listener>,
        listen: Listen,
        attach: Attach,
        pool: Pool,
        local: Rc<ShardLocal>,
    ) -> Server {
        let local_addr = listener.local_addr();
        let span = telemetry::server_span(pool.span(), id, local_addr);
        let state = Arc::new(ServerState {
            id,
            config: Arc::new(listen.config),
            attach,
            span: span.clone(),
            requested: listen.target.address,
            local_addr,
            listening: AtomicBool::new(true),
            gate: listen
                .max_connections
                .map_or_else(Gate::unlimited, Gate::new),
            counts: Counts::default(),
        });
        pool.report(PoolEvent::ServerOpened {
            server: id,
            local_addr,
        });
        telemetry::server_opened(&state.span);
        let admission = Admission {
            pool,
            at_limit: listen.at_limit,
            slots: listen.slots,
            next_shard: id.shard(),
        };
        let actor = Self {
            state: Arc::clone(&state),
            listener: Some(listener),
            local,
            admission,
            backoff: AcceptBackoff::default(),
            pause: None,
            closed_by: ClosedReason::ClosedByHost,
        };
        let address = start_guarded(
            actor,
            span,
            |ctx| {
                ctx.spawn(Acceptor);
            },
            |exit| {
                if let Exit::Panicked(text) = exit {
                    telemetry::actor_panicked("ServerActor", &text);
                }
            },
        );
        Server { state, address }
    }

    /// Accepts until nobody waits, there is no room, or others should have their turn.
    fn accept(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        for _ in 0..ACCEPT_TURN {
            if self.listener.is_none() {
                return Poll::Ready(());
            }
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            // Who would reject asks when the peer is there: to take a place before, if only for a
            // moment, could have a peer rejected elsewhere.
            let room = match self.admission.at_limit {
                AtLimit::Reject => None,
                AtLimit::Wait => Some(self.admission.room(&self.state.gate)),
            };
            if matches!(room, Some(Room::Full)) {
                self.wait_for_room(cx);
                return Poll::Pending;
            }
            let Some(listener) = &mut self.listener else {
                return Poll::Ready(());
            };
            match listener.poll_accept(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(incoming)) => {
                    self.backoff.reset();
                    self.admission.pool.pass();
                    match room.unwrap_or_else(|| self.admission.room(&self.state.gate)) {
                        Room::Free(passes, lease) => self.place(incoming, passes, lease),
                        Room::Full => self.reject(&incoming),
                    }
                }
                Poll::Ready(Err(error)) => self.failed(&error),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn wait_for_room(&mut self, cx: &TaskContext<'_>) {
        let pool_gate = self.admission.pool.gate();
        if self.state.gate.live() >= self.state.gate.limit() {
            self.state.gate.register(cx.waker());
        } else if pool_gate.live() >= pool_gate.limit() {
            pool_gate.register(cx.waker());
        } else {
            // Slots may be shared with others, and nobody tells when one comes back.
            self.pause = Some(Box::pin(sleep(SLOT_PAUSE)));
            cx.waker().wake_by_ref();
        }
    }

    /// Gives an accepted peer to the next shard in turn.
    fn place(&mut self, incoming: Incoming, passes: Passes, lease: Option<SlotLease>) {
        let pool = &self.admission.pool;
        let admitted = Admitted {
            server: Arc::clone(&self.state),
            passes,
            lease,
        };
        let shards = pool.shards();
        let target = self.admission.next_shard % shards.len();
        self.admission.next_shard = target + 1;
        if target == self.state.id.shard() {
            self.local.open(incoming, pool, admitted);
            return;
        }
        match incoming.transport.detach() {
            Ok(transport) => shards[target].address.do_send(HandOver {
                transport,
                peer_addr: incoming.peer_addr,
                local_addr: incoming.local_addr,
                pool: pool.clone(),
                admitted,
            }),
            Err(error) => self.state.lost(&error),
        }
    }

    /// At the limit: the peer is let go of at once.
    fn reject(&self, incoming: &Incoming) {
        self.state.counts.rejected.fetch_add(1, Ordering::Relaxed);
        telemetry::rejected(&self.state.span, incoming.peer_addr);
        self.admission.pool.report(PoolEvent::AcceptRejected {
            server: self.state.id,
            peer_addr: incoming.peer_addr,
        });
    }

    fn stop_listening(&mut self) {
        self.listener = None;
        self.state.listening.store(false, Ordering::Release);
    }

    fn failed(&mut self, error: &std::io::Error) {
        match AcceptFault::classify(error.kind(), error.raw_os_error()) {
            AcceptFault::Transient => self.state.lost(error),
            AcceptFault::Exhausted => {
                let pause = self.backoff.next_pause();
                self.state.counts.pauses.fetch_add(1, Ordering::Relaxed);
                self.pause = Some(Box::pin(sleep(pause)));
                telemetry::accept_paused(&self.state.span, pause, error);
                self.admission.pool.report(PoolEvent::AcceptPaused {
                    server: self.state.id,
                    pause,
                    error: error.to_string(),
                });
            }
            AcceptFault::Fatal => {
                self.closed_by = ClosedReason::Error;
                telemetry::server_failed(&self.state.span, error);
                self.stop_listening();
            }
        }
    }
}

impl Admission {
    /// Takes a place with the listener, one with the pool, and two slots; all or nothing.
    fn room(&self, gate: &Gate) -> Room {
        let Some(server_pass) = gate.try_enter() else {
            return Room::Full;
        };
        let Some(pool_pass) = self.pool.gate().try_enter() else {
            return Room::Full;
        };
        let lease = match &self.slots {
            None => None,
            Some(slots) => match (slots.try_take(), slots.try_take()) {
                (Some(recv), Some(send)) => Some(SlotLease::new(recv, send)),
                _ => return Room::Full,
            },
        };
        Room::Free((Some(server_pass), Some(pool_pass)), lease)
    }
}

impl Actor for ServerActor {
    type Context = Context<Self>;
}

/// The one future of a listener's actor.
struct Acceptor;

impl ActorFuture<ServerActor> for Acceptor {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut ServerActor,
        ctx: &mut Context<ServerActor>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let done = actor.accept(cx);
        if done.is_ready() {
            ctx.stop();
        }
        done
    }
}

/// Closes the listener; replies when its port refuses.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseServer;

impl Handler<CloseServer> for ServerActor {
    type Result = ();

    fn handle(&mut self, _: CloseServer, ctx: &mut Self::Context) {
        self.stop_listening();
        ctx.stop();
    }
}

impl Drop for ServerActor {
    fn drop(&mut self) {
        self.stop_listening();
        let server = self.state.id;
        let reason = self.closed_by;
        telemetry::server_closed(&self.state.span, reason, &self.state.info());
        let pool = &self.admission.pool;
        pool.report(PoolEvent::ServerClosed { server, reason });
    }
}

impl fmt::Debug for ServerActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerActor")
            .field("id", &self.state.id)
            .finish_non_exhaustive()
    }
}
