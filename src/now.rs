//! The time as an argument.

use std::time::Instant;

/// The present moment, asked for at most once.
///
/// The machine is told the time, it never looks. Most wakes need no time at all, so the caller may
/// pass a source that is only asked when a deadline depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    source: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Known(Instant),
    Ask(fn() -> Instant),
}

impl Now {
    /// A moment that is known already, as tests have it.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self {
            source: Source::Known(instant),
        }
    }

    /// A clock that is read when somebody first needs the time.
    #[must_use]
    pub const fn ask(clock: fn() -> Instant) -> Self {
        Self {
            source: Source::Ask(clock),
        }
    }

    /// The moment; the same one however often it is asked for.
    pub fn get(&mut self) -> Instant {
        match self.source {
            Source::Known(instant) => instant,
            Source::Ask(clock) => {
                let instant = clock();
                self.source = Source::Known(instant);
                instant
            }
        }
    }
}
