//! What can go wrong with a read.

use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use switchboard_core::{ArmError, Cause, ConnectError};

use crate::client::kind_of;

/// Why a read of a [`Reader`](super::Reader) brought nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer finished before it was complete (UA-18, AIO-33): `EOFError`, `IncompleteReadError`.
    #[error("the peer has finished, {} bytes in", .partial.len())]
    Incomplete {
        /// The last bytes that came; they are nowhere else any more.
        partial: Bytes,
    },
    /// A line is longer than the limit. It is dropped: with its LF if that had come already, else with all
    /// that had come, so that the reader goes on behind it (AIO-32).
    #[error("a line exceeds the limit of {limit} bytes, {dropped} bytes were dropped")]
    LineTooLong {
        /// The most bytes that a line may have, its LF not counted.
        limit: usize,
        /// Bytes that were dropped.
        dropped: usize,
    },
    /// More bytes than the limit come before the delimiter. They stay, for other reads.
    #[error("no delimiter within the limit of {limit} bytes, {length} came before one")]
    TooLong {
        /// The most bytes that may come before it.
        limit: usize,
        /// Bytes that are certain to come before it.
        length: usize,
    },
    /// More came than should be read to the end (AIO-31). It stays, for other reads.
    #[error("{length} bytes came before the end, the most is {max}")]
    TooMuch {
        /// The most bytes that there may be.
        max: usize,
        /// Bytes that had come.
        length: usize,
    },
    /// A delimiter has at least one byte.
    #[error("the delimiter is empty")]
    EmptyDelimiter,
    /// The connection is closed, or being closed, and not by the peer's clean end: it was reset, time was up, it
    /// was closed here. What had come before was read before.
    #[error("connection is closed: {0}")]
    Closed(Cause),
    /// The connection never came to be.
    #[error(transparent)]
    ConnectFailed(Box<ConnectError>),
    /// The connection cannot be read just now, or at all: somebody else receives from it, or it is open for
    /// writing only.
    #[error(transparent)]
    Refused(ArmError),
    /// The end that a [`Feeder`](super::Feeder) has set (AIO-30).
    #[error(transparent)]
    Fed(Arc<dyn Error + Send + Sync>),
    /// The feeder was dropped before it had fed an end.
    #[error("the feeder is gone and has not fed an end")]
    FeederGone,
}

impl StreamError {
    /// What had come of what was asked for, and was taken.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        match self {
            Self::Incomplete { partial } => partial,
            _ => &[],
        }
    }

    /// The portable kind (UA-39): `UnexpectedEof` when the peer finished, `InvalidData` over a limit.
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Incomplete { .. } => io::ErrorKind::UnexpectedEof,
            Self::LineTooLong { .. } | Self::TooLong { .. } | Self::TooMuch { .. } => {
                io::ErrorKind::InvalidData
            }
            Self::EmptyDelimiter | Self::Refused(_) => io::ErrorKind::InvalidInput,
            Self::Closed(cause) => kind_of(cause),
            Self::ConnectFailed(error) => error.kind,
            Self::Fed(error) => error
                .downcast_ref::<io::Error>()
                .map_or(io::ErrorKind::Other, io::Error::kind),
            Self::FeederGone => io::ErrorKind::BrokenPipe,
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        Self::new(error.io_kind(), error)
    }
}
