//! The workloads, one per file, and the figures that they yield.

mod busy;
mod datagrams;
mod idle;
mod shards;
mod steady;
mod storm;
mod transfer;

use std::fmt;
use std::io;
use std::time::Duration;

use crate::figures::Figure;
use crate::fleet::AfterReply;
use crate::machine::Cores;
use crate::server::{Place, Wire};
use crate::stage::Stage;
use crate::turns::Loads;

use self::busy::Busy;
use self::datagrams::Datagrams;
use self::idle::Idle;
use self::shards::Shards;
use self::steady::Steady;
use self::storm::Storm;
use self::transfer::Transfer;

/// Connections of the scenarios that ask for very many.
const MANY: usize = 10_000;

/// A workload on a server, or on several of one kind, that were just started for it.
pub(crate) trait Scenario: fmt::Debug {
    /// The name on the command line and in the tables.
    fn name(&self) -> &'static str;

    /// One sentence for the reader of the table.
    fn about(&self) -> &'static str;

    /// Which servers take part.
    fn wire(&self) -> Wire {
        Wire::Plain
    }

    /// Servers whose first figure the others are divided by.
    fn baselines(&self) -> &'static [&'static str] {
        &["tokio-lines"]
    }

    /// Whether a slice on a slow core, or on one with other tenants, says nothing.
    fn wants_quiet(&self) -> bool {
        true
    }

    /// The share of its time that others took, where the scenario itself has to tell: its load and its
    /// server run on one core and so wait for each other.
    fn waiting(&self, _figures: &[Figure]) -> Option<f64> {
        None
    }

    /// Why this machine cannot do it, if it cannot.
    fn obstacle(&self) -> Option<String> {
        None
    }

    /// How many rounds it takes of those that are wanted.
    fn rounds(&self, wanted: u32) -> u32 {
        wanted
    }

    /// The servers of a slice.
    fn places(&self, cores: Cores) -> Vec<Place> {
        vec![Place {
            cores: vec![cores.server],
            arguments: Vec::new(),
        }]
    }

    /// About how long a slice takes with all that belongs to it, for the progress bar.
    fn expected(&self, slice: Duration) -> Duration {
        slice + Duration::from_millis(600)
    }

    /// The same load in turns with those on other servers, where that can be.
    fn in_turns(&self) -> Option<&dyn Loads> {
        None
    }

    /// Runs the load, and says what it measured: the first figure is compared between servers.
    /// `slice` is the measured time where the load is a matter of time.
    ///
    /// # Errors
    /// A server did not do its work, so that the figures would mean nothing.
    fn run(&self, stage: &Stage, slice: Duration) -> io::Result<Vec<Figure>>;
}

/// All scenarios, in the order of the tables.
pub(crate) fn all() -> Vec<Box<dyn Scenario>> {
    let ping = |name, about, connections| Steady {
        name,
        about,
        connections,
        lines: 1,
        after_reply: AfterReply::Repeat,
        wire: Wire::Plain,
        baselines: &["tokio-lines"],
    };
    vec![
        Box::new(ping("ping1", "1 connection, one 64-byte line in flight", 1)),
        Box::new(ping(
            "ping50",
            "50 connections, one 64-byte line in flight on each",
            50,
        )),
        Box::new(ping(
            "ping500",
            "500 connections, one 64-byte line in flight on each",
            500,
        )),
        Box::new(Steady {
            lines: 64,
            baselines: &["tokio-lines", "tokio-chunks"],
            ..ping(
                "pipe50x64",
                "50 connections, bursts of 64 lines on each; per line, but latency per burst",
                50,
            )
        }),
        Box::new(Steady {
            after_reply: AfterReply::Reconnect,
            ..ping(
                "churn",
                "8 clients: connect, one line, close, over and over; per connection",
                8,
            )
        }),
        Box::new(Idle),
        Box::new(Busy),
        Box::new(Transfer { tls: false }),
        Box::new(Storm),
        Box::new(Steady {
            wire: Wire::Tls,
            baselines: &["tokio-rustls"],
            ..ping(
                "tls-ping50",
                "TLS 1.3: 50 connections, one 64-byte line in flight on each",
                50,
            )
        }),
        Box::new(Transfer { tls: true }),
        Box::new(Steady {
            after_reply: AfterReply::Reconnect,
            wire: Wire::Tls,
            baselines: &["tokio-rustls"],
            ..ping(
                "handshakes",
                "TLS 1.3: 8 clients: connect, full handshake, one line, close, over and over; per connection",
                8,
            )
        }),
        Box::new(Datagrams {
            name: "udp1",
            about: "UDP: 1 socket, one datagram of 64 bytes in flight; per datagram",
            sockets: 1,
            in_flight: 1,
        }),
        Box::new(Datagrams {
            name: "udp16",
            about: "UDP: 16 sockets to one, 8 datagrams of 64 bytes in flight on each; per datagram",
            sockets: 16,
            in_flight: 8,
        }),
        Box::new(Shards),
    ]
}

/// A count as a number that can be divided.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures have at most six digits that mean something"
)]
fn ratio(count: u64, of: f64) -> f64 {
    count as f64 / of
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
