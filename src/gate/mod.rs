//! Admission: exact limits of live connections, the rate of new ones, who may come in by address, and
//! what to do when accepting fails.

mod accept;
mod alarm;
mod cidr;
mod prefix;
mod rate;
mod reject;

use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Waker;

use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard};

pub use accept::{AcceptBackoff, AcceptFault};
pub use alarm::{Alarm, AlarmChange, AlarmCounter, AlarmError};
pub use cidr::{AccessList, Cidr, CidrError};
pub use prefix::{PrefixGate, PrefixLengths, PrefixPass};
pub use rate::{AcceptRate, RateError};
pub use reject::RejectReason;

/// Lets in so many and not one more, however many threads ask (shared by its clones).
///
/// A pass is taken before a connection is accepted and goes with it; dropping it is the only way to
/// leave, so the count is right on every path, panics included. The limit can change at any time;
/// lowering it below the number inside puts nobody out, it only lets nobody in until enough have
/// left.
///
/// Who finds it full waits without asking again:
///
/// ```
/// # use std::task::{Context, Poll};
/// # use switchboard_core::gate::{Gate, GatePass};
/// fn poll_enter(gate: &Gate, cx: &mut Context<'_>) -> Poll<GatePass> {
///     match gate.try_enter() {
///         Some(pass) => Poll::Ready(pass),
///         None => {
///             gate.register(cx.waker());
///             Poll::Pending
///         }
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    /// An [`Occupancy`]. Both numbers are in one word, so that the limit which let somebody in was
    /// the limit at that very moment.
    occupancy: AtomicU64,
    /// Whether `wakers` may hold any.
    waiting: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

/// How many are inside, and how many may be.
#[derive(Clone, Copy)]
struct Occupancy {
    live: u32,
    limit: u32,
}

/// Stands for no limit. More cannot be counted, let alone served.
const UNLIMITED: u32 = u32::MAX;

impl Gate {
    /// A gate for at most `limit`. From 4,294,967,295 on it is unlimited; zero lets nobody in.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let occupancy = Occupancy {
            live: 0,
            limit: saturated(limit),
        };
        Self {
            shared: Arc::new(Shared {
                occupancy: AtomicU64::new(occupancy.pack()),
                waiting: AtomicBool::new(false),
                wakers: Mutex::default(),
            }),
        }
    }

    /// A gate that only counts.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// A pass, or `None` when the gate is full. Takes no lock and does not wait.
    #[must_use]
    pub fn try_enter(&self) -> Option<GatePass> {
        self.shared
            .occupancy
            .fetch_update(SeqCst, SeqCst, |word| {
                let now = Occupancy::unpack(word);
                now.has_room().then(|| {
                    let live = now.live + 1;
                    Occupancy { live, ..now }.pack()
                })
            })
            .ok()
            .map(|_| GatePass { gate: self.clone() })
    }

    /// Whether there is room now; somebody else may take it before we do.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.occupancy().has_room()
    }

    /// How many passes are out.
    #[must_use]
    pub fn live(&self) -> usize {
        widened(self.shared.occupancy().live)
    }

    /// How many may be out; `usize::MAX` when there is no limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.shared.occupancy().limit {
            UNLIMITED => usize::MAX,
            limit => widened(limit),
        }
    }

    /// Changes the limit, for all clones and at once. Wakes who waits when there is room now.
    pub fn set_limit(&self, limit: usize) {
        let limit = saturated(limit);
        // An update that never declines cannot fail.
        let _ = self.shared.occupancy.fetch_update(SeqCst, SeqCst, |word| {
            let now = Occupancy::unpack(word);
            Some(Occupancy { limit, ..now }.pack())
        });
        self.shared.wake_if_room();
    }

    /// Wakes this waker once when there is room: at once when there is already.
    ///
    /// All who wait are woken together and whoever is late registers again. A waker that would wake
    /// a task which waits already is not kept twice.
    pub fn register(&self, waker: &Waker) {
        {
            let mut wakers = self.shared.lock();
            if !wakers.iter().any(|waiting| waiting.will_wake(waker)) {
                wakers.push(waker.clone());
            }
            self.shared.waiting.store(true, SeqCst);
        }
        // A pass that came back before it could see `waiting` is seen here.
        self.shared.wake_if_room();
    }
}

impl Shared {
    fn occupancy(&self) -> Occupancy {
        Occupancy::unpack(self.occupancy.load(SeqCst))
    }

    /// Everything between the two loads is sequentially consistent: either a leaver sees that
    /// somebody waits, or who begins to wait sees the room that was left.
    fn wake_if_room(&self) {
        if !self.occupancy().has_room() || !self.waiting.load(SeqCst) {
            return;
        }
        let woken = {
            let mut wakers = self.lock();
            self.waiting.store(false, SeqCst);
            std::mem::take(&mut *wakers)
        };
        for waker in woken {
            waker.wake();
        }
    }

    /// Poisoning is no reason to stop: the list is whole whatever a waker's clone did.
    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Occupancy {
    fn unpack(word: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
        Self {
            live: u32::from_le_bytes([a, b, c, d]),
            limit: u32::from_le_bytes([e, f, g, h]),
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.limit) << 32 | u64::from(self.live)
    }

    fn has_room(self) -> bool {
        self.live < self.limit
    }
}

fn saturated(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(UNLIMITED)
}

fn widened(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("live", &self.live())
            .field("limit", &self.limit())
            .finish_non_exhaustive()
    }
}

