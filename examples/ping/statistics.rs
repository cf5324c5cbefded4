//! What became of the requests, and the lines that say so. The clock is an argument.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What is known of a run so far.
#[derive(Debug)]
pub struct Statistics {
    begun: Instant,
    /// When something was last sent or received.
    last: Instant,
    /// What each sequence number was last used for; at most 65,536 of them.
    requests: HashMap<u16, Request>,
    transmitted: u64,
    received: u64,
    duplicates: u64,
    errors: u64,
    times: Times,
}

#[derive(Debug)]
struct Request {
    sent: Instant,
    is_answered: bool,
}

/// The round trips, in seconds.
#[derive(Debug, Default)]
struct Times {
    least: f64,
    most: f64,
    sum: f64,
    squares: f64,
}

/// A reply to a request of ours.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub time: Duration,
    /// It is not the first reply to that.
    pub is_duplicate: bool,
}

impl Statistics {
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            last: now,
            requests: HashMap::new(),
            transmitted: 0,
            received: 0,
            duplicates: 0,
            errors: 0,
            times: Times::default(),
        }
    }

    pub fn sent(&mut self, sequence: u16, now: Instant) {
        let request = Request {
            sent: now,
            is_answered: false,
        };
        self.requests.insert(sequence, request);
        self.transmitted += 1;
        self.last = now;
    }

    /// `None`: nothing was asked under that number.
    pub fn replied(&mut self, sequence: u16, now: Instant) -> Option<Reply> {
        let request = self.requests.get_mut(&sequence)?;
        let is_duplicate = std::mem::replace(&mut request.is_answered, true);
        let time = now - request.sent;
        if is_duplicate {
            self.duplicates += 1;
        } else {
            self.received += 1;
        }
        self.times
            .add(time.as_secs_f64(), self.received + self.duplicates == 1);
        self.last = now;
        Some(Reply { time, is_duplicate })
    }

    pub fn failed(&mut self, now: Instant) {
        self.errors += 1;
        self.last = now;
    }

    pub const fn transmitted(&self) -> u64 {
        self.transmitted
    }

    /// Whether each request was answered.
    pub const fn is_complete(&self) -> bool {
        self.received == self.transmitted
    }

    pub const fn has_replies(&self) -> bool {
        self.received > 0
    }

    /// How long the last replies are waited for: two round trips, but at least `interval`; `patience`
    /// when there was none to know by.
    pub fn linger(&self, interval: Duration, patience: Duration) -> Duration {
        if self.has_replies() {
            Duration::from_secs_f64(2.0 * self.times.most).max(interval)
        } else {
            patience
        }
    }
}

impl Times {
    fn add(&mut self, time: f64, is_first: bool) {
        self.least = if is_first { time } else { self.least.min(time) };
        self.most = self.most.max(time);
        self.sum += time;
        self.squares += time * time;
    }
}

impl fmt::Display for Statistics {
    /// As ping of Linux (iputils) writes it, from its second line on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} packets transmitted, ", self.transmitted)?;
        write!(f, "{} received, ", self.received)?;
        if self.duplicates > 0 {
            write!(f, "+{} duplicates, ", self.duplicates)?;
        }
        if self.errors > 0 {
            write!(f, "+{} errors, ", self.errors)?;
        }
        if self.transmitted > 0 {
            let lost = self.transmitted.saturating_sub(self.received);
            let share = number(lost) * 100.0 / number(self.transmitted);
            write!(f, "{}% packet loss, ", six_digits(share))?;
        }
        let elapsed = self.last - self.begun;
        write!(f, "time {}ms", elapsed.as_millis())?;
        if self.received > 0 {
            let Times {
                least,
                most,
                sum,
                squares,
            } = self.times;
            let count = number(self.received + self.duplicates);
            let average = sum / count;
            let deviation = (squares / count - average * average).max(0.0).sqrt();
            let [least, average, most, deviation] =
                [least, average, most, deviation].map(|seconds| seconds * 1e3);
            write!(
                f,
                "\nrtt min/avg/max/mdev = {least:.3}/{average:.3}/{most:.3}/{deviation:.3} ms"
            )?;
        }
        Ok(())
    }
}

/// A round trip in milliseconds with as many digits as mean something.
pub fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1e3;
    let digits = match time.as_micros() {
        100_000.. => 0,
        10_000.. => 1,
        1_000.. => 2,
        _ => 3,
    };
    format!("{milliseconds:.digits$}")
}

/// As `%g` of C, for 0 to 100.
fn six_digits(share: f64) -> String {
    let digits = match share {
        10.0.. => 4,
        1.0.. => 5,
        _ => 6,
    };
    let text = format!("{share:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "nobody sends so many packets that it shows"
)]
const fn number(count: u64) -> f64 {
    count as f64
}
