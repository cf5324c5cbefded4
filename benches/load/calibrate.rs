//! How fast the server's core is right now.
//!
//! On a shared machine a core flips for seconds between a fast and a much slower mode. A few
//! thousand socketpair round trips cost what a server's request costs, the system calls, so they
//! tell the modes apart.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::machine::{Cores, pin};

/// Runs of one measure; their median counts, so that one preemption does not.
const RUNS: usize = 5;
/// Round trips of one run.
const ROUND_TRIPS: u32 = 1_000;

/// Measures the server's core and remembers what it has seen.
#[derive(Debug)]
pub(crate) struct Calibrator {
    cores: Cores,
    pair: (UnixStream, UnixStream),
    /// All measures, the quickest first.
    seen: Vec<Duration>,
}

impl Calibrator {
    /// Measures for the first time. The calling thread stays on the core of the load.
    ///
    /// # Errors
    /// A core does not exist, or there are no descriptors left.
    pub(crate) fn new(cores: Cores) -> io::Result<Self> {
        let mut calibrator = Self {
            cores,
            pair: UnixStream::pair()?,
            seen: Vec::new(),
        };
        for _ in 0..10 {
            calibrator.measure()?;
        }
        Ok(calibrator)
    }

    /// The time of one round trip on the server's core, which must be idle meanwhile.
    ///
    /// # Errors
    /// The core went away.
    pub(crate) fn measure(&mut self) -> io::Result<Duration> {
        pin(self.cores.server)?;
        let mut runs = [Duration::ZERO; RUNS];
        for run in &mut runs {
            *run = self.run()? / ROUND_TRIPS;
        }
        pin(self.cores.load)?;
        runs.sort_unstable();
        let measured = runs[RUNS / 2];
        let place = self.seen.partition_point(|seen| *seen < measured);
        self.seen.insert(place, measured);
        Ok(measured)
    }

    /// A round trip in the fast mode: a tenth of all measures were quicker.
    ///
    /// Not the best of all, since a core that was faster once, for milliseconds, would condemn
    /// every other slice.
    pub(crate) fn fast(&self) -> Duration {
        self.seen[self.seen.len() / 10]
    }

    fn run(&mut self) -> io::Result<Duration> {
        let (near, far) = (&mut self.pair.0, &mut self.pair.1);
        let mut line = [b'.'; 64];
        let start = Instant::now();
        for _ in 0..ROUND_TRIPS {
            near.write_all(&line)?;
            far.read_exact(&mut line)?;
        }
        Ok(start.elapsed())
    }
}

/// What a slice was taken under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    /// The slower one of the calibrations before and after.
    pub(crate) calibration: Duration,
    /// The share of its time that the server, or the load, waited for its core. Others ran there
    /// then; or the server has several threads, and they waited for each other.
    pub(crate) waiting: f64,
}

impl Conditions {
    /// More waiting than this, and others had a part in the figures. Alone, it is below 0.03.
    pub(crate) const MOST_WAITING: f64 = 0.1;

    /// Whether the figures are good, if `fast` is a calibration of the fast mode.
    pub(crate) fn are_quiet(&self, fast: Duration) -> bool {
        is_fast(self.calibration, fast) && self.waiting <= Self::MOST_WAITING
    }
}

/// Whether a core that needed `measured` was in the fast mode: at most a quarter slower than `fast`.
pub(crate) fn is_fast(measured: Duration, fast: Duration) -> bool {
    measured * 4 <= fast * 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_is_fast_and_alone() {
        let fast = Duration::from_nanos(1_000);
        let quiet = |nanos, waiting| {
            Conditions {
                calibration: Duration::from_nanos(nanos),
                waiting,
            }
            .are_quiet(fast)
        };
        assert!(quiet(1_250, 0.1));
        assert!(!quiet(1_251, 0.1));
        assert!(!quiet(1_250, 0.11));
    }
}
