//! When to start again what has failed: how often at most, and after which pause.
//!
//! Both are told the time and decide nothing by chance: the jitter comes from a seed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many restarts are allowed in which time; one more is too many, and the failure goes up
/// (as in OTP's `supervisor`, whose terms these are).
///
/// ```
/// use std::time::{Duration, Instant};
/// use switchboard_core::restart::Intensity;
///
/// let mut intensity = Intensity::new(2, Duration::from_secs(5));
/// let now = Instant::now();
/// assert!(intensity.allows(now) && intensity.allows(now));
/// assert!(!intensity.allows(now), "the third one in 5 seconds");
/// assert!(intensity.allows(now + Duration::from_secs(6)));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intensity {
    most: u32,
    period: Duration,
    /// When the restarts of the last period were, oldest first; at most `most` of them.
    recent: VecDeque<Instant>,
}

impl Intensity {
    /// At most so many restarts in any such period. None at all is allowed: 0.
    #[must_use]
    pub const fn new(most: u32, period: Duration) -> Self {
        Self {
            most,
            period,
            recent: VecDeque::new(),
        }
    }

    /// Whether one more restart is allowed now; if so it is counted.
    #[must_use]
    pub fn allows(&mut self, now: Instant) -> bool {
        while let Some(oldest) = self.recent.front()
            && now.saturating_duration_since(*oldest) > self.period
        {
            self.recent.pop_front();
        }
        let allowed = self.recent.len() < self.most as usize;
        if allowed {
            self.recent.push_back(now);
        }
        allowed
    }

    /// The most restarts in a period.
    #[must_use]
    pub const fn most(&self) -> u32 {
        self.most
    }

    /// The length of the period.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }
}

/// How long the pauses between attempts are.
///
/// The first pause is up to `min`, each further one up to `factor` times as long, `max` at most. Where
/// between zero and that bound is up to chance ("full jitter"), so that many who failed together do
/// not come back together; `jitter` says how much of the pause is left to chance. What has stayed up
/// for `stable` begins anew.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BackoffConfig {
    /// The bound of the first pause. Default: 100 ms; not zero.
    pub min: Duration,
    /// The bound of every pause. Default: 30 s; at least `min`.
    pub max: Duration,
    /// How many times as long the next bound is. Default: 2; at least 1.
    pub factor: f64,
    /// Which part of a pause is left to chance. Default: 1, all of it; 0 is none.
    pub jitter: f64,
    /// How long it must have stayed up for the pauses to begin anew. Default: 10 s.
    pub stable: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(100),
            max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 1.0,
            stable: Duration::from_secs(10),
        }
    }
}

impl BackoffConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// Names the first value that cannot work.
    pub fn validate(&self) -> Result<(), BackoffError> {
        if self.min.is_zero() || self.max < self.min {
            return Err(BackoffError::Bounds {
                min: self.min,
                max: self.max,
            });
        }
        if !self.factor.is_finite() || self.factor < 1.0 {
            return Err(BackoffError::Factor(self.factor));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(BackoffError::Jitter(self.jitter));
        }
        Ok(())
    }
}

/// Pauses that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BackoffError {
    /// The shortest is zero, or longer than the longest.
    #[error(
        "pauses from {min:?} to {max:?}: the first bound must be above zero and below the last"
    )]
    Bounds {
        /// The bound of the first pause.
        min: Duration,
        /// The bound of every pause.
        max: Duration,
    },
    /// Pauses would become shorter, or have no length.
    #[error("pauses that grow by {0}: the factor must be 1 or more")]
    Factor(f64),
    /// No part of a pause.
    #[error("a jitter of {0}: it must be between 0 and 1")]
    Jitter(f64),
}

/// The pauses of one thing that fails again and again.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    bound: Duration,
    seed: u64,
    up_since: Option<Instant>,
}

