//! Results for the eye: one SVG picture with a panel of bars per scenario.
//!
//! Its colours are those of the reader's theme, light or dark, on a ground of its own, so that it can be
//! read on any page. `disturbed` is a figure of which no slice was kept.

use std::fmt::Write as _;

use crate::report::{First, firsts, short};
use crate::runner::{Results, ScenarioResult};

/// Two columns of panels, in pixels.
const COLUMN: u32 = 480;
const MARGIN: u32 = 20;
/// The names' part of a row, and the longest bar.
const NAMES: u32 = 116;
const BAR: u32 = 220;
/// Heights of a row, of its bar, and of a panel's head and foot.
const ROW: u32 = 17;
const THICKNESS: u32 = 11;
const HEAD: u32 = 50;
const FOOT: u32 = 18;

const STYLE: &str = "\
.ground{fill:#fff}text{fill:#1f2328;font:12px system-ui,sans-serif}\
.head{font-weight:600;font-size:14px}.about{fill:#59636e;font-size:11px}\
.other{fill:#afb8c1}.base{fill:#6e7781}.ours{fill:#0969da}\
@media(prefers-color-scheme:dark){.ground{fill:#0d1117}text{fill:#e6edf3}\
.about{fill:#9198a1}.other{fill:#484f58}.base{fill:#8b949e}.ours{fill:#4493f8}}";

/// The text of the picture. A scenario in which nothing was measured has no panel.
pub(crate) fn svg(results: &Results) -> String {
    let mut heights = [MARGIN; 2];
    let mut panels = String::new();
    for scenario in &results.scenarios {
        let rows = firsts(scenario, results.fast);
        if rows.is_empty() {
            continue;
        }
        // The shorter column; the left one if they are equal.
        let column = u32::from(heights[1] < heights[0]);
        let height = &mut heights[usize::from(column == 1)];
        panels += &panel(scenario, &rows, MARGIN + column * COLUMN, *height);
        *height += HEAD + ROW * count(rows.len()) + FOOT;
    }
    let (width, height) = (MARGIN + 2 * COLUMN, heights[0].max(heights[1]));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"Bars for each scenario and server\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n\
         {panels}</svg>\n"
    )
}

fn panel(scenario: &ScenarioResult, rows: &[First<'_>], left: u32, top: u32) -> String {
    let figure = rows[0].figure;
    let direction = if figure.more_is_better() {
        "more"
    } else {
        "less"
    };
    let mut panel = format!(
        "<g transform=\"translate({left} {top})\">\n\
         <text class=\"head\" y=\"14\">{}: {}, {direction} is better</text>\n\
         <text class=\"about\" y=\"31\">{}</text>\n",
        escaped(scenario.name),
        escaped(figure.name),
        escaped(&clipped(scenario.about)),
    );
    let longest = rows.iter().map(|row| row.figure.value).fold(0.0, f64::max);
    for (index, row) in (0_u32..).zip(rows) {
        let top = HEAD + index * ROW;
        let (bar, base) = (top - THICKNESS + 2, top);
        let length = length(row.figure.value, longest);
        let class = match row.server {
            "switchboard" | "stream" => "ours",
            name if scenario.baselines.contains(&name) => "base",
            _ => "other",
        };
        let ratio = row.ratio.map(|ratio| format!(" ({ratio:.2})"));
        let mark = if row.disturbed { " disturbed" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            panel,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{NAMES}\" y=\"{bar}\" width=\"{length:.1}\" height=\"{THICKNESS}\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{}{}{mark}</text>",
            NAMES - 6,
            escaped(row.server),
            f64::from(NAMES) + length + 6.0,
            short(row.figure.value),
            ratio.unwrap_or_default(),
        );
    }
    panel + "</g>\n"
}

/// How long a bar is; a hair for nothing, so that it is seen that there is one.
fn length(value: f64, longest: f64) -> f64 {
    let share = value / longest;
    if share.is_finite() {
        (share * f64::from(BAR)).clamp(1.0, f64::from(BAR))
    } else {
        1.0
    }
}

/// As much of a sentence as a column holds.
fn clipped(about: &str) -> String {
    const MOST: usize = 78;
    if about.chars().count() <= MOST {
        return about.to_owned();
    }
    let mut short: String = about.chars().take(MOST - 1).collect();
    short.push('…');
    short
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).expect("servers are few")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::figures::Figure;
    use crate::runner::{ServerResult, Slice};
    use crate::turns::Turns;

    fn scenario(name: &'static str, values: &[(&str, f64)]) -> ScenarioResult {
        let servers = values.iter().map(|(name, value)| ServerResult {
            name: (*name).to_owned(),
            slices: vec![Slice {
                figures: vec![Figure::median("cpu us", *value)],
                conditions: None,
            }],
            failures: 0,
        });
        ScenarioResult {
            name,
            about: "lines < 1 & more",
            baselines: &["tokio-lines"],
            servers: servers.collect(),
            turns: Turns::default(),
        }
    }

    fn drawn(scenarios: Vec<ScenarioResult>) -> String {
        svg(&Results {
            fast: Duration::from_nanos(1_000),
            left_out: Vec::new(),
            scenarios,
        })
    }

    #[test]
    fn a_bar_is_as_long_as_its_figure_and_says_the_ratio() {
        let text = drawn(vec![scenario(
            "ping1",
            &[("tokio-lines", 4.0), ("switchboard", 2.0), ("a<b", 8.0)],
        )]);
        let bars: Vec<_> = text
            .lines()
            .filter(|line| line.contains("text-anchor"))
            .collect();
        assert_eq!(bars.len(), 3);
        for (bar, expected) in bars.iter().zip([
            ["class=\"base\"", "width=\"110.0\"", ">4.00 (1.00)<"],
            ["class=\"ours\"", "width=\"55.0\"", ">2.00 (0.50)<"],
            ["class=\"other\"", "width=\"220.0\"", ">a&lt;b<"],
        ]) {
            for part in expected {
                assert!(bar.contains(part), "{part} in {bar}");
            }
        }
        assert!(text.contains("lines &lt; 1 &amp; more"));
        assert!(text.contains("cpu us, less is better"));
    }

    #[test]
    fn panels_fill_two_columns_and_the_picture_holds_them() {
        let text = drawn(vec![
            scenario("ping1", &[("a", 1.0), ("b", 1.0)]),
            scenario("ping50", &[("a", 0.0)]),
            scenario("failed", &[]),
            scenario("idle", &[("a", f64::NAN)]),
        ]);
        let places: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("<g transform=\"translate("))
            .collect();
        assert_eq!(places, ["20 20)\">", "500 20)\">", "500 105)\">"]);
        assert!(text.contains("viewBox=\"0 0 980 190\""));
        assert!(!text.contains("failed") && !text.contains("NaN\"") && !text.contains("inf"));
    }

    #[test]
    fn a_long_sentence_ends_where_the_column_does() {
        assert_eq!(clipped("short"), "short");
        assert_eq!(clipped(&"é".repeat(90)).chars().count(), 78);
    }
}