/// The right to be inside a [`Gate`]. Dropping it leaves, exactly once, and wakes who waits.
#[must_use = "a pass that is dropped is given back at once"]
#[derive(Debug)]
pub struct GatePass {
    gate: Gate,
}

impl Drop for GatePass {
    fn drop(&mut self) {
        // `live` is the low half and counts this pass, so nothing is borrowed from the limit.
        self.gate.shared.occupancy.fetch_sub(1, SeqCst);
        self.gate.shared.wake_if_room();
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use std::thread::{self, Thread};
    use std::time::{Duration, Instant};

    use super::*;

    #[derive(Default)]
    struct CountWakes(AtomicUsize);

    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn counter() -> (Arc<CountWakes>, Waker) {
        let count = Arc::new(CountWakes::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn the_limit_is_exact_and_a_pass_returns_once() {
        let gate = Gate::new(2);
        let passes = [gate.try_enter().unwrap(), gate.clone().try_enter().unwrap()];
        assert!(gate.try_enter().is_none());
        assert_eq!((gate.live(), gate.limit()), (2, 2));
        drop(passes);
        assert_eq!(gate.live(), 0);
        assert!(gate.try_enter().is_some());
    }

    #[test]
    fn zero_is_closed_and_unlimited_counts() {
        assert!(Gate::new(0).try_enter().is_none());
        let gate = Gate::unlimited();
        let _passes: Vec<_> = (0..100).map(|_| gate.try_enter().unwrap()).collect();
        assert_eq!((gate.live(), gate.limit()), (100, usize::MAX));
    }

    #[test]
    fn a_lower_limit_puts_nobody_out_and_lets_nobody_in() {
        let gate = Gate::new(3);
        let mut passes: Vec<_> = (0..3).map(|_| gate.try_enter().unwrap()).collect();
        gate.set_limit(1);
        assert_eq!((gate.live(), gate.limit()), (3, 1));
        passes.truncate(1);
        assert!(gate.try_enter().is_none());
        passes.clear();
        assert!(gate.try_enter().is_some());
    }

    #[test]
    fn who_waits_is_woken_once_by_the_pass_that_makes_room() {
        let gate = Gate::new(1);
        let (count, waker) = counter();
        let pass = gate.try_enter();
        gate.register(&waker);
        gate.register(&waker.clone());
        assert_eq!(gate.shared.lock().len(), 1);
        assert_eq!(count.0.load(SeqCst), 0);
        drop(pass);
        assert_eq!(count.0.load(SeqCst), 1);
        drop(gate.try_enter());
        assert_eq!(count.0.load(SeqCst), 1);
    }

    #[test]
    fn every_task_that_waits_is_woken() {
        let gate = Gate::new(1);
        let counters: Vec<_> = (0..3).map(|_| counter()).collect();
        let pass = gate.try_enter();
        for (_, waker) in &counters {
            gate.register(waker);
        }
        drop(pass);
        for (count, _) in &counters {
            assert_eq!(count.0.load(SeqCst), 1);
        }
    }

    #[test]
    fn waiting_at_a_gate_with_room_wakes_at_once() {
        let (count, waker) = counter();
        Gate::new(1).register(&waker);
        assert_eq!(count.0.load(SeqCst), 1);
    }

    #[test]
    fn only_room_wakes() {
        let gate = Gate::new(2);
        let (count, waker) = counter();
        let mut passes = vec![gate.try_enter(), gate.try_enter()];
        gate.set_limit(1);
        gate.register(&waker);
        passes.pop();
        assert_eq!(count.0.load(SeqCst), 0);
        gate.set_limit(2);
        assert_eq!(count.0.load(SeqCst), 1);
    }

    #[test]
    fn a_panic_gives_the_pass_back() {
        let gate = Gate::new(1);
        let inside = gate.clone();
        let crashed = thread::spawn(move || {
            let _pass = inside.try_enter();
            std::panic::resume_unwind(Box::new("crash"));
        });
        assert!(crashed.join().is_err());
        assert_eq!(gate.live(), 0);
    }

    #[test]
    fn eight_threads_and_a_moving_limit_never_exceed_it() {
        let gate = Gate::new(3);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let pass = gate.try_enter();
                        assert!(gate.live() <= 5);
                        drop(pass);
                    }
                });
            }
            scope.spawn(|| {
                for limit in (1..=5).cycle().take(5_000) {
                    gate.set_limit(limit);
                }
            });
        });
        assert_eq!((gate.live(), gate.limit()), (0, 5));
    }

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn no_wake_up_is_lost() {
        let gate = Gate::new(1);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let waker = Waker::from(Arc::new(Unpark(thread::current())));
                    for _ in 0..2_000 {
                        let since = Instant::now();
                        let pass = loop {
                            if let Some(pass) = gate.try_enter() {
                                break pass;
                            }
                            gate.register(&waker);
                            // Waits for another thread's pass; the limit is for a lost wake-up.
                            thread::park_timeout(Duration::from_secs(20));
                            assert!(since.elapsed() < Duration::from_secs(20), "never woken");
                        };
                        drop(pass);
                    }
                });
            }
        });
        assert_eq!(gate.live(), 0);
    }
}
