//! Results for programs: every slice, with the figures of the tables, as one JSON object.

use std::fmt::Write as _;

use crate::figures::{Figure, fold};
use crate::runner::{Results, ScenarioResult, ServerResult, Slice};

/// The text of the file.
pub(crate) fn json(results: &Results) -> String {
    let scenarios = array(
        results
            .scenarios
            .iter()
            .map(|result| scenario(result, results)),
    );
    let fast = results.fast.as_nanos();
    format!("{{\"fast_calibration_ns\": {fast}, \"scenarios\": {scenarios}}}\n")
}

fn scenario(scenario: &ScenarioResult, results: &Results) -> String {
    let servers = array(
        scenario
            .servers
            .iter()
            .map(|result| server(result, results)),
    );
    format!(
        "{{\"name\": {}, \"servers\": {servers}}}",
        quoted(scenario.name)
    )
}

fn server(server: &ServerResult, results: &Results) -> String {
    let name = quoted(&server.name);
    let figures = object(&fold(server, results.fast));
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
    let figures = object(&slice.figures);
    format!(
        "{{\"kept\": {kept}, \"calibration_ns\": {calibration}, \"waiting\": {waiting}, \"figures\": {figures}}}"
    )
}

fn object(figures: &[Figure]) -> String {
    let members: Vec<_> = figures
        .iter()
        .map(|figure| format!("{}: {}", quoted(figure.name), number(figure.value)))
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
        }];
        let text = json(&Results {
            fast: Duration::from_nanos(1_000),
            scenarios,
        });
        let expected = [
            r#"{"fast_calibration_ns": 1000, "scenarios": [{"name": "ping1", "servers": ["#,
            r#"{"name": "a \"b\"\u000a", "figures": {"cpu us": 4}, "failures": 1, "slices": ["#,
            r#"{"kept": true, "calibration_ns": null, "waiting": null, "figures": {"cpu us": 4}}, "#,
            r#"{"kept": false, "calibration_ns": 1600, "waiting": 0.5, "figures": {"cpu us": 9}}"#,
            "]}]}]}\n",
        ];
        assert_eq!(text, expected.concat());
        assert_eq!(number(f64::NAN), "null");
    }
}
