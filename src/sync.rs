//! What threads share memory with: std's, or `loom`'s under `cfg(loom)`, so that the models run the
//! code that ships.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicU32;
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(loom)]
pub(crate) use sequential::{AtomicBool, AtomicU64};

/// `loom` takes sequentially consistent accesses for acquiring and releasing ones, which is less. For
/// atomics that have no others, a fence before each access makes up for it.
#[cfg(loom)]
mod sequential {
    use loom::sync::atomic::Ordering::{self, SeqCst};
    use loom::sync::atomic::{self, fence};

    pub(crate) struct AtomicBool(atomic::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(atomic::AtomicBool::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> bool {
            self.sequential(order).load(order)
        }

        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.sequential(order).store(value, order);
        }

        fn sequential(&self, order: Ordering) -> &atomic::AtomicBool {
            assert_eq!(order, SeqCst);
            fence(SeqCst);
            &self.0
        }
    }

    pub(crate) struct AtomicU64(atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(atomic::AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            self.sequential(order).load(order)
        }

        pub(crate) fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
            self.sequential(order).fetch_sub(value, order)
        }

        pub(crate) fn fetch_update(
            &self,
            set: Ordering,
            fetch: Ordering,
            update: impl FnMut(u64) -> Option<u64>,
        ) -> Result<u64, u64> {
            assert_eq!(set, fetch);
            self.sequential(set).fetch_update(set, fetch, update)
        }

        fn sequential(&self, order: Ordering) -> &atomic::AtomicU64 {
            assert_eq!(order, SeqCst);
            fence(SeqCst);
            &self.0
        }
    }
}
