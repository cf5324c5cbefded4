//! The contexts that a session can live in.
//!
//! Most sessions handle the events of their connection and do nothing else with their context. For these actix's
//! own context costs more than what they do, in time and in memory: a mailbox that nobody has the address of, and
//! a look at it and at lists of futures for each event. A [`SessionContext`] gets all that when it is first used.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use actix::dev::{Envelope, Mailbox, OneshotSender, ToEnvelope};
use actix::{
    Actor, ActorContext, ActorFuture, ActorState, Addr, AsyncContext, Context, Handler, Message,
    SpawnHandle, WeakAddr,
};

use crate::turn::Burst;

mod run;

use run::SessionFuture;

/// The context of an actor that is to be a session: [`SessionContext`], or actix's own [`Context`].
#[diagnostic::on_unimplemented(
    message = "a session does not live in a `{Self}`",
    note = "use `type Context = SessionContext<Self>`, or `actix::Context<Self>` for an actor that is started by itself"
)]
pub trait SessionHost<S>: AsyncContext<S> + ToEnvelope<S, Burst>
where
    S: Actor<Context = Self> + Handler<Burst>,
{
    /// What is to be run for a session that is a connection's own; `events` brings it its events, and `parts`
    /// those of what else is its.
    #[doc(hidden)]
    fn host<E>(
        session: S,
        events: E,
        parts: Vec<Spawned<S>>,
    ) -> impl Future<Output = ()> + Unpin + 'static
    where
        E: ActorFuture<S, Output = ()> + Unpin + 'static;
}

impl<S: Actor<Context = Self> + Handler<Burst>> SessionHost<S> for Context<S> {
    fn host<E>(
        session: S,
        events: E,
        parts: Vec<Spawned<S>>,
    ) -> impl Future<Output = ()> + Unpin + 'static
    where
        E: ActorFuture<S, Output = ()> + Unpin + 'static,
    {
        let mut ctx = Self::new();
        ctx.spawn(events);
        for part in parts {
            ctx.spawn(part);
        }
        ctx.into_future(session)
    }
}

impl<S: Actor<Context = Self> + Handler<Burst>> SessionHost<S> for SessionContext<S> {
    fn host<E>(
        session: S,
        events: E,
        parts: Vec<Spawned<S>>,
    ) -> impl Future<Output = ()> + Unpin + 'static
    where
        E: ActorFuture<S, Output = ()> + Unpin + 'static,
    {
        let mut ctx = Self::new();
        for part in parts {
            ctx.spawn(part);
        }
        SessionFuture::new(session, ctx, events)
    }
}

pub(crate) type Spawned<S> = Pin<Box<dyn ActorFuture<S, Output = ()>>>;

/// The context of a session that is a connection's own, or a socket's or a process's.
///
/// It does what actix's [`Context`] does, and costs less of both time and memory: there is a mailbox only from when
/// the session's address is first asked for ([`address`](AsyncContext::address)), and lists of futures only from
/// when one is first spawned or waited for (which an [`AtomicResponse`](actix::AtomicResponse) does). Until then an
/// event goes straight to its handler. A request on a connection's own thread takes some 300 instructions less so,
/// and an idle connection 400 bytes.
///
/// What differs from [`Context`]:
///
/// - An actor that has it cannot be started by itself ([`Actor::start`], [`actix::Supervisor`]): it becomes a session
///   when a factory returns it. An actor that serves many connections by its address, and so is started first, has a
///   [`Context`].
/// - What was spawned is polled in the order in which it was spawned, and what was cancelled is never polled again;
///   with [`Context`] both depend on what else there is. If something makes the session wait, what follows it comes
///   before it the next time.
/// - While the session waits it gets no event and no message; with [`Context`] it may get one more event.
/// - The session's events have no [`SpawnHandle`] by which they could be cancelled: [`stop`](ActorContext::stop) ends
///   them.
///
/// ```
/// use std::time::Duration;
/// use switchboard::prelude::*;
///
/// struct Clock {
///     client: Client,
/// }
///
/// impl Actor for Clock {
///     type Context = SessionContext<Self>;
///
///     fn started(&mut self, ctx: &mut Self::Context) {
///         ctx.run_interval(Duration::from_secs(1), |clock, _| {
///             let _ = clock.client.send_line("tick");
///         });
///     }
/// }
///
/// session!(Clock);
/// ```
pub struct SessionContext<S: Actor<Context = Self>> {
    stage: Stage,
    /// What few sessions use, from when it is first used.
    more: OnceCell<Box<More<S>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The session was not told that it starts.
    New,
    /// It is being told.
    Starting,
    Running,
    Stopping,
    Stopped,
}

