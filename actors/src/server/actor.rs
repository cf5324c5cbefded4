//! `ServerActor`: one actor, one accept loop per listener.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFuture, Addr, AsyncContext, Context};
use switchboard_core::{AcceptBackoff, AcceptFault, ClosedReason};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::client::Passes;
use crate::message::PoolEvent;
use crate::options::AtLimit;
use crate::shard::{Admitted, HandOver, ShardLocal, SlotLease};
use crate::supervisor::{Exit, start_guarded};
use crate::telemetry;
use crate::transport::Incoming;

use super::ServerState;
use super::admission::{Admission, Room};
use super::door::{Door, Look, Way};

/// How many peers one wake accepts before the connections get their turn.
const ACCEPT_TURN: usize = 16;
/// How often a listener looks for free slots while there are none.
const SLOT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts peers and gives each to a shard. It is started by the pool, and started again when it
/// fails; the socket outlives it.
pub struct ServerActor {
    state: Arc<ServerState>,
    door: Rc<Door>,
    local: Rc<ShardLocal>,
    admission: Admission,
    backoff: AcceptBackoff,
    pause: Option<Pin<Box<Sleep>>>,
}

impl ServerActor {
    /// Starts an actor that accepts through this door.
    pub(super) fn launch(
        state: Arc<ServerState>,
        door: Rc<Door>,
        local: Rc<ShardLocal>,
        ended: oneshot::Sender<Exit>,
    ) -> Addr<Self> {
        let placer = state.pool.placer();
        let admission = Admission {
            pool: state.pool.clone(),
            at_limit: state.at_limit,
            slots: state.slots.clone(),
            placer: placer.another(state.placement, state.id.shard()),
        };
        let span = state.span.clone();
        let actor = Self {
            state,
            door,
            local,
            admission,
            backoff: AcceptBackoff::default(),
            pause: None,
        };
        start_guarded(
            actor,
            span,
            |ctx| {
                ctx.spawn(Acceptor);
            },
            |exit| {
                if let Exit::Panicked(text) = &exit {
                    telemetry::actor_panicked("ServerActor", text);
                }
                // Its keeper may be gone with the thread.
                let _ = ended.send(exit);
            },
        )
    }

    pub(super) const fn state(&self) -> &Arc<ServerState> {
        &self.state
    }

    /// Accepts until nobody waits, there is no room, or others should have their turn.
    fn accept(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        for _ in 0..ACCEPT_TURN {
            if !ready!(self.door.poll_open(cx)) {
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
            match ready!(self.door.poll_accept(cx)) {
                Look::Ended => return Poll::Ready(()),
                Look::Peer(Ok(incoming)) => {
                    self.backoff.reset();
                    self.admission.pool.pass();
                    match room.unwrap_or_else(|| self.admission.room(&self.state.gate)) {
                        Room::Free(passes, lease) => self.place(incoming, passes, lease),
                        Room::Full => self.reject(&incoming),
                    }
                }
                Look::Peer(Err(error)) => self.failed(error),
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
        let here = self.state.id.shard();
        let load = |shard: usize| match shards[shard].load() {
            // It is told late that it is up again; whoever runs here knows.
            None if shard == here => Some(0),
            load => load,
        };
        let peer = incoming.peer_addr.map(|address| address.ip());
        let target = self.admission.placer.place(shards.len(), load, peer);
        let admitted = Admitted {
            server: Arc::clone(&self.state),
            passes,
            share: shards[target].take_share(),
            lease,
        };
        if target == here {
            self.local.open(incoming, pool, admitted);
            return;
        }
        match incoming.transport.detach() {
            Ok(transport) => {
                self.state.moves();
                shards[target].address().do_send(HandOver::new(
                    transport,
                    (incoming.peer_addr, incoming.local_addr),
                    pool.clone(),
                    admitted,
                ));
            }
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

    /// The port refuses when this returns.
    pub(super) fn close(&self) {
        drop(self.door.set(Way::Over));
        self.state.finish(ClosedReason::ClosedByHost);
    }

    fn failed(&mut self, error: std::io::Error) {
        match AcceptFault::classify(error.kind(), error.raw_os_error()) {
            AcceptFault::Transient => self.state.lost(&error),
            AcceptFault::Exhausted => {
                let pause = self.backoff.next_pause();
                self.state.counts.pauses.fetch_add(1, Ordering::Relaxed);
                self.pause = Some(Box::pin(sleep(pause)));
                telemetry::accept_paused(&self.state.span, pause, &error);
                self.admission.pool.report(PoolEvent::AcceptPaused {
                    server: self.state.id,
                    pause,
                    error: error.to_string(),
                });
            }
            // This actor ends, and another one gets another socket.
            AcceptFault::Fatal => drop(self.door.set(Way::Failed(error))),
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

impl fmt::Debug for ServerActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerActor")
            .field("id", &self.state.id)
            .finish_non_exhaustive()
    }
}
