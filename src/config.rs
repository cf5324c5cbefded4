//! Every knob of a connection: its unit, its default, and what happens at the limit.

use std::time::Duration;

use crate::connection;
use crate::encoding::Encoding;
use crate::error::{ArmError, LimitsError};
use crate::frame::LineRule;
use crate::line::LineEnding;
use crate::receive::Receive;
use crate::restart::{BackoffConfig, BackoffError};

/// The largest message that four bytes of length can announce.
const MESSAGE_CEILING: usize = u32::MAX as usize;

/// The settings of a connection. They are fixed when it opens, except where a command says otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionConfig {
    /// Armed as soon as the connection opens. Default: nothing, and so nothing is read.
    pub first_receive: Option<Receive>,
    /// What ends a line. Default: LF, with or without a CR before it (AMB-01).
    pub line_rule: LineRule,
    /// How the text of lines is to be read. Default: UTF-8.
    pub encoding: Encoding,
    /// What a sent line gets behind it when it does not bring its own ending. Default: LF.
    pub line_ending: LineEnding,
    /// The longest line in bytes without its ending. Default: 64 KiB. A longer one closes the
    /// connection with reason Error (XAS-38).
    pub max_line: usize,
    /// The longest message in bytes. Default: 16 MiB. A longer one closes the connection as soon as
    /// it is announced (ACO-10).
    pub max_message: usize,
    /// The most that an exact receive may ask for, in bytes. Default: 16 MiB. More is refused when
    /// arming (XAS-43).
    pub max_recv: usize,
    /// What a "full buffer" is, in bytes (XAS-42). Default: 4,096; at least 256.
    pub recv_buffer: usize,
    /// How many received bytes may wait unframed or unhandled. Default: 64 KiB. At the limit reading
    /// stops until the session has caught up; a single frame may be as long as its own limit says.
    pub read_window: usize,
    /// How many frames may be with the session at once. Default: 64. At the limit delivery stops
    /// until one is handled.
    pub read_credit: usize,
    /// Queued bytes above which writing is paused. Default: 64 KiB (AIO-07).
    pub write_high: usize,
    /// Queued bytes at or below which writing is resumed. Default: 16 KiB (AIO-07).
    pub write_low: usize,
    /// The most bytes that may be queued. Default: 16 MiB. A send beyond it is refused (AIO-12).
    pub write_capacity: usize,
    /// Whether input is delivered while writing is paused. Default (`None`): only to a session that
    /// handles `WritePaused`, which then decides for itself; otherwise input waits, so that a
    /// session that answers everything can never overrun its peer.
    pub read_while_write_paused: Option<bool>,
    /// Size of the send slot in bytes (XAS-31, XAS-53). Default: 4,096; at least 256.
    pub send_slot: usize,
    /// When nothing was received for so long. Default: never. If nothing was to be received when the
    /// time is up, it starts anew.
    pub idle_read: Option<IdleRule>,
    /// When nothing was sent for so long. Default: never.
    pub idle_write: Option<IdleRule>,
    /// When nothing moved for so long. Default: never.
    pub idle: Option<IdleRule>,
    /// What becomes of the connection when its session panics. Default: it closes.
    pub crash: CrashPolicy,
    /// Whether an outbound connection is established again when its link is lost, and tried again when
    /// it does not come to be. Default: it is not.
    pub reconnect: Option<ReconnectConfig>,
    /// How fast the peer must send while a frame has begun and is unfinished. Default: 240 bytes a
    /// second over 60 s; then the connection closes with reason Timeout. A receive that takes whatever
    /// comes has no unfinished frames. Time in which reading was paused is not counted.
    pub read_rate: Option<RateRule>,
    /// How fast the peer must take what is queued, from when the system takes no more of it. Default:
    /// 240 bytes a second over 10 min; then the connection is reset, and what was not sent is counted.
    /// It applies to a close that flushes, too.
    ///
    /// What the system takes is what counts. It makes room in steps, which are large when the buffers
    /// of the two sockets are, hence the long window: for a shorter one make them small.
    pub write_rate: Option<RateRule>,
    /// How long a frame that has begun may take to be complete, however fast it comes. Default:
    /// 10 min. If reading is paused when the time is up, or goes on after a pause, it starts anew.
    pub frame_timeout: Option<Duration>,
    /// How old a connection may become, from when a session adopted it. It closes and flushes, with
    /// reason Timeout. Default: never; the one timeout that ends connections with which nothing is
    /// wrong.
    pub max_lifetime: Option<Duration>,
    /// How long an open connection may wait for a session. Default: 5 s.
    pub adoption_timeout: Duration,
    /// How long a close may take to send what is queued, unless `Close` says otherwise. Default:
    /// 30 s; then the connection is reset.
    pub flush_timeout: Duration,
    /// How long the connection reads on and discards after it has finished, so that a reset does not
    /// destroy its last bytes. Default: 2 s.
    pub linger_timeout: Duration,
    /// How many bytes it discards at most meanwhile. Default: 16 MiB.
    pub linger_bytes: usize,
    /// How long a connection whose peer has finished may stay without moving a byte. Default: 60 s.
    pub half_closed_timeout: Duration,
}

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

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            first_receive: None,
            line_rule: LineRule::Lenient,
            encoding: Encoding::Utf8,
            line_ending: LineEnding::Lf,
            max_line: 64 * 1024,
            max_message: 16 * 1024 * 1024,
            max_recv: 16 * 1024 * 1024,
            recv_buffer: 4096,
            read_window: 64 * 1024,
            read_credit: 64,
            write_high: 64 * 1024,
            write_low: 16 * 1024,
            write_capacity: 16 * 1024 * 1024,
            read_while_write_paused: None,
            send_slot: 4096,
            idle_read: None,
            idle_write: None,
            idle: None,
            crash: CrashPolicy::Close,
            reconnect: None,
            read_rate: Some(RateRule::DEFAULT),
            write_rate: Some(RateRule::new(240, Duration::from_secs(600))),
            frame_timeout: Some(Duration::from_secs(600)),
            max_lifetime: None,
            adoption_timeout: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            linger_bytes: 16 * 1024 * 1024,
            half_closed_timeout: Duration::from_secs(60),
        }
    }
}

