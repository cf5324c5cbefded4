//! `ClientActor`: one actor, one driver, one deadline per connection.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::dev::channel::AddressReceiver;
use actix::{
    Actor, ActorContext, ActorFuture, AsyncContext, Context, Handler, Message, MessageResult,
    WrapFuture,
};
use socket2::SockRef;
use switchboard_core::{Cause, ConnectError, Now};
use tokio::sync::oneshot;
use tracing::Span;

use crate::deadline::Deadline;
use crate::message::command::ClientCommand;
use crate::placement::Share;
use crate::places::Passes;
use crate::session::Outlet;
use crate::shard::{Entry, Factory, ShardLocal, SlotLease};
use crate::supervisor::{Exit, guarded};
use crate::telemetry;
use crate::tls::Handshake;
use crate::transport::Transport;

use super::dialling::{Attempt, Dialler, given_up};
use super::home::{Berth, Home};
use super::moving::{hear, read, watch, write};
use super::shared::{Rare, Reader};
use super::task::ClientTask;
use super::{Client, Shared, clock, pair};

/// After so many messages to the connections of its shard the actor lets others have their turn: actix itself
/// never does.
const MESSAGE_TURN: u32 = 128;

/// Moves the bytes of one connection between its transport and its machine, and tells its session.
///
/// It is started and supervised by the pool. Every [command](crate::message::command) can be sent to
/// it as a message; [`Client`] has the same as methods.
pub struct ClientActor {
    pub(super) client: Client,
    pub(super) berth: Rc<Berth>,
    pub(super) outlet: Outlet,
    deadline: Deadline,
    /// What most accepted connections do not have.
    pub(super) rare: Option<Box<Beginning>>,
    /// To go on with in a context.
    mailbox: Option<AddressReceiver<Self>>,
}

/// What some connections begin with.
pub(super) struct Beginning {
    /// Makes the session when the handshake that comes first has ended.
    pub(super) entry: Option<Box<Entry>>,
    /// Makes another session when one panics; `None` where the connection closes then.
    pub(super) factory: Option<Box<Factory>>,
    /// Makes further attempts, where the settings say so.
    pub(super) dialler: Option<Box<Dialler>>,
    /// Told once whether an outbound connection came to be.
    pub(super) outcome: Option<Outcome>,
}

impl Beginning {
    /// `None`: there is nothing of it.
    fn new(launch: &mut Launch) -> Option<Box<Self>> {
        let rare = Self {
            entry: launch.entry.take(),
            factory: launch.factory.take(),
            dialler: launch.dialler.take(),
            outcome: launch.outcome.take(),
        };
        let is_any = rare.entry.is_some()
            || rare.factory.is_some()
            || rare.dialler.is_some()
            || rare.outcome.is_some();
        is_any.then(|| Box::new(rare))
    }
}

pub(crate) type Outcome = oneshot::Sender<Result<Client, ConnectError>>;

/// What the actor holds of the outside world.
pub(crate) enum Link {
    Connecting(Box<Attempt>),
    /// A handshake has the transport.
    Securing(Box<Handshake>),
    Up(Box<dyn Transport>),
    Down,
}

/// Everything a connection's actor starts with.
pub(crate) struct Launch {
    pub(crate) client: Client,
    pub(crate) link: Link,
    pub(crate) outlet: Outlet,
    pub(crate) entry: Option<Box<Entry>>,
    pub(crate) factory: Option<Box<Factory>>,
    pub(crate) dialler: Option<Box<Dialler>>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) lease: Option<Box<SlotLease>>,
    pub(crate) passes: Passes,
    /// Of its shard's connections.
    pub(crate) share: Share,
    pub(crate) span: Span,
}

