//! What is wanted of us, beside what was measured.

use crate::report::{figure, short};
use crate::runner::{Results, ScenarioResult};

/// The server that is ours, in each wire.
pub(crate) const OURS: &str = "switchboard";

/// Fewer rounds in turns say less than the slices do.
const ENOUGH_ROUNDS: usize = 20;

/// A row of the table of goals.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) row: &'static str,
    wanted: Wanted,
    measured: Measure,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

/// From which figures of which scenario.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// Ours as it is.
    Plain(&'static str, &'static str),
    /// Ours, divided by a peer's; in turns where enough of them were measured.
    Ratio(&'static str, &'static str, &'static str),
    /// User microseconds, ours less a peer's; in turns where enough of them were measured.
    Above(&'static str, &'static str),
}

/// A row with what was measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) row: &'static str,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    pub(crate) reached: &'static str,
}

use Measure::{Above, Plain, Ratio};
use Wanted::{AtLeast, AtMost};

/// All goals, in the order of the table.
pub(crate) const GOALS: [Goal; 13] = [
    goal(
        "ping-pong on 50 connections: CPU to bare tokio's",
        AtMost(1.07),
        Ratio("ping50", "cpu us", "tokio-lines"),
    ),
    goal(
        "ping-pong on 50 connections: user us above bare tokio's",
        AtMost(0.3),
        Above("ping50", "tokio-lines"),
    ),
    goal(
        "ping-pong on 500 connections: CPU to bare tokio's",
        AtMost(1.15),
        Ratio("ping500", "cpu us", "tokio-lines"),
    ),
    goal(
        "pipelined, 50 x 64 lines: CPU to chunked tokio's",
        AtMost(1.3),
        Ratio("pipe50x64", "cpu us", "tokio-chunks"),
    ),
    goal(
        "pipelined, 50 x 64 lines: CPU to line-by-line tokio's",
        AtMost(0.06),
        Ratio("pipe50x64", "cpu us", "tokio-lines"),
    ),
    goal(
        "churn: CPU to bare tokio's",
        AtMost(1.12),
        Ratio("churn", "cpu us", "tokio-lines"),
    ),
    goal(
        "resident bytes per idle connection",
        AtMost(2_048.0),
        Plain("idle", "bytes per connection"),
    ),
    goal(
        "resident MB kept after 10,000 connections, over the start",
        AtMost(10.0),
        Plain("idle", "MB kept"),
    ),
    goal(
        "TLS, ping-pong on 50 connections: CPU to bare tokio-rustls's",
        AtMost(1.07),
        Ratio("tls-ping50", "cpu us", "tokio-rustls"),
    ),
    goal(
        "UDP, 16 sockets x 8 datagrams: CPU to bare tokio's",
        AtMost(1.05),
        Ratio("udp16", "cpu us", "tokio-udp"),
    ),
    goal(
        "1 GiB on one connection: throughput to bare tokio's",
        AtLeast(0.98),
        Ratio("transfer", "MB per second", "tokio-lines"),
    ),
    goal(
        "two shards on two cores: throughput to one's",
        AtLeast(1.7),
        Plain("shards", "speed-up"),
    ),
    goal(
        "20,000 idle connections beside 50 busy ones: CPU to that of none",
        AtMost(1.05),
        Plain("busy", "beside / alone"),
    ),
];

const fn goal(row: &'static str, wanted: Wanted, measured: Measure) -> Goal {
    Goal {
        row,
        wanted,
        measured,
    }
}

impl Goal {
    /// The row, judged by what was measured: a figure of disturbed slices reaches nothing.
    pub(crate) fn judge(&self, results: &Results) -> Verdict {
        let wanted = match self.wanted {
            AtMost(most) => format!("{} at most", short(most)),
            AtLeast(least) => format!("{} at least", short(least)),
        };
        let (measured, reached) = match self.measured.take(results) {
            None => ("not measured".to_owned(), "not measured"),
            Some((value, true)) => (format!("{} (disturbed)", short(value)), "not known"),
            Some((value, false)) => {
                let reached = match self.wanted {
                    AtMost(most) => value <= most,
                    AtLeast(least) => value >= least,
                };
                (short(value), if reached { "yes" } else { "**no**" })
            }
        };
        Verdict {
            row: self.row,
            wanted,
            measured,
            reached,
        }
    }
}

