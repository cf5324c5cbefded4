//! How far a run is: a bar on a terminal, plain lines elsewhere, on standard error.
//!
//! By hand, since one line that is drawn between slices, never during one, is all that is asked for.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// The width when the terminal does not say.
const COLUMNS: usize = 80;
/// Cells of the bar itself.
const CELLS: usize = 20;

/// Draws.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    /// Expected time of all turns, and of those that are over.
    whole: Duration,
    over: Duration,
    on_terminal: bool,
}

impl Progress {
    /// Nothing is done of a run that is expected to take `whole`.
    pub(crate) fn new(whole: Duration) -> Self {
        Self {
            began: Instant::now(),
            whole,
            over: Duration::ZERO,
            on_terminal: io::stderr().is_terminal(),
        }
    }

    /// Says whose turn it is.
    pub(crate) fn turn(&self, title: &str) {
        if !self.on_terminal {
            return;
        }
        let size = rustix::termios::tcgetwinsize(io::stderr());
        let columns = size.map_or(COLUMNS, |size| usize::from(size.ws_col));
        let line = line(self.share(), self.left(), title, columns);
        // Who cannot be told is not interested.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }

    /// A turn is over that was expected to take `expected`.
    pub(crate) fn advance(&mut self, expected: Duration) {
        self.over += expected;
    }

    /// Tells of a slice: above the bar only if it is `noteworthy`.
    pub(crate) fn tell(&self, text: &str, noteworthy: bool) {
        if !self.on_terminal {
            eprintln!("{text}");
        } else if noteworthy {
            eprintln!("\r\x1b[K{text}");
        }
    }

    fn share(&self) -> f64 {
        self.over.div_duration_f64(self.whole).min(1.0)
    }

    /// What is left, if the rest goes as the past did.
    fn left(&self) -> Option<Duration> {
        let pace = self.began.elapsed().div_duration_f64(self.over);
        let rest = self.whole.saturating_sub(self.over).as_secs_f64();
        Duration::try_from_secs_f64(pace * rest).ok()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// A line of at most `columns` less one, so that the terminal does not wrap it.
fn line(share: f64, left: Option<Duration>, title: &str, columns: usize) -> String {
    let mut line = "[".to_owned();
    for cell in 1..=CELLS {
        let filled = share * steps(CELLS) >= steps(cell);
        line.push(if filled { '#' } else { '.' });
    }
    let _ = write!(line, "] {:3.0} %", share * 100.0);
    if let Some(left) = left {
        let seconds = left.as_secs();
        let _ = write!(line, ", {}:{:02} left", seconds / 60, seconds % 60);
    }
    let _ = write!(line, ", {title}");
    line.chars().take(columns.saturating_sub(1)).collect()
}

fn steps(cells: usize) -> f64 {
    f64::from(u8::try_from(cells).expect("the bar is short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_share_the_time_and_the_turn() {
        assert_eq!(
            line(0.5, Some(Duration::from_secs(83)), "ping1 2/5 a", 80),
            "[##########..........]  50 %, 1:23 left, ping1 2/5 a"
        );
        assert_eq!(
            line(1.0, None, "ping1 5/5 a", 80),
            "[####################] 100 %, ping1 5/5 a"
        );
        assert_eq!(line(0.0, None, "ping1", 10), "[........");
        assert_eq!(line(0.0, None, "ping1", 0), "");
    }

    #[test]
    fn the_time_left_is_unknown_before_the_first_turn() {
        let mut progress = Progress::new(Duration::from_secs(10));
        assert_eq!(progress.left(), None);
        progress.advance(Duration::from_secs(10));
        assert_eq!(progress.left(), Some(Duration::ZERO));
        assert!(progress.share() >= 1.0);
    }
}
