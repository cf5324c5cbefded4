//! Where a play left its script, as something to read.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::escape::{Escaped, width};
use super::{Script, Side, Step};

/// How many steps before the mismatch are shown.
const STEPS_SHOWN: usize = 6;

/// How many bytes of a longer text are shown on each side of the place that matters.
const BYTES_SHOWN: usize = 64;

/// The conversation went another way than its script.
///
/// `Display` shows which step it was, what was expected and what came with a mark at the first byte
/// that differs, and the steps before; long texts are shortened around the difference. `Debug` shows
/// the same, so that an `unwrap` in a test can be read.
#[non_exhaustive]
pub struct Mismatch {
    /// The side that was played.
    pub side: Side,
    /// The step, counted from 1; one more than there are when something came after the last.
    pub number: usize,
    /// The line of the text that the step is from, if it is from one.
    pub line: Option<usize>,
    /// What was wrong.
    pub kind: MismatchKind,
    /// What had come since the step before.
    pub came: Bytes,
    /// Boxed, so that an error costs little room in a result.
    steps: Box<Steps>,
}

struct Steps {
    /// The one that did not happen; `None` after the last.
    at: Option<Step>,
    /// The last ones that did.
    before: Vec<Step>,
}

/// In which way a step did not happen.
#[derive(Debug)]
#[non_exhaustive]
pub enum MismatchKind {
    /// Other bytes came.
    Differs {
        /// So many bytes of the expected ones came first.
        at: usize,
    },
    /// The other side finished or closed before it said all, or instead of a reset.
    Finished,
    /// The other side reset the connection, or took it away while we sent.
    Reset,
    /// Bytes came where none were expected.
    UnexpectedBytes,
    /// The step took longer than this.
    Timeout(Duration),
    /// The stream failed.
    Io(io::Error),
    /// Our side is to reset, and the stream has no way to.
    CannotReset,
}

impl Mismatch {
    /// At the turn of this index.
    pub(super) fn new(script: &Script, turn: usize, kind: MismatchKind, came: Bytes) -> Self {
        let shown = turn.saturating_sub(STEPS_SHOWN)..turn;
        let steps = Steps {
            at: script.step(turn),
            before: shown.filter_map(|turn| script.step(turn)).collect(),
        };
        Self {
            side: script.side,
            number: turn + 1,
            line: script.line(turn),
            kind,
            came,
            steps: Box::new(steps),
        }
    }

    /// The step that did not happen; `None` after the last.
    #[must_use]
    pub const fn step(&self) -> Option<&Step> {
        self.steps.at.as_ref()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.step() {
            Some(Step::Send(_)) => "sending",
            Some(Step::Finish) => "finishing",
            Some(Step::Close) => "closing",
            _ => "waiting",
        };
        match &self.kind {
            MismatchKind::Differs { at } => {
                write!(f, "what came differs after {}", self.progress(*at))
            }
            MismatchKind::Finished => write!(f, "the {} finished", self.side.other())
                .and_then(|()| self.progress_so_far(f)),
            MismatchKind::Reset => write!(f, "the connection was lost while {verb}")
                .and_then(|()| self.progress_so_far(f)),
            MismatchKind::UnexpectedBytes => {
                write!(f, "{} came unexpectedly", count(self.came.len()))
            }
            MismatchKind::Timeout(time) => {
                write!(f, "{verb} took longer than {time:?}").and_then(|()| self.progress_so_far(f))
            }
            MismatchKind::Io(error) => write!(f, "{verb} failed: {error}"),
            MismatchKind::CannotReset => {
                f.write_str("`play` cannot reset; take `play_transport` or `play_blocking`")
            }
        }
    }

    fn progress(&self, same: usize) -> String {
        match self.step() {
            Some(Step::Expect(expected)) => format!("{same} of {}", count(expected.len())),
            _ => count(same),
        }
    }

    fn progress_so_far(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step() {
            Some(Step::Expect(_)) => write!(f, ", after {}", self.progress(self.came.len())),
            _ => Ok(()),
        }
    }

