//! What the pool's own actors are started again by: the rules of `switchboard_core::restart`, and the
//! clock.

use std::time::Duration;

use switchboard_core::restart::{Backoff, BackoffConfig, Intensity};
use tokio::time::Instant;

/// How often something is started again at most, and after which pauses.
#[derive(Debug, Clone)]
pub(crate) struct RestartRules {
    /// The most restarts, and in which time.
    pub(crate) intensity: (u32, Duration),
    pub(crate) backoff: BackoffConfig,
}

impl Default for RestartRules {
    fn default() -> Self {
        Self {
            intensity: (10, Duration::from_secs(10)),
            backoff: BackoffConfig::default(),
        }
    }
}

/// Watches one thing, or several that fail together.
#[derive(Debug)]
pub(crate) struct Vigil {
    intensity: Intensity,
    backoff: Backoff,
}

impl Vigil {
    /// Nothing has failed yet. The seed decides the jitter of the pauses.
    pub(crate) fn new(rules: RestartRules, seed: u64) -> Self {
        let (most, period) = rules.intensity;
        let mut backoff = Backoff::new(rules.backoff, seed);
        backoff.up(Instant::now().into_std());
        Self {
            intensity: Intensity::new(most, period),
            backoff,
        }
    }

    /// It is up again.
    pub(crate) fn up(&mut self) {
        self.backoff.up(Instant::now().into_std());
    }

    /// It failed: after which pause it is started again; `None`: it failed too often.
    pub(crate) fn failed(&mut self) -> Option<Duration> {
        let now = Instant::now().into_std();
        self.intensity
            .allows(now)
            .then(|| self.backoff.next_pause(now))
    }

    /// What it is measured against.
    pub(crate) const fn limits(&self) -> (u32, Duration) {
        (self.intensity.most(), self.intensity.period())
    }
}
