//! How a user's actor is attached to a connection.
//!
//! A session handles the events that it wants as ordinary actix messages. [`session!`](crate::session!)
//! finds out which at compile time and receives them in bursts: one mailbox hop for all that one
//! wake brought. What a session does not handle is never produced.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use actix::dev::MessageResponse;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};
use switchboard_core::connection::Permit;
use switchboard_core::{Cause, Interests};
use tracing::Span;

use crate::client::{Client, Next, SharedEvent};
use crate::handlers::Handlers;
use crate::message::ClientEvent;
use crate::shard::Crew;
use crate::supervisor::{Exit, panic_text, start_guarded, text_of};

/// How many events a session handles before others on its thread get their turn.
const TURN: usize = 128;

/// An actor that can be given a connection. Implemented by [`session!`](crate::session!).
pub trait Session: Actor<Context = Context<Self>> + Handler<Burst> {
    /// The events that it handles.
    const INTERESTS: Interests;

    /// Handles one event; one that it does not handle is dropped.
    fn dispatch(&mut self, event: ClientEvent, ctx: &mut Self::Context);
}

/// What a session factory may return: an actor with [`session!`](crate::session!), which becomes the
/// connection's own, the address of one that serves many connections, or [`Handlers`].
pub trait IntoSession: 'static {
    /// The events that it handles, if the type alone tells.
    const KNOWN: Option<Interests>;

    #[doc(hidden)]
    fn attach(self, seat: Seat<'_>) -> (Interests, Outlet);
}

/// Where a session is attached.
#[derive(Debug)]
pub struct Seat<'a> {
    pub(crate) client: &'a Client,
    pub(crate) crew: &'a Crew,
    pub(crate) span: &'a Span,
}

/// Where the events of a connection go.
#[derive(Default)]
pub enum Outlet {
    /// Nowhere (any more).
    #[default]
    None,
    /// To one actor, in bursts.
    Session {
        /// Its mailbox.
        recipient: Recipient<Burst>,
        /// Whether the actor lives for this connection only.
        owned: bool,
    },
    /// To several mailboxes, one by one.
    Handlers(Arc<Handlers>),
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Session { .. } => "Session",
            Self::Handlers(_) => "Handlers",
        })
    }
}

#[doc(hidden)]
pub fn attach_actor<S: Session>(session: S, seat: Seat<'_>) -> (Interests, Outlet) {
    let shared = Arc::clone(&seat.client.shared);
    let member = seat.crew.join();
    let address = start_guarded(session, seat.span.clone(), move |exit| {
        shared.session_gone(match exit {
            Exit::Normal => Cause::SessionStopped,
            Exit::Panicked(text) => Cause::SessionPanicked { event: None, text },
        });
        drop(member);
    });
    let recipient = address.recipient();
    (
        S::INTERESTS,
        Outlet::Session {
            recipient,
            owned: true,
        },
    )
}

impl<S: Session> IntoSession for Addr<S> {
    const KNOWN: Option<Interests> = Some(S::INTERESTS);

    fn attach(self, _: Seat<'_>) -> (Interests, Outlet) {
        if !self.connected() {
            return (Interests::NONE, Outlet::None);
        }
        let recipient = self.recipient();
        (
            S::INTERESTS,
            Outlet::Session {
                recipient,
                owned: false,
            },
        )
    }
}

impl IntoSession for Handlers {
    const KNOWN: Option<Interests> = None;

    fn attach(self, _: Seat<'_>) -> (Interests, Outlet) {
        let interests = self.interests();
        if interests.is_empty() {
            return (interests, Outlet::None);
        }
        (interests, Outlet::Handlers(Arc::new(self)))
    }
}

/// A turn at the events of one connection: the session takes them until none is left.
///
/// Dropped unhandled (the session is gone, or panicked), it closes the connection.
#[derive(Debug)]
pub struct Burst {
    client: Option<Client>,
    owned: bool,
}

impl Message for Burst {
    type Result = ();
}

/// How a turn ended.
enum Turn {
    /// Nothing is left; the connection may be over.
    Done { over: bool },
    /// There may be more, but others come first.
    Later,
}

impl Burst {
    pub(crate) const fn new(client: Client, owned: bool) -> Self {
        Self {
            client: Some(client),
            owned,
        }
    }

    /// Lets the session handle the events.
    #[doc(hidden)]
    pub fn deliver<S: Session>(mut self, session: &mut S, ctx: &mut Context<S>) {
        let Some(client) = self.client.take() else {
            return;
        };
        let mut current = None;
        let turn = catch_unwind(AssertUnwindSafe(|| {
            take_turn(&client, session, ctx, &mut current)
        }));
        match turn {
            Ok(Turn::Done { over }) => {
                if over && self.owned {
                    use actix::ActorContext as _;
                    ctx.stop();
                }
            }
            Ok(Turn::Later) => {
                self.client = Some(client);
                ctx.address().do_send(self);
            }
            Err(payload) => {
                let text = text_of(&*payload).unwrap_or_else(|| "a panic without a text".into());
                let event = current;
                client
                    .shared
                    .session_gone(Cause::SessionPanicked { event, text });
                resume_unwind(payload);
            }
        }
    }
}

