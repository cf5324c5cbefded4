//! The machine of a socket that moves datagrams: UDP, Unix datagrams, raw IP.
//!
//! **It does nothing by itself: whoever drives it does, in this order, whenever something happened:**
//! 1. [`begin_round`](Datagrams::begin_round), so that each way may move its budget again, and
//!    [`handle_timeout`](Datagrams::handle_timeout) if [`poll_timeout`](Datagrams::poll_timeout) has
//!    passed;
//! 2. while [`poll_resolve`](Datagrams::poll_resolve) gives a name: look it up, and say
//!    [`handle_resolved`](Datagrams::handle_resolved) when that is done;
//! 3. while [`poll_send`](Datagrams::poll_send) lends out a datagram: send it and say
//!    [`handle_sent`](Datagrams::handle_sent), `handle_send_failed`, `handle_no_room`, or, when the
//!    socket takes no more, nothing;
//! 4. while [`read_wish`](Datagrams::read_wish) asks for datagrams: receive and say
//!    [`handle_datagram`](Datagrams::handle_datagram), until there is nothing; give what one-shot
//!    receivers wait for to them with [`take_datagram`](Datagrams::take_datagram);
//! 5. if [`has_event`](Datagrams::has_event): let the session take them with
//!    [`poll_event`](Datagrams::poll_event);
//! 6. if [`wants_round`](Datagrams::wants_round): let others have their turn, then begin anew;
//! 7. once [`is_over`](Datagrams::is_over) and the last event was taken: let go of the socket.
//!
//! A datagram that somebody else received for this socket may come at any time while
//! [`has_room`](Datagrams::has_room).
//!
//! What the system reports of earlier datagrams, such as that nobody listens at a peer, is
//! [`handle_error`](Datagrams::handle_error) and ends nothing (AIO-38, T-22).

mod closing;
mod command;
mod config;
mod crash;
mod direct;
mod drain;
mod error;
mod event;
mod handle;
mod inbound;
mod names;
mod notices;
mod outbox;
mod poll;
mod send;
mod shortage;
mod state;
mod stuck;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::address::Address;
use crate::connection::{ConnectionState, Crashes, Credit, Interests, Snapshot};
use crate::now::Now;
use crate::reason::ClosedDetail;

pub use config::DatagramConfig;
pub use error::{DatagramError, DatagramRefusal};
pub use event::DatagramEvent;
pub use inbound::Received;
pub use names::Lookup;

use inbound::Inbound;
use names::Names;
use notices::Notices;
use outbox::Outbox;
use shortage::Shortage;
use state::State;
use stuck::Stuck;

/// One socket that moves datagrams: its state, its clocks, what came in and what goes out.
#[derive(Debug)]
pub struct Datagrams {
    config: Arc<DatagramConfig>,
    interests: Interests,
    state: State,
    peer: Peer,
    inbound: Inbound,
    outbox: Outbox,
    /// Datagrams whose destination is not looked up yet; they count in the outbox.
    names: Names,
    notices: Notices,
    shortage: Shortage,
    /// Receivers without room, and what waits for them; it counts in the outbox.
    stuck: Stuck,
    /// What is with the session.
    credit: Credit,
    /// How many one-shot receivers wait.
    receivers: usize,
    reading_paused: bool,
    /// Whether its session is gone and another one is to come.
    vacant: bool,
    crashes: Option<Box<Crashes>>,
    /// What nobody needs any more; see [`take_spent`](Self::take_spent).
    spent: Vec<Bytes>,
    /// How many datagrams may still be received and sent in this round.
    read_budget: usize,
    write_budget: usize,
    /// When nothing has moved for too long.
    idle_at: Option<Instant>,
    /// When the closing, or the wait for another session, has taken too long.
    deadline_at: Option<Instant>,
    bytes_in: u64,
    bytes_out: u64,
    counts: DatagramCounts,
}

/// Who may be sent to.
#[derive(Debug)]
enum Peer {
    Anybody,
    /// The socket is connected, to whom was not said yet.
    Unknown,
    Connected(Address),
}

/// A datagram that is to be sent now.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its bytes; perhaps none.
    pub data: &'a Bytes,
    /// Where it is to go; `None`: to the peer that the socket is connected to.
    pub to: Option<&'a Address>,
}

