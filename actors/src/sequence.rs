//! Connections without a session: they are used in sequence, by tasks of the user's.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use switchboard_core::{Cause, Interests};
use tracing::Instrument;

use crate::session::{Holder, IntoSession, Outlet, Seat};
use crate::supervisor::panic_text;

/// No session: whoever asks is answered. A half-close of the peer's is kept open.
pub(crate) struct Sequence;

/// To keep it open the connection must not close by itself when the peer finishes.
const INTERESTS: Interests = Interests::PEER_FINISHED;

impl IntoSession for Sequence {
    const KNOWN: Option<Interests> = Some(INTERESTS);

    fn attach(self, _: Seat<'_>) -> (Interests, Outlet) {
        (INTERESTS, Outlet::Sequence)
    }
}

/// No session, but a task on the connection's thread.
pub(crate) struct Served<W> {
    pub(crate) task: W,
    /// Whether the connection ends with it.
    pub(crate) closes: bool,
}

impl<W: Future<Output = ()> + 'static> IntoSession for Served<W> {
    const KNOWN: Option<Interests> = Some(INTERESTS);

    fn attach(self, seat: Seat<'_>) -> (Interests, Outlet) {
        if let Holder::Client(client) = seat.holder {
            let (client, number) = (client.clone(), client.shared.seat());
            let member = seat.member.of_task();
            let closes = self.closes;
            // In a box from the start: what an async block takes in and awaits has its room twice.
            let guarded = guarded(Box::pin(self.task));
            let running = async move {
                let ended = guarded.await;
                drop(member);
                match ended {
                    Ok(()) if closes => {
                        client.shared.session_gone(number, Cause::SessionStopped);
                    }
                    Ok(()) => {}
                    Err(text) => {
                        let cause = Cause::SessionPanicked { event: None, text };
                        client.shared.session_gone(number, cause);
                    }
                }
            };
            tokio::task::spawn_local(running.instrument(seat.span.clone()));
        }
        (INTERESTS, Outlet::Sequence)
    }
}

/// Runs a user's task to its end; the text of a panic, if that was it.
fn guarded(task: Pin<Box<impl Future<Output = ()>>>) -> impl Future<Output = Result<(), String>> {
    let mut task = Some(task);
    poll_fn(move |cx| {
        let Some(running) = &mut task else {
            return Poll::Ready(Ok(()));
        };
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx)));
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => Ok(()),
            Err(payload) => Err(panic_text(payload)),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(task.take())));
        Poll::Ready(ended.and(dropped.map_err(panic_text)))
    })
}
