//! `ServerActor`: one actor, one accept loop per listener.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, ready};

use actix::{Actor, ActorContext, ActorFuture, Addr, AsyncContext, Context};
use switchboard_core::{AcceptBackoff, AcceptFault, ClosedReason, RejectReason};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use crate::message::PoolEvent;
use crate::options::AtLimit;
use crate::places::Passes;
use crate::shard::{Admitted, HandOver, ShardLocal, SlotLease};
use crate::supervisor::{Exit, start_guarded};
use crate::telemetry;
use crate::transport::Incoming;

use super::admission::{Admission, Verdict};
use super::door::{Door, Look, Way};
use super::{Claim, ServerState};

/// How many peers one wake accepts before the connections get their turn.
const ACCEPT_TURN: usize = 16;
/// How many peers are let go with the spare descriptor in one pause.
const SHED_TURN: u64 = 64;

/// Accepts peers and gives each to a shard. It is started by the pool, and started again when it
/// fails; the socket outlives it.
pub struct ServerActor {
    state: Arc<ServerState>,
    door: Rc<Door>,
    local: Rc<ShardLocal>,
    admission: Admission,
    /// A peer that was accepted and whose place somebody else took.
    held: Option<Incoming>,
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
        let admission = Admission::new(&state);
        let span = state.span.clone();
        let actor = Self {
            state,
            door,
            local,
            admission,
            held: None,
            backoff: AcceptBackoff::default(),
            pause: None,
        };
        start_guarded(
            actor,
            span,
            |ctx| {
                ctx.spawn(Accepting);
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
            match self.door.poll_open(cx) {
                Poll::Pending => {
                    self.admission.sweep();
                    if !self.door.has_socket() {
                        self.let_go();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Ready(true) => {}
            }
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            // Given back when it comes to nothing.
            let claim = match &self.state.pull {
                None => None,
                Some(pull) => Some(ready!(pull.poll_claim(cx))),
            };
            if self.admission.poll_ready(cx).is_pending() {
                return Poll::Pending;
            }
            let Some(incoming) = ready!(self.poll_next(cx)) else {
                continue;
            };
            match self.admission.judge(&incoming) {
                Verdict::Admit(passes, lease) => self.place(incoming, passes, lease, claim),
                Verdict::TurnAway(reason) => self.turn_away(incoming, reason),
                Verdict::Gone => self.state.gone(incoming.peer_addr),
                Verdict::Hold => {
                    self.admission.sweep();
                    self.held = Some(incoming);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The peer in hand, or else the next that waits; none after an error.
    fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Incoming>> {
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(held));
        }
        match self.door.poll_accept(cx) {
            Poll::Pending => {
                self.admission.swept();
                Poll::Pending
            }
            Poll::Ready(Look::Ended) => Poll::Ready(None),
            Poll::Ready(Look::Peer(Ok(incoming))) => {
                self.backoff.reset();
                self.admission.pool.pass();
                Poll::Ready(Some(incoming))
            }
            Poll::Ready(Look::Peer(Err(error))) => {
                self.failed(error);
                Poll::Ready(None)
            }
        }
    }

    /// Gives an accepted peer to its shard.
    fn place(
        &self,
        incoming: Incoming,
        passes: Passes,
        lease: Option<Box<SlotLease>>,
        claim: Option<Claim>,
    ) {
        let pool = &self.admission.pool;
        let shards = pool.shards();
        let here = self.state.id.shard();
        let load = |shard: usize| match shards[shard].load() {
            // It is told late that it is up again; whoever runs here knows.
            None if shard == here => Some(shards[shard].connections()),
            load => load,
        };
        let peer = incoming.peer_addr.map(|address| address.ip());
        let target = self.admission.placer.place(shards.len(), load, peer);
        let admitted = Admitted {
            server: Arc::clone(&self.state),
            passes,
            share: shards[target].take_share(),
            lease,
            claim,
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

    /// Lets go of a peer at once, by the policy.
    fn turn_away(&self, mut incoming: Incoming, reason: RejectReason) {
        self.state.rejected(incoming.peer_addr, reason);
        let (server, peer_addr) = (self.state.id, incoming.peer_addr);
        self.admission.pool.report(PoolEvent::AcceptRejected {
            server,
            peer_addr,
            reason,
        });
        match self.admission.farewell(reason) {
            AtLimit::Reset => incoming.transport.set_reset(),
            AtLimit::Answer(answer) => incoming.transport.turn_away(answer),
            AtLimit::Wait | AtLimit::Reject => incoming.transport.turn_away(&[]),
        }
    }

    /// Who is in hand finds no place any more.
    fn let_go(&mut self) {
        if let Some(held) = self.held.take() {
            self.turn_away(held, RejectReason::Limit);
        }
    }

    /// Answers some of those that wait, with the spare descriptor; says how many.
    fn shed(&self) -> u64 {
        // An error ends it for this pause: the next one tries again.
        let shed = (0..SHED_TURN).take_while(|_| self.door.shed().unwrap_or(false));
        let count = u64::try_from(shed.count()).unwrap_or(u64::MAX);
        if count > 0 {
            self.state.counts.shed.fetch_add(count, Ordering::Relaxed);
            telemetry::shed(&self.state.span, count);
        }
        count
    }

    /// The port refuses when this returns.
    pub(super) fn close(&self) {
        self.state.begin_to_close();
        drop(self.door.set(Way::Over));
        self.state.finish(ClosedReason::ClosedByHost);
    }

    fn failed(&mut self, error: std::io::Error) {
        match AcceptFault::classify(error.kind(), error.raw_os_error()) {
            AcceptFault::Transient => self.state.lost(&error),
            AcceptFault::Exhausted => {
                // Who came just now may still find a descriptor after a pause.
                let shed = if self.backoff.is_first() {
                    0
                } else {
                    self.shed()
                };
                self.admission.sweep();
                let pause = self.backoff.next_pause();
                self.state.counts.pauses.fetch_add(1, Ordering::Relaxed);
                self.pause = Some(Box::pin(sleep(pause)));
                telemetry::accept_paused(&self.state.span, pause, &error);
                self.admission.pool.report(PoolEvent::AcceptPaused {
                    server: self.state.id,
                    pause,
                    error: error.to_string(),
                    shed,
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

impl Drop for ServerActor {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The one future of a listener's actor.
struct Accepting;

impl ActorFuture<ServerActor> for Accepting {
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
