//! `UdpActor`: one actor, one driver, one deadline per socket.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::{
    Actor, ActorContext, ActorFuture, AsyncContext, Context, Handler, MessageResult, WrapFuture,
};
use switchboard_core::datagram::Lookup;
use switchboard_core::{Address, Cause, DatagramError, Interests, Now};
use tokio::task::{self, JoinSet};
use tracing::Span;

use crate::client::{Issuer, Ticket, clock};
use crate::deadline::Deadline;
use crate::placement::Share;
use crate::places::Passes;
use crate::session::Outlet;
use crate::shard::{Registered, ShardLocal};
use crate::supervisor::{Exit, start_guarded};
use crate::telemetry;
use crate::turn::Burst;

use super::command::UdpCommand;
use super::opening::SocketFactory;
use super::shared::{Core, Locked, Reader, Socket, SocketShared};
use super::{Udp, resolve, source};

/// After so many messages in a row the actor lets others have their turn: actix itself never does.
const MESSAGE_TURN: u32 = 128;

/// So many events that are no datagrams may be with shared handlers; more wait in the machine, whose bounds
/// hold for them.
const MOST_NOTICES: usize = 128;

/// How many names of one socket are looked up at once: they share the resolver's threads with everybody.
const MOST_LOOKUPS: usize = 32;

/// Moves the datagrams of one socket between the system and its machine, and tells its session: of UDP,
/// Unix datagrams, and raw IP (XAS-58, UA-25, UA-36).
///
/// It is started and supervised by the pool. Commands can be sent to it as messages; [`Udp`] and
/// [`Raw`](crate::udp::Raw) have the same as methods.
pub struct UdpActor {
    socket: Socket,
    local: Rc<ShardLocal>,
    outlet: Outlet,
    factory: Option<SocketFactory>,
    deadline: Deadline,
    /// Names that are looked up just now.
    lookups: JoinSet<io::Result<Address>>,
    /// For whom each of them is.
    asked: HashMap<task::Id, Lookup>,
    span: Span,
    /// Given back when the actor ends, whatever happens.
    _passes: Passes,
    _share: Share,
    messages: u32,
}

/// The actor of a raw IP socket.
pub type RawActor = UdpActor;

/// Everything a socket's actor starts with.
pub(crate) struct Launch {
    pub(crate) socket: Socket,
    /// `None`: a socket without a session.
    pub(crate) factory: Option<SocketFactory>,
    pub(crate) passes: Passes,
    pub(crate) share: Share,
    pub(crate) span: Span,
}

impl UdpActor {
    /// Starts the actor of a socket on this thread.
    pub(crate) fn launch(launch: Launch, local: &Rc<ShardLocal>) {
        let Launch {
            socket,
            factory,
            passes,
            share,
            span,
        } = launch;
        let shared = Arc::clone(&socket.0);
        local.register(Arc::clone(&shared) as Registered);
        let member = local.crew.join();
        let mut actor = Self {
            socket,
            local: Rc::clone(local),
            outlet: Outlet::None,
            factory,
            deadline: Deadline::default(),
            lookups: JoinSet::new(),
            asked: HashMap::new(),
            span: span.clone(),
            _passes: passes,
            _share: share,
            messages: 0,
        };
        actor.seat();
        let weak = Arc::downgrade(&shared);
        let address = start_guarded(
            actor,
            span,
            |ctx| {
                ctx.spawn(Driver);
            },
            move |exit| {
                if let Exit::Panicked(text) = exit {
                    telemetry::actor_panicked("UdpActor", &text);
                }
                drop(member);
            },
        );
        if let Some(shared) = weak.upgrade() {
            let _ = shared.actor.set(address.downgrade());
        }
        if local.is_stopping() {
            shared.command(|machine, now| {
                machine.close(Cause::PoolStopped, true, None, now);
            });
        }
        local.turn_away(&*shared);
    }

    /// Gives the socket its session, or the successor of one.
    fn seat(&mut self) {
        // Letting go of a mailbox may drop messages, which needs the lock.
        self.outlet = Outlet::None;
        let shared = Arc::clone(&self.socket.0);
        let mut now = Now::ask(clock);
        let Some(factory) = &self.factory else {
            shared.lock().machine.adopt(Interests::NONE, &mut now);
            return;
        };
        let member = self.local.crew.join();
        let seat = shared.lock().seat;
        match factory(&self.socket, &self.local, member, &self.span) {
            Ok((_, Outlet::None)) => {
                shared.command(|machine, now| machine.close(Cause::NoSession, true, None, now));
            }
            Ok((interests, outlet)) => {
                shared.lock().machine.adopt(interests, &mut now);
                self.outlet = outlet;
            }
            Err(cause) => source::session_gone(&shared, seat, cause),
        }
    }

