//! What can go wrong, one enum per operation. `Display` is one line; a refused message comes back.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::tls::TlsError;

/// Why a send was refused. Nothing of it was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendRefusal {
    /// There was nothing to send (AMB-07, XAS-50).
    #[error("there is nothing to send")]
    Empty,
    /// The outbox would exceed its capacity; try again after `WriteResumed` (AIO-12).
    #[error("outbox is full: {queued} of {capacity} bytes are queued, {asked} more do not fit")]
    Full {
        /// Bytes queued now.
        queued: usize,
        /// The most that may be queued.
        capacity: usize,
        /// Bytes of the refused send.
        asked: usize,
    },
    /// So many sends already wait for their `Sent` to be handled.
    #[error("{limit} sends already wait for their notice to be handled")]
    TooManyNotices {
        /// The most that may wait.
        limit: usize,
    },
    /// A message is longer than its four-byte length can say, or than `max_message`.
    #[error("a message of {asked} bytes exceeds the limit of {limit}")]
    MessageTooLong {
        /// Bytes of the refused message.
        asked: usize,
        /// The most that a message may have.
        limit: usize,
    },
    /// `WriteEof` was called before (AIO-05).
    #[error("writing was finished before")]
    WriteClosed,
    /// TLS has no half-close here (AIO-05, AMB-12).
    #[error("one direction alone cannot be finished on TLS")]
    Unsupported,
    /// This connection carries no urgent bytes (AC-06): it speaks TLS or is about to, it is not established
    /// yet, what carries it has none, or the system is not Linux.
    #[error("urgent bytes are not supported on this connection")]
    NotSupported,
    /// What it goes through is open for reading only (AC-21).
    #[error("it is open for reading only")]
    ReadOnly,
    /// The connection is closed or closing (XAS-23).
    #[error("connection is closed")]
    Closed,
}

/// A refused send, with what was to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<P> {
    /// Why.
    pub refusal: SendRefusal,
    /// What was not sent.
    pub payload: P,
}

impl<P> SendError<P> {
    /// What was to be sent.
    pub fn into_payload(self) -> P {
        self.payload
    }

    /// Whether trying again later can help.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(
            self.refusal,
            SendRefusal::Full { .. } | SendRefusal::TooManyNotices { .. }
        )
    }
}

impl<P> fmt::Debug for SendError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

impl<P> fmt::Display for SendError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl<P> std::error::Error for SendError<P> {}

/// Why a receive was not armed. What was armed before stays as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArmError {
    /// Another receive is armed (XAS-41).
    #[error("another receive is armed already")]
    AlreadyReceiving,
    /// More was asked for than the limit allows (XAS-43).
    #[error("a receive of {asked} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes asked for.
        asked: usize,
        /// The most that may be asked for.
        limit: usize,
    },
    /// A delimiter has at least one byte.
    #[error("the delimiter is empty")]
    EmptyDelimiter,
    /// A deadline lies in the future; no deadline is `None` (AMB-19).
    #[error("a timeout of zero never lets a receive complete")]
    ZeroTimeout,
    /// The session could not take what this receive brings.
    #[error("the session does not handle {event}")]
    NoHandler {
        /// The event that it would have to handle.
        event: &'static str,
    },
    /// The peer has finished and everything that it sent was taken.
    #[error("the peer has finished sending")]
    PeerFinished,
    /// What it goes through is open for writing only: nothing can come (AC-21).
    #[error("it is open for writing only")]
    WriteOnly,
    /// What it goes through is open for reading only: it never becomes writable (AC-21).
    #[error("it is open for reading only")]
    ReadOnly,
    /// The connection is closed or closing (XAS-23).
    #[error("connection is closed")]
    Closed,
}

