//! Results for people: one Markdown table per scenario.

use std::time::Duration;

use crate::figures::{Figure, fold};
use crate::runner::{Results, ScenarioResult, ServerResult};
use crate::turns::Quotient;

/// The text of all tables.
pub(crate) fn markdown(results: &Results) -> String {
    results
        .scenarios
        .iter()
        .map(|scenario| table(scenario, results.fast))
        .collect()
}

fn table(scenario: &ScenarioResult, fast: Duration) -> String {
    let rows: Vec<_> = scenario
        .servers
        .iter()
        .map(|server| (server, fold(server, fast)))
        .collect();
    let baselines: Vec<_> = scenario
        .baselines
        .iter()
        .filter_map(|name| {
            let (_, figures) = rows.iter().find(|(server, _)| server.name == *name)?;
            Some((*name, figures.first()?.value))
        })
        .collect();

    let took_part = |name: &&str| scenario.turns.quotient(name, name).is_some();
    let side_by_side: Vec<_> = scenario
        .baselines
        .iter()
        .copied()
        .filter(took_part)
        .collect();

    let user = |name: &str| scenario.turns.user(name);
    let samples_user = side_by_side.iter().any(|name| user(name).is_some());

    let mut head = vec!["server".to_owned()];
    if let Some((first, rest)) = rows.iter().find_map(|(_, figures)| figures.split_first()) {
        head.push(first.name.to_owned());
        head.extend(baselines.iter().map(|(name, _)| format!("/ {name}")));
        head.extend(side_by_side.iter().map(|name| format!("in turns / {name}")));
        if samples_user {
            head.push("user us in turns".to_owned());
        }
        head.extend(rest.iter().map(|figure| figure.name.to_owned()));
    }
    head.push("slices".to_owned());

    let mut text = format!(
        "\n**{}**: {}\n\n| {} |\n",
        scenario.name,
        scenario.about,
        head.join(" | ")
    );
    text += &format!("|---|{}\n", "---:|".repeat(head.len() - 1));
    for (server, figures) in &rows {
        let mut cells = vec![server.name.clone()];
        let in_turns = side_by_side
            .iter()
            .map(|baseline| in_turns(scenario, &server.name, baseline))
            .chain(samples_user.then(|| user(&server.name).map_or("-".to_owned(), short)));
        cells.extend(cells_of(figures, &baselines, in_turns));
        cells.resize(head.len() - 1, "-".to_owned());
        cells.push(slices(server, fast));
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text
}

/// The first figure of each server, with its ratio to the first baseline; servers without slices are left
/// out.
pub(crate) fn firsts(scenario: &ScenarioResult, fast: Duration) -> Vec<First<'_>> {
    let firsts = scenario.servers.iter().filter_map(|server| {
        let figure = *fold(server, fast).first()?;
        Some((server, figure))
    });
    let firsts: Vec<_> = firsts.collect();
    let baseline = scenario.baselines.first().and_then(|wanted| {
        let (_, figure) = firsts.iter().find(|(server, _)| server.name == *wanted)?;
        Some(figure.value)
    });
    let with_ratio = firsts.into_iter().map(|(server, figure)| First {
        server: &server.name,
        figure,
        disturbed: kept(server, fast) == 0,
        ratio: baseline.map(|baseline| figure.value / baseline),
    });
    with_ratio.collect()
}

/// A figure of a server by its name, and whether it is of disturbed slices.
pub(crate) fn figure(
    results: &Results,
    scenario: &str,
    server: &str,
    name: &str,
) -> Option<(f64, bool)> {
    let mut scenarios = results.scenarios.iter();
    let scenario = scenarios.find(|result| result.name == scenario)?;
    let server = scenario.servers.iter().find(|one| one.name == server)?;
    let figures = fold(server, results.fast);
    let figure = figures.iter().find(|figure| figure.name == name)?;
    Some((figure.value, kept(server, results.fast) == 0))
}

/// What servers are compared by.
#[derive(Debug)]
pub(crate) struct First<'a> {
    pub(crate) server: &'a str,
    pub(crate) figure: Figure,
    /// No slice was kept, so that the figure means little.
    pub(crate) disturbed: bool,
    /// To the first baseline, if that took part.
    pub(crate) ratio: Option<f64>,
}

/// The first figure, its ratios to the baselines, those in turns, and the other figures.
fn cells_of(
    figures: &[Figure],
    baselines: &[(&str, f64)],
    in_turns: impl Iterator<Item = String>,
) -> Vec<String> {
    let Some((first, rest)) = figures.split_first() else {
        return Vec::new();
    };
    let ratios = baselines
        .iter()
        .map(|(_, baseline)| format!("{:.2}", first.value / baseline));
    let rest = rest.iter().map(|figure| short(figure.value));
    std::iter::once(short(first.value))
        .chain(ratios)
        .chain(in_turns)
        .chain(rest)
        .collect()
}

