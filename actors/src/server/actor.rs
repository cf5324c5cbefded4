//! `ServerActor`: one actor, one accept loop per listener.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFuture, AsyncContext, Context, Handler, Message};
use switchboard_core::{AcceptBackoff, AcceptFault, ClosedReason, Gate, ServerId};
use tokio::time::{Sleep, sleep};

use crate::client::Passes;
use crate::message::PoolEvent;
use crate::options::{AtLimit, Listen};
use crate::pool::Pool;
use crate::shard::{Admitted, Attach, HandOver, ShardLocal, SlotLease};
use crate::supervisor::{Exit, start_guarded};
use crate::telemetry;
use crate::transport::{Incoming, Listener};
use crate::workers::Seating;

use super::admission::{Admission, Room};
use super::{Counts, Server, ServerState};

/// How many peers one wake accepts before the connections get their turn.
const ACCEPT_TURN: usize = 16;
/// How often a listener looks for free slots while there are none.
const SLOT_PAUSE: Duration = Duration::from_millis(20);

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

impl ServerActor {
    pub(crate) fn launch(
        id: ServerId,
        listener: Box<dyn Listener>,
        listen: Listen,
        (attach, seating): (Attach, Seating),
        pool: Pool,
        local: Rc<ShardLocal>,
    ) -> Server {
        let local_addr = listener.local_addr();
        let span = telemetry::server_span(pool.span(), id, local_addr);
        let state = Arc::new(ServerState {
            id,
            config: Arc::new(listen.config),
            attach,
            seating,
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
        let placer = pool.placer().another(listen.placement, id.shard());
        let admission = Admission {
            pool,
            at_limit: listen.at_limit,
            slots: listen.slots,
            placer,
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

    /// Gives an accepted peer to its shard.
    fn place(&self, incoming: Incoming, passes: Passes, lease: Option<SlotLease>) {
        let pool = &self.admission.pool;
        let shards = pool.shards();
        let load = |shard: usize| shards[shard].load.count();
        let peer = incoming.peer_addr.map(|address| address.ip());
        let target = self.admission.placer.place(shards.len(), load, peer);
        let admitted = Admitted {
            server: Arc::clone(&self.state),
            passes,
            share: shards[target].load.add(),
            lease,
        };
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
