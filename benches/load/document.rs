//! The report that is kept: the tables, and what a reader must know to believe them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::ahead;
use crate::facts::Facts;
use crate::goals::GOALS;
use crate::lineup::Lineup;
use crate::report::{self, firsts};
use crate::runner::Results;

/// The files beside a report.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) chart: PathBuf,
    pub(crate) json: PathBuf,
}

/// Their names: that of the report, in small letters.
pub(crate) fn beside(report: &Path) -> Beside {
    let stem = report.file_stem().unwrap_or_default().to_string_lossy();
    let file = |ending: &str| report.with_file_name(stem.to_lowercase() + ending);
    Beside {
        chart: file(".svg"),
        json: file(".json"),
    }
}

/// The text of the report.
pub(crate) fn markdown(
    results: &Results,
    facts: &Facts,
    lineup: &Lineup,
    beside: &Beside,
) -> String {
    let (chart, json) = (name(&beside.chart), name(&beside.json));
    let mut text = format!(
        "# Results\n\n\
         Written by `load run` on {}; to run it again and to read the columns, see [README.md](README.md).\n\
         Every slice is in [{json}]({json}). Compare within this run only, and differences below 8 % not at\n\
         all, or below 2 % where servers were measured in turns.\n\n\
         ![Bars for each scenario and server]({chart})\n\n## Machine\n\n| | |\n|---|---|\n",
        facts.date
    );
    for (name, value) in &facts.machine {
        row(&mut text, &[name, value]);
    }
    text += "\n## Servers\n\n| server | wire | what it is |\n|---|---|---|\n";
    for spec in &lineup.servers {
        row(&mut text, &[&spec.name, spec.wire.name(), &spec.about]);
    }
    if !lineup.skipped.is_empty() {
        text += "\nNot here, and so skipped:\n\n| server | why |\n|---|---|\n";
        for skipped in &lineup.skipped {
            row(&mut text, &[&skipped.name, &skipped.why]);
        }
    }
    if !results.left_out.is_empty() {
        text += "\nScenarios that this machine cannot do:\n\n| scenario | why |\n|---|---|\n";
        for (scenario, why) in &results.left_out {
            row(&mut text, &[scenario, why]);
        }
    }
    text += "\n## Goals\n\n| figure of `switchboard` | goal | measured | reached |\n|---|---:|---:|---|\n";
    for goal in &GOALS {
        let verdict = goal.judge(results);
        let cells = [
            verdict.row,
            &verdict.wanted,
            &verdict.measured,
            verdict.reached,
        ];
        row(&mut text, &cells);
    }
    text += "\n## Who is ahead of us, and why\n\n\
             By the first figure of each scenario. `by` is how many times ours is worse; up to 1.08 means little,\n\
             or 1.02 where both were measured in turns.\n";
    text += &ahead::markdown(results);
    text +=
        "\n## Ratios\n\nThe first figure of each scenario, divided by that of its first baseline: ";
    text += &baselines(results);
    text += ".\n\n";
    text += &ratios(results);
    text += "\n## Figures\n";
    text + &report::markdown(results)
}

/// Which server is the 1.00 of which scenarios, and where more is better.
fn baselines(results: &Results) -> String {
    let mut named: Vec<(&str, Vec<&str>)> = Vec::new();
    for scenario in &results.scenarios {
        let Some(baseline) = scenario.baselines.first() else {
            continue;
        };
        match named.iter_mut().find(|(name, _)| name == baseline) {
            Some((_, scenarios)) => scenarios.push(scenario.name),
            None => named.push((baseline, vec![scenario.name])),
        }
    }
    let sentences = named
        .iter()
        .map(|(name, scenarios)| format!("{name} for {}", scenarios.join(", ")));
    let mut text = sentences.collect::<Vec<_>>().join("; ");
    let more = results.scenarios.iter().filter(|scenario| {
        let firsts = firsts(scenario, results.fast);
        firsts
            .first()
            .is_some_and(|row| row.figure.more_is_better())
    });
    let more: Vec<_> = more.map(|scenario| scenario.name).collect();
    text += ". Less is better";
    if !more.is_empty() {
        let _ = write!(text, ", but for {}", more.join(", "));
    }
    text
}

