//! A token bucket: how many peers may become connections in a second.

use std::fmt;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::sync::{Arc, Mutex, MutexGuard};

/// How many peers may become connections in a second, and how many at once after a quiet time.
/// Listeners that are given clones share it.
///
/// A token bucket that begins full: each connection takes a token, and tokens come back evenly, up to
/// the burst. It is exact: in any stretch of time no more than `burst + per_second * time` get in, and who
/// always waits gets in at exactly that rate, however long it takes.
///
/// ```
/// use std::time::{Duration, Instant};
/// use switchboard_core::gate::AcceptRate;
///
/// let rate = AcceptRate::new(10, 2)?;
/// let now = Instant::now();
/// assert!(rate.try_take(now).is_ok() && rate.try_take(now).is_ok());
/// assert_eq!(rate.try_take(now), Err(now + Duration::from_millis(100)));
/// # Ok::<(), switchboard_core::gate::RateError>(())
/// ```
#[derive(Clone)]
pub struct AcceptRate {
    per_second: u32,
    burst: u32,
    bucket: Arc<Mutex<Bucket>>,
}

/// Why a rate cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateError {
    /// Nobody would ever get in.
    #[error("a rate of 0 in a second lets nobody in, the least is 1")]
    NoRate,
    /// A bucket without room for a token.
    #[error("a burst of 0 lets nobody in, the least is 1")]
    NoBurst,
}

/// A token in the bucket's own unit: in a nanosecond as many of these come back as there are tokens in
/// a second, so that nothing is ever rounded.
const TOKEN: u64 = 1_000_000_000;

struct Bucket {
    /// In billionths of a token.
    level: u64,
    /// When it was filled up last; never before it is first used.
    at: Option<Instant>,
}

impl AcceptRate {
    /// So many in a second, and so many at once.
    ///
    /// # Errors
    /// When either is 0.
    pub fn new(per_second: u32, burst: u32) -> Result<Self, RateError> {
        if per_second == 0 {
            return Err(RateError::NoRate);
        }
        if burst == 0 {
            return Err(RateError::NoBurst);
        }
        let full = Bucket {
            level: u64::from(burst) * TOKEN,
            at: None,
        };
        Ok(Self {
            per_second,
            burst,
            bucket: Arc::new(Mutex::new(full)),
        })
    }

    /// How many in a second.
    #[must_use]
    pub const fn per_second(&self) -> u32 {
        self.per_second
    }

    /// How many at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Whether there is a token, without taking it.
    ///
    /// # Errors
    /// When there will be one, unless somebody else takes it.
    pub fn check(&self, now: Instant) -> Result<(), Instant> {
        self.filled(now).1
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When there will be one, unless somebody else takes it.
    pub fn try_take(&self, now: Instant) -> Result<(), Instant> {
        let (mut bucket, there) = self.filled(now);
        there?;
        bucket.level -= TOKEN;
        Ok(())
    }

    /// Fills the bucket up to now; whether it has a token, or when it will.
    fn filled(&self, now: Instant) -> (MutexGuard<'_, Bucket>, Result<(), Instant>) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have brought a later moment already.
        let now = bucket.at.map_or(now, |at| at.max(now));
        let passed = bucket.at.map_or(Duration::ZERO, |at| now - at);
        let gained = passed.as_nanos().saturating_mul(self.per_second.into());
        let gained = u64::try_from(gained).unwrap_or(u64::MAX);
        bucket.level = bucket.level.saturating_add(gained).min(self.capacity());
        bucket.at = Some(now);
        let missing = TOKEN.saturating_sub(bucket.level);
        let there = if missing == 0 {
            Ok(())
        } else {
            let wait = missing.div_ceil(self.per_second.into());
            Err(now + Duration::from_nanos(wait))
        };
        (bucket, there)
    }

    /// The burst, and what is gained within the nanosecond to which a wait is rounded up: without it
    /// a burst of 1 would lose that part each time.
    fn capacity(&self) -> u64 {
        let within_a_nano = u64::from(self.per_second).min(TOKEN) - 1;
        u64::from(self.burst) * TOKEN + within_a_nano
    }
}

impl fmt::Debug for AcceptRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptRate")
            .field("per_second", &self.per_second)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes as often as it can until `end`, always waiting exactly as long as told.
    fn take_until(rate: &AcceptRate, mut now: Instant, end: Instant) -> u64 {
        let mut taken = 0;
        while now <= end {
            match rate.try_take(now) {
                Ok(()) => taken += 1,
                Err(then) => {
                    assert!(then > now);
                    now = then;
                }
            }
        }
        taken
    }

