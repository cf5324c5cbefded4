//! Receive memory that is bounded by number and leased by guard.

use std::fmt;
use std::sync::PoisonError;

use bytes::BytesMut;

use crate::sync::{Arc, Mutex, MutexGuard};

/// A bounded set of receive buffers of one size, shared by its clones (XAS-66).
///
/// At most [`count`](Self::count) slots are ever out, also under threads; dropping a slot gives it
/// back on every path, panics included (T-23). Memory is allocated when a slot is first taken and
/// never in advance. What is given back stays allocated for the next one with `keep_alloc`, and is
/// freed without (XAS-65).
///
/// The bound is on the blocks that are leased. Bytes that were frozen out of a buffer keep their own
/// block alive until they are dropped; such a block is replaced, not waited for.
///
/// ```
/// use switchboard_core::BufferSlots;
///
/// let slots = BufferSlots::new(1, 4096, true)?;
/// let mut slot = slots.try_take().expect("one is free");
/// assert!(slots.try_take().is_none());
/// slot.buffer().extend_from_slice(b"hello");
/// drop(slot);
/// assert_eq!(slots.available(), 1);
/// # Ok::<(), switchboard_core::SlotsError>(())
/// ```
#[derive(Clone)]
pub struct BufferSlots {
    shared: Arc<Shared>,
}

struct Shared {
    count: usize,
    size: usize,
    keep_alloc: bool,
    free: Mutex<Free>,
}

struct Free {
    slots: usize,
    /// Storage of slots that were given back; never more than `slots`.
    kept: Vec<BytesMut>,
}

/// Why a set of slots cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotsError {
    /// A set needs at least one slot.
    #[error("at least one buffer slot is needed")]
    NoSlots,
    /// A buffer this small cannot hold a useful piece of input.
    #[error("buffer slots of {size} bytes are too small, the least is {min}", min = BufferSlots::MIN_SIZE)]
    TooSmall {
        /// The size asked for, in bytes.
        size: usize,
    },
}

impl BufferSlots {
    /// The smallest size of a slot, in bytes.
    pub const MIN_SIZE: usize = 256;

    /// `count` slots of `size` bytes each. Allocates none of them.
    ///
    /// # Errors
    /// When `count` is zero or `size` is below [`MIN_SIZE`](Self::MIN_SIZE).
    pub fn new(count: usize, size: usize, keep_alloc: bool) -> Result<Self, SlotsError> {
        if count == 0 {
            return Err(SlotsError::NoSlots);
        }
        if size < Self::MIN_SIZE {
            return Err(SlotsError::TooSmall { size });
        }
        let free = Mutex::new(Free {
            slots: count,
            kept: Vec::new(),
        });
        Ok(Self {
            shared: Arc::new(Shared {
                count,
                size,
                keep_alloc,
                free,
            }),
        })
    }

    /// A free slot, or `None` when all are out.
    #[must_use]
    pub fn try_take(&self) -> Option<BufferSlot> {
        let mut free = self.shared.lock();
        free.slots = free.slots.checked_sub(1)?;
        let storage = free.kept.pop().unwrap_or_default();
        drop(free);
        // The guard comes first: should allocating panic, the slot still goes back.
        let mut slot = BufferSlot {
            storage,
            shared: Arc::clone(&self.shared),
        };
        slot.restore();
        Some(slot)
    }

    /// How many slots there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.count
    }

    /// Bytes of each slot.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// How many slots are free at this moment.
    #[must_use]
    pub fn available(&self) -> usize {
        self.shared.lock().slots
    }
}

impl Shared {
    /// Poisoning is no reason to stop: no code of a user runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this storage has become larger than a slot may be.
    fn outgrown(&self, storage: &BytesMut) -> bool {
        storage.capacity() > self.size.saturating_mul(2)
    }
}

impl fmt::Debug for BufferSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferSlots")
            .field("count", &self.count())
            .field("size", &self.size())
            .field("keep_alloc", &self.shared.keep_alloc)
            .field("available", &self.available())
            .finish()
    }
}

/// One leased buffer (XAS-65). Dropping it gives it back.
#[must_use = "a slot that is dropped is given back at once"]
pub struct BufferSlot {
    storage: BytesMut,
    shared: Arc<Shared>,
}

impl BufferSlot {
    /// The buffer: empty and with room for at least [`size`](Self::size) bytes when it is taken.
    ///
    /// What is split off it takes its room along; the next lease has it all again.
    #[inline]
    #[must_use]
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.storage
    }

    /// Bytes of a slot.
    #[inline]
    #[must_use]
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// Makes room for a whole slot: with the block that it has when nothing shares it any more,
    /// with a new one otherwise.
    fn restore(&mut self) {
        let size = self.shared.size;
        if !self.storage.try_reclaim(size) || self.shared.outgrown(&self.storage) {
            self.storage = BytesMut::with_capacity(size);
        }
    }
}

impl Drop for BufferSlot {
    fn drop(&mut self) {
        let mut storage = std::mem::take(&mut self.storage);
        storage.clear();
        let keep = self.shared.keep_alloc && !self.shared.outgrown(&storage);
        let mut free = self.shared.lock();
        free.slots += 1;
        if keep {
            free.kept.push(storage);
        }
    }
}

