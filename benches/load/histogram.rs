//! A histogram of latencies, with 16 buckets to every power of two: no answer is more than 6 % off.

use std::time::Duration;

const SUB_BITS: u32 = 4;
const SUBS: usize = 1 << SUB_BITS;
const BUCKETS: usize = (64 - SUB_BITS as usize + 1) * SUBS;

/// Counts latencies in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS].into(),
            total: 0,
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// The latency that `per_mille` of a thousand stay below; zero when nothing was counted.
    pub(crate) fn quantile(&self, per_mille: u64) -> Duration {
        let rank = self.total * per_mille / 1_000;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen > rank {
                return Duration::from_nanos(lower_edge(index));
            }
        }
        Duration::ZERO
    }
}

fn bucket(nanos: u64) -> usize {
    let shift = nanos.checked_ilog2().unwrap_or(0).saturating_sub(SUB_BITS);
    // Below 32 the shift is zero and every value has its own bucket.
    let sub = usize::try_from(nanos >> shift).expect("at most five bits are left");
    shift as usize * SUBS + sub
}

fn lower_edge(bucket: usize) -> u64 {
    let shift = (bucket / SUBS).saturating_sub(1);
    let sub = bucket - shift * SUBS;
    (sub as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_starts_where_the_one_before_ends() {
        for index in 0..BUCKETS {
            let edge = lower_edge(index);
            assert_eq!(bucket(edge), index);
            assert!(index == 0 || bucket(edge - 1) == index - 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        let mut histogram = Histogram::default();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (per_mille, exact) in [(500, 501.0), (990, 991.0), (999, 1_000.0)] {
            let found = histogram.quantile(per_mille).as_secs_f64() * 1e6;
            assert!(
                (exact - found) / exact < 1.0 / 16.0 && found <= exact,
                "{found} for {exact}"
            );
        }
        assert_eq!(Histogram::default().quantile(500), Duration::ZERO);
    }
}
