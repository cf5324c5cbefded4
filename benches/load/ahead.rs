//! Who is ahead of us, by how much, and why.

use crate::goals::OURS;
use crate::reasons::{NOT_EXPLAINED, reason};
use crate::report::{First, firsts, short};
use crate::runner::{Results, ScenarioResult};

/// A greater figure is this much greater at least before a shared machine can tell: by slices, and in turns.
const TOLD_APART: f64 = 1.08;
const TOLD_APART_IN_TURNS: f64 = 1.02;
/// Servers of ours that are not peers.
const OTHERS_OF_OURS: [&str; 1] = ["stream"];

/// The section's text.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let (mut leading, mut unknown) = (Vec::new(), Vec::new());
    for scenario in &results.scenarios {
        let rows = firsts(scenario, results.fast);
        let Some(ours) = rows.iter().find(|row| row.server == OURS) else {
            unknown.push(scenario.name);
            continue;
        };
        let ahead = ahead_of(scenario, ours, &rows);
        if ahead.is_empty() {
            leading.push(scenario.name);
        } else {
            text += &section(scenario, ours, &ahead);
        }
    }
    if !leading.is_empty() {
        text += &format!("\nNobody is ahead in {}.\n", leading.join(", "));
    }
    if !unknown.is_empty() {
        text += &format!("\nWe were not measured in {}.\n", unknown.join(", "));
    }
    text
}

/// Peers that are ahead, the furthest first, each with what our figure is of theirs, or theirs of ours: in turns where
/// both were measured so.
fn ahead_of<'a, 'b>(
    scenario: &ScenarioResult,
    ours: &First<'_>,
    rows: &'a [First<'b>],
) -> Vec<(&'a First<'b>, f64)> {
    let lead = |peer: &First<'_>| {
        if let Some(quotient) = scenario.turns.quotient(OURS, peer.server) {
            quotient.median
        } else if ours.figure.more_is_better() {
            peer.figure.value / ours.figure.value
        } else {
            ours.figure.value / peer.figure.value
        }
    };
    let peers = rows
        .iter()
        .filter(|row| row.server != OURS && !OTHERS_OF_OURS.contains(&row.server));
    let leads = peers.map(|peer| (peer, lead(peer)));
    let mut ahead: Vec<_> = leads.filter(|(_, lead)| *lead > 1.0).collect();
    ahead.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    ahead
}

fn section(scenario: &ScenarioResult, ours: &First<'_>, ahead: &[(&First<'_>, f64)]) -> String {
    let name = ours.figure.name;
    let mut text = format!(
        "\n**{}** ({name}; ours: {}{})\n\n| who | {name} | by | why, and what would close it |\n|---|---:|---:|---|\n",
        scenario.name,
        short(ours.figure.value),
        mark(ours),
    );
    for (peer, lead) in ahead {
        let in_turns = scenario.turns.quotient(OURS, peer.server).is_some();
        let told_apart = if in_turns {
            TOLD_APART_IN_TURNS
        } else {
            TOLD_APART
        };
        let why = if *lead <= told_apart {
            "as close as this machine can tell. ".to_owned()
        } else {
            String::new()
        };
        let why = why + reason(scenario.name, peer.server).unwrap_or(NOT_EXPLAINED);
        text += &format!(
            "| {} | {}{} | {lead:.2} | {why} |\n",
            peer.server,
            short(peer.figure.value),
            mark(peer),
        );
    }
    text
}

fn mark(row: &First<'_>) -> &'static str {
    if row.disturbed { " (disturbed)" } else { "" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::figures::Figure;
    use crate::runner::{ServerResult, Slice};
    use crate::turns::Turns;

    fn scenario(
        name: &'static str,
        figure: &'static str,
        values: &[(&str, f64)],
    ) -> ScenarioResult {
        let servers = values.iter().map(|(name, value)| ServerResult {
            name: (*name).to_owned(),
            slices: vec![Slice {
                figures: vec![Figure::median(figure, *value)],
                conditions: None,
            }],
            failures: 0,
        });
        ScenarioResult {
            name,
            about: "about",
            baselines: &["tokio-lines"],
            servers: servers.collect(),
            turns: Turns::default(),
        }
    }

    fn written(scenarios: Vec<ScenarioResult>) -> String {
        markdown(&Results {
            fast: Duration::from_nanos(1_000),
            scenarios,
            left_out: Vec::new(),
        })
    }

    #[test]
    fn everyone_ahead_is_named_the_furthest_first_with_a_reason() {
        let text = written(vec![scenario(
            "ping50",
            "cpu us",
            &[
                ("other", 3.9),
                ("stream", 1.0),
                ("tokio-lines", 3.0),
                (OURS, 4.0),
                ("kameo", 5.0),
            ],
        )]);
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(
            rows[0],
            "| who | cpu us | by | why, and what would close it |"
        );
        let why = reason("ping50", "tokio-lines").unwrap();
        assert_eq!(rows[1], format!("| tokio-lines | 3.00 | 1.33 | {why} |"));
        let close = "as close as this machine can tell. ";
        assert_eq!(
            rows[2],
            format!("| other | 3.90 | 1.03 | {close}{NOT_EXPLAINED} |")
        );
        assert_eq!(rows.len(), 3);
    }

    #[test]
    fn who_was_measured_in_turns_is_ahead_by_these() {
        let mut scenario = scenario("ping50", "cpu us", &[("tokio-lines", 3.0), (OURS, 2.9)]);
        scenario.turns =
            Turns::side_by_side(&[(OURS, &[Some(4.4)]), ("tokio-lines", &[Some(4.0)])]);
        let text = written(vec![scenario]);
        assert!(text.contains("| tokio-lines | 3.00 | 1.10 |"), "{text}");
    }

    #[test]
    fn more_is_better_where_it_is_and_who_is_behind_is_not_named() {
        let text = written(vec![
            scenario(
                "transfer",
                "MB per second",
                &[("a", 300.0), ("b", 90.0), (OURS, 100.0)],
            ),
            scenario("ping1", "cpu us", &[("a", 5.0), (OURS, 4.0)]),
            scenario("storm", "cpu us", &[("a", 5.0)]),
        ]);
        assert!(
            text.contains("| a | 300 | 3.00 |") && !text.contains("| b |"),
            "{text}"
        );
        let rest = "\nNobody is ahead in ping1.\n\nWe were not measured in storm.\n";
        assert!(text.ends_with(rest), "{text}");
    }
}
