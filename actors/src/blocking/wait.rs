//! Waiting for a future on a thread of one's own.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::consume_budget;

use crate::workers;

/// Wakes a thread that is parked.
struct Parked {
    thread: Thread,
    /// Whether it was woken: others may park and unpark the same thread.
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Parked {
    /// Sleeps until it is woken, or until then at the latest.
    fn sleep(&self, until: Option<Instant>) {
        while !self.woken.swap(false, Ordering::Acquire) {
            let Some(until) = until else {
                thread::park();
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

/// Waits until it is there.
pub(super) fn for_ever<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = at_most(future.as_mut(), None) {
            return output;
        }
    }
}

/// Waits so long at most: `None` when that was not enough. The future is polled once more then, so that one with
/// a deadline of its own says itself that it is late.
pub(super) fn at_most<F: Future>(future: F, after: Option<Duration>) -> Option<F::Output> {
    let mut future = pin!(future);
    let parked = Arc::new(Parked {
        thread: thread::current(),
        woken: AtomicBool::new(false),
    });
    let waker = Waker::from(Arc::clone(&parked));
    let mut cx = Context::from_waker(&waker);
    let mut until = None;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let now = Instant::now();
        if until.is_some_and(|until| until <= now) {
            return None;
        }
        // From after the first poll on, so that a deadline that was set in it is over before.
        until = until.or_else(|| after.and_then(|after| now.checked_add(after)));
        parked.sleep(until);
    }
}

/// Whether this is a thread of a runtime that polls tasks, so that they would wait with it; not one that a
/// runtime has for blocking work, nor a worker's.
///
/// Only tokio's budget tells these apart: what is polled has one, and blocking work has none, so that it never
/// runs out. Looking spends it, which costs the task one turn.
pub(super) fn is_in_async() -> bool {
    /// More than a budget is: 128.
    const ENOUGH: u32 = 256;
    if Handle::try_current().is_err() || workers::is_here() {
        return false;
    }
    let mut cx = Context::from_waker(Waker::noop());
    (0..ENOUGH).any(|_| pin!(consume_budget()).poll(&mut cx).is_pending())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current_thread() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
    }

    #[test]
    fn a_thread_that_polls_is_told_from_one_that_may_block() {
        assert!(!is_in_async());
        let runtime = current_thread();
        let _entered = runtime.enter();
        assert!(!is_in_async(), "nothing is polled");
        runtime.block_on(async {
            assert!(is_in_async());
            assert!(is_in_async(), "the second time, too");
            let blocking = tokio::task::spawn_blocking(is_in_async).await;
            assert!(!blocking.expect("no panic"));
            let task = tokio::spawn(async { is_in_async() }).await;
            assert!(task.expect("no panic"));
        });
    }

    #[test]
    fn actors_are_async_code() {
        actix_rt::System::new().block_on(async {
            assert!(is_in_async());
            let arbiter = actix_rt::Arbiter::new();
            let (answer, answered) = tokio::sync::oneshot::channel();
            arbiter.spawn_fn(|| {
                let _ = answer.send(is_in_async());
            });
            assert!(answered.await.expect("an answer"));
            arbiter.stop();
            arbiter.join().expect("no panic");
        });
    }

    #[test]
    fn waiting_ends_in_time_and_not_before() {
        let began = Instant::now();
        let after = Duration::from_millis(50);
        assert!(at_most(std::future::pending::<()>(), Some(after)).is_none());
        assert!(began.elapsed() >= after);
    }

    #[test]
    fn a_wake_from_another_thread_is_not_missed_beside_others_of_the_same_thread() {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let waiting = thread::current();
        let answering = thread::spawn(move || {
            // Not for it: it sleeps on.
            waiting.unpark();
            answer.send(7)
        });
        assert_eq!(for_ever(answered), Ok(7));
        assert_eq!(answering.join().expect("no panic"), Ok(()));
    }
}
