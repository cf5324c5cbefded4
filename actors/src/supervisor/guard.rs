//! Guarded actor futures: a panic ends one actor, is reported, and touches nothing else.
//!
//! actix polls an actor's future in a task of its own and drops it while unwinding, so that a second
//! panic in `stopped` would abort the process. A [`Guard`] catches the panic at the poll, drops the
//! future afterwards in a second net, and tells how it ended.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{self, Poll};

use actix::{Actor, Addr, Context};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Span;

#[cfg(panic = "abort")]
compile_error!("switchboard isolates panics by catching them: build with panic = \"unwind\"");

/// How an actor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It stopped by itself, was stopped, or its thread ended.
    Normal,
    /// It panicked, with this text; or what it stood for as a supervised child has failed so.
    Panicked(String),
}

/// Starts an actor on the calling thread's local set, with what `prepare` puts into its context;
/// `on_exit` is called exactly once. Everything that the actor does happens inside `span`.
pub(crate) fn start_guarded<A>(
    actor: A,
    span: Span,
    prepare: impl FnOnce(&mut Context<A>),
    on_exit: impl FnOnce(Exit) + Unpin + 'static,
) -> Addr<A>
where
    A: Actor<Context = Context<A>>,
{
    start_killable(actor, span, prepare, on_exit).0
}

/// The same in a context that is there already, with a mailbox of its own.
pub(crate) fn start_guarded_at<A>(
    ctx: Context<A>,
    actor: A,
    span: Span,
    on_exit: impl FnOnce(Exit) + Unpin + 'static,
) where
    A: Actor<Context = Context<A>>,
{
    spawn_guarded(ctx.into_future(actor), span, on_exit);
}

/// Runs on the calling thread's local set whatever runs an actor; `on_exit` is called exactly once.
///
/// The runtime moves a task's future several times, as a whole also when it has ended: so it gets no more than
/// a pointer to move.
pub(crate) fn spawn_guarded(
    future: impl Future<Output = ()> + Unpin + 'static,
    span: Span,
    on_exit: impl FnOnce(Exit) + Unpin + 'static,
) -> JoinHandle<()> {
    tokio::task::spawn_local(Box::new(guarded(future, span, on_exit)))
}

/// What is to be run for whatever runs an actor; `on_exit` is called exactly once.
pub(crate) fn guarded(
    future: impl Future<Output = ()> + Unpin + 'static,
    span: Span,
    on_exit: impl FnOnce(Exit) + Unpin + 'static,
) -> impl Future<Output = ()> + Unpin + 'static {
    let span = (!span.is_disabled()).then(|| Box::new(span));
    Guard {
        future: Some(future),
        on_exit: Some(on_exit),
        span,
    }
}

/// The same; the handle drops the actor as it is.
pub(super) fn start_killable<A>(
    actor: A,
    span: Span,
    prepare: impl FnOnce(&mut Context<A>),
    on_exit: impl FnOnce(Exit) + Unpin + 'static,
) -> (Addr<A>, AbortHandle)
where
    A: Actor<Context = Context<A>>,
{
    let mut ctx = Context::new();
    prepare(&mut ctx);
    let future = ctx.into_future(actor);
    let address = future.address();
    (address, spawn_guarded(future, span, on_exit).abort_handle())
}

/// Runs an actor's future and survives it.
struct Guard<F: Future<Output = ()> + Unpin, E: FnOnce(Exit) + Unpin> {
    future: Option<F>,
    on_exit: Option<E>,
    /// `None` where nobody traces: each actor has this for its life.
    span: Option<Box<Span>>,
}

impl<F: Future<Output = ()> + Unpin, E: FnOnce(Exit) + Unpin> Guard<F, E> {
    /// Drops the actor, which may panic once more, and reports. A panic is reported first: what the
    /// actor held may say no more than that the actor is gone.
    fn end(&mut self, exit: Exit) {
        if exit != Exit::Normal {
            self.report(exit);
        }
        let future = self.future.take();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(future)));
        self.report(match dropped {
            Ok(()) => Exit::Normal,
            Err(payload) => Exit::Panicked(panic_text(payload)),
        });
    }

    fn span(&self) -> Span {
        self.span.as_deref().cloned().unwrap_or_else(Span::none)
    }

    /// Reports the exit, unless it was reported already.
    fn report(&mut self, exit: Exit) {
        if let Some(on_exit) = self.on_exit.take() {
            on_exit(exit);
        }
    }
}

impl<F: Future<Output = ()> + Unpin, E: FnOnce(Exit) + Unpin> Future for Guard<F, E> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let span = this.span();
        let Some(future) = &mut this.future else {
            return Poll::Ready(());
        };
        let _entered = span.enter();
        match catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => {
                this.end(Exit::Normal);
                Poll::Ready(())
            }
            Err(payload) => {
                this.end(Exit::Panicked(panic_text(payload)));
                Poll::Ready(())
            }
        }
    }
}

impl<F: Future<Output = ()> + Unpin, E: FnOnce(Exit) + Unpin> Drop for Guard<F, E> {
    fn drop(&mut self) {
        if self.on_exit.is_some() {
            let span = self.span();
            let _entered = span.enter();
            self.end(Exit::Normal);
        }
    }
}

/// The text of a panic. The payload itself is let go of without running its destructor, which could
/// panic again.
pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = text_of(&*payload);
    if text.is_none() {
        std::mem::forget(payload);
    }
    text.unwrap_or_else(|| "a panic without a text".into())
}

/// The text of a panic that goes on.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> Option<String> {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
