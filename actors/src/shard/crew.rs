//! Who is still at work on a shard, or will be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::placement::Share;

/// Counts the actors that a stop waits for; sessions on workers are elsewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crew(Arc<CrewList>);

#[derive(Debug, Default)]
struct CrewList {
    members: AtomicUsize,
    /// Tasks of connections without a session, which a stop waits for less long.
    tasks: AtomicUsize,
    changed: Notify,
}

/// One actor that is still there, or that is still to be made.
#[derive(Debug)]
pub(crate) struct Member {
    list: Arc<CrewList>,
    /// Its share of a worker.
    pub(crate) share: Option<Share>,
}

impl Crew {
    pub(crate) fn join(&self) -> Member {
        self.0.members.fetch_add(1, Ordering::Relaxed);
        Member {
            list: Arc::clone(&self.0),
            share: None,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.members.load(Ordering::Acquire)
    }

    /// Waits until no actor is left.
    pub(super) async fn gone(&self) {
        self.left_by(&self.0.members).await;
    }

    /// Waits until no task is left either.
    pub(super) async fn tasks_gone(&self) {
        self.left_by(&self.0.tasks).await;
    }

    async fn left_by(&self, count: &AtomicUsize) {
        loop {
            // Made before the look, it does not miss who leaves after it.
            let changed = self.0.changed.notified();
            if count.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Member {
    /// The same for a task.
    pub(crate) fn of_task(self) -> TaskMember {
        let list = Arc::clone(&self.list);
        list.tasks.fetch_add(1, Ordering::Relaxed);
        TaskMember(list)
    }
}

/// One task that is still there.
#[derive(Debug)]
pub(crate) struct TaskMember(Arc<CrewList>);

impl CrewList {
    /// One of those that this counts is gone.
    fn left(&self, place: &AtomicUsize) {
        if place.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.changed.notify_waiters();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.share = None;
        self.list.left(&self.list.members);
    }
}

impl Drop for TaskMember {
    fn drop(&mut self) {
        self.0.left(&self.0.tasks);
    }
}