    #[test]
    fn nothing_and_no_burst_are_refused() {
        assert_eq!(AcceptRate::new(0, 1).unwrap_err(), RateError::NoRate);
        assert_eq!(AcceptRate::new(1, 0).unwrap_err(), RateError::NoBurst);
    }

    #[test]
    fn a_quiet_time_fills_it_up_to_the_burst() {
        let rate = AcceptRate::new(100, 5).unwrap();
        let now = Instant::now();
        assert_eq!(take_until(&rate, now, now), 5);
        let later = now + Duration::from_secs(3600);
        assert_eq!(take_until(&rate, later, later), 5);
    }

    #[test]
    fn clones_share_it_and_looking_takes_nothing() {
        let rate = AcceptRate::new(1, 1).unwrap();
        let now = Instant::now();
        assert!(rate.check(now).is_ok() && rate.check(now).is_ok());
        assert!(rate.clone().try_take(now).is_ok());
        assert_eq!(rate.check(now), Err(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_moment_that_is_past_gives_nothing() {
        let rate = AcceptRate::new(10, 1).unwrap();
        let now = Instant::now() + Duration::from_secs(10);
        rate.try_take(now).unwrap();
        let past = now - Duration::from_secs(5);
        assert_eq!(rate.try_take(past), Err(now + Duration::from_millis(100)));
    }

    #[test]
    fn ten_years_in_odd_steps_neither_lose_nor_gain() {
        const STEP: u64 = 315_360_000_123_456_789 / 1_000_000;
        let rate = AcceptRate::new(7, u32::MAX).unwrap();
        let begun = Instant::now();
        rate.check(begun).unwrap();
        rate.bucket.lock().unwrap().level = 0;
        let mut now = begun;
        for _ in 0..1_000_000 {
            now += Duration::from_nanos(STEP);
            // Only the filling up matters here.
            let _ = rate.check(now);
        }
        let level = rate.bucket.lock().unwrap().level;
        assert_eq!(level, STEP * 1_000_000 * 7);
    }

    proptest! {
        #[test]
        fn who_always_waits_gets_exactly_the_rate(
            per_second in 1_u32..5_000, burst in 1_u32..50, seconds in 1_u64..4,
        ) {
            let rate = AcceptRate::new(per_second, burst).unwrap();
            let now = Instant::now();
            let taken = take_until(&rate, now, now + Duration::from_secs(seconds));
            prop_assert_eq!(taken, u64::from(burst) + seconds * u64::from(per_second));
        }

        /// The model counts in billionths of a token too, in numbers that cannot overflow.
        #[test]
        fn it_does_as_exact_arithmetic_does(
            per_second in 1_u32..2_000_000_000, burst in 1_u32..1_000,
            steps in prop::collection::vec((0_u64..3_000_000_000, any::<bool>()), 0..100),
        ) {
            let rate = AcceptRate::new(per_second, burst).unwrap();
            let mut now = Instant::now();
            let mut tokens = u128::from(burst) * 1_000_000_000;
            let full = tokens + u128::from(per_second.min(1_000_000_000) - 1);
            for (nanos, take) in steps {
                now += Duration::from_nanos(nanos);
                tokens = full.min(tokens + u128::from(nanos) * u128::from(per_second));
                let told = if take { rate.try_take(now) } else { rate.check(now) };
                prop_assert_eq!(told.is_ok(), tokens >= 1_000_000_000);
                if let Err(then) = told {
                    prop_assert!(rate.clone().check(then).is_ok());
                    // The look has filled it up to then.
                    tokens = full.min(tokens + (then - now).as_nanos() * u128::from(per_second));
                    now = then;
                } else if take {
                    tokens -= 1_000_000_000;
                }
            }
        }
    }
}
