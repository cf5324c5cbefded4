//! A script as text. `parse` reads what is written here.

use std::fmt;
use std::time::Duration;

use super::escape::Escaped;
use super::{Script, Turn};

/// What is added to each line that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ending {
    #[default]
    Lf,
    Crlf,
    None,
}

impl Ending {
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Lf, Self::Crlf, Self::None]
            .into_iter()
            .find(|ending| ending.name() == name)
    }

    pub(super) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Lf => b"\n",
            Self::Crlf => b"\r\n",
            Self::None => b"",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Lf => "lf",
            Self::Crlf => "crlf",
            Self::None => "none",
        }
    }

    /// The longest one that these bytes end with.
    fn of(bytes: &[u8]) -> Self {
        [Self::Crlf, Self::Lf]
            .into_iter()
            .find(|ending| bytes.ends_with(ending.bytes()))
            .unwrap_or(Self::None)
    }
}

/// Units of a pause in nanoseconds, the longest first.
pub(super) const UNITS: [(&str, u128); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The text form, from which [`parse`](Script::parse) makes the same conversation. Comments are not
/// kept; the chosen side and the timeout are no part of it.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ending = Ending::default();
        for turn in &self.turns {
            if let Turn::Says(_, bytes) = turn {
                let needed = Ending::of(bytes);
                if needed != ending {
                    ending = needed;
                    writeln!(f, "ending {}", ending.name())?;
                }
            }
            writeln!(f, "{turn}")?;
        }
        Ok(())
    }
}

/// One line of the text, without what `ending` says.
impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Says(side, bytes) => {
                let text = &bytes[..bytes.len() - Ending::of(bytes).bytes().len()];
                write!(f, "{}:", side.letter())?;
                match text {
                    [] => Ok(()),
                    // Blanks at the end of a line are easily lost, so they are escaped.
                    [before @ .., b' '] => write!(f, " {}\\x20", Escaped(before)),
                    _ => write!(f, " {}", Escaped(text)),
                }
            }
            Self::Finishes(side) => write!(f, "{} finish", side.letter()),
            Self::Closes(side) => write!(f, "{} close", side.letter()),
            Self::Resets(side) => write!(f, "{} reset", side.letter()),
            Self::Pause(time) => write!(f, "pause {}", pause(*time)),
        }
    }
}

/// A time in the longest unit that needs no fraction.
fn pause(time: Duration) -> String {
    let nanos = time.as_nanos();
    let fits = UNITS
        .into_iter()
        .find(|(_, unit)| nanos.is_multiple_of(*unit));
    // Every whole number of nanoseconds is one.
    let (name, unit) = fits.unwrap_or(("ns", 1));
    format!("{}{name}", nanos / unit)
}
