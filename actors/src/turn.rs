//! How a session gets at its events: it takes turns.
//!
//! The connection's actor only says that there are events; the session then takes them, one by one,
//! straight from the machine until none is left. So what it does in one handler (arm, pause, close)
//! decides what it gets next. A session that is the connection's own is woken by an [`Intake`] in its
//! own context; one that serves many connections gets a [`Burst`] in its mailbox. Whatever else has a
//! session is a [`Source`] of events in the same way.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use actix::{ActorContext, ActorFuture, AsyncContext, Message};
use switchboard_core::connection::{FrameKind, Permit};
use switchboard_core::{Cause, Interests};

use crate::client::{Client, Next, SharedEvent};
use crate::message::{ClientEvent, DataReceived, LineReceived, MessageReceived};
#[cfg(unix)]
use crate::process::{PipeOf, Process};
use crate::session::Session;
use crate::supervisor::text_of;
use crate::udp::Socket;

/// How many events a session handles before others on its thread get their turn.
const TURN: usize = 128;

/// How a turn ended.
pub(crate) enum Turn {
    /// Nothing is left.
    Done,
    /// There may be more, but others come first.
    Later,
}

/// Where a session gets its events from: whatever has a session of its own.
pub(crate) trait Source: 'static {
    /// What a turn begins with.
    type Called;

    /// Which of its sessions it is on.
    fn seat(&self) -> u32;

    /// The session of this seat failed or ended.
    fn session_gone(&self, seat: u32, cause: Cause);

    /// Begins a turn of a session of its own if there are events, perhaps with the first of them; `false`: there
    /// are none, and the waker will be called when there are.
    fn call(&self, waker: &Waker, called: &mut Option<Self::Called>) -> bool;

    /// A session that serves many begins a turn.
    fn begin_turn(&self);

    /// Connections whose events the session takes besides.
    fn parts(&self) -> Vec<Client> {
        Vec::new()
    }

    /// Whether the session has nothing left when this source is over.
    fn ends_session(&self) -> bool {
        true
    }

    /// Lets the session handle what there is, and first what it was called with; `over` is set when the last
    /// event of all is handled.
    fn take_turn<S: Session>(
        &self,
        seat: &mut Seated<'_, S>,
        called: &mut Option<Self::Called>,
        over: &mut bool,
    ) -> Turn;
}

/// A session's claim on the events of one source. Dropped before the last event was handled (the session
/// is gone, or panicked), it closes it.
struct Claim<C: Source> {
    source: C,
    /// Which of its sessions it is.
    seat: u32,
    /// Whether the last event was handled.
    over: bool,
}

impl<C: Source> Claim<C> {
    fn new(source: C) -> Self {
        Self {
            seat: source.seat(),
            source,
            over: false,
        }
    }

    /// Lets the session handle the events. A panic is told to the source and goes on.
    fn take_turn<S: Session>(
        &mut self,
        session: &mut S,
        ctx: &mut S::Context,
        called: &mut Option<C::Called>,
    ) -> Turn {
        let (source, over) = (&self.source, &mut self.over);
        let mut current = None;
        let turn = catch_unwind(AssertUnwindSafe(|| {
            let mut seat = Seated {
                session,
                ctx,
                current: &mut current,
                back: Permit::NONE,
                left: TURN,
            };
            source.take_turn(&mut seat, called, over)
        }));
        turn.unwrap_or_else(|payload| {
            let text = text_of(&*payload).unwrap_or_else(|| "a panic without a text".into());
            let event = current;
            let cause = Cause::SessionPanicked { event, text };
            self.source.session_gone(self.seat, cause);
            resume_unwind(payload);
        })
    }

    /// One turn of a session that serves many, from its mailbox. `true`: there may be more.
    fn take_one<S: Session>(&mut self, session: &mut S, ctx: &mut S::Context) -> bool {
        self.source.begin_turn();
        match self.take_turn(session, ctx, &mut None) {
            Turn::Later => true,
            Turn::Done => {
                // The actor lives on for its other connections, and for the next turn of this one.
                self.over = true;
                false
            }
        }
    }
}

impl<C: Source> Drop for Claim<C> {
    fn drop(&mut self) {
        if !self.over {
            let cause = Cause::SessionStopped;
            self.source.session_gone(self.seat, cause);
        }
    }
}

impl Source for Client {
    type Called = Next;

    fn seat(&self) -> u32 {
        self.shared.seat()
    }

    fn session_gone(&self, seat: u32, cause: Cause) {
        self.shared.session_gone(seat, cause);
    }