impl ClientActor {
    /// Starts the actor of a connection on this thread.
    pub(crate) fn launch(mut launch: Launch, local: Rc<ShardLocal>) {
        let member = local.crew.join();
        let rare = Beginning::new(&mut launch);
        let shared = Arc::clone(&launch.client.shared);
        let places = (launch.passes, launch.share);
        let berth = Berth::new(launch.link, launch.lease, local, places);
        let home = Home::settle(Rc::clone(&berth));
        let actor = Self {
            client: launch.client,
            berth,
            outlet: launch.outlet,
            deadline: Deadline::default(),
            rare,
            mailbox: None,
        };
        shared.lock().home = Some(home);
        let actor = guarded(ClientTask::Alone(actor), launch.span, move |exit| {
            if let Exit::Panicked(text) = exit {
                telemetry::actor_panicked("ClientActor", &text);
            }
            drop(member);
        });
        pair::run(actor, shared);
    }

    /// The mailbox that somebody may have sent something to, to go on with in a context.
    pub(super) const fn take_mailbox(&mut self) -> Option<AddressReceiver<Self>> {
        self.mailbox.take()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.client.shared
    }

    /// One look at everything; `Ready` when nothing is left to do for this connection.
    pub(super) fn drive(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut now = Now::ask(clock);
        let shared = Arc::clone(self.shared());
        let mut core = shared.lock();
        match &core.driver {
            Some(driver) if driver.will_wake(cx.waker()) => {}
            _ => core.driver = Some(cx.waker().clone()),
        }
        if let Some(Rare {
            post: Some(post), ..
        }) = core.rare()
            && let Some(mailbox) = post.take()
        {
            self.mailbox = Some(mailbox);
        }
        let berth = Rc::clone(&self.berth);
        let connecting = matches!(*berth.link.borrow(), Link::Connecting(_));
        if connecting {
            drop(core);
            self.drive_connecting(&shared, cx, &mut now);
            core = shared.lock();
        }
        if core.machine.is_securing() && core.machine.is_over().is_none() {
            drop(core);
            self.drive_securing(&shared, cx, &mut now);
            core = shared.lock();
        }
        if core.is_vacant() {
            drop(core);
            self.replace_session(&shared, cx, &mut now);
            core = shared.lock();
        }
        core.machine.begin_round();
        let mut is_late = false;
        if let Some(deadline) = core.machine.poll_timeout()
            && deadline <= now.get()
        {
            is_late = true;
            core.machine.handle_timeout(&mut now);
            if core.machine.is_cancelled() {
                // The attempt is stopped in the next look.
                cx.waker().wake_by_ref();
            }
        }
        let mut link = berth.link.borrow_mut();
        if let Link::Up(transport) = &mut *link {
            let transport = transport.as_mut();
            let before = core.machine.moved();
            write(&mut core.machine, transport, cx, &mut now);
            hear(&mut core, transport, cx, &mut now);
            // What is too slow is judged by what a read brings.
            if is_late || !core.is_read_by_asker() {
                let mut slot = berth.read_slot();
                let waits = read(&mut core.machine, transport, &mut slot, None, cx, &mut now);
                core.reader = if waits { Reader::Actor } else { Reader::Nobody };
            }
            watch(&mut core, transport, &berth, cx, &mut now);
            // What was read may have ended the connection, or freed a deferred finish.
            write(&mut core.machine, transport, cx, &mut now);
            core.note_moves(before, &berth.local);
            if core.machine.wants_handshake() {
                // It begins in the next look.
                cx.waker().wake_by_ref();
            }
        }
        self.reconnect(&shared, &mut core, &mut link, cx, &mut now);
        let over = core.machine.is_over();
        if let Some(reset) = over {
            berth.let_go(&mut link, reset);
            if matches!(*link, Link::Securing(_)) {
                self.count_handshake(None);
            }
            *link = Link::Down;
        }
        drop(link);
        let has_entry = |rare: &Beginning| rare.entry.is_some();
        if self.rare.as_deref().is_some_and(has_entry) && core.machine.ending().is_some() {
            drop(core);
            drop(self.seat());
            core = shared.lock();
        }
        if !core.released
            && let Some(ending) = core.machine.ending()
        {
            self.berth.local.release(&self.client, ending);
            core.released = true;
            if over.is_none() {
                self.berth.local.lingers(&self.client);
            }
        }
        core.count_held();
        let due = core.take_due(|| now.get());
        match (core.next_deadline(), core.rare.as_deref_mut()) {
            // Most have no clock, and nothing rare.
            (None, None) => {}
            (deadline, _) => {
                let sleeps = &mut core.make_rare().driver_sleeps;
                self.deadline.keep(deadline, sleeps, cx);
            }
        }
        self.tell(&shared, core, &mut now);
        due.wake();
        if over.is_some() && shared.lock().is_done() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Actor for ClientActor {
    type Context = Context<Self>;
}

/// The one future of a connection's actor. actix polls it after the mailbox in the same poll, so all
/// that was commanded is written at once.
pub(super) struct Driver;

impl ActorFuture<ClientActor> for Driver {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut ClientActor,
        ctx: &mut Context<ClientActor>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let done = actor.drive(cx);
        if done.is_ready() {
            ctx.stop();
        }
        done
    }
}

impl<C> Handler<C> for ClientActor
where
    C: ClientCommand + 'static,
    C::Result: 'static,
{
    type Result = MessageResult<C>;

    fn handle(&mut self, command: C, ctx: &mut Self::Context) -> Self::Result {
        if self.berth.local.is_message_turn(MESSAGE_TURN) {
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
        MessageResult(command.run(&self.client))
    }
}

/// Lends out the socket, on its own thread.
pub(crate) struct WithSocket(pub(crate) Box<dyn FnOnce(SockRef<'_>) + Send>);

impl Message for WithSocket {
    type Result = ();
}

impl Handler<WithSocket> for ClientActor {
    type Result = ();

    fn handle(&mut self, message: WithSocket, _: &mut Self::Context) {
        if let Link::Up(transport) = &*self.berth.link.borrow()
            && let Some(socket) = transport.socket()
        {
            (message.0)(socket);
        }
    }
}

impl Drop for ClientActor {
    /// An actor that ends before its connection (its thread stops, or it failed) still tells the end.
    fn drop(&mut self) {
        let home = self.client.shared.lock().home.take();
        if let Some(home) = home {
            home.leave();
        }
        self.berth.local.gone(&self.client);
        self.berth.let_go(&mut self.berth.link.borrow_mut(), false);
        if matches!(*self.berth.link.borrow(), Link::Securing(_)) {
            self.count_handshake(None);
        }
        let shared = Arc::clone(&self.client.shared);
        let mut core = shared.lock();
        core.driver = None;
        let _share = core.rare().and_then(|rare| rare.share.take());
        // One that never began; dropped when the lock is free.
        let _upgrade = core.rare().and_then(|rare| rare.upgrade.take());
        // Nobody takes what may wait there, and messages may hold anything.
        let _post = core.rare().and_then(|rare| rare.post.take());
        if core.machine.is_over().is_none() {
            core.machine.abort(Cause::RuntimeFailed);
            if let Link::Connecting(attempt) = &*self.berth.link.borrow() {
                core.machine
                    .handle_connect_failed(given_up(&attempt.target, "the pool ended"));
            }
        }
        if !core.released
            && let Some(ending) = core.machine.ending()
        {
            self.berth.local.release(&self.client, ending);
            core.released = true;
        }
        let due = core.take_due(clock);
        if let Some(lease) = self.berth.passes.lease()
            && let Some(memory) = core.machine.reclaim_slot()
        {
            lease.restore(memory);
        }
        if matches!(self.outlet, Outlet::Awaited) {
            if core.is_session_begun() {
                self.outlet = Outlet::Own;
            } else {
                core.session_gone = true;
            }
        }
        self.tell(&shared, core, &mut Now::ask(clock));
        due.wake();
    }
}

impl fmt::Debug for ClientActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientActor")
            .field("client", &self.client.id())
            .finish_non_exhaustive()
    }
}
