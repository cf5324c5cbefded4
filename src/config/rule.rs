//! The rules that settings are made of: idleness, crashes, reconnecting, least rates.

use std::time::Duration;

use crate::restart::BackoffConfig;

/// What to do when nothing moved for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleRule {
    /// For how long.
    pub after: Duration,
    /// What to do then.
    pub action: IdleAction,
}

/// What an idle timeout does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdleAction {
    /// Closes the connection with reason Timeout.
    #[default]
    Close,
    /// Tells the session by `Idle`, and counts again from then.
    Report,
}

/// What becomes of a connection whose session panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrashPolicy {
    /// It closes with reason Error, after it has sent what is queued.
    #[default]
    Close,
    /// It is reset, and what is queued is not sent: the peer must not take it for an answer. Reason Error.
    Abort,
    /// It stays open, and its factory makes another session, which is told `Adopted`. The event that the
    /// old one was handling is not told again; everything behind it is still there.
    Restart {
        /// The most restarts in any such period; one more panic closes it.
        max: u32,
        /// The period.
        within: Duration,
    },
}

/// How an outbound connection is established again.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReconnectConfig {
    /// The pauses between attempts; a link that lasts for its `stable` time begins everything anew.
    pub backoff: BackoffConfig,
    /// The most attempts since a link was stable, the first one included. Default: 20; `None` is without
    /// end.
    pub max_attempts: Option<u32>,
    /// What decides the jitter of the pauses. Default (`None`): chance.
    pub seed: Option<u64>,
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self {
            backoff: BackoffConfig::default(),
            max_attempts: Some(20),
            seed: None,
        }
    }
}

/// How much must move while we wait for the peer. Only moved bytes count; the first window begins when
/// the waiting begins, and each later one when the one before it has brought enough. The rate of the
/// defaults is that of Kestrel's least data rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// Bytes per second.
    pub bytes: u64,
    /// Over how long they are counted: each window must bring as many as it has seconds, times
    /// `bytes`.
    pub window: Duration,
}

impl RateRule {
    /// Two hundred and forty bytes a second, counted over a minute.
    pub const DEFAULT: Self = Self {
        bytes: 240,
        window: Duration::from_secs(60),
    };

    /// This many bytes per second, counted over this long.
    #[must_use]
    pub const fn new(bytes: u64, window: Duration) -> Self {
        Self { bytes, window }
    }

    /// How many bytes a window must bring, at least one.
    pub(crate) fn least(self) -> u64 {
        let nanos = u128::from(self.bytes).saturating_mul(self.window.as_nanos());
        u64::try_from(nanos.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }
}

impl Default for RateRule {
    fn default() -> Self {
        Self::DEFAULT
    }
}
