//! When a number of connections is worth a word: once on the way up, once on the way down.

/// Two marks of the number of live connections: at the high one the alarm is raised, at the low one it
/// is cleared. What moves between them is told once, not each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// Raised when so many are there, or more. At least 1.
    pub high: usize,
    /// Cleared when so many are there, or fewer. Less than `high`.
    pub low: usize,
}

/// Why an alarm cannot work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AlarmError {
    /// It would be raised and cleared by the same number.
    #[error("the alarm's low mark of {low} is not less than its high mark of {high}")]
    NoBand {
        /// The mark at which it would be raised.
        high: usize,
        /// The mark at which it would be cleared.
        low: usize,
    },
}

impl Alarm {
    /// Whether it can work.
    ///
    /// # Errors
    /// When the low mark is not less than the high one.
    pub const fn validate(&self) -> Result<(), AlarmError> {
        let Self { high, low } = *self;
        if low < high {
            Ok(())
        } else {
            Err(AlarmError::NoBand { high, low })
        }
    }
}

/// Something that an alarm has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmChange {
    /// The number has come up to the high mark.
    Raised,
    /// The number has gone down to the low mark.
    Cleared,
}

/// Counts live connections for an [`Alarm`].
#[derive(Debug, Clone)]
pub struct AlarmCounter {
    alarm: Alarm,
    live: usize,
    raised: bool,
}

impl AlarmCounter {
    /// Nobody is there yet.
    #[must_use]
    pub const fn new(alarm: Alarm) -> Self {
        Self {
            alarm,
            live: 0,
            raised: false,
        }
    }

    /// One more.
    pub const fn enter(&mut self) -> Option<AlarmChange> {
        self.live += 1;
        if self.raised || self.live < self.alarm.high {
            return None;
        }
        self.raised = true;
        Some(AlarmChange::Raised)
    }

    /// One less; never more often than [`enter`](Self::enter).
    pub const fn leave(&mut self) -> Option<AlarmChange> {
        self.live = self.live.saturating_sub(1);
        if !self.raised || self.live > self.alarm.low {
            return None;
        }
        self.raised = false;
        Some(AlarmChange::Cleared)
    }

    /// How many are there.
    #[must_use]
    pub const fn live(&self) -> usize {
        self.live
    }

    /// Whether it was raised and not cleared since.
    #[must_use]
    pub const fn is_raised(&self) -> bool {
        self.raised
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_without_a_band_are_refused() {
        for (high, low) in [(0, 0), (3, 3), (3, 4)] {
            let error = Alarm { high, low }.validate().unwrap_err();
            assert_eq!(error, AlarmError::NoBand { high, low });
        }
        Alarm { high: 1, low: 0 }.validate().unwrap();
    }

    proptest! {
        #[test]
        fn it_is_told_once_per_crossing_of_the_band(
            low in 0_usize..5, band in 1_usize..5, moves in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let alarm = Alarm { high: low + band, low };
            let mut counter = AlarmCounter::new(alarm);
            let (mut live, mut raised) = (0_usize, false);
            for up in moves {
                let change = if up {
                    live += 1;
                    counter.enter()
                } else if live > 0 {
                    live -= 1;
                    counter.leave()
                } else {
                    continue;
                };
                let expected = match raised {
                    false if live >= alarm.high => Some(AlarmChange::Raised),
                    true if live <= alarm.low => Some(AlarmChange::Cleared),
                    _ => None,
                };
                raised ^= expected.is_some();
                prop_assert_eq!(change, expected);
                prop_assert_eq!((counter.live(), counter.is_raised()), (live, raised));
            }
        }
    }
}