impl Measure {
    /// The figure, and whether it is of disturbed slices.
    fn take(self, results: &Results) -> Option<(f64, bool)> {
        let take = |scenario, server, name| figure(results, scenario, server, name);
        match self {
            Plain(scenario, name) => take(scenario, OURS, name),
            Ratio(scenario, name, peer) => {
                if let Some(quotient) = in_turns(results, scenario, peer) {
                    return Some((quotient, false));
                }
                let (ours, odd) = take(scenario, OURS, name)?;
                let (theirs, odd_too) = take(scenario, peer, name)?;
                Some((ours / theirs, odd || odd_too))
            }
            Above(scenario, peer) => {
                if in_turns(results, scenario, peer).is_some() {
                    let above = find(results, scenario)?.turns.user_above(OURS, peer)?;
                    return Some((above, false));
                }
                let (ours, odd) = take(scenario, OURS, "user us")?;
                let (theirs, odd_too) = take(scenario, peer, "user us")?;
                Some((ours - theirs, odd || odd_too))
            }
        }
    }
}

/// What a request costs ours beside a peer's, if enough rounds in turns were kept to tell.
fn in_turns(results: &Results, scenario: &str, peer: &str) -> Option<f64> {
    let quotient = find(results, scenario)?.turns.quotient(OURS, peer)?;
    (quotient.rounds >= ENOUGH_ROUNDS).then_some(quotient.median)
}

fn find<'a>(results: &'a Results, scenario: &str) -> Option<&'a ScenarioResult> {
    let mut scenarios = results.scenarios.iter();
    scenarios.find(|result| result.name == scenario)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::calibrate::Conditions;
    use crate::figures::Figure;
    use crate::runner::{ServerResult, Slice};
    use crate::scenarios;
    use crate::turns::Turns;

    fn results(ours: f64, calibration: u64) -> Results {
        let server = |name: &str, value| ServerResult {
            name: name.to_owned(),
            slices: vec![Slice {
                figures: vec![Figure::median("cpu us", value)],
                conditions: Some(Conditions {
                    calibration: Duration::from_nanos(calibration),
                    waiting: 0.0,
                }),
            }],
            failures: 0,
        };
        Results {
            fast: Duration::from_nanos(1_000),
            scenarios: vec![ScenarioResult {
                name: "ping50",
                about: "",
                baselines: &[],
                servers: vec![server("tokio-lines", 4.0), server(OURS, ours)],
                turns: Turns::default(),
            }],
            left_out: Vec::new(),
        }
    }

    fn told(ours: f64, calibration: u64) -> (String, &'static str) {
        let verdict = GOALS[0].judge(&results(ours, calibration));
        assert_eq!(verdict.wanted, "1.07 at most");
        (verdict.measured, verdict.reached)
    }

    #[test]
    fn a_goal_is_reached_by_kept_slices_only() {
        assert_eq!(told(4.2, 1_000), ("1.05".to_owned(), "yes"));
        assert_eq!(told(4.4, 1_000), ("1.10".to_owned(), "**no**"));
        assert_eq!(
            told(4.2, 9_000),
            ("1.05 (disturbed)".to_owned(), "not known")
        );
        let other = GOALS[2].judge(&results(4.2, 1_000));
        assert_eq!(
            (&*other.measured, other.reached),
            ("not measured", "not measured")
        );
    }

    #[test]
    fn a_ratio_is_measured_in_turns_where_there_were_enough() {
        let told = |rounds| {
            // Half of the rounds count.
            let rounds = 2 * rounds;
            let (ours, theirs) = (vec![Some(2.1); rounds], vec![Some(2.0); rounds]);
            let mut results = results(4.4, 1_000);
            results.scenarios[0].turns =
                Turns::side_by_side(&[(OURS, &ours), ("tokio-lines", &theirs)]);
            GOALS[0].judge(&results).measured
        };
        assert_eq!(told(ENOUGH_ROUNDS), "1.05");
        assert_eq!(told(ENOUGH_ROUNDS - 1), "1.10");
    }

    #[test]
    fn user_time_is_that_of_the_turns_where_there_were_enough() {
        let told = |rounds| {
            let costs = vec![Some(2.0); 2 * rounds];
            let turns = Turns::side_by_side(&[(OURS, &costs), ("tokio-lines", &costs)]);
            let mut results = results(4.4, 1_000);
            results.scenarios[0].turns = turns.with_user(OURS, 5).with_user("tokio-lines", 3);
            GOALS[1].judge(&results).measured
        };
        assert_eq!(told(ENOUGH_ROUNDS), "2.00");
        // The slices have none.
        assert_eq!(told(ENOUGH_ROUNDS - 1), "not measured");
    }

    #[test]
    fn every_goal_is_of_a_scenario_that_there_is() {
        for goal in GOALS {
            let (Plain(name, _) | Ratio(name, ..) | Above(name, _)) = goal.measured;
            assert!(
                scenarios::all().iter().any(|one| one.name() == name),
                "{goal:?}"
            );
        }
    }
}