/// Why a connection was not upgraded to TLS. It stays as it was (XAS-55).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartTlsError {
    /// A receive is armed, or readiness is asked for: cancel it first, so that it is clear which bytes
    /// are the last in plain.
    #[error("a receive is armed")]
    Receiving,
    /// Frames that came in plain are on their way to the session, which would take them for protected
    /// ones.
    #[error("{frames} frames that came in plain are still to be handled")]
    FramesPending {
        /// How many.
        frames: usize,
    },
    /// Plaintext had come already, behind the last frame: an injected command, perhaps (T-12). It is
    /// handed back here and never delivered.
    #[error("{} bytes of plaintext came before the handshake", .data.len())]
    Plaintext {
        /// What came.
        data: Bytes,
    },
    /// It speaks TLS already, or is about to.
    #[error("the connection speaks TLS already")]
    AlreadyTls,
    /// What the peer should prove to be is neither a host name nor an address.
    #[error("{name:?} is no server name")]
    BadServerName {
        /// The name.
        name: String,
    },
    /// A deadline lies in the future.
    #[error("a timeout of zero never lets a handshake complete")]
    ZeroTimeout,
    /// What it goes through is no socket of a network, but a descriptor, such as a pipe.
    #[error("TLS is for sockets of a network, this is a descriptor")]
    NotANetwork,
    /// The connection is not established, or not adopted, yet.
    #[error("the connection is not open yet")]
    NotOpen,
    /// Writing was finished before.
    #[error("writing was finished before")]
    WriteClosed,
    /// The peer has finished.
    #[error("the peer has finished sending")]
    PeerFinished,
    /// The connection is closed or closing (XAS-23).
    #[error("connection is closed")]
    Closed,
}

/// Why a send slot was not lent or not sent (XAS-53).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The connection's only slot is lent out, or still being sent.
    #[error("the send slot is in use")]
    Busy,
    /// A length of nothing, or of more than the slot holds.
    #[error("a length of {asked} does not fit a slot of {size} bytes")]
    BadSize {
        /// The length asked for.
        asked: usize,
        /// The slot's size.
        size: usize,
    },
    /// The send itself was refused.
    #[error(transparent)]
    Refused(#[from] SendRefusal),
}

/// Write limits that contradict each other (AIO-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the high mark of {high} bytes is below the low mark of {low}")]
pub struct LimitsError {
    /// The high mark that was asked for.
    pub high: usize,
    /// The low mark that was asked for.
    pub low: usize,
}

/// How far an attempt to connect came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectPhase {
    /// Checking the options.
    Options,
    /// Finding the addresses of a host name.
    Resolve,
    /// Making, binding and preparing the local socket.
    Local,
    /// Waiting for the peer to answer.
    Connect,
    /// The TLS handshake.
    Tls,
}

impl fmt::Display for ConnectPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Options => "checking options",
            Self::Resolve => "resolving the name",
            Self::Local => "preparing the socket",
            Self::Connect => "connecting",
            Self::Tls => "the TLS handshake",
        })
    }
}

/// A connection that never came to be. There is no `Closed` for it (AMB-03).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectError {
    /// What was asked for, as it was written.
    pub target: String,
    /// Where it failed.
    pub phase: ConnectPhase,
    /// What kind of failure; `TimedOut` when time was up, `Interrupted` when it was cancelled here.
    pub kind: io::ErrorKind,
    /// The system's number, if it gave one.
    pub errno: Option<i32>,
    /// What failed, in words.
    pub message: String,
    /// Every address that was tried and how each failed, in order.
    pub attempts: Vec<(SocketAddr, io::ErrorKind)>,
    /// Bytes that were queued for the connection and are lost with it.
    pub unsent: usize,
    /// What went wrong with TLS, if that was it.
    pub tls: Option<Box<TlsError>>,
}

impl ConnectError {
    /// A failure of this kind.
    #[must_use]
    pub fn new(target: impl Into<String>, phase: ConnectPhase, error: &io::Error) -> Self {
        Self {
            target: target.into(),
            phase,
            kind: error.kind(),
            errno: error.raw_os_error(),
            message: error.to_string(),
            attempts: Vec::new(),
            unsent: 0,
            tls: TlsError::of(error).cloned().map(Box::new),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot connect to {}: {} failed: {}",
            self.target, self.phase, self.message
        )?;
        let several = self.attempts.iter().filter(|_| self.attempts.len() > 1);
        for (address, kind) in several {
            write!(f, "; {address}: {kind}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}
