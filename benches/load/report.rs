//! Folds slices into figures, and figures into tables.

use std::fmt::Write as _;
use std::time::Duration;

use crate::calibrate::is_fast;
use crate::runner::{Results, ScenarioResult, ServerResult, Slice};
use crate::scenarios::{Fold, Metric};

/// One Markdown table per scenario.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    for scenario in &results.scenarios {
        let figures: Vec<_> = scenario
            .servers
            .iter()
            .map(|server| figures(server, scenario.metrics, results.best))
            .collect();
        text += &table(scenario, &figures, results.best);
    }
    text
}

/// Every slice, with the figures of the tables, as one JSON object.
pub(crate) fn json(results: &Results) -> String {
    let scenarios = array(results.scenarios.iter().map(|scenario| {
        let servers = array(scenario.servers.iter().map(|server| {
            let slices = array(server.slices.iter().map(|slice| {
                format!(
                    "{{\"kept\": {}, \"calibration_ns\": {}, \"figures\": {}}}",
                    is_fast(slice.calibration, results.best),
                    slice.calibration.as_nanos(),
                    object(scenario.metrics, &slice.values)
                )
            }));
            format!(
                "{{\"name\": {}, \"figures\": {}, \"failures\": {}, \"slices\": {slices}}}",
                quoted(&server.name),
                object(
                    scenario.metrics,
                    &figures(server, scenario.metrics, results.best)
                ),
                server.failures,
            )
        }));
        format!(
            "{{\"name\": {}, \"servers\": {servers}}}",
            quoted(scenario.name)
        )
    }));
    format!(
        "{{\"best_calibration_ns\": {}, \"scenarios\": {scenarios}}}\n",
        results.best.as_nanos()
    )
}

/// One figure per metric; none when there is no slice.
///
/// Slices of a slow core count only when there is no other; the table marks them.
fn figures(server: &ServerResult, metrics: &[Metric], best: Duration) -> Vec<f64> {
    let kept: Vec<_> = kept(server, best).collect();
    let slices = if kept.is_empty() {
        server.slices.iter().collect()
    } else {
        kept
    };
    if slices.is_empty() {
        return Vec::new();
    }
    let column = |index: usize| slices.iter().map(move |slice| slice.values[index]);
    metrics
        .iter()
        .enumerate()
        .map(|(index, metric)| fold(metric.fold, column(index).collect()))
        .collect()
}

fn kept(server: &ServerResult, best: Duration) -> impl Iterator<Item = &Slice> {
    server
        .slices
        .iter()
        .filter(move |slice| is_fast(slice.calibration, best))
}

fn fold(fold: Fold, mut values: Vec<f64>) -> f64 {
    let sum: f64 = values.iter().sum();
    match fold {
        Fold::Sum => sum,
        Fold::Mean => sum / values.iter().map(|_| 1.0).sum::<f64>(),
        Fold::Median => {
            values.sort_by(f64::total_cmp);
            let middle = values.len() / 2;
            if values.len() % 2 == 1 {
                values[middle]
            } else {
                f64::midpoint(values[middle - 1], values[middle])
            }
        }
    }
}

fn table(scenario: &ScenarioResult, figures: &[Vec<f64>], best: Duration) -> String {
    let baselines: Vec<_> = scenario
        .baselines
        .iter()
        .filter_map(|name| {
            let index = scenario
                .servers
                .iter()
                .position(|server| server.name == *name)?;
            Some((*name, *figures[index].first()?))
        })
        .collect();
    let mut head = vec!["server".to_owned(), scenario.metrics[0].name.to_owned()];
    head.extend(baselines.iter().map(|(name, _)| format!("/ {name}")));
    head.extend(
        scenario.metrics[1..]
            .iter()
            .map(|metric| metric.name.to_owned()),
    );
    head.push("slices".to_owned());

    let mut text = format!(
        "\n**{}**: {}\n\n| {} |\n",
        scenario.name,
        scenario.about,
        head.join(" | ")
    );
    text += &format!("|---|{}\n", "---:|".repeat(head.len() - 1));
    for (server, figures) in scenario.servers.iter().zip(figures) {
        let mut row = vec![server.name.clone()];
        match figures.split_first() {
            Some((first, rest)) => {
                row.push(short(*first));
                row.extend(
                    baselines
                        .iter()
                        .map(|(_, baseline)| format!("{:.2}", first / baseline)),
                );
                row.extend(rest.iter().map(|figure| short(*figure)));
            }
            None => row.resize(head.len() - 1, "-".to_owned()),
        }
        row.push(slices(server, best));
        text += &format!("| {} |\n", row.join(" | "));
    }
    text
}

