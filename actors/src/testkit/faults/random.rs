//! Faults that a seed chooses.

use std::io::ErrorKind;
use std::time::Duration;

use fastrand::Rng;

use super::script::{Action, Fault, FaultScript, Operation, Party};

/// How often which fault comes, each per mille of the operations that it can befall.
///
/// The defaults break no connection: all bytes arrive, only otherwise than usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Reads and writes that move 1 to [`short_most`](Self::short_most) bytes. Default: 300.
    pub short: u32,
    /// The most bytes of a short read or write. Default: 64; at least 1.
    pub short_most: usize,
    /// Accepts, reads, writes and shutdowns that are not ready at first; each time anew, so at 1,000
    /// nothing ever moves. Default: 200.
    pub block: u32,
    /// Operations of any kind that come later, so that readiness comes in another order, between the
    /// directions of a connection and between connections. Default: 5.
    pub delay: u32,
    /// The longest delay; the shortest is 0. Default: 5 ms.
    pub longest_delay: Duration,
    /// Reads and writes that reset the connection. Default: 0.
    pub reset: u32,
    /// Reads that give the end. Default: 0.
    pub eof: u32,
    /// Reads, writes and shutdowns that never become ready. Default: 0.
    pub stall: u32,
    /// Reads and writes that move one byte, of which a bit is turned. Default: 0; only what finds such
    /// faults, as TLS does, can be tested with them.
    pub corrupt: u32,
    /// Accepts that fail, half of them for want of descriptors (EMFILE), half because the peer is gone
    /// (ECONNABORTED). Default: 0.
    pub accept_error: u32,
    /// Attempts to connect that are refused. Default: 0.
    pub refuse: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            short: 300,
            short_most: 64,
            block: 200,
            delay: 5,
            longest_delay: Duration::from_millis(5),
            reset: 0,
            eof: 0,
            stall: 0,
            corrupt: 0,
            accept_error: 0,
            refuse: 0,
        }
    }
}

impl Rates {
    /// Everything can happen: 10 per mille of resets, 5 of false ends and of stalls, 100 of accept
    /// errors and of refusals beside the defaults.
    #[must_use]
    pub fn harsh() -> Self {
        Self {
            reset: 10,
            eof: 5,
            stall: 5,
            accept_error: 100,
            refuse: 100,
            ..Self::default()
        }
    }
}

/// The random faults of one party.
pub(super) struct Random {
    rates: Rates,
    /// For reads, writes, and all the rest: each is polled in its own time.
    sequences: [Rng; 3],
}

impl Random {
    pub(super) fn new(seed: u64, party: Party, rates: Rates) -> Self {
        let (kind, number) = match party {
            Party::Listener(number) => (1, number),
            Party::Accepted(number) => (2, number),
            Party::Outbound(number) => (3, number),
        };
        let party = mix(mix(seed, kind), number);
        Self {
            rates,
            sequences: [0, 1, 2].map(|direction| Rng::with_seed(mix(party, direction))),
        }
    }
}

/// Two numbers that differ in one bit give results that have nothing in common (splitmix64).
const fn mix(seed: u64, number: u64) -> u64 {
    let mut mixed = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl FaultScript for Random {
    fn decide(&mut self, operation: Operation) -> Action {
        let rates = &self.rates;
        let (sequence, faults): (usize, &[(u32, Choice)]) = match operation {
            Operation::Read { .. } => (
                0,
                &[
                    (rates.reset, Choice::Reset),
                    (rates.eof, Choice::Eof),
                    (rates.stall, Choice::Stall),
                    (rates.corrupt, Choice::Corrupt),
                    (rates.block, Choice::Block),
                    (rates.short, Choice::Short),
                ],
            ),
            Operation::Write { .. } => (
                1,
                &[
                    (rates.reset, Choice::Reset),
                    (rates.stall, Choice::Stall),
                    (rates.corrupt, Choice::Corrupt),
                    (rates.block, Choice::Block),
                    (rates.short, Choice::Short),
                ],
            ),
            Operation::Shutdown { .. } => (
                2,
                &[(rates.stall, Choice::Stall), (rates.block, Choice::Block)],
            ),
            Operation::Accept => (
                2,
                &[
                    (rates.accept_error, Choice::AcceptError),
                    (rates.block, Choice::Block),
                ],
            ),
            Operation::Connect => (2, &[(rates.refuse, Choice::Refuse)]),
        };
        let rng = &mut self.sequences[sequence];
        let delay = (rates.delay, Choice::Delay);
        let mut drawn = rng.u32(..1000);
        for &(rate, choice) in faults.iter().chain([&delay]) {
            if drawn < rate {
                return choice.action(rates, rng);
            }
            drawn -= rate;
        }
        Action::Go
    }
}

/// What can be drawn.
#[derive(Clone, Copy)]
enum Choice {
    Short,
    Block,
    Delay,
    Reset,
    Eof,
    Stall,
    Corrupt,
    AcceptError,
    Refuse,
}

impl Choice {
    fn action(self, rates: &Rates, rng: &mut Rng) -> Action {
        match self {
            Self::Short => Action::Short(rng.usize(1..=rates.short_most.max(1))),
            Self::Block => Action::Block,
            Self::Delay => Action::Delay(rates.longest_delay.mul_f64(rng.f64())),
            Self::Reset => Action::Fail(Fault::RESET),
            Self::Eof => Action::Eof,
            Self::Stall => Action::Stall,
            Self::Corrupt => Action::Corrupt,
            Self::AcceptError if rng.bool() => Action::Fail(Fault::EMFILE),
            Self::AcceptError => Action::Fail(Fault::ECONNABORTED),
            Self::Refuse => Action::Fail(Fault::Kind(ErrorKind::ConnectionRefused)),
        }
    }
}
