//! What a shard does when most of its connections are gone: their memory goes back to the system.
//!
//! glibc gives back by itself only what is free at the end of an arena, and something that lives always
//! stands there. So a process would keep for ever what a spike once took. It has to be asked, which is
//! done on a thread of its own when the fall has come to rest: meanwhile the shard's thread is held up
//! only if it needs memory that its own cache does not have.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::ShardLocal;
use super::task::ShardTask;

/// A spike is of at least so many connections.
const LEAST_PEAK: usize = 1_000;
/// It is over when no more than this part of them is left.
const PART_LEFT: usize = 4;
/// The fall has come to rest when none ends for so long.
const REST: Duration = Duration::from_millis(200);
/// After so many looks it is not waited for any longer.
const MOST_LOOKS: u32 = 10;
/// The least time from one time to the next.
const PAUSE: Duration = Duration::from_secs(5);

/// Notices when most connections of a shard are gone.
#[derive(Default)]
pub(super) struct Ebb {
    /// The most that there were since memory was last given back.
    peak: Cell<usize>,
    over: Notify,
}

impl Ebb {
    /// One more: so many are there now.
    pub(super) fn rise(&self, count: usize) {
        if count > self.peak.get() {
            self.peak.set(count);
        }
    }

    /// One less.
    pub(super) fn fall(&self, count: usize) {
        if self.is_over(count) {
            self.over.notify_one();
        }
    }

    fn is_over(&self, count: usize) -> bool {
        let peak = self.peak.get();
        peak >= LEAST_PEAK && count <= peak / PART_LEFT
    }
}

impl ShardLocal {
    /// Gives memory back after each spike, for as long as the task is there.
    pub(super) fn give_back_memory(self: &Rc<Self>) -> ShardTask {
        let local = Rc::clone(self);
        let task = tokio::task::spawn_local(async move {
            loop {
                local.ebb.over.notified().await;
                if local.ebb.is_over(local.count_registered()) {
                    local.come_to_rest().await;
                    local.shrink();
                    // A thread that the system does not give is no reason to end.
                    let _ = tokio::task::spawn_blocking(trim).await;
                    sleep(PAUSE).await;
                }
            }
        });
        ShardTask(task.abort_handle())
    }

    async fn come_to_rest(&self) {
        let mut left = self.count_registered();
        for _ in 0..MOST_LOOKS {
            sleep(REST).await;
            let before = std::mem::replace(&mut left, self.count_registered());
            if left >= before {
                break;
            }
        }
    }

    /// The registries have room for what is left, and as many again.
    fn shrink(&self) {
        let count = self.count_registered();
        self.ebb.peak.set(count);
        self.registry.borrow_mut().shrink_to(2 * count);
        self.lingering.borrow_mut().shrink_to(2 * count);
    }

    fn count_registered(&self) -> usize {
        self.registry.borrow().len()
    }
}

/// Has the allocator give back every page that is free.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the allocator is asked in C")]
fn trim() {
    // SAFETY: it takes no pointer, and may be called on any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other systems' allocators do it by themselves, or cannot be asked.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_is_over_when_a_quarter_is_left_and_few_are_none() {
        let ebb = Ebb::default();
        ebb.rise(LEAST_PEAK - 1);
        assert!(!ebb.is_over(0));
        ebb.rise(4_000);
        ebb.rise(3_999);
        assert!(!ebb.is_over(1_001));
        assert!(ebb.is_over(1_000));
    }
}