/// What a server costs beside a baseline in turns, and between which costs half of the rounds lie.
fn in_turns(scenario: &ScenarioResult, server: &str, baseline: &str) -> String {
    let Some(quotient) = scenario.turns.quotient(server, baseline) else {
        return "-".to_owned();
    };
    let Quotient {
        median, low, high, ..
    } = quotient;
    format!("{median:.3} ({low:.2} to {high:.2})")
}

/// How many slices the figures rest on.
fn slices(server: &ServerResult, fast: Duration) -> String {
    let (kept, taken) = (kept(server, fast), server.slices.len());
    let disturbed = if kept == 0 && taken > 0 {
        ", disturbed"
    } else {
        ""
    };
    let failed = if server.failures > 0 {
        format!(", {} failed", server.failures)
    } else {
        String::new()
    };
    format!("{kept} of {taken}{disturbed}{failed}")
}

fn kept(server: &ServerResult, fast: Duration) -> usize {
    let slices = server.slices.iter();
    slices.filter(|slice| slice.is_kept(fast)).count()
}

/// As many digits as mean something.
pub(crate) fn short(figure: f64) -> String {
    match figure.abs() {
        size if size >= 100.0 || size == 0.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Conditions;
    use crate::runner::Slice;
    use crate::turns::Turns;

    fn server(name: &str, values: &[(f64, u64)], failures: u32) -> ServerResult {
        let slice = |(value, nanos): &(f64, u64)| Slice {
            figures: vec![Figure::median("cpu us", *value), Figure::sum("lost", 0.0)],
            conditions: Some(Conditions {
                calibration: Duration::from_nanos(*nanos),
                waiting: 0.0,
            }),
        };
        ServerResult {
            name: name.to_owned(),
            slices: values.iter().map(slice).collect(),
            failures,
        }
    }

    fn text(servers: Vec<ServerResult>) -> String {
        text_with(servers, Turns::default())
    }

    fn text_with(servers: Vec<ServerResult>, turns: Turns) -> String {
        let scenario = ScenarioResult {
            name: "ping1",
            about: "about",
            baselines: &["a"],
            servers,
            turns,
        };
        markdown(&Results {
            fast: Duration::from_nanos(1_000),
            left_out: Vec::new(),
            scenarios: vec![scenario],
        })
    }

    #[test]
    fn a_row_rests_on_the_slices_that_it_names() {
        let servers = vec![
            server("a", &[(4.0, 1_000), (9.0, 1_600)], 1),
            server("b", &[(5.0, 1_600)], 0),
            server("c", &[], 2),
        ];
        let expected = "\n**ping1**: about\n\n\
            | server | cpu us | / a | lost | slices |\n|---|---:|---:|---:|---:|\n\
            | a | 4.00 | 1.00 | 0 | 1 of 2, 1 failed |\n\
            | b | 5.00 | 1.25 | 0 | 0 of 1, disturbed |\n\
            | c | - | - | - | 0 of 0, 2 failed |\n";
        assert_eq!(text(servers), expected);
    }

    #[test]
    fn who_was_measured_in_turns_has_a_column_more() {
        let costs = |cost: f64| [Some(4.0 * cost), Some(5.0 * cost), Some(6.0 * cost)];
        let turns = Turns::side_by_side(&[("a", &costs(1.0)), ("b", &costs(1.1))]);
        let servers = vec![
            server("a", &[(4.0, 1_000)], 0),
            server("b", &[(5.0, 1_000)], 0),
            server("c", &[(9.0, 1_000)], 0),
        ];
        let expected = "| server | cpu us | / a | in turns / a | lost | slices |\n\
            |---|---:|---:|---:|---:|---:|\n\
            | a | 4.00 | 1.00 | 1.000 (1.00 to 1.00) | 0 | 1 of 1 |\n\
            | b | 5.00 | 1.25 | 1.100 (1.10 to 1.10) | 0 | 1 of 1 |\n\
            | c | 9.00 | 2.25 | - | 0 | 1 of 1 |\n";
        let text = text_with(servers, turns);
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_scenario_where_all_failed_still_has_a_table() {
        assert!(
            text(vec![server("c", &[], 2)])
                .ends_with("| server | slices |\n|---|---:|\n| c | 0 of 0, 2 failed |\n")
        );
    }
}