/// A setting that cannot be, found before anything was opened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size or a number is below what makes sense.
    #[error("{setting} is {value}, the least is {least}")]
    TooSmall {
        /// Which setting.
        setting: &'static str,
        /// What it was set to.
        value: usize,
        /// The least that works.
        least: usize,
    },
    /// A size or a number is above what can work.
    #[error("{setting} is {value}, the most is {most}")]
    TooLarge {
        /// Which setting.
        setting: &'static str,
        /// What it was set to.
        value: usize,
        /// The most that works.
        most: usize,
    },
    /// A duration of zero, which would end everything at once.
    #[error("{setting} is zero; it must be longer")]
    ZeroDuration {
        /// Which setting.
        setting: &'static str,
    },
    /// A least rate of nothing, which asks for nothing.
    #[error("{setting} is 0 bytes per second, the least is 1")]
    ZeroRate {
        /// Which setting.
        setting: &'static str,
    },
    /// The write marks contradict each other.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The pauses between attempts to connect cannot work.
    #[error("reconnect: {0}")]
    Reconnect(#[from] BackoffError),
    /// The first receive could not be armed.
    #[error("the first receive cannot be armed: {0}")]
    FirstReceive(#[from] ArmError),
}

impl ConnectionConfig {
    /// Checks every setting once, before anything is opened with it.
    ///
    /// # Errors
    /// The first setting that cannot work, by name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (setting, value, least) in [
            ("max_line", self.max_line, 1),
            ("max_message", self.max_message, 1),
            ("max_recv", self.max_recv, 1),
            ("recv_buffer", self.recv_buffer, 256),
            ("send_slot", self.send_slot, 256),
            ("read_window", self.read_window, 1),
            ("read_credit", self.read_credit, 1),
            ("write_capacity", self.write_capacity, 1),
        ] {
            if value < least {
                return Err(ConfigError::TooSmall {
                    setting,
                    value,
                    least,
                });
            }
        }
        if self.max_message > MESSAGE_CEILING {
            return Err(ConfigError::TooLarge {
                setting: "max_message",
                value: self.max_message,
                most: MESSAGE_CEILING,
            });
        }
        if self.write_high < self.write_low {
            return Err(ConfigError::Limits(LimitsError {
                high: self.write_high,
                low: self.write_low,
            }));
        }
        for (setting, duration) in [
            ("idle_read", self.idle_read.map(|rule| rule.after)),
            ("idle_write", self.idle_write.map(|rule| rule.after)),
            ("idle", self.idle.map(|rule| rule.after)),
            ("read_rate.window", self.read_rate.map(|rule| rule.window)),
            ("write_rate.window", self.write_rate.map(|rule| rule.window)),
            ("frame_timeout", self.frame_timeout),
            ("max_lifetime", self.max_lifetime),
            ("adoption_timeout", Some(self.adoption_timeout)),
            ("flush_timeout", Some(self.flush_timeout)),
            ("linger_timeout", Some(self.linger_timeout)),
            ("half_closed_timeout", Some(self.half_closed_timeout)),
        ] {
            if duration == Some(Duration::ZERO) {
                return Err(ConfigError::ZeroDuration { setting });
            }
        }
        if let CrashPolicy::Restart { max, within } = self.crash {
            if max == 0 {
                return Err(ConfigError::TooSmall {
                    setting: "crash.max",
                    value: 0,
                    least: 1,
                });
            }
            if within.is_zero() {
                return Err(ConfigError::ZeroDuration {
                    setting: "crash.within",
                });
            }
        }
        if let Some(reconnect) = &self.reconnect {
            reconnect.backoff.validate()?;
            if reconnect.max_attempts == Some(0) {
                return Err(ConfigError::TooSmall {
                    setting: "reconnect.max_attempts",
                    value: 0,
                    least: 1,
                });
            }
        }
        for (setting, rule) in [
            ("read_rate.bytes", self.read_rate),
            ("write_rate.bytes", self.write_rate),
        ] {
            if rule.is_some_and(|rule| rule.bytes == 0) {
                return Err(ConfigError::ZeroRate { setting });
            }
        }
        if let Some(receive) = &self.first_receive {
            connection::check_receive(receive, self)?;
        }
        Ok(())
    }
}

