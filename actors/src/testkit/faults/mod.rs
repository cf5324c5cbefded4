//! Any network, with faults.
//!
//! [`Faults`] is a plan, [`FaultyNet`] a [`Network`](crate::transport::Network) that follows it over
//! another one. A plan is a list of [scripts](FaultScript): before each operation (an accept, a
//! connect, a read, a write, a shutdown) every script says in turn what shall become of it, as an
//! [`Action`]. All named faults and the random ones are such scripts.
//!
//! ```
//! use switchboard::testkit::{Faults, FaultyNet};
//! use switchboard::transport::TcpNetwork;
//!
//! let faults = Faults::none().short_reads(3).reset_at_write(1000);
//! let network = FaultyNet::new(TcpNetwork, faults.clone());
//! let builder = switchboard::Pool::builder().network(network);
//! assert_eq!(faults.counts().resets, 0); // nothing has happened yet
//! # drop(builder);
//! ```

mod counts;
mod lane;
mod net;
mod random;
mod script;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use counts::FaultCounts;
pub use net::FaultyNet;
pub use random::Rates;
pub use script::{Action, Fault, FaultScript, Operation, Party};

use counts::Counts;
use random::Random;
use script::Scripts;

/// A plan of faults. Cheap to clone; clones share their [counts](Self::counts).
///
/// Faults are added by name and are asked in that order. They hold for every listener and every
/// connection, until [`on`](Self::on) narrows those that follow to one. Each party has its own copy of
/// them, with its own position.
#[derive(Clone)]
#[must_use = "faults do nothing until they are given to a network"]
pub struct Faults {
    rules: Vec<Rule>,
    only: Option<Party>,
    counts: Arc<Counts>,
}

/// A fault of the plan, and for whom it is.
#[derive(Clone)]
struct Rule {
    name: String,
    only: Option<Party>,
    make: Arc<dyn Fn(Party) -> Box<dyn FaultScript> + Send + Sync>,
}

impl Faults {
    /// No faults: everything goes through as it is.
    pub fn none() -> Self {
        Self {
            rules: Vec::new(),
            only: None,
            counts: Arc::default(),
        }
    }

    /// Faults at random that break no connection, with the rates of [`Rates::default`].
    pub fn random(seed: u64) -> Self {
        Self::none().at_random(seed, Rates::default())
    }

    /// The faults that are added after this are for this listener or connection only.
    pub const fn on(mut self, party: Party) -> Self {
        self.only = Some(party);
        self
    }

    /// The faults that are added after this are for every listener and connection again.
    pub const fn on_all(mut self) -> Self {
        self.only = None;
        self
    }

    /// What was done so far, over all networks that follow this plan or a clone of it.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.counts.snapshot()
    }

    /// Adds a script of your own. `make` is called once for each listener and connection.
    pub fn script<S: FaultScript>(self, make: impl Fn(Party) -> S + Send + Sync + 'static) -> Self {
        self.rule("script", make)
    }

    fn rule<S: FaultScript>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(Party) -> S + Send + Sync + 'static,
    ) -> Self {
        self.rules.push(Rule {
            name: name.into(),
            only: self.only,
            make: Arc::new(move |party| Box::new(make(party))),
        });
        self
    }

    /// Adds one that needs no memory.
    fn rule_of(
        self,
        name: impl Into<String>,
        decide: impl Fn(Operation) -> Action + Copy + Send + Sync + 'static,
    ) -> Self {
        self.rule(name, move |_| decide)
    }

    fn scripts(&self, party: Party) -> Scripts {
        let rules = self.rules.iter();
        let meant = rules.filter(|rule| rule.only.is_none_or(|only| only == party));
        meant.map(|rule| (rule.make)(party)).collect()
    }
}

/// Faults of reading and writing.
impl Faults {
    /// A read gives this many bytes at most, and at least 1.
    pub fn short_reads(self, most: usize) -> Self {
        self.rule_of(
            format!("short_reads({most})"),
            move |operation| match operation {
                Operation::Read { .. } => Action::Short(most),
                _ => Action::Go,
            },
        )
    }

