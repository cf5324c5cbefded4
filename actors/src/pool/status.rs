//! What a pool counts.

use std::fmt;

use switchboard_core::ClosedReason;

use crate::workers::WorkerStatus;

/// A pool's counters: `accepted + connected + opened` is always `live` and all of `closed` together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Peers that came in and became connections.
    pub accepted: u64,
    /// Outbound connections that were established.
    pub connected: u64,
    /// Sockets that move datagrams, peers of such with a session of their own, and processes.
    pub opened: u64,
    /// Outbound connections that never came to be.
    pub connect_failed: u64,
    /// Outbound connections that are being established.
    pub connecting: u64,
    /// Connections that are there now.
    pub live: u64,
    /// Connections that ended, by the number of their [`ClosedReason`].
    pub closed: [u64; 4],
}

impl Totals {
    /// All connections that ended.
    #[must_use]
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.connected += other.connected;
        self.opened += other.opened;
        self.connect_failed += other.connect_failed;
        self.connecting += other.connecting;
        self.live += other.live;
        for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Totals {
    /// One line by reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted, {} connected, {} closed",
            self.accepted,
            self.connected,
            self.closed_in_all()
        )?;
        for (reason, count) in ClosedReason::ALL.iter().zip(self.closed) {
            write!(f, ", {reason}: {count}")?;
        }
        write!(f, ", {} live", self.live)
    }
}

/// What a pool is doing (XAS-12).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Whether it opens listeners and connections: false from a drain or a stop on.
    pub running: bool,
    /// Whether it drains: false again once it stops.
    pub draining: bool,
    /// Its shards.
    pub shards: usize,
    /// Its workers; none, unless [`PoolBuilder::workers`](crate::PoolBuilder::workers) says so.
    pub workers: Vec<WorkerStatus>,
    /// Its listeners that are not closed; one that is suspended or restarting counts.
    pub servers: usize,
    /// The actors of its connections: one for each, and one for each session of its own.
    pub actors: usize,
    /// Bytes that wait in its connections, as far as they are counted; `None` without a memory budget
    /// ([`PoolBuilder::memory_budget`](crate::PoolBuilder::memory_budget)).
    pub memory: Option<usize>,
    /// Its counters.
    pub totals: Totals,
}

impl PoolStatus {
    /// Whether there is nothing that could make an event.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.servers == 0 && self.totals.live == 0 && self.totals.connecting == 0
    }
}
