//! What a count means beside the one that is kept.

use std::cmp::Ordering;
use std::fmt;

use crate::record::Kept;

/// Another compiler or another libc moves counts by some percent without a change of ours: they may then
/// differ by so many times the tolerance.
pub(crate) const FOREIGN: u64 = 5;
/// So many instructions are no difference, however short the loop.
const SLACK: u64 = 2;

/// One loop's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    New {
        found: u64,
    },
    Within {
        kept: u64,
        found: u64,
    },
    Grew {
        kept: u64,
        found: u64,
        tolerance: u64,
    },
    Shrank {
        kept: u64,
        found: u64,
        tolerance: u64,
    },
}

impl Verdict {
    pub(crate) fn of(kept: Option<&Kept>, found: u64, foreign: bool) -> Self {
        let Some(kept) = kept else {
            return Self::New { found };
        };
        let tolerance = kept.tolerance * if foreign { FOREIGN } else { 1 };
        let kept = kept.instructions;
        let differs = found.abs_diff(kept).saturating_sub(SLACK) * 100 > kept * tolerance;
        match found.cmp(&kept) {
            Ordering::Greater if differs => Self::Grew {
                kept,
                found,
                tolerance,
            },
            Ordering::Less if differs => Self::Shrank {
                kept,
                found,
                tolerance,
            },
            _ => Self::Within { kept, found },
        }
    }

    /// What is wrong, if something is. What shrank is to be kept: else it could grow again unseen.
    pub(crate) fn fault(self, name: &str) -> Option<String> {
        let fault = match self {
            Self::Within { .. } => return None,
            Self::New { found } => format!("{name} takes {found} instructions, and is not kept"),
            Self::Grew {
                kept,
                found,
                tolerance,
            } => format!(
                "{name} grew from {kept} to {found} instructions, by {} %; {tolerance} % are allowed",
                percent(kept, found)
            ),
            Self::Shrank {
                kept,
                found,
                tolerance,
            } => format!(
                "{name} shrank from {kept} to {found} instructions, by {} %: more than {tolerance} % is to be kept",
                percent(kept, found)
            ),
        };
        Some(fault)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, found, what) = match *self {
            Self::New { .. } => return f.write_str("new"),
            Self::Within { kept, found } => (kept, found, ""),
            Self::Grew { kept, found, .. } => (kept, found, " GREW"),
            Self::Shrank { kept, found, .. } => (kept, found, " SHRANK"),
        };
        let sign = match found.cmp(&kept) {
            Ordering::Less => "-",
            Ordering::Equal => "",
            Ordering::Greater => "+",
        };
        write!(f, "{sign}{} %{what}", percent(kept, found))
    }
}

/// By how much they differ, to two places.
fn percent(kept: u64, found: u64) -> String {
    let hundredths = found.abs_diff(kept) * 10_000 / kept.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(instructions: u64, found: u64, foreign: bool) -> Verdict {
        let kept = Kept {
            name: "a/loop".into(),
            instructions,
            tolerance: 3,
        };
        Verdict::of(Some(&kept), found, foreign)
    }

    #[test]
    fn what_grew_by_more_than_the_tolerance_is_named_with_by_how_much() {
        let grew = verdict(1000, 1040, false);
        let fault = "a/loop grew from 1000 to 1040 instructions, by 4.00 %; 3 % are allowed";
        assert_eq!(grew.fault("a/loop").unwrap(), fault);
        assert_eq!(grew.to_string(), "+4.00 % GREW");
    }

    #[test]
    fn what_shrank_asks_to_be_kept() {
        let shrank = verdict(1000, 900, false);
        let fault = shrank.fault("a/loop").unwrap();
        assert!(fault.contains("shrank from 1000 to 900 instructions, by 10.00 %"));
    }

    #[test]
    fn within_the_tolerance_nothing_is_wrong() {
        for found in [968, 1000, 1032] {
            assert_eq!(verdict(1000, found, false).fault("a/loop"), None);
        }
        assert_eq!(verdict(10, 12, false).to_string(), "+20.00 %", "of a few");
        assert_eq!(verdict(1000, 1032, false).to_string(), "+3.20 %");
    }

    #[test]
    fn another_compiler_may_differ_more() {
        assert_eq!(verdict(1000, 1140, true).fault("a/loop"), None);
        assert!(verdict(1000, 1160, true).fault("a/loop").is_some());
    }

    #[test]
    fn what_is_not_kept_is_a_fault() {
        assert!(Verdict::of(None, 5, false).fault("a/loop").is_some());
    }
}
