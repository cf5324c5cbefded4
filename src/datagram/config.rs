//! Every knob of a datagram socket: its unit, its default, and what happens at the limit.

use std::time::Duration;

use crate::config::{ConfigError, CrashPolicy};
use crate::error::LimitsError;

/// The longest datagram that there is room for; those of Unix sockets have no other limit.
const MOST_RECV_SIZE: usize = 16 * 1024 * 1024;

/// The settings of a datagram socket. They are fixed when it opens, except where a command says
/// otherwise.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DatagramConfig {
    /// The longest datagram that is received whole, in bytes. Default: 65,535; at least 256, at most
    /// 16 MiB, which a thread keeps for all its sockets (UDP knows none beyond 65,507). A longer
    /// one is cut and flagged (XAS-58, XAS-59).
    pub recv_size: usize,
    /// How many received datagrams may wait for the session or be with it. Default: 64; at least 1. At
    /// the limit reading stops, and more is left to the kernel, which drops what it has no room for.
    /// Should they all be with the session, one more is read for a one-shot receiver.
    pub recv_datagrams: usize,
    /// The same in bytes. Default: 1 MiB; at least 1. As much room as `recv_size` is taken for granted
    /// for each datagram that is to be read; one always fits.
    pub recv_bytes: usize,
    /// How many datagrams may be queued to be sent, those whose name is being looked up and failed ones
    /// that the session was not told yet included. Default: 1,024; at least 1. A send beyond it is
    /// refused.
    pub send_datagrams: usize,
    /// The same in bytes. Default: 1 MiB; at least 1. A datagram longer than all of it is always
    /// refused.
    pub send_bytes: usize,
    /// Queued bytes above which writing is paused. Default: 64 KiB (AIO-07).
    pub write_high: usize,
    /// Queued bytes at or below which writing is resumed. Default: 16 KiB (AIO-07).
    pub write_low: usize,
    /// How many datagrams are moved each way per wake. Default: 16; at least 1. At the limit others have
    /// their turn first.
    pub budget: usize,
    /// How many sends with a token may be without a notice that was handled. Default: 65,536; at least 1.
    /// A send with a token beyond it is refused. Shared handlers may have up to 128 notices more in their
    /// mailboxes.
    pub max_notices: usize,
    /// How long a socket whose session panicked may wait for another one. Default: 5 s; then it closes
    /// with reason Timeout.
    pub adoption_timeout: Duration,
    /// How long a close may take to send what is queued, unless `Close` says otherwise. Default: 5 s;
    /// then what is left is dropped, and counted.
    pub flush_timeout: Duration,
    /// When no datagram moved either way for so long, it closes with reason Timeout. Default: never.
    pub idle_timeout: Option<Duration>,
    /// What becomes of the socket when its session panics. Default: it closes.
    pub crash: CrashPolicy,
}

impl Default for DatagramConfig {
    fn default() -> Self {
        Self {
            recv_size: 65_535,
            recv_datagrams: 64,
            recv_bytes: 1024 * 1024,
            send_datagrams: 1024,
            send_bytes: 1024 * 1024,
            write_high: 64 * 1024,
            write_low: 16 * 1024,
            budget: 16,
            max_notices: 64 * 1024,
            adoption_timeout: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(5),
            idle_timeout: None,
            crash: CrashPolicy::Close,
        }
    }
}

impl DatagramConfig {
    /// Checks every setting once, before anything is opened with it.
    ///
    /// # Errors
    /// The first setting that cannot work, by name.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (setting, value, least) in [
            ("recv_size", self.recv_size, 256),
            ("recv_datagrams", self.recv_datagrams, 1),
            ("recv_bytes", self.recv_bytes, 1),
            ("send_datagrams", self.send_datagrams, 1),
            ("send_bytes", self.send_bytes, 1),
            ("budget", self.budget, 1),
            ("max_notices", self.max_notices, 1),
        ] {
            if value < least {
                return Err(ConfigError::TooSmall {
                    setting,
                    value,
                    least,
                });
            }
        }
        if self.recv_size > MOST_RECV_SIZE {
            return Err(ConfigError::TooLarge {
                setting: "recv_size",
                value: self.recv_size,
                most: MOST_RECV_SIZE,
            });
        }
        if self.write_high < self.write_low {
            return Err(ConfigError::Limits(LimitsError {
                high: self.write_high,
                low: self.write_low,
            }));
        }
        for (setting, duration) in [
            ("adoption_timeout", Some(self.adoption_timeout)),
            ("flush_timeout", Some(self.flush_timeout)),
            ("idle_timeout", self.idle_timeout),
        ] {
            if duration == Some(Duration::ZERO) {
                return Err(ConfigError::ZeroDuration { setting });
            }
        }
        self.crash.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XAS-58.
    #[test]
    fn xas_58_the_defaults_are_valid_and_a_bad_setting_is_named() {
        DatagramConfig::default().validate().unwrap();
        type Set = fn(&mut DatagramConfig);
        let table: [(Set, &str); 7] = [
            (|c| c.recv_size = 255, "recv_size is 255, the least is 256"),
            (|c| c.recv_datagrams = 0, "recv_datagrams"),
            (|c| c.budget = 0, "budget"),
            (|c| c.write_low = c.write_high + 1, "the high mark"),
            (|c| c.idle_timeout = Some(Duration::ZERO), "idle_timeout"),
            (|c| c.flush_timeout = Duration::ZERO, "flush_timeout"),
            (
                |c| {
                    c.crash = CrashPolicy::Restart {
                        max: 0,
                        within: Duration::from_secs(1),
                    };
                },
                "crash.max",
            ),
        ];
        for (set, name) in table {
            let mut config = DatagramConfig::default();
            set(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
