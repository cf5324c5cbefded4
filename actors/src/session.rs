//! How a user's actor is attached to a connection.
//!
//! A session handles the events that it wants as ordinary actix messages. [`session!`](crate::session!)
//! finds out which at compile time; the session then takes them in turns (see `turn`), all that one
//! wake brought at once. What a session does not handle is never produced.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use actix::dev::MessageResponse;
use actix::{Actor, Addr, Handler, Message, Recipient};
use switchboard_core::{Cause, Interests};
use tracing::Span;

use crate::client::Client;
use crate::context::{SessionHost, Spawned};
use crate::handlers::Handlers;
use crate::message::ClientEvent;
#[cfg(unix)]
use crate::process::Process;
use crate::shard::{Attach, Member};
use crate::supervisor::{Exit, guarded, panic_text};
use crate::turn::{Burst, Intake, Source};
use crate::udp::Socket;

/// An actor that can be given a connection. Implemented by [`session!`](crate::session!).
pub trait Session: Actor<Context: SessionHost<Self>> + Handler<Burst> {
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

    /// Whether it becomes the connection's own actor, which can live on a worker's thread.
    #[doc(hidden)]
    const OWN: bool = false;

    #[doc(hidden)]
    fn attach(self, seat: Seat<'_>) -> (Interests, Outlet);
}

/// Where a session is attached.
#[derive(Debug)]
pub struct Seat<'a> {
    pub(crate) holder: Holder<'a>,
    pub(crate) member: Member,
    pub(crate) span: &'a Span,
}

/// Whose session it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holder<'a> {
    Client(&'a Client),
    Socket(&'a Socket),
    #[cfg(unix)]
    Process(&'a Process),
}

/// Where the events of a connection go.
#[derive(Default)]
pub enum Outlet {
    /// Nowhere (any more).
    #[default]
    None,
    /// To the connection's own actor, which takes them when it is woken.
    Own,
    /// The same, once a worker has made it.
    Awaited,
    /// To an actor that serves many connections, by its mailbox.
    Shared(Box<Recipient<Burst>>),
    /// To several mailboxes, one by one.
    Handlers(Arc<Handlers>),
    /// Nowhere: it is used in sequence, by whoever asks.
    Sequence,
}

#[cfg(unix)]
impl Outlet {
    /// The same once more: for the pipes of a process, whose own events go here.
    pub(crate) fn of_pipe(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Own | Self::Awaited => Self::Own,
            Self::Shared(recipient) => Self::Shared(recipient.clone()),
            Self::Handlers(handlers) => Self::Handlers(Arc::clone(handlers)),
            Self::Sequence => Self::Sequence,
        }
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Own => "Own",
            Self::Awaited => "Awaited",
            Self::Shared(_) => "Shared",
            Self::Handlers(_) => "Handlers",
            Self::Sequence => "Sequence",
        })
    }
}

#[doc(hidden)]
pub fn attach_actor<S: Session>(session: S, seat: Seat<'_>) -> (Interests, Outlet) {
    match seat.holder {
        Holder::Client(client) => {
            let session = own_session(session, client.clone(), seat.member, seat.span);
            client.run_session(Box::new(session));
        }
        Holder::Socket(socket) => {
            let session = own_session(session, socket.clone(), seat.member, seat.span);
            tokio::task::spawn_local(Box::new(session));
        }
        #[cfg(unix)]
        Holder::Process(process) => {
            let session = own_session(session, process.clone(), seat.member, seat.span);
            tokio::task::spawn_local(Box::new(session));
        }
    }
    (S::INTERESTS, Outlet::Own)
}

/// What is to be run for a session that is a source's own.
fn own_session<S: Session, C: Source + Clone + Unpin>(
    session: S,
    source: C,
    member: Member,
    span: &Span,
) -> impl Future<Output = ()> + Unpin + 'static {
    let number = source.seat();
    let intake = Intake::new(source.clone());
    let part = |part| Box::pin(Intake::new(part)) as Spawned<S>;
    let parts = source.parts().into_iter().map(part).collect();
    let future = S::Context::host(session, intake, parts);
    guarded(future, span.clone(), move |exit| {
        let cause = match exit {
            Exit::Normal => Cause::SessionStopped,
            Exit::Panicked(text) => Cause::SessionPanicked { event: None, text },
        };
        source.session_gone(number, cause);
        drop(member);
    })
}

impl<S: Session> IntoSession for Addr<S> {
    const KNOWN: Option<Interests> = Some(S::INTERESTS);

    fn attach(self, _: Seat<'_>) -> (Interests, Outlet) {
        if !self.connected() {
            return (Interests::NONE, Outlet::None);
        }
        (S::INTERESTS, Outlet::Shared(Box::new(self.recipient())))
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

/// A session factory that can be called again and again, with what its type tells.
#[derive(Clone)]
pub(crate) struct SessionFactory {
    pub(crate) attach: Attach,
    /// What its sessions handle, if their type tells.
    pub(crate) known: Option<Interests>,
    /// Whether they are a connection's own.
    own: bool,
}

impl fmt::Debug for SessionFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionFactory")
    }
}

impl SessionFactory {
    pub(crate) fn new<F, S>(session: F) -> Self
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        Self {
            attach: Arc::new(move |client, member, span| {
                let made = make_session(|| session(client.clone()))?;
                Ok(made.attach(Seat {
                    holder: Holder::Client(client),
                    member,
                    span,
                }))
            }),
            known: S::KNOWN,
            own: S::OWN,
        }
    }

    /// What its sessions handle, if they are a connection's own.
    pub(crate) fn own(&self) -> Option<Interests> {
        self.known.filter(|_| self.own)
    }
}

/// What sessions of this type handle, if they are a connection's own.
pub(crate) fn own<S: IntoSession>() -> Option<Interests> {
    S::KNOWN.filter(|_| S::OWN)
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
/// The actor's context is a [`SessionContext`](crate::SessionContext), or an [`actix::Context`], which an actor needs
/// that is started by itself and then serves many connections. The type must be concrete, since whether it handles an
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
///     type Context = SessionContext<Self>;
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
                (WRITABLE, Writable), (ADOPTED, Adopted), (TLS_STARTED, TlsStarted),
                (DRAINING, Draining), (URGENT, UrgentReceived), (DATAGRAM, DatagramReceived),
                (DATAGRAM_FAILED, DatagramFailed), (UDP_ERROR, UdpError),
                (PIPE_LINE, PipeLine), (PIPE_DATA, PipeData), (PIPE_CLOSED, PipeClosed),
                (PROCESS_EXITED, ProcessExited),
                (DISCONNECTED, Disconnected), (RECONNECTING, Reconnecting), (CLOSED, Closed)
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

            #[inline(always)]
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
            const OWN: bool = true;

            fn attach(
                self,
                seat: $crate::__private::Seat<'_>,
            ) -> ($crate::Interests, $crate::__private::Outlet) {
                $crate::__private::attach_actor(self, seat)
            }
        }
    };
}