    /// A write takes this many bytes at most, and at least 1; over all its slices together.
    pub fn short_writes(self, most: usize) -> Self {
        self.rule_of(
            format!("short_writes({most})"),
            move |operation| match operation {
                Operation::Write { .. } => Action::Short(most),
                _ => Action::Go,
            },
        )
    }

    /// Resets the connection when the byte with this number (the first is 0) is to be read.
    pub fn reset_at_read(self, byte: u64) -> Self {
        self.rule_of(
            format!("reset_at_read({byte})"),
            move |operation| match operation {
                Operation::Read { at, .. } => up_to(at, byte, Action::Fail(Fault::RESET)),
                _ => Action::Go,
            },
        )
    }

    /// Resets the connection when the byte with this number (the first is 0) is to be written.
    pub fn reset_at_write(self, byte: u64) -> Self {
        self.rule_of(
            format!("reset_at_write({byte})"),
            move |operation| match operation {
                Operation::Write { at, .. } => up_to(at, byte, Action::Fail(Fault::RESET)),
                _ => Action::Go,
            },
        )
    }

    /// The peer seems to have finished when the byte with this number is to be read. Writing goes on.
    pub fn eof_at(self, byte: u64) -> Self {
        self.rule_of(
            format!("eof_at({byte})"),
            move |operation| match operation {
                Operation::Read { at, .. } => up_to(at, byte, Action::Eof),
                _ => Action::Go,
            },
        )
    }

    /// The byte with this number (the first is 0) is another one when it is read: its lowest bit is turned.
    pub fn corrupt_read(self, byte: u64) -> Self {
        self.rule_of(
            format!("corrupt_read({byte})"),
            move |operation| match operation {
                Operation::Read { at, .. } if at <= byte => up_to(at, byte, Action::Corrupt),
                _ => Action::Go,
            },
        )
    }

    /// The byte with this number (the first is 0) is another one when it is written: its lowest bit is
    /// turned.
    pub fn corrupt_write(self, byte: u64) -> Self {
        self.rule_of(
            format!("corrupt_write({byte})"),
            move |operation| match operation {
                Operation::Write { at, .. } if at <= byte => up_to(at, byte, Action::Corrupt),
                _ => Action::Go,
            },
        )
    }

    /// A read ends before the byte with this number (the first is 0), which comes 1 ms later than it would
    /// have: what was one piece is two.
    pub fn cut_reads_at(self, byte: u64) -> Self {
        self.rule_of(
            format!("cut_reads_at({byte})"),
            move |operation| match operation {
                Operation::Read { at, .. } if at <= byte => {
                    up_to(at, byte, Action::Delay(Duration::from_millis(1)))
                }
                _ => Action::Go,
            },
        )
    }

    /// Nothing can be read after so many bytes, not even the peer's end; nothing is taken from the
    /// network either, so the peer is held back. Writing goes on.
    pub fn stall_reads_after(self, bytes: u64) -> Self {
        self.rule_of(
            format!("stall_reads_after({bytes})"),
            move |operation| match operation {
                Operation::Read { at, .. } => up_to(at, bytes, Action::Stall),
                _ => Action::Go,
            },
        )
    }

    /// Nothing is taken to be written after so many bytes, and shutting down does not end. Reading
    /// goes on.
    pub fn stall_writes_after(self, bytes: u64) -> Self {
        self.rule_of(
            format!("stall_writes_after({bytes})"),
            move |operation| match operation {
                Operation::Write { at, .. } => up_to(at, bytes, Action::Stall),
                Operation::Shutdown { at } if at >= bytes => Action::Stall,
                _ => Action::Go,
            },
        )
    }

    /// One-way loss: what the peer sends after so many bytes is thrown away, its end too. Writing goes
    /// on.
    pub fn lose_reads_after(self, bytes: u64) -> Self {
        self.rule_of(
            format!("lose_reads_after({bytes})"),
            move |operation| match operation {
                Operation::Read { at, .. } => up_to(at, bytes, Action::Lose),
                _ => Action::Go,
            },
        )
    }

    /// One-way loss: what is written after so many bytes is taken and thrown away, and so is a
    /// shutdown. Reading goes on.
    pub fn lose_writes_after(self, bytes: u64) -> Self {
        self.rule_of(
            format!("lose_writes_after({bytes})"),
            move |operation| match operation {
                Operation::Write { at, .. } => up_to(at, bytes, Action::Lose),
                Operation::Shutdown { at } if at >= bytes => Action::Lose,
                _ => Action::Go,
            },
        )
    }

