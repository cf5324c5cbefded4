//! Results for programs: every slice, with the figures of the tables, the machine and the servers, as one
//! JSON object.

use std::fmt::Write as _;

use crate::facts::Facts;
use crate::figures::{Figure, fold};
use crate::lineup::Lineup;
use crate::runner::{Results, ScenarioResult, ServerResult, Slice};

/// The text of the file.
pub(crate) fn json(results: &Results, facts: &Facts, lineup: &Lineup) -> String {
    let scenarios = results
        .scenarios
        .iter()
        .map(|result| scenario(result, results));
    let machine = facts
        .machine
        .iter()
        .map(|(name, value)| (*name, quoted(value)));
    let servers = lineup.servers.iter().map(|spec| {
        let members = [
            ("name", quoted(&spec.name)),
            ("wire", quoted(spec.wire.name())),
            ("about", quoted(&spec.about)),
        ];
        object(members.into_iter())
    });
    let skipped = lineup.skipped.iter().map(|skipped| {
        let members = [
            ("name", quoted(&skipped.name)),
            ("why", quoted(&skipped.why)),
        ];
        object(members.into_iter())
    });
    let left_out = results.left_out.iter();
    let left_out = left_out.map(|(scenario, why)| (*scenario, quoted(why)));
    let members = [
        ("date", quoted(&facts.date)),
        ("machine", object(machine)),
        ("servers", array(servers)),
        ("skipped", array(skipped)),
        ("left_out", object(left_out)),
        ("fast_calibration_ns", results.fast.as_nanos().to_string()),
        ("scenarios", array(scenarios)),
    ];
    object(members.into_iter()) + "\n"
}

fn scenario(scenario: &ScenarioResult, results: &Results) -> String {
    let servers = array(
        scenario
            .servers
            .iter()
            .map(|result| server(result, results)),
    );
    let turns = array(scenario.turns.groups().map(|rows| {
        let rows = rows.map(|(name, costs, user)| {
            let costs = costs.iter().map(|cost| number(cost.unwrap_or(f64::NAN)));
            let members = [
                ("cpu_us", array(costs)),
                ("user_us", number(user.unwrap_or(f64::NAN))),
            ];
            (name, object(members.into_iter()))
        });
        object(rows)
    }));
    format!(
        "{{\"name\": {}, \"servers\": {servers}, \"turns\": {turns}}}",
        quoted(scenario.name)
    )
}

fn server(server: &ServerResult, results: &Results) -> String {
    let name = quoted(&server.name);
    let figures = numbers(&fold(server, results.fast));
    let slices = array(server.slices.iter().map(|taken| slice(taken, results)));
    let failures = server.failures;
    format!(
        "{{\"name\": {name}, \"figures\": {figures}, \"failures\": {failures}, \"slices\": {slices}}}"
    )
}

fn slice(slice: &Slice, results: &Results) -> String {
    let kept = slice.is_kept(results.fast);
    let (calibration, waiting) = match slice.conditions {
        Some(conditions) => (
            conditions.calibration.as_nanos().to_string(),
            number(conditions.waiting),
        ),
        None => ("null".to_owned(), "null".to_owned()),
    };
    let figures = numbers(&slice.figures);
    format!(
        "{{\"kept\": {kept}, \"calibration_ns\": {calibration}, \"waiting\": {waiting}, \"figures\": {figures}}}"
    )
}

fn numbers(figures: &[Figure]) -> String {
    object(
        figures
            .iter()
            .map(|figure| (figure.name, number(figure.value))),
    )
}

/// Of names and of values that are JSON already.
fn object<'a>(members: impl Iterator<Item = (&'a str, String)>) -> String {
    let members: Vec<_> = members
        .map(|(name, value)| format!("{}: {value}", quoted(name)))
        .collect();
    format!("{{{}}}", members.join(", "))
}

fn array(members: impl Iterator<Item = String>) -> String {
    format!("[{}]", members.collect::<Vec<_>>().join(", "))
}

/// JSON has no word for what is not a number.
fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        "null".to_owned()
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::calibrate::Conditions;
    use crate::folder::Folder;
    use crate::lineup::Skipped;
    use crate::server::{ServerSpec, Wire};
    use crate::turns::Turns;

    #[test]
    fn slices_say_whether_they_were_kept() {
        let slice = |value, nanos| Slice {
            figures: vec![Figure::median("cpu us", value)],
            conditions: Some(Conditions {
                calibration: Duration::from_nanos(nanos),
                waiting: 0.5,
            }),
        };
        let quiet = Slice {
            conditions: None,
            ..slice(4.0, 0)
        };
        let slices = vec![quiet, slice(9.0, 1_600)];
        let servers = vec![ServerResult {
            name: "a \"b\"\n".to_owned(),
            slices,
            failures: 1,
        }];
        let scenarios = vec![ScenarioResult {
            name: "ping1",
            about: "",
            baselines: &[],
            servers,
            turns: Turns::side_by_side(&[("a", &[Some(4.0), None])]),
        }];
        let results = Results {
            fast: Duration::from_nanos(1_000),
            left_out: Vec::new(),
            scenarios,
        };
        let expected = [
            r#"{"name": "ping1", "servers": ["#,
            r#"{"name": "a \"b\"\u000a", "figures": {"cpu us": 4}, "failures": 1, "slices": ["#,
            r#"{"kept": true, "calibration_ns": null, "waiting": null, "figures": {"cpu us": 4}}, "#,
            r#"{"kept": false, "calibration_ns": 1600, "waiting": 0.5, "figures": {"cpu us": 9}}"#,
            r#"]}], "turns": [{"a": {"cpu_us": [4, null], "user_us": null}}]}"#,
        ];
        let text = scenario(&results.scenarios[0], &results);
        assert_eq!(text, expected.concat());
        assert_eq!(number(f64::NAN), "null");
    }

    #[test]
    fn the_file_names_the_machine_the_servers_and_who_is_skipped() {
        let facts = Facts {
            date: "2026-01-01 00:00 UTC".to_owned(),
            machine: vec![("cores", "2".to_owned())],
        };
        let servers = vec![ServerSpec {
            name: "a".to_owned(),
            command: Vec::new(),
            wire: Wire::Udp,
            about: "A 1.0".to_owned(),
        }];
        let skipped = vec![Skipped {
            name: "b".to_owned(),
            why: "no b here".to_owned(),
        }];
        let lineup = Lineup {
            servers,
            skipped,
            _folder: Folder::new().unwrap(),
        };
        let results = Results {
            fast: Duration::from_nanos(1_000),
            left_out: vec![("busy", "few".to_owned())],
            scenarios: Vec::new(),
        };
        let expected = [
            r#"{"date": "2026-01-01 00:00 UTC", "machine": {"cores": "2"}, "#,
            r#""servers": [{"name": "a", "wire": "udp", "about": "A 1.0"}], "#,
            r#""skipped": [{"name": "b", "why": "no b here"}], "#,
            r#""left_out": {"busy": "few"}, "fast_calibration_ns": 1000, "scenarios": []}"#,
            "\n",
        ];
        assert_eq!(json(&results, &facts, &lineup), expected.concat());
    }
}