impl Backoff {
    /// No failure yet. The seed decides the jitter; the same seed gives the same pauses.
    #[must_use]
    pub const fn new(config: BackoffConfig, seed: u64) -> Self {
        Self {
            bound: config.min,
            config,
            seed,
            up_since: None,
        }
    }

    /// It is up (again).
    pub const fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// Whether it has stayed up for long enough to begin anew; `false` while it is down.
    #[must_use]
    pub fn is_stable(&self, now: Instant) -> bool {
        self.up_since
            .is_some_and(|since| now.saturating_duration_since(since) >= self.config.stable)
    }

    /// It failed: how long to pause before the next attempt.
    pub fn next_pause(&mut self, now: Instant) -> Duration {
        if self.is_stable(now) {
            self.bound = self.config.min;
        }
        self.up_since = None;
        let bound = self.bound;
        self.bound = Duration::try_from_secs_f64(bound.as_secs_f64() * self.config.factor)
            .map_or(self.config.max, |next| next.min(self.config.max));
        bound.mul_f64(1.0 - self.config.jitter * self.chance())
    }

    /// From 0 to below 1 (splitmix64).
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0)) / 4_294_967_296.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_intensity_is_exact_in_any_period() {
        let start = Instant::now();
        let mut intensity = Intensity::new(3, SECOND);
        let at = |millis| start + Duration::from_millis(millis);
        for millis in [0, 400, 800] {
            assert!(intensity.allows(at(millis)));
        }
        assert!(!intensity.allows(at(900)));
        assert!(!intensity.allows(at(1000)), "the period's end is in it");
        assert!(intensity.allows(at(1001)), "the first one is out");
        assert!(
            !intensity.allows(at(1002)),
            "a refused one does not count, the others do"
        );
        assert!(!Intensity::new(0, SECOND).allows(start));
    }

    #[test]
    fn pauses_grow_to_the_longest_and_begin_anew_after_a_stable_time() {
        let config = BackoffConfig {
            jitter: 0.0,
            max: Duration::from_millis(700),
            ..BackoffConfig::default()
        };
        let mut now = Instant::now();
        let mut backoff = Backoff::new(config, 1);
        let mut pauses = |backoff: &mut Backoff, up: Duration, count: usize| {
            (0..count)
                .map(|_| {
                    backoff.up(now);
                    now += up;
                    backoff.next_pause(now).as_millis()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(pauses(&mut backoff, SECOND, 5), [100, 200, 400, 700, 700]);
        assert_eq!(pauses(&mut backoff, 10 * SECOND, 2), [100, 100]);
        assert_eq!(pauses(&mut backoff, SECOND, 2), [200, 400]);
    }

    #[test]
    fn jitter_spreads_pauses_below_their_bound_and_a_seed_repeats_it() {
        let run = |seed| {
            let mut backoff = Backoff::new(BackoffConfig::default(), seed);
            let now = Instant::now();
            (0..200)
                .map(|_| backoff.next_pause(now))
                .collect::<Vec<_>>()
        };
        let pauses = run(7);
        assert_eq!(run(7), pauses);
        assert_ne!(run(8), pauses);
        assert!(pauses.iter().all(|pause| *pause <= 30 * SECOND));
        let late = &pauses[20..];
        assert!(late.iter().any(|pause| *pause < 5 * SECOND));
        assert!(late.iter().any(|pause| *pause > 25 * SECOND));
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let check = |change: fn(&mut BackoffConfig)| {
            let mut config = BackoffConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(check(|config| config.min = Duration::ZERO).contains("above zero"));
        assert!(check(|config| config.max = Duration::from_millis(1)).contains("1ms"));
        assert!(check(|config| config.factor = 0.5).contains("0.5"));
        assert!(check(|config| config.factor = f64::NAN).contains("NaN"));
        assert!(check(|config| config.jitter = 1.5).contains("1.5"));
        assert!(BackoffConfig::default().validate().is_ok());
    }
}