    #[inline]
    fn call(&self, waker: &Waker, called: &mut Option<Next>) -> bool {
        self.shared.call(waker, called)
    }

    fn begin_turn(&self) {
        self.shared.begin_turn();
    }

    #[cfg(unix)]
    fn ends_session(&self) -> bool {
        self.shared.pipe_of.is_none()
    }

    #[inline]
    fn take_turn<S: Session>(
        &self,
        seat: &mut Seated<'_, S>,
        called: &mut Option<Next>,
        over: &mut bool,
    ) -> Turn {
        #[cfg(unix)]
        if let Some(pipe) = &self.shared.pipe_of {
            return self.take_turn_of_pipe(pipe, seat, called, over);
        }
        match called.take() {
            // Mostly it is one line, alone.
            Some(Next::Line(line, permit)) => {
                let line = LineReceived::new(self.id(), line);
                seat.handle(ClientEvent::LineReceived(line), permit);
                if seat.goes_on()
                    && !self
                        .shared
                        .next_event(std::mem::take(&mut seat.back), called)
                {
                    return Turn::Done;
                }
            }
            other => *called = other,
        }
        self.take_rest(seat, called, over)
    }
}

impl Client {
    /// The turn from here on, whatever there is.
    #[inline(never)]
    fn take_rest<S: Session>(
        &self,
        seat: &mut Seated<'_, S>,
        next: &mut Option<Next>,
        over: &mut bool,
    ) -> Turn {
        let id = self.id();
        let claim = |claimed: &mut u32| self.shared.begin_frame(claimed);
        loop {
            match next.take() {
                None => {}
                Some(Next::Line(line, permit)) => {
                    let line = LineReceived::new(id, line);
                    seat.handle(ClientEvent::LineReceived(line), permit);
                }
                Some(Next::One((event, permit))) => {
                    *over |= matches!(
                        event,
                        SharedEvent::Closed(_) | SharedEvent::ConnectFailed(_)
                    );
                    let is_unheard = matches!(event, SharedEvent::Closed(_))
                        && !S::INTERESTS.contains(Interests::CLOSED);
                    if is_unheard {
                        // Nobody is told why: nothing is made of it.
                        seat.back = seat.back.join(permit);
                    } else {
                        seat.handle(ClientEvent::from_core(event, self), permit);
                    }
                }
                Some(Next::Many(batch)) => match batch.kind() {
                    FrameKind::Line => seat.handle_all(claim, |position| {
                        let (line, permit) = batch.line(position)?;
                        Some((
                            ClientEvent::LineReceived(LineReceived::new(id, line)),
                            permit,
                        ))
                    }),
                    FrameKind::Data => seat.handle_all(claim, |position| {
                        let (data, permit) = batch.body(position)?;
                        Some((
                            ClientEvent::DataReceived(DataReceived::new(id, data)),
                            permit,
                        ))
                    }),
                    FrameKind::Message => seat.handle_all(claim, |position| {
                        let (message, permit) = batch.body(position)?;
                        Some((
                            ClientEvent::MessageReceived(MessageReceived::new(id, message)),
                            permit,
                        ))
                    }),
                },
            }
            if !seat.goes_on() {
                break;
            }
            if !self.shared.next_event(std::mem::take(&mut seat.back), next) {
                return Turn::Done;
            }
        }
        // Others come first, or the handler waits for something and what follows must wait for it too.
        self.shared.interrupt_turn(seat.back);
        Turn::Later
    }
}

#[cfg(unix)]
impl Client {
    /// The same for a pipe of a process, whose events are told as the process's. Apart, so that connections
    /// do not carry it through their turns.
    #[inline(never)]
    fn take_turn_of_pipe<S: Session>(
        &self,
        pipe: &PipeOf,
        seat: &mut Seated<'_, S>,
        called: &mut Option<Next>,
        over: &mut bool,
    ) -> Turn {
        let claim = |claimed: &mut u32| self.shared.begin_frame(claimed);
        let next = called;
        loop {
            match next.take() {
                None => {}
                Some(Next::Line(line, permit)) => seat.handle(pipe.line(line), permit),
                Some(Next::One((event, permit))) => {
                    let ends = pipe.ends(&event);
                    match pipe.event(event) {
                        Some(event) => seat.handle(event, permit),
                        None => seat.back = seat.back.join(permit),
                    }
                    if ends {
                        *over = true;
                        pipe.told();
                    }
                }
                Some(Next::Many(batch)) => match batch.kind() {
                    FrameKind::Line => seat.handle_all(claim, |position| {
                        let (line, permit) = batch.line(position)?;
                        Some((pipe.line(line), permit))
                    }),
                    FrameKind::Data | FrameKind::Message => seat.handle_all(claim, |position| {
                        let (data, permit) = batch.body(position)?;
                        Some((pipe.data(data), permit))
                    }),
                },
            }
            if !seat.goes_on() {
                break;
            }
            if !self.shared.next_event(std::mem::take(&mut seat.back), next) {
                return Turn::Done;
            }
        }
        self.shared.interrupt_turn(seat.back);
        Turn::Later
    }
}