    /// One look at everything; `Ready` when nothing is left to do for this socket.
    fn drive(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut now = Now::ask(clock);
        let shared = Arc::clone(&self.socket.0);
        let mut core = shared.lock();
        match &core.driver {
            Some(driver) if driver.will_wake(cx.waker()) => {}
            _ => core.driver = Some(cx.waker().clone()),
        }
        if core.machine.is_vacant() {
            drop(core);
            self.seat();
            core = shared.lock();
            if core.machine.is_vacant() {
                // This one panicked while it was made; others have their turn before the next one.
                cx.waker().wake_by_ref();
            }
        }
        core.machine.begin_round();
        if let Some(deadline) = core.machine.poll_timeout()
            && deadline <= now.get()
        {
            core.machine.handle_timeout(&mut now);
        }
        self.look_up(&mut core, cx, &mut now);
        let before = core.machine.moved();
        core.write(&mut now);
        if core.reader != Reader::Session || core.wants_reader() {
            let waits = core.read(cx, &mut now, &shared);
            core.reader = if waits { Reader::Actor } else { Reader::Nobody };
        }
        if core.machine.moved() != before {
            core.moved = self.local.next_move();
        }
        let over = core.machine.is_over();
        if over {
            core.link = None;
        }
        if !core.released
            && let Some(detail) = core.machine.ending()
        {
            self.local.release_channel(shared.id, detail);
            core.released = true;
        }
        let calls = core.take_calls();
        if core.machine.wants_round() || core.wants_reader() {
            cx.waker().wake_by_ref();
        }
        let deadline = core.machine.poll_timeout();
        self.deadline.keep(deadline, &mut core.driver_sleeps, cx);
        self.tell(&shared, core, &mut now);
        shared.call(&calls);
        if over && shared.lock().is_done() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Has names looked up, each by itself, and hands over what was found.
    fn look_up(&mut self, core: &mut Core, cx: &mut TaskContext<'_>, now: &mut Now) {
        loop {
            while self.lookups.len() < MOST_LOOKUPS
                && let Some((lookup, name)) = core.machine.poll_resolve()
            {
                let (kind, v6) = (self.socket.0.kind, core.is_v6());
                let found = resolve::one_of(name, kind, v6);
                let task = self.lookups.spawn_local(found);
                self.asked.insert(task.id(), lookup);
            }
            let Poll::Ready(Some(found)) = self.lookups.poll_join_next_with_id(cx) else {
                return;
            };
            let (task, found) = match found {
                Ok((task, found)) => (task, found),
                // The resolver had no thread for it.
                Err(error) => (error.id(), Err(io::Error::other("the look-up failed"))),
            };
            if let Some(lookup) = self.asked.remove(&task) {
                let found = found.map_err(|error| DatagramError::Unresolved { kind: error.kind() });
                core.machine.handle_resolved(lookup, found, now);
            }
        }
    }

    /// Lets the session know that there are events, unless it is at them already.
    fn tell<'a>(&mut self, shared: &'a Arc<SocketShared>, mut core: Locked<'a>, now: &mut Now) {
        if core.session_gone && !matches!(self.outlet, Outlet::Handlers(_)) {
            drop(core);
            self.outlet = Outlet::None;
            core = shared.lock();
        }
        match &self.outlet {
            Outlet::Own | Outlet::Awaited => {
                if !core.in_flight && core.has_event() {
                    core.in_flight = true;
                    let session = core.session.clone();
                    drop(core);
                    shared.pool.pass();
                    if let Some(session) = session {
                        session.wake();
                    }
                }
            }
            Outlet::Shared(recipient) => {
                if !core.in_flight && core.has_event() {
                    core.in_flight = true;
                    let seat = core.seat;
                    drop(core);
                    shared.pool.pass();
                    recipient.do_send(Burst::of_socket(self.socket.clone(), seat));
                }
            }
            Outlet::Handlers(handlers) => {
                let seat = core.seat;
                let mut events = Vec::new();
                let most = shared.config.recv_datagrams.saturating_add(MOST_NOTICES);
                // When the actor ends nobody comes back for the rest.
                let ends = core.driver.is_none();
                while (ends || (core.tickets as usize) < most)
                    && let Some((event, permit)) = core.poll_event(now)
                {
                    let mut event = source::client_event(event, &self.socket);
                    let issuer = Arc::clone(shared) as Arc<dyn Issuer>;
                    event.set_ticket(Ticket::issue((issuer, seat), permit, &event, handlers));
                    core.tickets += 1;
                    events.push(event);
                }
                drop(core);
                let mut there = true;
                for event in events {
                    there &= handlers.deliver(event);
                }
                if !there {
                    source::session_gone(shared, seat, Cause::SessionStopped);
                }
            }
            Outlet::None | Outlet::Sequence => {
                while let Some((event, permit)) = core.poll_event(now) {
                    core.machine.give_back(permit, now);
                    drop(event);
                }
            }
        }
    }
}

impl Actor for UdpActor {
    type Context = Context<Self>;
}

/// The one future of a socket's actor.
struct Driver;

impl ActorFuture<UdpActor> for Driver {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut UdpActor,
        ctx: &mut Context<UdpActor>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let done = actor.drive(cx);
        if done.is_ready() {
            ctx.stop();
        }
        done
    }
}

impl<C> Handler<C> for UdpActor
where
    C: UdpCommand + 'static,
    C::Result: 'static,
{
    type Result = MessageResult<C>;

    fn handle(&mut self, command: C, ctx: &mut Self::Context) -> Self::Result {
        self.messages += 1;
        if self.messages.is_multiple_of(MESSAGE_TURN) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
        MessageResult(command.run(&Udp::new(self.socket.clone())))
    }
}

impl Drop for UdpActor {
    /// An actor that ends before its socket (its thread stops, or it failed) still tells the end.
    fn drop(&mut self) {
        let shared = Arc::clone(&self.socket.0);
        let mut core = shared.lock();
        let driver = core.driver.take();
        if !core.machine.is_over() {
            core.machine.abort(Cause::RuntimeFailed);
        }
        let link = core.link.take();
        if !core.released
            && let Some(detail) = core.machine.ending()
        {
            self.local.release_channel(shared.id, detail);
            core.released = true;
        }
        let calls = core.take_calls();
        self.tell(&shared, core, &mut Now::ask(clock));
        // Who is called finds the address free.
        drop(link);
        shared.call(&calls);
        drop(driver);
    }
}

impl std::fmt::Debug for UdpActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UdpActor")
            .field("socket", &self.socket.id())
            .finish_non_exhaustive()
    }
}
