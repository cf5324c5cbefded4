//! Figures, and how those of many slices become one.

use std::time::Duration;

use crate::runner::{ServerResult, Slice};

/// Something that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// The head of its column, with the unit.
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    fold: Fold,
}

/// How the slices of a server become one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fold {
    Median,
    Mean,
    Sum,
}

impl Figure {
    /// A figure of which the one in the middle counts: one odd slice cannot move it.
    pub(crate) fn median(name: &'static str, value: f64) -> Self {
        Self {
            name,
            value,
            fold: Fold::Median,
        }
    }

    /// A figure that the system samples, so that only more samples help.
    pub(crate) fn mean(name: &'static str, value: f64) -> Self {
        Self {
            name,
            value,
            fold: Fold::Mean,
        }
    }

    /// Whether a server with a greater figure is ahead.
    pub(crate) fn more_is_better(&self) -> bool {
        self.name.ends_with("per second") || self.name == "speed-up"
    }

    /// A number of faults, of which none shall be lost.
    pub(crate) fn sum(name: &'static str, value: f64) -> Self {
        Self {
            name,
            value,
            fold: Fold::Sum,
        }
    }
}

/// The figures of a server; none when there is no slice.
///
/// Slices that are not kept count only when there is no other; the table says so.
pub(crate) fn fold(server: &ServerResult, fast: Duration) -> Vec<Figure> {
    let (kept, others): (Vec<&Slice>, Vec<_>) =
        server.slices.iter().partition(|slice| slice.is_kept(fast));
    let slices = if kept.is_empty() { others } else { kept };
    let Some(model) = slices.first() else {
        return Vec::new();
    };
    let values = |index: usize| {
        slices
            .iter()
            .filter_map(move |slice| slice.figures.get(index))
            .map(|figure| figure.value)
    };
    let folded = model.figures.iter().enumerate();
    folded
        .map(|(index, figure)| Figure {
            value: figure.fold.apply(values(index).collect()),
            ..*figure
        })
        .collect()
}

impl Fold {
    fn apply(self, mut values: Vec<f64>) -> f64 {
        let sum: f64 = values.iter().sum();
        match self {
            Self::Sum => sum,
            Self::Mean => sum / values.iter().map(|_| 1.0).sum::<f64>(),
            Self::Median => {
                values.sort_by(f64::total_cmp);
                median(&values).unwrap_or(f64::NAN)
            }
        }
    }
}

/// The middle of values in order; between the two in the middle if there is no one.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(sorted[middle - 1], upper)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Conditions;

    const FAST: Duration = Duration::from_nanos(1_000);

    fn folded(slices: &[(f64, u64)], figure: fn(&'static str, f64) -> Figure) -> Option<f64> {
        let slice = |(value, nanos): &(f64, u64)| Slice {
            figures: vec![figure("cpu us", *value)],
            conditions: Some(Conditions {
                calibration: Duration::from_nanos(*nanos),
                waiting: 0.0,
            }),
        };
        let slices = slices.iter().map(slice).collect();
        let server = ServerResult {
            name: "a".to_owned(),
            slices,
            failures: 0,
        };
        fold(&server, FAST).first().map(|figure| figure.value)
    }

    #[test]
    fn disturbed_slices_do_not_count_beside_quiet_ones() {
        assert_eq!(
            folded(&[(4.0, 1_000), (9.0, 1_600), (5.0, 1_100)], Figure::median),
            Some(4.5)
        );
        assert_eq!(folded(&[(9.0, 1_600)], Figure::median), Some(9.0));
        assert_eq!(folded(&[], Figure::median), None);
    }

    #[test]
    fn medians_means_and_sums_differ() {
        let slices = [(1.0, 1_000), (2.0, 1_000), (6.0, 1_000)];
        assert_eq!(folded(&slices, Figure::median), Some(2.0));
        assert_eq!(folded(&slices, Figure::mean), Some(3.0));
        assert_eq!(folded(&slices, Figure::sum), Some(9.0));
    }
}
