//! How a session gets at its events: it takes turns.
//!
//! The connection's actor only says that there are events; the session then takes them, one by one,
//! straight from the machine until none is left. So what it does in one handler (arm, pause, close)
//! decides what it gets next. A session that is the connection's own is woken by an [`Intake`] in its
//! own context; one that serves many connections gets a [`Burst`] in its mailbox.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use actix::{ActorContext, ActorFuture, AsyncContext, Context, Message};
use switchboard_core::Cause;
use switchboard_core::connection::{FrameKind, Permit};

use crate::client::{Client, Next, SharedEvent};
use crate::message::{ClientEvent, DataReceived, LineReceived, MessageReceived};
use crate::session::Session;
use crate::supervisor::text_of;

/// How many events a session handles before others on its thread get their turn.
const TURN: usize = 128;

/// How a turn ended.
enum Turn {
    /// Nothing is left.
    Done,
    /// There may be more, but others come first.
    Later,
}

/// A session's claim on the events of one connection. Dropped before the last event was handled (the
/// session is gone, or panicked), it closes the connection.
struct Claim {
    client: Client,
    /// Which of the connection's sessions it is.
    seat: u32,
    /// Whether the last event was handled.
    over: bool,
}

impl Claim {
    fn new(client: Client) -> Self {
        Self {
            seat: client.shared.seat(),
            client,
            over: false,
        }
    }

    /// Lets the session handle the events. A panic closes the connection and goes on.
    fn take_turn<S: Session>(&mut self, session: &mut S, ctx: &mut Context<S>) -> Turn {
        let (client, over) = (&self.client, &mut self.over);
        let mut current = None;
        let turn = catch_unwind(AssertUnwindSafe(|| {
            take_turn(client, session, ctx, &mut current, over)
        }));
        turn.unwrap_or_else(|payload| {
            let text = text_of(&*payload).unwrap_or_else(|| "a panic without a text".into());
            let event = current;
            let cause = Cause::SessionPanicked { event, text };
            self.client.shared.session_gone(self.seat, cause);
            resume_unwind(payload);
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.over {
            let cause = Cause::SessionStopped;
            self.client.shared.session_gone(self.seat, cause);
        }
    }
}

fn take_turn<S: Session>(
    client: &Client,
    session: &mut S,
    ctx: &mut Context<S>,
    current: &mut Option<&'static str>,
    over: &mut bool,
) -> Turn {
    let id = client.id();
    let mut seat = Seated {
        client,
        session,
        ctx,
        current,
        back: Permit::NONE,
        left: TURN,
    };
    while seat.goes_on() {
        match client.shared.next_event(std::mem::take(&mut seat.back)) {
            None => return Turn::Done,
            Some(Next::One((event, permit))) => {
                *over |= matches!(
                    event,
                    SharedEvent::Closed(_) | SharedEvent::ConnectFailed(_)
                );
                seat.handle(ClientEvent::from_core(event, client), permit);
            }
            Some(Next::Many(batch)) => match batch.kind() {
                FrameKind::Line => seat.handle_all(|position| {
                    let (line, permit) = batch.line(position)?;
                    Some((
                        ClientEvent::LineReceived(LineReceived::new(id, line)),
                        permit,
                    ))
                }),
                FrameKind::Data => seat.handle_all(|position| {
                    let (data, permit) = batch.body(position)?;
                    Some((
                        ClientEvent::DataReceived(DataReceived::new(id, data)),
                        permit,
                    ))
                }),
                FrameKind::Message => seat.handle_all(|position| {
                    let (message, permit) = batch.body(position)?;
                    Some((
                        ClientEvent::MessageReceived(MessageReceived::new(id, message)),
                        permit,
                    ))
                }),
            },
        }
    }
    // Others come first, or the handler waits for something and what follows must wait for it too.
    client.shared.interrupt_turn(seat.back);
    Turn::Later
}

/// A session in its turn.
struct Seated<'a, S: Session> {
    client: &'a Client,
    session: &'a mut S,
    ctx: &'a mut Context<S>,
    /// The event that is being handled.
    current: &'a mut Option<&'static str>,
    /// What was handled and not yet given back.
    back: Permit,
    /// How many events may still be handled.
    left: usize,
}

impl<S: Session> Seated<'_, S> {
    #[inline]
    fn goes_on(&self) -> bool {
        self.left > 0 && !self.ctx.waiting()
    }

    /// Handles the frames of a batch, as many as nobody recalls.
    #[inline(always)]
    fn handle_all(&mut self, frame: impl Fn(usize) -> Option<(ClientEvent, Permit)>) {
        let mut claimed = 0;
        while self.goes_on()
            && let Some((event, permit)) = frame(self.client.shared.begin_frame(&mut claimed))
        {
            self.handle(event, permit);
        }
    }

    #[inline(always)]
    fn handle(&mut self, event: ClientEvent, permit: Permit) {
        self.left -= 1;
        self.back = self.back.join(permit);
        *self.current = Some(event.name());
        self.session.dispatch(event, self.ctx);
    }
}

/// Takes the turns of a session that is a connection's own, inside the session's context. A handler
/// that makes the context wait holds the events back as it holds back everything else there.
pub(crate) struct Intake(Claim);

impl Intake {
    pub(crate) fn new(client: Client) -> Self {
        Self(Claim::new(client))
    }
}

impl<S: Session> ActorFuture<S> for Intake {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut S,
        ctx: &mut Context<S>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let claim = &mut self.get_mut().0;
        if !claim.client.shared.is_called(cx.waker()) {
            return Poll::Pending;
        }
        match claim.take_turn(session, ctx) {
            Turn::Later => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Turn::Done if claim.over => {
                ctx.stop();
                Poll::Ready(())
            }
            Turn::Done => Poll::Pending,
        }
    }
}

/// A turn of a session that serves many connections.
pub struct Burst(Option<Claim>);

impl Message for Burst {
    type Result = ();
}

impl Burst {
    pub(crate) const fn new(client: Client, seat: u32) -> Self {
        let over = false;
        Self(Some(Claim { client, seat, over }))
    }

    /// Lets the session handle the events.
    #[doc(hidden)]
    pub fn deliver<S: Session>(mut self, session: &mut S, ctx: &mut Context<S>) {
        let Some(mut claim) = self.0.take() else {
            return;
        };
        claim.client.shared.begin_turn();
        match claim.take_turn(session, ctx) {
            Turn::Later => ctx.address().do_send(Self(Some(claim))),
            // The actor lives on for its other connections, and for the next turn of this one.
            Turn::Done => claim.over = true,
        }
    }
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Burst")
    }
}