/// One row per server, one column per scenario.
fn ratios(results: &Results) -> String {
    let columns: Vec<_> = results
        .scenarios
        .iter()
        .map(|scenario| (scenario.name, firsts(scenario, results.fast)))
        .collect();
    let mut servers: Vec<&str> = Vec::new();
    for server in results.scenarios.iter().flat_map(|one| &one.servers) {
        if !servers.contains(&server.name.as_str()) {
            servers.push(&server.name);
        }
    }
    let mut text = String::new();
    let head: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    row(&mut text, &[&["server"], head.as_slice()].concat());
    text += &format!("|---|{}\n", "---:|".repeat(head.len()));
    for server in servers {
        let mut cells = vec![server.to_owned()];
        cells.extend(columns.iter().map(|(_, rows)| {
            let row = rows.iter().find(|row| row.server == server);
            match row.map(|row| (row.ratio, row.disturbed)) {
                Some((Some(ratio), false)) => format!("{ratio:.2}"),
                Some((Some(ratio), true)) => format!("{ratio:.2} (disturbed)"),
                _ => "-".to_owned(),
            }
        }));
        let cells: Vec<_> = cells.iter().map(String::as_str).collect();
        row(&mut text, &cells);
    }
    text
}

fn row(text: &mut String, cells: &[&str]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::calibrate::Conditions;
    use crate::figures::Figure;
    use crate::folder::Folder;
    use crate::lineup::Skipped;
    use crate::runner::{ScenarioResult, ServerResult, Slice};
    use crate::server::{ServerSpec, Wire};
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
            baselines: &["a"],
            servers: servers.collect(),
            turns: Turns::default(),
        }
    }

    fn disturbed(name: &str, value: f64) -> ServerResult {
        ServerResult {
            name: name.to_owned(),
            slices: vec![Slice {
                figures: vec![Figure::median("cpu us", value)],
                conditions: Some(Conditions {
                    calibration: Duration::from_nanos(9_000),
                    waiting: 0.0,
                }),
            }],
            failures: 0,
        }
    }

    fn written() -> String {
        let lineup = Lineup {
            servers: vec![ServerSpec {
                name: "a".to_owned(),
                command: Vec::new(),
                wire: Wire::Plain,
                about: "A 1.0 | it".to_owned(),
            }],
            skipped: vec![Skipped {
                name: "go".to_owned(),
                why: "no go here".to_owned(),
            }],
            _folder: Folder::new().unwrap(),
        };
        let facts = Facts {
            date: "2026-01-01 00:00 UTC".to_owned(),
            machine: vec![("cores", "2".to_owned())],
        };
        let mut ping1 = scenario("ping1", "cpu us", &[("a", 4.0), ("b", 5.0)]);
        ping1.servers.push(disturbed("c", 6.0));
        let results = Results {
            fast: Duration::from_nanos(1_000),
            left_out: vec![("busy", "few descriptors".to_owned())],
            scenarios: vec![
                ping1,
                scenario("transfer", "MB per second", &[("b", 300.0), ("a", 200.0)]),
            ],
        };
        markdown(
            &results,
            &facts,
            &lineup,
            &beside(Path::new("x/RESULTS.md")),
        )
    }

    #[test]
    fn the_report_has_the_machine_the_servers_and_who_is_skipped() {
        let text = written();
        for part in [
            "on 2026-01-01 00:00 UTC;",
            "](results.svg)",
            "[results.json](results.json)",
            "| cores | 2 |\n",
            "| a | tcp | A 1.0 \\| it |\n",
            "| go | no go here |\n",
            "| busy | few descriptors |\n",
            "\n## Goals\n\n| figure of `switchboard` | goal | measured | reached |\n",
            "\nWe were not measured in ping1, transfer.\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn ratios_are_to_the_first_baseline_of_each_scenario() {
        let text = written();
        let expected = "baseline: a for ping1, transfer. Less is better, but for transfer.\n\n\
            | server | ping1 | transfer |\n|---|---:|---:|\n\
            | a | 1.00 | 1.00 |\n| b | 1.25 | 1.50 |\n| c | 1.50 (disturbed) | - |\n\n## Figures\n\n**ping1**: about\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn the_files_lie_beside_the_report() {
        let beside = beside(Path::new("benches/RESULTS.md"));
        assert_eq!(beside.chart, Path::new("benches/results.svg"));
        assert_eq!(beside.json, Path::new("benches/results.json"));
    }
}
