//! The connection machine.
//!
//! **It does nothing by itself: whoever drives it does, in this order, whenever something happened:**
//! 1. [`handle_timeout`](Connection::handle_timeout) if [`poll_timeout`](Connection::poll_timeout)
//!    has passed;
//! 2. while [`poll_transmit`](Connection::poll_transmit) lends out bytes: write them and say
//!    [`handle_written`](Connection::handle_written), `handle_write_error` or, when the socket takes
//!    no more, `handle_write_blocked`;
//! 3. if [`wants_handshake`](Connection::wants_handshake): begin one, and say what became of it; if
//!    [`wants_finish`](Connection::wants_finish): finish the sending direction and say so;
//! 4. while [`read_wish`](Connection::read_wish) asks for bytes: read and say
//!    [`handle_data`](Connection::handle_data), `handle_eof`, `handle_read_error` or, when there is
//!    nothing, `handle_read_blocked`;
//! 5. while [`wants_watch`](Connection::wants_watch): look out for the peer's end without reading, and say
//!    `handle_eof` or [`handle_reset`](Connection::handle_reset);
//! 6. while [`wants_urgent`](Connection::wants_urgent): look out for urgent bytes, and say
//!    [`handle_urgent`](Connection::handle_urgent);
//! 7. if [`has_event`](Connection::has_event): let the session take them with
//!    [`poll_event`](Connection::poll_event);
//! 8. once [`is_over`](Connection::is_over) and the last event was taken: let go of the socket.
//!
//! When [`poll_transmit`](Connection::poll_transmit) lends out nothing,
//! [`poll_transmit_urgent`](Connection::poll_transmit_urgent) may have a byte whose turn it is to be sent as an
//! urgent one; it counts as written like any other.
//!
//! Where bytes move in records, [`handle_under_way`](Connection::handle_under_way) says what has moved of one
//! that is not complete, before `handle_write_blocked` and `handle_read_blocked`.
//!
//! The methods come in four families: getters, commands (what the session wants), `handle_*` (what
//! the socket or the clock did), and `poll_*` (what is to be done).

mod access;
mod at_once;
mod batch;
mod claim;
mod clocks;
mod closing;
mod command;
mod crash;
mod credit;
mod drain;
mod event;
mod handle;
mod hangup;
mod inbound;
mod outbox;
mod pace;
mod poll;
mod pressure;
mod rare;
mod reconnect;
mod request;
mod rules;
mod secure;
mod send;
mod spare;
mod state;
mod timer;
mod urgent;

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use crate::config::ConnectionConfig;
use crate::error::{ArmError, ConnectError};
use crate::frame::FrameError;
use crate::reason::ClosedDetail;
use crate::receive::Receive;

pub use access::Access;
pub(crate) use batch::Frames;
pub use batch::{Batch, FrameKind};
pub use claim::Claim;
pub(crate) use crash::Crashes;
pub(crate) use credit::Credit;
pub use credit::Permit;
pub use drain::Standing;
pub use event::{Event, Interests};
pub use outbox::{WatchId, Watched};
pub use request::Requested;
pub use secure::UnderWay;
pub use state::ConnectionState;

use batch::Lent;
use inbound::{Armed, Inbound};
use outbox::Outbox;
use rare::RareQueue;
use reconnect::Redial;
use secure::Security;
use state::State;
use timer::Timers;

/// One connection: its states, its timers, what came in and what goes out.
#[derive(Debug)]
pub struct Connection {
    config: Arc<ConnectionConfig>,
    interests: Interests,
    state: State,
    inbound: Inbound,
    outbox: Outbox,
    timers: Timers,
    credit: Credit,
    /// Frames that were taken at once and may still be recalled.
    batch: Option<Lent>,
    /// Events that are not frames. Bounded by the sends that may wait for a notice.
    notices: RareQueue<Event>,
    reading_paused: bool,
    /// Whether its session is gone and another one is to come.
    vacant: bool,
    seldom: Option<Box<Seldom>>,
    security: Security,
    /// Whether what carries its bytes has urgent ones.
    carries_urgent: bool,
    /// Whether reading waits until others hold less memory.
    reading_held: bool,
    interest: Readiness,
    /// Whether it lingers at all.
    lingers: bool,
    access: Access,
    bytes_in: u64,
    bytes_out: u64,
    frames_in: u64,
}

/// What few connections have.
#[derive(Debug, Default)]
struct Seldom {
    crashes: Option<Crashes>,
    redial: Option<Redial>,
    /// For how long it lingers at most, if others than the settings say so.
    hurried: Option<Duration>,
    /// Of connections that move their bytes in records.
    under_way: UnderWay,
    /// `None`: it was not made yet.
    slot: Option<SendSlot>,
    /// A broken framing rule, found while frames before it are still with the session.
    fault: Option<FrameError>,
}

