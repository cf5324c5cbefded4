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

    /// Waits until nobody is left.
    pub(super) async fn gone(&self) {
        loop {
            // Made before the look, it does not miss who leaves after it.
            let changed = self.0.changed.notified();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.share = None;
        if self.list.members.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.list.changed.notify_waiters();
        }
    }
}
