//! What settings cannot be.

use std::time::Duration;

use crate::connection;
use crate::error::{ArmError, LimitsError};
use crate::restart::BackoffError;

use super::{ConnectionConfig, CrashPolicy};

/// The largest message that four bytes of length can announce.
const MESSAGE_CEILING: usize = u32::MAX as usize;

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
        self.crash.validate()?;
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

impl CrashPolicy {
    /// Checks what a restart needs.
    pub(crate) const fn validate(self) -> Result<(), ConfigError> {
        let Self::Restart { max, within } = self else {
            return Ok(());
        };
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
        Ok(())
    }
}
