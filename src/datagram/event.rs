//! What the machine tells.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use crate::address::{Address, Destination};
use crate::connection::Interests;
use crate::id::Token;
use crate::reason::{ClosedDetail, IoOperation};

use super::DatagramError;

/// One thing that happened to a datagram socket.
#[derive(Debug)]
pub enum DatagramEvent {
    /// A datagram came.
    Received {
        /// Who sent it.
        from: Address,
        /// Its bytes; perhaps none.
        data: Bytes,
        /// Whether its end is lost.
        truncated: bool,
    },
    /// The system took a datagram.
    Sent {
        /// The sender's number.
        token: Token,
        /// How many bytes it had.
        bytes: usize,
    },
    /// An accepted datagram was never sent.
    Failed {
        /// The sender's number, if it gave one.
        token: Option<Token>,
        /// Where it was to go, the address if a name was looked up; `None`: to the peer that the socket
        /// is connected to.
        to: Option<Destination>,
        /// What was to be sent.
        data: Bytes,
        /// Why it was not.
        error: DatagramError,
    },
    /// The system reported an error of the socket.
    Error {
        /// What was tried when it was reported.
        operation: IoOperation,
        /// The portable kind.
        kind: io::ErrorKind,
        /// The system's number, if it gave one.
        errno: Option<i32>,
        /// How often it was reported in a row.
        count: u64,
    },
    /// More than the high mark is queued.
    WritePaused,
    /// No more than the low mark is queued.
    WriteResumed,
    /// The pool drains; so much time is left.
    Draining(Duration),
    /// Another session has it now, after the one before failed.
    Adopted {
        /// Received bytes that wait for it.
        unread: usize,
        /// How many sessions failed before it.
        restarts: u32,
    },
    /// It is over; comes once and last.
    Closed(Box<ClosedDetail>),
}

impl DatagramEvent {
    /// Whether it tells how writing stands.
    pub(super) const fn is_write_level(&self) -> bool {
        matches!(self, Self::WritePaused | Self::WriteResumed)
    }

    /// What was to be sent, of a datagram that failed.
    pub(super) fn into_data(self) -> Option<Bytes> {
        match self {
            Self::Failed { data, .. } => Some(data),
            _ => None,
        }
    }

    /// Who is told it.
    #[must_use]
    pub const fn interest(&self) -> Interests {
        match self {
            Self::Received { .. } => Interests::DATAGRAM,
            Self::Sent { .. } => Interests::SENT,
            Self::Failed { .. } => Interests::DATAGRAM_FAILED,
            Self::Error { .. } => Interests::UDP_ERROR,
            Self::WritePaused => Interests::WRITE_PAUSED,
            Self::WriteResumed => Interests::WRITE_RESUMED,
            Self::Draining(_) => Interests::DRAINING,
            Self::Adopted { .. } => Interests::ADOPTED,
            Self::Closed(_) => Interests::CLOSED,
        }
    }
}