/// What few sessions use of their context: what is new is here until whoever polls it takes it over.
struct More<S: Actor<Context = SessionContext<S>>> {
    /// From when it is first asked for.
    address: OnceCell<WeakAddr<S>>,
    mailbox: Cell<Option<Mailbox<S>>>,
    /// How many messages may wait in it, if that was set.
    capacity: Option<usize>,
    spawned: Vec<(SpawnHandle, Spawned<S>)>,
    waits: Vec<Spawned<S>>,
    cancelled: Vec<SpawnHandle>,
    /// Of what was spawned last.
    last: SpawnHandle,
    /// Of what is being polled.
    current: SpawnHandle,
}

impl<S: Actor<Context = SessionContext<S>>> Default for More<S> {
    fn default() -> Self {
        Self {
            address: OnceCell::new(),
            mailbox: Cell::new(None),
            capacity: None,
            spawned: Vec::new(),
            waits: Vec::new(),
            cancelled: Vec::new(),
            last: SpawnHandle::default(),
            current: SpawnHandle::default(),
        }
    }
}

impl<S: Actor<Context = Self>> SessionContext<S> {
    const fn new() -> Self {
        Self {
            stage: Stage::New,
            more: OnceCell::new(),
        }
    }

    /// Whether its session runs, and there is nothing to look after but its events.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.stage == Stage::Running && self.more.get().is_none()
    }

    fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping | Stage::Stopped)
    }

    fn more(&mut self) -> &mut More<S> {
        self.more.get_or_init(Box::default);
        match self.more.get_mut() {
            Some(more) => more,
            None => unreachable!("it is there since the line before"),
        }
    }

    /// How many messages may wait in its mailbox where the sender minds (`try_send`, `send`); 16 unless set. It holds
    /// from when the handler that sets it is done.
    pub fn set_mailbox_capacity(&mut self, capacity: usize) {
        let more = self.more();
        more.capacity = Some(capacity);
        if let Some(mailbox) = more.mailbox.get_mut() {
            mailbox.set_capacity(capacity);
        }
    }

    /// The handle of the spawned future that is being polled.
    #[must_use]
    pub fn handle(&self) -> SpawnHandle {
        self.more
            .get()
            .map_or_else(SpawnHandle::default, |more| more.current)
    }
}

impl<S: Actor<Context = Self>> fmt::Debug for SessionContext<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContext")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl<S: Actor<Context = Self>> ActorContext for SessionContext<S> {
    fn stop(&mut self) {
        if !self.is_stopping() {
            self.stage = Stage::Stopping;
        }
    }

    fn terminate(&mut self) {
        self.stage = Stage::Stopped;
    }

    fn state(&self) -> ActorState {
        match self.stage {
            Stage::New | Stage::Starting | Stage::Running => ActorState::Running,
            Stage::Stopping => ActorState::Stopping,
            Stage::Stopped => ActorState::Stopped,
        }
    }
}

impl<S: Actor<Context = Self>> AsyncContext<S> for SessionContext<S> {
    fn address(&self) -> Addr<S> {
        let more = self.more.get_or_init(Box::default);
        let address = more.address.get_or_init(|| {
            let mut mailbox = Mailbox::default();
            if let Some(capacity) = more.capacity {
                mailbox.set_capacity(capacity);
            }
            let address = mailbox.address().downgrade();
            more.mailbox.set(Some(mailbox));
            address
        });
        address
            .upgrade()
            .expect("its mailbox is there as long as it")
    }

    fn spawn<F>(&mut self, future: F) -> SpawnHandle
    where
        F: ActorFuture<S, Output = ()> + 'static,
    {
        let more = self.more();
        more.last = more.last.next();
        more.spawned.push((more.last, Box::pin(future)));
        more.last
    }

    fn wait<F>(&mut self, future: F)
    where
        F: ActorFuture<S, Output = ()> + 'static,
    {
        self.more().waits.push(Box::pin(future));
    }

    #[inline]
    fn waiting(&self) -> bool {
        !self.is_plain()
            && (self.is_stopping() || self.more.get().is_some_and(|more| !more.waits.is_empty()))
    }

    fn cancel_future(&mut self, handle: SpawnHandle) -> bool {
        self.more().cancelled.push(handle);
        true
    }
}

impl<S, M> ToEnvelope<S, M> for SessionContext<S>
where
    S: Actor<Context = Self> + Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn pack(msg: M, answer: Option<OneshotSender<M::Result>>) -> Envelope<S> {
        Envelope::new(msg, answer)
    }
}