    /// Before each operation of any kind but a connect: so many times not ready, and woken at once.
    pub fn block_storm(self, times: u32) -> Self {
        self.rule(format!("block_storm({times})"), move |_| Storm {
            times,
            left: [times; 4],
        })
    }

    /// What is read comes so much later than it would have; its end and its errors too.
    pub fn delay_reads(self, time: Duration) -> Self {
        self.rule_of(
            format!("delay_reads({time:?})"),
            move |operation| match operation {
                Operation::Read { .. } => Action::Delay(time),
                _ => Action::Go,
            },
        )
    }

    /// A write is taken so much later than it was asked for.
    pub fn delay_writes(self, time: Duration) -> Self {
        self.rule_of(
            format!("delay_writes({time:?})"),
            move |operation| match operation {
                Operation::Write { .. } => Action::Delay(time),
                _ => Action::Go,
            },
        )
    }

    /// Faults at random. Each connection has its own sequence for each direction, made of the seed, its
    /// [`Party`] and the direction: the nth read of a connection meets the same fault in every run, in
    /// whatever order connections move.
    pub fn at_random(self, seed: u64, rates: Rates) -> Self {
        self.rule(format!("at_random({seed}, {rates:?})"), move |party| {
            Random::new(seed, party, rates.clone())
        })
    }
}

/// Faults of opening.
impl Faults {
    /// The next accepts of each listener fail so, one after the other, whether or not a peer waits; a
    /// peer that waits stays. Then accepting goes on.
    pub fn accept_errors(self, errors: impl IntoIterator<Item = impl Into<Fault>>) -> Self {
        let errors: Vec<Fault> = errors.into_iter().map(Into::into).collect();
        self.rule(format!("accept_errors({errors:?})"), move |_| {
            let mut left = errors.clone().into_iter();
            move |operation| match operation {
                Operation::Accept => left.next().map_or(Action::Go, Action::Fail),
                _ => Action::Go,
            }
        })
    }

    /// A peer is handed over so much later than it was accepted.
    pub fn delay_accepts(self, time: Duration) -> Self {
        self.rule_of(
            format!("delay_accepts({time:?})"),
            move |operation| match operation {
                Operation::Accept => Action::Delay(time),
                _ => Action::Go,
            },
        )
    }

    /// Connecting begins so much later. It counts towards the attempt's timeout.
    pub fn connect_delay(self, time: Duration) -> Self {
        self.rule_of(
            format!("connect_delay({time:?})"),
            move |operation| match operation {
                Operation::Connect => Action::Delay(time),
                _ => Action::Go,
            },
        )
    }

    /// Connecting fails so; the peer sees nothing of it.
    pub fn refuse_connect(self, error: impl Into<Fault>) -> Self {
        let error = error.into();
        self.rule_of(
            format!("refuse_connect({error})"),
            move |operation| match operation {
                Operation::Connect => Action::Fail(error),
                _ => Action::Go,
            },
        )
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("rules", &self.rules)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.only {
            Some(party) => write!(f, " on {party}"),
            None => Ok(()),
        }
    }
}

/// Lets a stream come to byte `end`, where `action` happens.
fn up_to(at: u64, end: u64, action: Action) -> Action {
    match end.checked_sub(at) {
        None | Some(0) => action,
        Some(left) => Action::Short(usize::try_from(left).unwrap_or(usize::MAX)),
    }
}

/// Blocks so many times before each operation.
struct Storm {
    times: u32,
    /// For accepts, reads, writes and shutdowns.
    left: [u32; 4],
}

impl FaultScript for Storm {
    fn decide(&mut self, operation: Operation) -> Action {
        let left = match operation {
            Operation::Connect => return Action::Go,
            Operation::Accept => &mut self.left[0],
            Operation::Read { .. } => &mut self.left[1],
            Operation::Write { .. } => &mut self.left[2],
            Operation::Shutdown { .. } => &mut self.left[3],
        };
        if *left == 0 {
            *left = self.times;
            return Action::Go;
        }
        *left -= 1;
        Action::Block
    }
}
