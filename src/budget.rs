//! A budget of bytes that many connections share.

use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// How far a share may be from the truth, in bytes: a smaller change is not written down.
pub const GRAIN: usize = 4 * 1024;

/// Counts the bytes that wait in all connections together (shared by its clones), and wakes who waits
/// when the sum crosses a mark: the limit upwards, or four fifths of it downwards.
///
/// The sum is off by at most one [`GRAIN`] for each connection, so that one with little to hold costs
/// nothing at all. Nothing is refused: a budget counts, and whoever waits for it acts.
///
/// ```
/// use switchboard_core::Budget;
///
/// let budget = Budget::new(100_000);
/// let mut share = budget.share();
/// share.update(90_000);
/// assert_eq!(budget.used(), 90_000);
/// share.update(90_001); // too little to be written down
/// assert_eq!(budget.used(), 90_000);
/// drop(share);
/// assert_eq!(budget.used(), 0);
/// ```
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    used: AtomicUsize,
    /// How often either mark was crossed.
    crossings: AtomicU64,
    /// Whether pressure was told and its end was not.
    told: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Budget {
    /// A budget of so many bytes, none of them used.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit,
                used: AtomicUsize::new(0),
                crossings: AtomicU64::new(0),
                told: AtomicBool::new(false),
                wakers: Mutex::default(),
            }),
        }
    }

    /// A share that holds nothing yet.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            counted: 0,
        }
    }

    /// How many bytes there may be.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.limit
    }

    /// How many there are, as far as they are written down.
    #[must_use]
    pub fn used(&self) -> usize {
        self.shared.used.load(Acquire)
    }

    /// How many there may be for the pressure to be over: four fifths of the limit.
    #[must_use]
    pub fn relief(&self) -> usize {
        self.shared.relief()
    }

    /// Whether there are more than there may be.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used() > self.limit()
    }

    /// Whether there are so few that the pressure is over.
    #[must_use]
    pub fn is_relieved(&self) -> bool {
        self.used() <= self.relief()
    }

    /// How often a mark was crossed so far. Who waits for the next time registers first, then looks.
    #[must_use]
    pub fn crossings(&self) -> u64 {
        self.shared.crossings.load(Acquire)
    }

    /// Wakes this waker once, when a mark is crossed. One that would wake a task which waits already is
    /// not kept twice.
    pub fn register(&self, waker: &Waker) {
        let mut wakers = self.shared.wakers.lock();
        let wakers = wakers.as_deref_mut();
        let wakers = wakers.unwrap_or_else(|poisoned| poisoned.get_mut());
        if !wakers.iter().any(|waiting| waiting.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Whether the caller is the one who tells that there is pressure, or that it is over.
    #[must_use]
    pub fn tells(&self, pressure: bool) -> bool {
        self.shared.told.swap(pressure, AcqRel) != pressure
    }
}

impl Shared {
    const fn relief(&self) -> usize {
        self.limit - self.limit / 5
    }

    #[cold]
    fn crossed(&self) {
        self.crossings.fetch_add(1, AcqRel);
        let wakers =
            std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// What one connection has of a [`Budget`]; given back when it is dropped, on whatever path.
pub struct Share {
    budget: Budget,
    counted: usize,
}

impl Share {
    /// Says how many bytes it holds now. It is written down when it differs by a [`GRAIN`] or more, or
    /// when it is nothing. `true`: it has grown, and the budget is exceeded.
    #[inline]
    pub fn update(&mut self, held: usize) -> bool {
        let differs = held.abs_diff(self.counted) >= GRAIN || (held == 0 && self.counted > 0);
        differs && self.write_down(held)
    }

    /// How many bytes are written down for it.
    #[must_use]
    pub const fn counted(&self) -> usize {
        self.counted
    }

    fn write_down(&mut self, held: usize) -> bool {
        let shared = &*self.budget.shared;
        let before = std::mem::replace(&mut self.counted, held);
        if held > before {
            let more = held - before;
            let was = shared.used.fetch_add(more, AcqRel);
            let is = was.saturating_add(more);
            if was <= shared.limit && is > shared.limit {
                shared.crossed();
            }
            is > shared.limit
        } else {
            let less = before - held;
            let was = shared.used.fetch_sub(less, AcqRel);
            let relief = shared.relief();
            if was > relief && was - less <= relief {
                shared.crossed();
            }
            false
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.update(0);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("used", &self.shared.used.load(Relaxed))
            .field("limit", &self.limit())
            .finish()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("counted", &self.counted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn each_mark_wakes_once_per_crossing() {
        let budget = Budget::new(100_000);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let times = || woken.0.load(Relaxed);
        let mut share = budget.share();
        let mut go = |held| {
            budget.register(&waker);
            budget.register(&waker);
            (share.update(held), times())
        };
        assert_eq!(go(100_000), (false, 0), "the limit itself is allowed");
        assert_eq!(go(105_000), (true, 1));
        assert_eq!(go(110_000), (true, 1), "it is over already");
        assert_eq!(go(90_000), (false, 1), "not relieved yet");
        assert_eq!(go(110_000), (true, 2));
        assert_eq!(go(80_000), (false, 3));
        assert_eq!(go(0), (false, 3));
        assert_eq!(budget.crossings(), 3);
    }

    #[test]
    fn pressure_and_its_end_are_told_by_one_each() {
        let budget = Budget::new(1);
        assert!(!budget.tells(false), "there was none");
        assert!(budget.tells(true));
        assert!(!budget.clone().tells(true));
        assert!(budget.clone().tells(false));
        assert!(!budget.tells(false));
    }

    proptest! {
        /// Whatever many shares do, on several threads: the sum is right but for a grain each, it
        /// crosses its marks alternately or more, and it is nothing when they are gone.
        #[test]
        fn the_sum_is_that_of_the_shares_and_comes_back_to_nothing(
            work in prop::collection::vec(prop::collection::vec(0_usize..200_000, 0..40), 1..5),
        ) {
            let budget = Budget::new(100_000);
            let shares: Vec<Share> = std::thread::scope(|scope| {
                let threads: Vec<_> = work
                    .iter()
                    .map(|amounts| {
                        let mut share = budget.share();
                        scope.spawn(move || {
                            for held in amounts {
                                share.update(*held);
                                assert!(share.counted().abs_diff(*held) < GRAIN);
                            }
                            share
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let counted: usize = shares.iter().map(Share::counted).sum();
            prop_assert_eq!(budget.used(), counted);
            let held: usize = work.iter().filter_map(|amounts| amounts.last()).sum();
            prop_assert!(counted.abs_diff(held) <= GRAIN * work.len());
            drop(shares);
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