/// A session in its turn.
pub(crate) struct Seated<'a, S: Session> {
    session: &'a mut S,
    ctx: &'a mut S::Context,
    /// The event that is being handled.
    current: &'a mut Option<&'static str>,
    /// What was handled and not yet given back.
    pub(crate) back: Permit,
    /// How many events may still be handled.
    left: usize,
}

impl<S: Session> Seated<'_, S> {
    #[inline]
    pub(crate) fn goes_on(&self) -> bool {
        self.left > 0 && !self.ctx.waiting()
    }

    /// Handles the frames of a batch, as many as nobody recalls.
    #[inline(always)]
    fn handle_all(
        &mut self,
        claim: impl Fn(&mut u32) -> usize,
        frame: impl Fn(usize) -> Option<(ClientEvent, Permit)>,
    ) {
        let (mut claimed, mut back) = (0, self.back);
        while self.goes_on()
            && let Some((event, permit)) = frame(claim(&mut claimed))
        {
            self.left -= 1;
            back = back.join(permit);
            *self.current = Some(event.name());
            self.session.dispatch(event, self.ctx);
        }
        self.back = back;
    }

    #[inline(always)]
    pub(crate) fn handle(&mut self, event: ClientEvent, permit: Permit) {
        self.left -= 1;
        self.back = self.back.join(permit);
        *self.current = Some(event.name());
        self.session.dispatch(event, self.ctx);
    }
}

/// Takes the turns of a session that is a source's own, inside the session's context. A handler that
/// makes the context wait holds the events back as it holds back everything else there.
pub(crate) struct Intake<C: Source>(Claim<C>);

impl<C: Source> Intake<C> {
    pub(crate) fn new(source: C) -> Self {
        Self(Claim::new(source))
    }
}

impl<S: Session, C: Source + Unpin> ActorFuture<S> for Intake<C> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut S,
        ctx: &mut S::Context,
        cx: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let claim = &mut self.get_mut().0;
        let mut called = None;
        // Nothing is left for one that was interrupted behind the last event either.
        let turn = if claim.source.call(cx.waker(), &mut called) {
            claim.take_turn(session, ctx, &mut called)
        } else {
            Turn::Done
        };
        match turn {
            Turn::Later => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Turn::Done if claim.over => {
                if claim.source.ends_session() {
                    ctx.stop();
                }
                Poll::Ready(())
            }
            Turn::Done => Poll::Pending,
        }
    }
}

/// A turn of a session that serves many connections.
pub struct Burst(Claimed);

enum Claimed {
    Client(Claim<Client>),
    Socket(Claim<Socket>),
    #[cfg(unix)]
    Process(Claim<Process>),
}

impl Message for Burst {
    type Result = ();
}

impl Burst {
    pub(crate) const fn of_client(source: Client, seat: u32) -> Self {
        let over = false;
        Self(Claimed::Client(Claim { source, seat, over }))
    }

    pub(crate) const fn of_socket(source: Socket, seat: u32) -> Self {
        let over = false;
        Self(Claimed::Socket(Claim { source, seat, over }))
    }

    #[cfg(unix)]
    pub(crate) const fn of_process(source: Process) -> Self {
        let (seat, over) = (0, false);
        Self(Claimed::Process(Claim { source, seat, over }))
    }

    /// Lets the session handle the events.
    #[doc(hidden)]
    pub fn deliver<S: Session>(mut self, session: &mut S, ctx: &mut S::Context) {
        let again = match &mut self.0 {
            Claimed::Client(claim) => claim.take_one(session, ctx),
            Claimed::Socket(claim) => claim.take_one(session, ctx),
            #[cfg(unix)]
            Claimed::Process(claim) => claim.take_one(session, ctx),
        };
        if again {
            ctx.address().do_send(self);
        }
    }
}

impl fmt::Debug for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Burst")
    }
}