/// Works out both marks from what was given, by asyncio's rules (AIO-08): a missing low mark is a
/// quarter of the high one, a missing high mark is four times the low one, and none at all are the
/// defaults.
///
/// # Errors
/// When the high mark is below the low one.
pub fn write_limits(
    high: Option<usize>,
    low: Option<usize>,
) -> Result<(usize, usize), LimitsError> {
    let defaults = ConnectionConfig::default();
    let (high, low) = match (high, low) {
        (None, None) => (defaults.write_high, defaults.write_low),
        (Some(high), None) => (high, high / 4),
        (None, Some(low)) => (low.saturating_mul(4), low),
        (Some(high), Some(low)) => (high, low),
    };
    if high < low {
        return Err(LimitsError { high, low });
    }
    Ok((high, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AIO-07, AIO-08.
    #[test]
    fn aio_08_write_limits_are_derived_as_asyncio_does() {
        assert_eq!(write_limits(None, None), Ok((65_536, 16_384)));
        assert_eq!(write_limits(Some(0), None), Ok((0, 0)));
        assert_eq!(write_limits(None, Some(100)), Ok((400, 100)));
        assert_eq!(write_limits(Some(100), None), Ok((100, 25)));
        assert_eq!(write_limits(Some(7), Some(7)), Ok((7, 7)));
        assert_eq!(
            write_limits(Some(10), Some(20)),
            Err(LimitsError { high: 10, low: 20 })
        );
    }

    #[test]
    fn the_defaults_are_valid_and_a_bad_setting_is_named() {
        ConnectionConfig::default().validate().unwrap();
        let config = ConnectionConfig {
            recv_buffer: 255,
            ..Default::default()
        };
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "recv_buffer is 255, the least is 256");
        let config = ConnectionConfig {
            linger_timeout: Duration::ZERO,
            ..Default::default()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("linger_timeout")
        );
    }

    #[test]
    fn a_least_rate_or_an_age_of_nothing_is_refused_by_name() {
        type Set = fn(&mut ConnectionConfig);
        const NO_BYTES: RateRule = RateRule::new(0, Duration::from_secs(1));
        const NO_WINDOW: RateRule = RateRule::new(1, Duration::ZERO);
        let table: [(Set, &str); 6] = [
            (
                |config| config.read_rate = Some(NO_BYTES),
                "read_rate.bytes",
            ),
            (
                |config| config.write_rate = Some(NO_BYTES),
                "write_rate.bytes",
            ),
            (
                |config| config.read_rate = Some(NO_WINDOW),
                "read_rate.window",
            ),
            (
                |config| config.write_rate = Some(NO_WINDOW),
                "write_rate.window",
            ),
            (
                |config| config.frame_timeout = Some(Duration::ZERO),
                "frame_timeout",
            ),
            (
                |config| config.max_lifetime = Some(Duration::ZERO),
                "max_lifetime",
            ),
        ];
        for (set, name) in table {
            let mut config = ConnectionConfig::default();
            set(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }

    /// As the documents say.
    #[test]
    fn slow_peers_are_limited_by_default_and_old_age_is_not() {
        let config = ConnectionConfig::default();
        let rule = RateRule::new(240, Duration::from_secs(60));
        assert_eq!(config.read_rate, Some(rule));
        let slower = RateRule::new(240, Duration::from_secs(10 * 60));
        assert_eq!(config.write_rate, Some(slower));
        assert_eq!(config.frame_timeout, Some(Duration::from_secs(10 * 60)));
        assert_eq!(config.max_lifetime, None);
    }

    #[test]
    fn a_window_must_bring_its_seconds_times_the_rate_and_never_nothing() {
        assert_eq!(RateRule::DEFAULT.least(), 14_400);
        assert_eq!(RateRule::new(3, Duration::from_millis(500)).least(), 2);
        assert_eq!(RateRule::new(1, Duration::from_nanos(1)).least(), 1);
        assert_eq!(RateRule::new(u64::MAX, Duration::MAX).least(), u64::MAX);
    }
}