/// How many datagrams there were so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DatagramCounts {
    /// Received.
    pub received: u64,
    /// Sent: taken by the system.
    pub sent: u64,
    /// Accepted and never sent, those included that a close has dropped.
    pub failed: u64,
    /// Received without their end, since they were longer than the receive size.
    pub truncated: u64,
    /// Errors that the system reported, told or not.
    pub errors: u64,
    /// Received and never taken by anybody; known once it is closed.
    pub unread: u64,
}

/// Getters.
impl Datagrams {
    /// An open socket that waits for its session. `connected`: it has a peer, so that a send needs no
    /// destination; [`set_connected`](Self::set_connected) says which, and until then every send that
    /// has a destination is refused.
    #[must_use]
    pub fn new(config: Arc<DatagramConfig>, connected: bool, now: &mut Now) -> Self {
        let mut machine = Self {
            interests: Interests::NONE,
            state: State::Adopting,
            peer: if connected {
                Peer::Unknown
            } else {
                Peer::Anybody
            },
            inbound: Inbound::default(),
            outbox: Outbox::new(config.write_high, config.write_low),
            names: Names::default(),
            notices: Notices::default(),
            shortage: Shortage::default(),
            stuck: Stuck::default(),
            credit: Credit::default(),
            receivers: 0,
            reading_paused: false,
            vacant: false,
            crashes: None,
            spent: Vec::new(),
            read_budget: config.budget,
            write_budget: config.budget,
            idle_at: None,
            deadline_at: None,
            bytes_in: 0,
            bytes_out: 0,
            counts: DatagramCounts::default(),
            config,
        };
        machine.touch(now);
        machine
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> &Arc<DatagramConfig> {
        &self.config
    }

    /// Where it is in its life; never `Connecting` or `HalfClosed`.
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        self.state.outside()
    }

    /// Whether nothing is left to do with the socket.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }

    /// Whether the last event was taken.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        matches!(self.state, State::Over { report: None })
    }

    /// How it ended, while that is still to be told.
    #[must_use]
    pub fn ending(&self) -> Option<&ClosedDetail> {
        match &self.state {
            State::Over { report } => report.as_deref(),
            _ => None,
        }
    }

    /// The peer that it is connected to, if that was said.
    #[must_use]
    pub const fn connected(&self) -> Option<&Address> {
        match &self.peer {
            Peer::Connected(peer) => Some(peer),
            Peer::Anybody | Peer::Unknown => None,
        }
    }

    /// What it is doing. A frame is a datagram here, and it is receiving when somebody would take one.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.state(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            frames_in: self.counts.received - self.inbound.len() as u64 - self.counts.unread,
            unread: self.inbound.bytes(),
            write_buffer: self.outbox.size(),
            write_limits: self.outbox.limits(),
            write_paused: self.outbox.is_paused(),
            reading_paused: self.reading_paused,
            receiving: self.is_open()
                && (self.interests.contains(Interests::DATAGRAM) || self.receivers > 0),
        }
    }

    /// How many datagrams there were so far.
    #[must_use]
    pub const fn counts(&self) -> DatagramCounts {
        self.counts
    }

    /// Bytes that are queued to be sent, those included whose destination is being looked up (AIO-06).
    #[must_use]
    pub const fn write_buffer_size(&self) -> usize {
        self.outbox.size()
    }

    /// Datagrams that are queued to be sent, those included whose destination is being looked up.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.outbox.len() + self.names.len() + self.stuck.len()
    }

    /// Whether more than the high mark is queued, and not yet down to the low one.
    #[must_use]
    pub const fn is_write_paused(&self) -> bool {
        self.outbox.is_paused()
    }

    /// Bytes that wait here: received and not handled, those with the session included, queued to be
    /// sent, and those of failed datagrams that were not told yet.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.inbound.bytes()
            + self.credit.bytes_out()
            + self.outbox.size()
            + self.notices.failed_bytes()
    }

    /// Datagrams that are with the session now.
    #[must_use]
    pub const fn frames_out(&self) -> u32 {
        self.credit.frames_out()
    }
}