impl fmt::Debug for BufferSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferSlot")
            .field("size", &self.size())
            .field("filled", &self.storage.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn slots(count: usize, keep_alloc: bool) -> BufferSlots {
        BufferSlots::new(count, 256, keep_alloc).unwrap()
    }

    #[test]
    fn xas_66_two_owners_share_what_there_is() {
        let one = BufferSlots::new(4, 512, true).unwrap();
        let two = one.clone();
        let taken: Vec<_> = [&one, &two, &one, &two]
            .iter()
            .map(|slots| slots.try_take().unwrap())
            .collect();
        assert!(one.try_take().is_none() && two.try_take().is_none());
        assert_eq!((one.count(), one.size(), one.available()), (4, 512, 0));
        drop(taken);
        assert_eq!(two.available(), 4);
        assert!(two.try_take().is_some());
    }

    #[test]
    fn xas_65_kept_storage_comes_back_empty_and_is_the_same_block() {
        let slots = slots(1, true);
        let mut slot = slots.try_take().unwrap();
        slot.buffer().extend_from_slice(b"secret");
        let block = slot.buffer().as_ptr();
        drop(slot);
        let mut slot = slots.try_take().unwrap();
        assert_eq!(slot.buffer().as_ptr(), block);
        assert!(slot.buffer().is_empty() && slot.buffer().capacity() >= slot.size());
    }

    #[test]
    fn xas_65_without_keep_alloc_nothing_stays() {
        let slots = slots(3, false);
        drop((slots.try_take(), slots.try_take()));
        assert!(slots.shared.lock().kept.is_empty());
        assert_eq!(slots.available(), 3);
    }

    #[test]
    fn nothing_is_allocated_before_it_is_taken() {
        let slots = BufferSlots::new(usize::MAX, 1 << 20, true).unwrap();
        assert_eq!(slots.shared.lock().kept.capacity(), 0);
        assert_eq!(slots.available(), usize::MAX);
    }

    #[test]
    fn a_block_that_was_split_is_whole_again_at_the_next_lease() {
        let slots = slots(1, true);
        let mut slot = slots.try_take().unwrap();
        slot.buffer().extend_from_slice(&[7; 200]);
        let frame = slot.buffer().split_to(150).freeze();
        drop(slot);

        let mut slot = slots.try_take().unwrap();
        assert!(slot.buffer().is_empty() && slot.buffer().capacity() >= 256);
        slot.buffer().resize(256, 9);
        assert_eq!(&frame[..], &[7; 150]);
        let all = slot.buffer().split().freeze();
        drop(slot);
        drop((frame, all));

        let mut slot = slots.try_take().unwrap();
        assert!(slot.buffer().is_empty() && slot.buffer().capacity() >= 256);
    }

    #[test]
    fn a_block_is_reused_once_nothing_shares_it() {
        let slots = slots(1, true);
        let mut slot = slots.try_take().unwrap();
        slot.buffer().extend_from_slice(b"frame");
        let block = slot.buffer().as_ptr();
        drop(slot.buffer().split_to(5).freeze());
        drop(slot);
        let mut slot = slots.try_take().unwrap();
        assert_eq!(slot.buffer().as_ptr(), block);
    }

    #[test]
    fn storage_that_its_user_took_away_or_blew_up_is_replaced() {
        let slots = slots(1, true);
        drop(std::mem::take(slots.try_take().unwrap().buffer()));
        slots.try_take().unwrap().buffer().resize(1 << 20, 0);
        let mut slot = slots.try_take().unwrap();
        assert!((256..=512).contains(&slot.buffer().capacity()));
        // Blown up and then split, so that only reclaiming shows its size.
        slot.buffer().resize(1 << 20, 0);
        drop(slot.buffer().split());
        drop(slot);
        let mut slot = slots.try_take().unwrap();
        assert!((256..=512).contains(&slot.buffer().capacity()));
    }

    #[test]
    fn t_23_a_panic_gives_the_slot_back() {
        let slots = slots(1, true);
        let crashed = catch_unwind(AssertUnwindSafe(|| {
            let _slot = slots.try_take();
            std::panic::resume_unwind(Box::new("crash"));
        }));
        assert!(crashed.is_err());
        assert_eq!(slots.available(), 1);
    }

    #[test]
    fn t_23_a_poisoned_lock_stops_nobody() {
        let slots = slots(2, true);
        let slot = slots.try_take();
        let crashed = catch_unwind(AssertUnwindSafe(|| {
            let _free = slots.shared.free.lock();
            std::panic::resume_unwind(Box::new("crash"));
        }));
        assert!(crashed.is_err() && slots.shared.free.is_poisoned());
        drop(slot);
        assert_eq!(slots.available(), 2);
        assert!(slots.try_take().is_some());
    }

    #[test]
    fn xas_66_eight_threads_never_get_more_than_there_is() {
        let slots = slots(3, true);
        let out = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        thread::scope(|scope| {
            for id in 0..8_u8 {
                let (slots, out, most) = (slots.clone(), &out, &most);
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let Some(mut slot) = slots.try_take() else {
                            thread::yield_now();
                            continue;
                        };
                        most.fetch_max(out.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        slot.buffer().resize(64, id);
                        thread::yield_now();
                        assert!(slot.buffer().iter().all(|&byte| byte == id));
                        out.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=3).contains(&most.into_inner()));
        assert_eq!(slots.available(), 3);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert_eq!(
            BufferSlots::new(0, 256, true).unwrap_err(),
            SlotsError::NoSlots
        );
        let error = BufferSlots::new(1, 255, true).unwrap_err();
        assert_eq!(error, SlotsError::TooSmall { size: 255 });
        assert_eq!(
            error.to_string(),
            "buffer slots of 255 bytes are too small, the least is 256"
        );
    }
}
