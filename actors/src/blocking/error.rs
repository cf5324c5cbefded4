//! What can go wrong with a blocking call, beside what receives and sends answer with.

use std::io;
use std::time::Duration;

use switchboard_core::ConnectError;

use crate::error::{ListenError, StartError};

/// Why a connection or a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Async code runs on this thread, and would wait with it.
    #[error("a blocking call where async code runs")]
    InsideAsync,
    /// The pool in the background could not be started.
    #[error(transparent)]
    Start(StartError),
    /// The connection could not be established (ACO-04).
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The listener could not be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl OpenError {
    /// The portable kind.
    #[must_use]
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::InsideAsync => io::ErrorKind::WouldBlock,
            Self::Start(StartError::Runtime(error)) => error.kind(),
            Self::Start(_) => io::ErrorKind::Other,
            Self::Connect(error) => error.kind,
            Self::Listen(error) => error.source.kind(),
        }
    }
}

/// Why no peer was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Async code runs on this thread, and would wait with it.
    #[error("a blocking call where async code runs")]
    InsideAsync,
    /// Nobody came in time. The next call gets whoever comes next.
    #[error("nobody came within {after:?}")]
    TimedOut {
        /// How long it was allowed to take.
        after: Duration,
    },
    /// The listener is closed.
    #[error("the listener is closed")]
    Closed,
}

impl AcceptError {
    /// The portable kind.
    #[must_use]
    pub const fn io_kind(self) -> io::ErrorKind {
        match self {
            Self::InsideAsync => io::ErrorKind::WouldBlock,
            Self::TimedOut { .. } => io::ErrorKind::TimedOut,
            Self::Closed => io::ErrorKind::NotConnected,
        }
    }
}

/// Why nobody could say how a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClosedError {
    /// Async code runs on this thread, and would wait with it.
    #[error("a blocking call where async code runs")]
    InsideAsync,
    /// It had not ended in time.
    #[error("not closed within {after:?}")]
    TimedOut {
        /// How long it was allowed to take.
        after: Duration,
    },
    /// It never came to be.
    #[error(transparent)]
    ConnectFailed(#[from] ConnectError),
}

impl ClosedError {
    /// The portable kind.
    #[must_use]
    pub const fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::InsideAsync => io::ErrorKind::WouldBlock,
            Self::TimedOut { .. } => io::ErrorKind::TimedOut,
            Self::ConnectFailed(error) => error.kind,
        }
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        Self::new(error.io_kind(), error)
    }
}

impl From<AcceptError> for io::Error {
    fn from(error: AcceptError) -> Self {
        Self::new(error.io_kind(), error)
    }
}

impl From<ClosedError> for io::Error {
    fn from(error: ClosedError) -> Self {
        Self::new(error.io_kind(), error)
    }
}
