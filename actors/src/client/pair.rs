//! One task for a connection's actor and its session, where that is its own and lives on the same thread.
//!
//! A task of the runtime costs an idle connection more memory than most of what is in it. Each of the two ends by
//! itself. The actor is polled when it is called; the session whenever the task is, so that a poll may bring it
//! nothing: it must not call the actor for what that knows already.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use switchboard_core::ClientId;
use tokio::task::spawn_local;

use super::{Client, Shared};

#[cfg(test)]
mod tests;

/// What is to be run for a session.
pub(crate) type SessionRun = Box<dyn Future<Output = ()> + Unpin>;

thread_local! {
    static COMPANION: RefCell<Companion> = const { RefCell::new(Companion::Nobody) };
}

/// The session of a connection whose actor is about to begin on this thread.
enum Companion {
    Nobody,
    /// It is being made; or a worker makes it, and nobody comes.
    Awaited(ClientId),
    Here(ClientId, SessionRun),
}

impl Client {
    /// Its actor begins in a moment: a session that is made here until then begins together with it.
    pub(crate) fn await_companion(&self) {
        let earlier = COMPANION.replace(Companion::Awaited(self.id()));
        drop(earlier);
    }

    /// Runs its session on the calling thread.
    pub(crate) fn run_session(&self, session: SessionRun) {
        let alone = COMPANION.with_borrow_mut(|companion| match companion {
            Companion::Awaited(id) if *id == self.id() => {
                *companion = Companion::Here(*id, session);
                None
            }
            _ => Some(session),
        });
        if let Some(session) = alone {
            spawn_local(session);
        }
    }
}

/// Runs the actor of a connection on the calling thread, together with its session if that is to begin now.
pub(super) fn run(actor: impl Future<Output = ()> + Unpin + 'static, shared: Arc<Shared>) {
    // The runtime moves a task's future several times: so it gets no more than a pointer to move.
    match COMPANION.replace(Companion::Nobody) {
        Companion::Here(id, session) if id == shared.id => {
            spawn_local(Box::new(Pair::new(actor, session, shared)));
        }
        _ => {
            spawn_local(Box::new(actor));
        }
    }
}

/// Wakes the actor where it has a task together with the session. What wakes the task otherwise is for the
/// session: that is what mostly happens.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Option<Waker>>);

impl Bell {
    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What wakes the task.
    fn hang(&self, waker: &Waker) {
        let mut task = self.task();
        if task.is_none() {
            *task = Some(waker.clone());
        }
    }
}

impl Shared {
    fn ring(&self) {
        self.rung.store(RUNG, Ordering::Release);
    }

    /// Whether the bell was rung since.
    #[inline]
    fn is_called(&self) -> bool {
        match self.rung.load(Ordering::Relaxed) {
            SILENT => false,
            rung => self.answer(rung),
        }
    }

    #[inline(never)]
    fn answer(&self, rung: u8) -> bool {
        if rung == BEGINS {
            self.ring();
            return false;
        }
        self.rung.swap(SILENT, Ordering::Acquire) == RUNG
    }
}

/// What [`Shared::rung`] says: nobody has called the actor.
const SILENT: u8 = 0;
/// The actor is called.
const RUNG: u8 = 1;
/// It is called when its session has had its first turn.
const BEGINS: u8 = 2;

/// Wakes the connection's actor.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
        let task = self.bell.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// An actor and its session. Neither of them panics here: they are guarded.
struct Pair<A> {
    session: Option<SessionRun>,
    actor: Option<A>,
    shared: Arc<Shared>,
}

impl<A: Future<Output = ()> + Unpin> Pair<A> {
    fn new(actor: A, session: SessionRun, shared: Arc<Shared>) -> Self {
        // Nobody has called the actor yet, and it is to begin.
        shared.rung.store(BEGINS, Ordering::Release);
        Self {
            session: Some(session),
            actor: Some(actor),
            shared,
        }
    }

    #[inline]
    fn poll_actor(&mut self, cx: &mut Context<'_>) {
        // Without a session every wake is for the actor.
        if self.session.is_none() || self.shared.is_called() {
            self.poll_actor_now(cx);
        }
    }

    #[inline(never)]
    fn poll_actor_now(&mut self, cx: &mut Context<'_>) {
        let Some(actor) = &mut self.actor else {
            return;
        };
        let ended = if self.session.is_none() {
            Pin::new(actor).poll(cx)
        } else {
            self.shared.bell.hang(cx.waker());
            let waker = Waker::from(Arc::clone(&self.shared));
            Pin::new(actor).poll(&mut Context::from_waker(&waker))
        };
        if ended.is_ready() {
            self.actor = None;
        }
    }
}

impl<A: Future<Output = ()> + Unpin> Future for Pair<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        // Who was woken comes first: if the session were, it would read what the actor was woken for, the actor
        // would go on reading after it, and so on for each request. Only at the beginning the session is first.
        this.poll_actor(cx);
        if let Some(session) = &mut this.session {
            if Pin::new(session).poll(cx).is_ready() {
                this.session = None;
            }
            // What the session has woken it for.
            this.poll_actor(cx);
        }
        if this.session.is_none() && this.actor.is_none() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl<A> Drop for Pair<A> {
    /// As tasks end with their thread: in the order in which they began.
    fn drop(&mut self) {
        self.session = None;
        self.actor = None;
        let task = self.shared.bell.task().take();
        drop(task);
    }
}