/// What the driver should do with the receiving direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadWish {
    /// Leave the socket alone; the kernel's window then holds the peer back.
    Nothing,
    /// Read, and hand over what came.
    Data,
    /// Read and throw away, until the peer finishes.
    Discard,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<'a> {
    /// It was established, and this is why it is over.
    Closed(&'a ClosedDetail),
    /// It was never established.
    ConnectFailed(&'a ConnectError),
}

/// Readiness mode (AC-04, AC-05, AC-11): what the session wants to be told about.
#[derive(Debug, Clone, Copy, Default)]
struct Readiness {
    readable: bool,
    writable: bool,
    /// Told since the driver last looked, so that a level is told once per round.
    readable_told: bool,
    writable_told: bool,
}

/// Where the connection's send slot is (XAS-53).
#[derive(Debug)]
enum SendSlot {
    Home(BytesMut),
    /// Lent to the user, or queued.
    Away,
}

/// What a connection is doing, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Where it is in its life.
    pub state: ConnectionState,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Frames delivered.
    pub frames_in: u64,
    /// Received bytes that nobody has taken yet.
    pub unread: usize,
    /// Queued bytes that the system has not taken yet (AIO-06).
    pub write_buffer: usize,
    /// High and low mark in bytes (AIO-07).
    pub write_limits: (usize, usize),
    /// Whether more than the high mark is queued, and not yet down to the low one.
    pub write_paused: bool,
    /// Whether `PauseReading` is in force.
    pub reading_paused: bool,
    /// Whether a receive is armed.
    pub receiving: bool,
}

impl Snapshot {
    /// Nothing has happened yet, in this state.
    #[must_use]
    pub const fn empty(state: ConnectionState) -> Self {
        Self {
            state,
            bytes_in: 0,
            bytes_out: 0,
            frames_in: 0,
            unread: 0,
            write_buffer: 0,
            write_limits: (0, 0),
            write_paused: false,
            reading_paused: false,
            receiving: false,
        }
    }

    /// Adds what another part of the same thing does; the state stays.
    pub fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.frames_in += other.frames_in;
        self.unread += other.unread;
        self.write_buffer += other.write_buffer;
        self.write_limits.0 = self.write_limits.0.max(other.write_limits.0);
        self.write_limits.1 = self.write_limits.1.max(other.write_limits.1);
        self.write_paused |= other.write_paused;
        self.reading_paused |= other.reading_paused;
        self.receiving |= other.receiving;
    }
}

/// Whether a receive could be armed under these settings by a session that handles everything.
pub(crate) fn check_receive(receive: &Receive, config: &ConnectionConfig) -> Result<(), ArmError> {
    Armed::new(receive, config, Interests::ALL).map(drop)
}

/// Getters.
impl Connection {
    /// An established connection that waits for its session.
    #[must_use]
    pub fn accepted(config: Arc<ConnectionConfig>) -> Self {
        Self::new(config, State::Adopting)
    }

    /// An outbound connection that is not established yet. Sends are queued meanwhile (XAS-35).
    #[must_use]
    pub fn connecting(config: Arc<ConnectionConfig>) -> Self {
        Self::new(config, State::Connecting)
    }

    fn new(config: Arc<ConnectionConfig>, state: State) -> Self {
        let outbox = Outbox::new(config.write_high, config.write_low, config.write_capacity);
        Self {
            config,
            interests: Interests::NONE,
            state,
            inbound: Inbound::default(),
            outbox,
            timers: Timers::default(),
            credit: Credit::default(),
            batch: None,
            notices: RareQueue::new(),
            reading_paused: false,
            vacant: false,
            seldom: None,
            security: Security::Plain,
            carries_urgent: false,
            reading_held: false,
            interest: Readiness::default(),
            lingers: true,
            access: Access::ReadWrite,
            bytes_in: 0,
            bytes_out: 0,
            frames_in: 0,
        }
    }

    /// The settings it was made with.
    #[must_use]
    pub const fn config(&self) -> &Arc<ConnectionConfig> {
        &self.config
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        self.state.outside(self.access)
    }

    /// What it is doing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.state(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            frames_in: self.frames_in,
            unread: self.inbound.len(),
            write_buffer: self.outbox.size(),
            write_limits: self.outbox.limits(),
            write_paused: self.outbox.is_paused(),
            reading_paused: self.reading_paused,
            receiving: self.inbound.armed().is_some(),
        }
    }

    /// Queued bytes that the system has not taken yet (AIO-06).
    #[must_use]
    pub const fn write_buffer_size(&self) -> usize {
        self.outbox.size()
    }

    /// Whether more than the high mark is queued, and not yet down to the low one.
    #[must_use]
    pub const fn is_write_paused(&self) -> bool {
        self.outbox.is_paused()
    }

    /// Whether an attempt to connect was given up and should be stopped.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self.state, State::Cancelling { .. })
    }

    /// Whether nothing is left to do with the socket; `Some(true)` asks for a reset.
    #[must_use]
    pub const fn is_over(&self) -> Option<bool> {
        match self.state {
            State::Over { reset, .. } => Some(reset),
            _ => None,
        }
    }

    /// Whether the last event was taken.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        match self.state.last_report() {
            Some(report) => report.is_told(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
