//! What can go wrong with a request.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ArmError, Cause, ConnectError, SendRefusal};

/// Why a receive that was asked for brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// It was not even armed.
    #[error(transparent)]
    Refused(ArmError),
    /// It was not complete in time. The connection stays.
    #[error("nothing complete came within {after:?}, {} bytes of it did", .partial.len())]
    TimedOut {
        /// What had come, copied: it stays, and the next receive begins with it. Nothing for one that never had
        /// its turn.
        partial: Bytes,
        /// How long it was allowed to take.
        after: Duration,
    },
    /// The peer finished before it was complete. The connection is still open for sending, unless it speaks TLS or
    /// this side had finished too: then it closes by itself.
    #[error("the peer has finished, {} bytes in", .partial.len())]
    Finished {
        /// The last bytes that came; they are nowhere else any more. Empty: it finished in between.
        partial: Bytes,
    },
    /// The connection is closed, or being closed, and not by the peer's clean end; or the link that it waited on is lost, and the connection
    /// is being [established again](crate::Connect::reconnect): what is asked from now on is asked of the next
    /// link.
    #[error("connection is closed: {cause}")]
    Closed {
        /// Why.
        cause: Cause,
        /// What nobody has received; the same as [`ClosedDetail::unread`](switchboard_core::ClosedDetail), for
        /// everybody who is told.
        partial: Bytes,
    },
    /// The connection never came to be.
    #[error(transparent)]
    ConnectFailed(Box<ConnectError>),
    /// Async code runs on this thread, and would wait with it; of [`blocking`](crate::blocking) calls only.
    #[error("a blocking call where async code runs")]
    InsideAsync,
}

impl RecvError {
    /// What had come of what was asked for.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        match self {
            Self::TimedOut { partial, .. }
            | Self::Finished { partial }
            | Self::Closed { partial, .. } => partial,
            Self::Refused(_) | Self::ConnectFailed(_) | Self::InsideAsync => &[],
        }
    }

    /// The portable kind (UA-39): `UnexpectedEof` when the peer finished.
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Refused(_) => io::ErrorKind::InvalidInput,
            Self::TimedOut { .. } => io::ErrorKind::TimedOut,
            Self::Finished { .. } => io::ErrorKind::UnexpectedEof,
            Self::Closed { cause, .. } => kind_of(cause),
            Self::ConnectFailed(error) => error.kind,
            Self::InsideAsync => io::ErrorKind::WouldBlock,
        }
    }
}

/// Why a send that was asked for was not taken whole by the system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SentError {
    /// It was not queued, or not all of it.
    #[error("{refusal}, {sent} bytes were sent")]
    Refused {
        /// Why.
        refusal: SendRefusal,
        /// How many bytes of it the system has taken.
        sent: usize,
    },
    /// The system had not taken it in time. What is queued of it stays queued, and is sent when the peer
    /// takes it.
    #[error("not sent within {after:?}, {sent} bytes of it were")]
    TimedOut {
        /// How many bytes of it the system has taken.
        sent: usize,
        /// How long it was allowed to take.
        after: Duration,
    },
    /// The connection is closed, or can be written no more; or the link that some of it was sent or queued on
    /// is lost, and the connection is being [established again](crate::Connect::reconnect).
    #[error("connection is closed: {cause}, {sent} bytes were sent")]
    Closed {
        /// Why.
        cause: Cause,
        /// How many bytes of it the system has taken.
        sent: usize,
    },
    /// The connection never came to be.
    #[error(transparent)]
    ConnectFailed(Box<ConnectError>),
    /// Async code runs on this thread, and would wait with it; of [`blocking`](crate::blocking) calls only.
    #[error("a blocking call where async code runs")]
    InsideAsync,
}

impl SentError {
    /// How many bytes of what was to be sent the system has taken; not: the peer has read (XAS-51).
    #[must_use]
    pub const fn sent(&self) -> usize {
        match self {
            Self::Refused { sent, .. }
            | Self::TimedOut { sent, .. }
            | Self::Closed { sent, .. } => *sent,
            Self::ConnectFailed(_) | Self::InsideAsync => 0,
        }
    }

    /// The portable kind (UA-39).
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Refused { refusal, .. } => match refusal {
                SendRefusal::Full { .. } | SendRefusal::TooManyNotices { .. } => {
                    io::ErrorKind::WouldBlock
                }
                SendRefusal::WriteClosed => io::ErrorKind::BrokenPipe,
                SendRefusal::Unsupported | SendRefusal::NotSupported => io::ErrorKind::Unsupported,
                SendRefusal::Closed => io::ErrorKind::NotConnected,
                _ => io::ErrorKind::InvalidInput,
            },
            Self::TimedOut { .. } => io::ErrorKind::TimedOut,
            Self::Closed { cause, .. } => kind_of(cause),
            Self::ConnectFailed(error) => error.kind,
            Self::InsideAsync => io::ErrorKind::WouldBlock,
        }
    }
}

/// The portable kind of an end.
pub(crate) fn kind_of(cause: &Cause) -> io::ErrorKind {
    match cause {
        Cause::Io { kind, .. } => *kind,
        Cause::Timeout { .. } => io::ErrorKind::TimedOut,
        Cause::PeerFinished | Cause::TruncatedMessage { .. } => io::ErrorKind::UnexpectedEof,
        Cause::Frame(_) | Cause::Tls(_) => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::NotConnected,
    }
}

impl From<RecvError> for io::Error {
    fn from(error: RecvError) -> Self {
        Self::new(error.io_kind(), error)
    }
}

impl From<SentError> for io::Error {
    fn from(error: SentError) -> Self {
        Self::new(error.io_kind(), error)
    }
}