/// How many slices the figures rest on.
fn slices(server: &ServerResult, best: Duration) -> String {
    let (kept, taken) = (kept(server, best).count(), server.slices.len());
    let mut text = format!("{kept} of {taken}");
    if kept == 0 && taken > 0 {
        text += ", all slow";
    }
    if server.failures > 0 {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {} failed", server.failures);
    }
    text
}

/// As many digits as mean something.
fn short(figure: f64) -> String {
    match figure.abs() {
        size if size < 1.0 && size > 0.0 => format!("{figure:.3}"),
        size if size < 10.0 && size > 0.0 => format!("{figure:.2}"),
        size if size < 100.0 && size > 0.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

fn object(metrics: &[Metric], values: &[f64]) -> String {
    let members: Vec<_> = metrics
        .iter()
        .zip(values)
        .map(|(m, value)| format!("{}: {value}", quoted(m.name)))
        .collect();
    format!("{{{}}}", members.join(", "))
}

fn array(members: impl Iterator<Item = String>) -> String {
    format!("[{}]", members.collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(slices: &[(f64, u64)]) -> ServerResult {
        let slices = slices
            .iter()
            .map(|(value, nanos)| Slice {
                values: vec![*value],
                calibration: Duration::from_nanos(*nanos),
            })
            .collect();
        ServerResult {
            name: "a \"b\"".to_owned(),
            slices,
            failures: 1,
        }
    }

    const METRICS: &[Metric] = &[Metric {
        name: "cpu us",
        fold: Fold::Median,
    }];
    const BEST: Duration = Duration::from_nanos(1_000);

    #[test]
    fn slow_slices_do_not_count_beside_fast_ones() {
        assert_eq!(
            figures(
                &server(&[(4.0, 1_000), (9.0, 1_600), (5.0, 1_100)]),
                METRICS,
                BEST
            ),
            [4.5]
        );
        assert_eq!(figures(&server(&[(9.0, 1_600)]), METRICS, BEST), [9.0]);
        assert!(figures(&server(&[]), METRICS, BEST).is_empty());
    }

    #[test]
    fn tables_and_json_show_what_was_kept() {
        let servers = vec![server(&[(4.0, 1_000), (9.0, 1_600)]), server(&[])];
        let scenario = ScenarioResult {
            name: "ping1",
            about: "about",
            metrics: METRICS,
            baselines: &["a \"b\""],
            servers,
        };
        let results = Results {
            best: BEST,
            scenarios: vec![scenario],
        };
        let table = markdown(&results);
        assert!(
            table.contains("| server | cpu us | / a \"b\" | slices |\n|---|---:|---:|---:|\n"),
            "{table}"
        );
        assert!(
            table.contains("| a \"b\" | 4.00 | 1.00 | 1 of 2, 1 failed |\n"),
            "{table}"
        );
        assert!(
            table.contains("| a \"b\" | - | - | 0 of 0, 1 failed |\n"),
            "{table}"
        );
        let json = json(&results);
        assert!(
            json.contains(
                r#"{"name": "a \"b\"", "figures": {"cpu us": 4}, "failures": 1, "slices": ["#
            ),
            "{json}"
        );
        assert!(
            json.contains(r#"{"kept": false, "calibration_ns": 1600, "figures": {"cpu us": 9}}"#),
            "{json}"
        );
    }
}