fn take_turn<S: Session>(
    client: &Client,
    session: &mut S,
    ctx: &mut Context<S>,
    current: &mut Option<&'static str>,
) -> Turn {
    let shared = &client.shared;
    shared.begin_turn();
    let mut back = Permit::NONE;
    let mut over = false;
    let mut batch = None;
    for _ in 0..TURN {
        let begun = batch.as_ref().and_then(|batch| shared.begin_frame(batch));
        let (event, permit) = match begun {
            Some((event, permit)) => (event, back.join(permit)),
            None => match shared.next_event(std::mem::replace(&mut back, Permit::NONE)) {
                None => return Turn::Done { over },
                Some(Next::One(one)) => {
                    batch = None;
                    one
                }
                Some(Next::Many(frames)) => {
                    batch = Some(frames);
                    continue;
                }
            },
        };
        back = permit;
        over |= matches!(
            event,
            SharedEvent::Closed(_) | SharedEvent::ConnectFailed(_)
        );
        let event = ClientEvent::from_core(event, client);
        *current = Some(event.name());
        session.dispatch(event, ctx);
        if ctx.waiting() {
            // The handler waits for something: what follows must wait for it too.
            break;
        }
    }
    shared.interrupt_turn(back);
    Turn::Later
}

impl Drop for Burst {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.shared.session_gone(Cause::SessionStopped);
        }
    }
}

/// Runs a session factory; a panic in it is an error of that connection only.
pub(crate) fn make_session<S>(make: impl FnOnce() -> S) -> Result<S, Cause> {
    catch_unwind(AssertUnwindSafe(make)).map_err(|payload| Cause::SessionPanicked {
        event: None,
        text: panic_text(payload),
    })
}

/// Whether `A` handles `E`, found out at compile time: the inherent constant exists only if it does,
/// and wins over the one of [`Unhandled`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Probe<A, E>(PhantomData<(A, E)>);

impl<A, E> Probe<A, E>
where
    A: Actor + Handler<E>,
    E: Message<Result = ()>,
{
    #[doc(hidden)]
    pub const HANDLES: bool = true;

    #[doc(hidden)]
    pub fn give(actor: &mut A, event: E, ctx: &mut A::Context) {
        actor.handle(event, ctx).handle(ctx, None);
    }
}

#[doc(hidden)]
pub trait Unhandled<A: Actor, E> {
    const HANDLES: bool = false;

    fn give(_: &mut A, _: E, _: &mut A::Context) {}
}

impl<A: Actor, E> Unhandled<A, E> for Probe<A, E> {}

/// Makes an actor a session: finds every event of [`crate::message`] that it handles.
///
/// The actor's context is [`actix::Context`]. The type must be concrete, since whether it handles an
/// event is decided where the macro stands. A handler that needs to await before the next event comes
/// returns [`actix::AtomicResponse`]; the events that follow wait for it.
///
/// ```
/// use switchboard::prelude::*;
///
/// struct Shout {
///     client: Client,
/// }
///
/// impl Actor for Shout {
///     type Context = Context<Self>;
/// }
///
/// impl Handler<LineReceived> for Shout {
///     type Result = ();
///
///     fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
///         let _ = self.client.send_line(&msg.line.to_ascii_uppercase());
///     }
/// }
///
/// session!(Shout);
/// ```
#[macro_export]
macro_rules! session {
    ($session:ty) => {
        const _: () = {
            #[allow(unused_imports, reason = "a session may handle every event")]
            use $crate::__private::Unhandled as _;

            $crate::__session_impl! {
                $session,
                (OPENED, Accepted), (OPENED, Connected), (CONNECT_FAILED, ConnectFailed),
                (LINE, LineReceived), (DATA, DataReceived), (MESSAGE, MessageReceived),
                (SENT, Sent), (WRITE_PAUSED, WritePaused), (WRITE_RESUMED, WriteResumed),
                (PEER_FINISHED, PeerFinished), (IDLE, Idle), (READABLE, Readable),
                (WRITABLE, Writable), (CLOSED, Closed)
            }
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __session_impl {
    ($session:ty, $(($interest:ident, $event:ident)),*) => {
        impl $crate::Session for $session {
            const INTERESTS: $crate::Interests = $crate::Interests::NONE
                $(.with_if(
                    $crate::Interests::$interest,
                    <$crate::__private::Probe<$session, $crate::message::$event>>::HANDLES,
                ))*;

            fn dispatch(
                &mut self,
                event: $crate::message::ClientEvent,
                ctx: &mut <Self as $crate::__private::Actor>::Context,
            ) {
                match event {
                    $($crate::message::ClientEvent::$event(event) => {
                        <$crate::__private::Probe<$session, $crate::message::$event>>::give(
                            self, event, ctx,
                        );
                    })*
                    #[allow(unreachable_patterns, reason = "there may be more events one day")]
                    _ => {}
                }
            }
        }

        impl $crate::__private::Handler<$crate::__private::Burst> for $session {
            type Result = ();

            fn handle(
                &mut self,
                burst: $crate::__private::Burst,
                ctx: &mut <Self as $crate::__private::Actor>::Context,
            ) {
                burst.deliver(self, ctx);
            }
        }

        impl $crate::IntoSession for $session {
            const KNOWN: ::core::option::Option<$crate::Interests> =
                ::core::option::Option::Some(<Self as $crate::Session>::INTERESTS);

            fn attach(
                self,
                seat: $crate::__private::Seat<'_>,
            ) -> ($crate::Interests, $crate::__private::Outlet) {
                $crate::__private::attach_actor(self, seat)
            }
        }
    };
}