    /// What was expected above what came, and a mark below the first byte that is not the same.
    fn compare(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match (&self.kind, self.step()) {
            (MismatchKind::Differs { at }, _) => Some(*at),
            (_, Some(Step::Expect(_))) => Some(self.came.len()),
            _ => None,
        };
        let around = at.unwrap_or(0);
        match self.step() {
            Some(Step::Expect(bytes)) => write!(f, "\n  expected: {}", Excerpt(bytes, around))?,
            Some(Step::ExpectEnd) => write!(f, "\n  expected: the end")?,
            Some(Step::ExpectReset) => write!(f, "\n  expected: a reset")?,
            Some(Step::Send(bytes)) => write!(f, "\n  to send:  {}", Excerpt(bytes, 0))?,
            Some(Step::Finish | Step::Close | Step::Reset | Step::Pause(_)) => {}
            None => write!(f, "\n  expected: nothing more")?,
        }
        if self.came.is_empty() {
            return match self.step() {
                Some(Step::Expect(_) | Step::ExpectEnd | Step::ExpectReset) => {
                    write!(f, "\n  came:     (nothing)")
                }
                _ => Ok(()),
            };
        }
        write!(f, "\n  came:     {}", Excerpt(&self.came, around))?;
        match at {
            // The bytes before the mark are the same in both lines, and so is their width.
            Some(at) => write!(
                f,
                "\n            {:1$}^",
                "",
                Excerpt(&self.came, at).column()
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step() {
            Some(_) => write!(f, "step {} of the {}", self.number, self.side)?,
            None => write!(f, "after the last step of the {}", self.side)?,
        }
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        f.write_str(": ")?;
        self.describe(f)?;
        self.compare(f)?;
        let before = &self.steps.before;
        if before.is_empty() {
            return Ok(());
        }
        write!(f, "\nbefore that:")?;
        let left_out = self.number - 1 - before.len();
        if left_out > 0 {
            write!(f, "\n  ({left_out} more)")?;
        }
        for step in before {
            write!(f, "\n  {}", Past(step))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Mismatch {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            MismatchKind::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A step that went well.
pub(super) struct Past<'a>(pub(super) &'a Step);

impl fmt::Display for Past<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Step::Expect(bytes) => write!(f, "came: {}", Excerpt(bytes, 0)),
            Step::ExpectEnd => f.write_str("came: the end"),
            Step::ExpectReset => f.write_str("came: a reset"),
            Step::Send(bytes) => write!(f, "sent: {}", Excerpt(bytes, 0)),
            Step::Finish => f.write_str("finished"),
            Step::Close => f.write_str("closed"),
            Step::Reset => f.write_str("reset"),
            Step::Pause(time) => write!(f, "paused for {time:?}"),
        }
    }
}

/// The bytes around a place; a text that is short enough is shown whole.
struct Excerpt<'a>(&'a [u8], usize);

impl Excerpt<'_> {
    const CUT: &'static str = "...";

    /// Depends on nothing behind the place, so that two texts with the same beginning line up.
    const fn start(&self) -> usize {
        self.1.saturating_sub(BYTES_SHOWN)
    }

    fn end(&self) -> usize {
        self.0.len().min(self.1 + BYTES_SHOWN)
    }

    /// Where the place is when this is shown.
    fn column(&self) -> usize {
        let before = &self.0[self.start()..self.1];
        let cut = if self.start() > 0 { Self::CUT.len() } else { 0 };
        cut + width(before)
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start() > 0 {
            f.write_str(Self::CUT)?;
        }
        write!(f, "{}", Escaped(&self.0[self.start()..self.end()]))?;
        let left = self.0.len() - self.end();
        if left > 0 {
            write!(f, "{} ({left} more)", Self::CUT)?;
        }
        Ok(())
    }
}

fn count(bytes: usize) -> String {
    match bytes {
        1 => "1 byte".into(),
        _ => format!("{bytes} bytes"),
    }
}
