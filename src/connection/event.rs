//! What the machine tells, and which of it the session wants to hear.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::ConnectError;
use crate::id::Token;
use crate::line::Line;
use crate::reason::{ClosedDetail, TimeoutKind};
use crate::tls::TlsInfo;

/// One thing that happened to a connection.
#[derive(Debug)]
pub enum Event {
    /// A session adopted it; comes first.
    Opened,
    /// A line came.
    Line(Line),
    /// Bytes came, as armed.
    Data(Bytes),
    /// A length-prefixed message came.
    Message(Bytes),
    /// The system took the last byte of a send.
    Sent {
        /// The sender's number.
        token: Token,
        /// How many bytes that send had.
        bytes: usize,
    },
    /// More than the high mark is queued.
    WritePaused,
    /// No more than the low mark is queued.
    WriteResumed,
    /// The peer finished; the answer decides what becomes of the connection.
    PeerFinished,
    /// A clock ran out that only reports.
    Idle(TimeoutKind),
    /// Bytes are there to be taken (readiness mode).
    Readable,
    /// There is room to send (readiness mode).
    Writable,
    /// An urgent byte came, beside the stream (AC-06).
    Urgent(u8),
    /// Another session has it now, after the one before failed.
    Adopted {
        /// Received bytes that wait for it.
        unread: usize,
        /// How many sessions failed before it.
        restarts: u32,
    },
    /// From now on all bytes are protected.
    TlsStarted(Arc<TlsInfo>),
    /// The pool drains; so much time is left.
    Draining(Duration),
    /// The link is lost, and another one will be tried.
    Disconnected(Box<ClosedDetail>),
    /// The next attempt to connect comes after a pause.
    Reconnecting {
        /// Which attempt it will be, from 1 since the last link.
        attempt: u32,
        /// How long the pause is.
        delay: Duration,
    },
    /// It is over; comes once and last.
    Closed(Arc<ClosedDetail>),
    /// It never came to be; comes instead of everything else.
    ConnectFailed(Box<ConnectError>),
}

impl Event {
    /// Whether it tells how writing stands.
    pub(super) const fn is_write_level(&self) -> bool {
        matches!(self, Self::WritePaused | Self::WriteResumed)
    }

    /// Who is told it.
    #[must_use]
    pub const fn interest(&self) -> Interests {
        match self {
            Self::Opened => Interests::OPENED,
            Self::Line(_) => Interests::LINE,
            Self::Data(_) => Interests::DATA,
            Self::Message(_) => Interests::MESSAGE,
            Self::Sent { .. } => Interests::SENT,
            Self::WritePaused => Interests::WRITE_PAUSED,
            Self::WriteResumed => Interests::WRITE_RESUMED,
            Self::PeerFinished => Interests::PEER_FINISHED,
            Self::Idle(_) => Interests::IDLE,
            Self::Readable => Interests::READABLE,
            Self::Writable => Interests::WRITABLE,
            Self::Urgent(_) => Interests::URGENT,
            Self::Adopted { .. } => Interests::ADOPTED,
            Self::TlsStarted(_) => Interests::TLS_STARTED,
            Self::Draining(_) => Interests::DRAINING,
            Self::Disconnected(_) => Interests::DISCONNECTED,
            Self::Reconnecting { .. } => Interests::RECONNECTING,
            Self::Closed(_) => Interests::CLOSED,
            Self::ConnectFailed(_) => Interests::CONNECT_FAILED,
        }
    }
}

/// A set of events that a session handles. What is not in it is not produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interests(u32);

impl Interests {
    /// Nothing at all.
    pub const NONE: Self = Self(0);
    /// `Accepted` or `Connected`.
    pub const OPENED: Self = Self(1);
    /// `LineReceived`.
    pub const LINE: Self = Self(1 << 1);
    /// `DataReceived`.
    pub const DATA: Self = Self(1 << 2);
    /// `MessageReceived`.
    pub const MESSAGE: Self = Self(1 << 3);
    /// `Sent`.
    pub const SENT: Self = Self(1 << 4);
    /// `WritePaused`.
    pub const WRITE_PAUSED: Self = Self(1 << 5);
    /// `WriteResumed`.
    pub const WRITE_RESUMED: Self = Self(1 << 6);
    /// `PeerFinished`.
    pub const PEER_FINISHED: Self = Self(1 << 7);
    /// `Idle`.
    pub const IDLE: Self = Self(1 << 8);
    /// `Readable`.
    pub const READABLE: Self = Self(1 << 9);
    /// `Writable`.
    pub const WRITABLE: Self = Self(1 << 10);
    /// `Closed`.
    pub const CLOSED: Self = Self(1 << 11);
    /// `ConnectFailed`.
    pub const CONNECT_FAILED: Self = Self(1 << 12);
    /// `Adopted`.
    pub const ADOPTED: Self = Self(1 << 13);
    /// `Draining`.
    pub const DRAINING: Self = Self(1 << 14);
    /// `Disconnected`.
    pub const DISCONNECTED: Self = Self(1 << 15);
    /// `Reconnecting`.
    pub const RECONNECTING: Self = Self(1 << 16);
    /// `TlsStarted`.
    pub const TLS_STARTED: Self = Self(1 << 17);
    /// `UrgentReceived`.
    pub const URGENT: Self = Self(1 << 18);
    /// `DatagramReceived`.
    pub const DATAGRAM: Self = Self(1 << 19);
    /// `DatagramFailed`.
    pub const DATAGRAM_FAILED: Self = Self(1 << 20);
    /// `UdpError`.
    pub const UDP_ERROR: Self = Self(1 << 21);
    /// `PipeLine`.
    pub const PIPE_LINE: Self = Self(1 << 22);
    /// `PipeData`.
    pub const PIPE_DATA: Self = Self(1 << 23);
    /// `PipeClosed`.
    pub const PIPE_CLOSED: Self = Self(1 << 24);
    /// `ProcessExited`.
    pub const PROCESS_EXITED: Self = Self(1 << 25);
    /// Everything.
    pub const ALL: Self = Self((1 << 26) - 1);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set, and the other one if the condition holds.
    #[must_use]
    pub const fn with_if(self, other: Self, condition: bool) -> Self {
        if condition { self.with(other) } else { self }
    }

    /// Whether all of the other set are in this one.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
