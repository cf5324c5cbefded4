//! A shared first-in first-out queue.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A queue shared by its clones and by threads (XAS-67).
///
/// It exists for users of XAsyncSockets' `XFiFo` and is as unbounded as that; nothing in switchboard
/// uses it. Where a producer may be faster than its consumer, take a bounded channel.
///
/// ```
/// use switchboard_core::{Fifo, FifoEmpty};
///
/// let fifo = Fifo::new();
/// fifo.put("first");
/// fifo.clone().put("second");
/// assert_eq!(fifo.get(), Ok("first"));
/// fifo.clear();
/// assert_eq!(fifo.get(), Err(FifoEmpty));
/// ```
pub struct Fifo<T> {
    queue: Arc<Mutex<VecDeque<T>>>,
}

/// There was nothing to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("fifo is empty")]
pub struct FifoEmpty;

impl<T> Fifo<T> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: Arc::default(),
        }
    }

    /// Appends an item.
    pub fn put(&self, item: T) {
        self.lock().push_back(item);
    }

    /// Takes the oldest item.
    ///
    /// # Errors
    /// When there is none. It never waits.
    pub fn get(&self) -> Result<T, FifoEmpty> {
        self.lock().pop_front().ok_or(FifoEmpty)
    }

    /// Drops every item.
    pub fn clear(&self) {
        // Dropped when the lock is free again: an item may hold this very queue.
        let items = std::mem::take(&mut *self.lock());
        drop(items);
    }

    /// Whether there is no item at this moment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How many items there are at this moment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Poisoning is no reason to stop: no code of a user runs under the lock.
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Fifo<T> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
        }
    }
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fifo")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn xas_67_first_in_first_out() {
        let fifo = Fifo::new();
        assert_eq!(fifo.get(), Err(FifoEmpty));
        for item in 0..3 {
            fifo.put(item);
        }
        assert_eq!((fifo.len(), fifo.is_empty()), (3, false));
        assert_eq!([fifo.get(), fifo.get()], [Ok(0), Ok(1)]);
        fifo.clear();
        assert!(fifo.is_empty());
        assert_eq!(fifo.get(), Err(FifoEmpty));
    }

    #[test]
    fn xas_67_four_threads_lose_nothing_and_keep_the_order_of_each() {
        const EACH: usize = 1_000;
        let fifo = Fifo::new();
        thread::scope(|scope| {
            for producer in 0..4 {
                let fifo = fifo.clone();
                scope.spawn(move || {
                    for item in 0..EACH {
                        fifo.put((producer, item));
                    }
                });
            }
        });
        let mut next = [0; 4];
        while let Ok((producer, item)) = fifo.get() {
            assert_eq!(item, next[producer]);
            next[producer] += 1;
        }
        assert_eq!(next, [EACH; 4]);
    }

    #[test]
    fn an_item_may_use_the_queue_while_it_is_dropped() {
        struct CountsWhatIsLeft(Fifo<Self>);
        impl Drop for CountsWhatIsLeft {
            fn drop(&mut self) {
                assert_eq!(self.0.len(), 0);
            }
        }
        let fifo = Fifo::new();
        fifo.put(CountsWhatIsLeft(fifo.clone()));
        fifo.clear();
    }

    #[test]
    fn handles_are_send_and_sync_for_sendable_items() {
        fn shareable<T: Send + Sync>() {}
        shareable::<Fifo<std::cell::Cell<u8>>>();
    }
}
