//! Connections that are looked at when the tasks of the moment have had their turn.
//!
//! What is sent outside of a session's turn, on the connection's own thread, need not wake the connection's actor
//! for each: one task of the shard writes for all of them, and wakes an actor only if there is more to do.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::client::Shared;

use super::ShardLocal;

/// How many connections are visited before others on the thread get their turn.
const TURN: usize = 64;

/// Whom to visit.
#[derive(Default)]
pub(super) struct Visits {
    list: RefCell<Vec<Arc<Shared>>>,
    /// Of the task that visits.
    waker: RefCell<Option<Waker>>,
    /// Whether there is such a task.
    open: Cell<bool>,
}

impl ShardLocal {
    /// Has a connection that lives here visited soon. `false`: nobody visits any more.
    pub(crate) fn visit_later(&self, shared: &Arc<Shared>) -> bool {
        let Visits { list, waker, open } = &self.visits;
        if !open.get() {
            return false;
        }
        let mut list = list.borrow_mut();
        list.push(Arc::clone(shared));
        if list.len() == 1
            && let Some(waker) = &*waker.borrow()
        {
            waker.wake_by_ref();
        }
        true
    }

    /// Visits from now on, until this is dropped.
    pub(super) fn visiting(self: &Rc<Self>) -> Visiting {
        self.visits.open.set(true);
        let task = tokio::task::spawn_local(Visit(Rc::clone(self)));
        Visiting {
            local: Rc::clone(self),
            task,
        }
    }
}

/// As long as this is there, somebody visits.
pub(super) struct Visiting {
    local: Rc<ShardLocal>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Visiting {
    fn drop(&mut self) {
        self.local.visits.open.set(false);
        self.task.abort();
        for shared in self.local.visits.list.take() {
            shared.visit();
        }
    }
}

/// The task; it never ends by itself.
struct Visit(Rc<ShardLocal>);

impl Future for Visit {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Visits { list, waker, .. } = &self.0.visits;
        if !waker
            .borrow()
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            waker.replace(Some(cx.waker().clone()));
        }
        let mut visited = list.take();
        let later = visited.split_off(visited.len().min(TURN));
        for shared in visited.drain(..) {
            shared.visit();
        }
        let mut list = list.borrow_mut();
        if later.is_empty() && list.is_empty() {
            // The memory is used again.
            *list = visited;
        } else {
            list.splice(..0, later);
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
