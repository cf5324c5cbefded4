//! The upper floor's errors, one per operation, and [`Error`] that any of them turns into.

use std::fmt;
use std::io;

use switchboard_core::{
    ArmError, BackoffError, CidrError, ConfigError, ConnectError, DatagramRefusal, FifoEmpty,
    LimitsError, RateError, SendError, SendRefusal, SlotError, SlotsError, UnknownEncoding,
};

use crate::client::{RecvError, SentError};
#[cfg(unix)]
use crate::process::{SignalError, SpawnError};
use crate::server::SetLimitsError;
use crate::supervisor::SuperviseError;
use crate::udp::{BindError, DatagramSendError};

/// A pool could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Shards and workers on threads of their own need an actix system around them.
    #[error("no actix system runs on this thread; start one, or choose 0 shards and no workers")]
    NoSystem,
    /// More shards than can be told apart.
    #[error("{asked} shards are more than the {most} that can be told apart")]
    TooManyShards {
        /// How many were asked for.
        asked: usize,
        /// The most that there can be.
        most: usize,
    },
    /// More workers than there may be.
    #[error("{asked} workers are more than the {most} that there may be")]
    TooManyWorkers {
        /// How many were asked for.
        asked: usize,
        /// The most that there can be.
        most: usize,
    },
    /// The pauses before restarts cannot work.
    #[error(transparent)]
    Backoff(BackoffError),
    /// A memory budget that would be exceeded by one read.
    #[error("a memory budget of {asked} bytes is too small, the least is {least}")]
    BudgetTooSmall {
        /// How many bytes were asked for.
        asked: usize,
        /// The fewest that there can be.
        least: usize,
    },
    /// The system gave no thread or no runtime.
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
}

/// How far opening a listener came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenPhase {
    /// Checking the options.
    Options,
    /// Finding the address of a host name.
    Resolve,
    /// Taking the address.
    Bind,
    /// Starting to listen.
    Listen,
    /// Connecting a datagram socket to its peer.
    Connect,
}

impl fmt::Display for ListenPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Options => "checking options",
            Self::Resolve => "resolving the name",
            Self::Bind => "binding",
            Self::Listen => "listening",
            Self::Connect => "connecting",
        })
    }
}

/// A listener that could not be opened (XAS-24).
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {target}: {phase} failed: {source}")]
#[non_exhaustive]
pub struct ListenError {
    /// The address as it was written.
    pub target: String,
    /// Where it failed.
    pub phase: ListenPhase,
    /// What failed.
    pub source: io::Error,
}

impl ListenError {
    /// A failure of this kind.
    #[must_use]
    pub fn new(target: impl Into<String>, phase: ListenPhase, source: io::Error) -> Self {
        Self {
            target: target.into(),
            phase,
            source,
        }
    }

    pub(crate) fn stopped(target: impl Into<String>) -> Self {
        let source = io::Error::new(io::ErrorKind::NotConnected, PoolStopped);
        Self::new(target, ListenPhase::Listen, source)
    }

    pub(crate) fn shard_failed(target: impl Into<String>) -> Self {
        let source = io::Error::new(io::ErrorKind::Interrupted, "its shard has failed");
        Self::new(target, ListenPhase::Options, source)
    }

    pub(crate) fn draining(target: impl Into<String>) -> Self {
        let source = io::Error::new(io::ErrorKind::NotConnected, PoolDraining);
        Self::new(target, ListenPhase::Listen, source)
    }

    pub(crate) fn options(target: impl Into<String>, why: impl fmt::Display) -> Self {
        let source = io::Error::new(io::ErrorKind::InvalidInput, why.to_string());
        Self::new(target, ListenPhase::Options, source)
    }
}

/// A listener that could not be suspended or resumed. It stays as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuspendError {
    /// It is closed.
    #[error("the listener is closed")]
    Closed,
    /// Its port could not be taken again; it can be tried again.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// No peer could be accepted (ACO-03).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The listener is closed, or its pool is stopped.
    #[error("the listener is closed")]
    Closed,
}

/// What new connections of a listener get could not be changed. It stays as it was.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It is closed, or the pool is stopped.
    #[error("the listener is closed")]
    Closed,
    /// A setting that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Sessions of this type cannot live where the listener has them live, on workers.
    #[error("{0}")]
    Seating(String),
    /// Its connections have no sessions: they go to whoever accepts them
    /// ([`Pool::open_listener`](crate::Pool::open_listener)).
    #[error("connections of this listener have no sessions")]
    NoSessions,
    /// What new connections receive from the start is nothing that their session handles.
    #[error("the session does not handle {event}")]
    Unhandled {
        /// The event that it would have to handle.
        event: &'static str,
    },
}

/// The pool is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pool is stopped")]
pub struct PoolStopped;

/// The pool drains: it opens nothing new any more. [`ListenError::source`] and the message of a
/// [`ConnectError`] say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pool is draining")]
pub struct PoolDraining;

/// Any error of the crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`StartError`].
    #[error(transparent)]
    Start(#[from] StartError),
    /// See [`ListenError`].
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// See [`AcceptError`].
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// See [`SpawnError`].
    #[cfg(unix)]
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// See [`SignalError`].
    #[cfg(unix)]
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// See [`BindError`].
    #[error(transparent)]
    Bind(#[from] BindError),
    /// See [`DatagramSendError`]; what was to be sent is not kept here.
    #[error(transparent)]
    Datagram(#[from] DatagramRefusal),
    /// See [`ConnectError`].
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// See [`SuperviseError`].
    #[error(transparent)]
    Supervise(#[from] SuperviseError),
    /// See [`PoolStopped`].
    #[error(transparent)]
    PoolStopped(#[from] PoolStopped),
    /// See [`ArmError`].
    #[error(transparent)]
    Arm(#[from] ArmError),
    /// See [`SendError`]; what was to be sent is not kept here.
    #[error(transparent)]
    Send(#[from] SendRefusal),
    /// See [`RecvError`].
    #[error(transparent)]
    Recv(#[from] RecvError),
    /// See [`SentError`].
    #[error(transparent)]
    Sent(#[from] SentError),
    /// See [`SetLimitsError`].
    #[error(transparent)]
    SetLimits(#[from] SetLimitsError),
    /// See [`CidrError`].
    #[error(transparent)]
    Cidr(#[from] CidrError),
    /// See [`RateError`].
    #[error(transparent)]
    Rate(#[from] RateError),
    /// See [`SlotError`].
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// See [`SlotsError`].
    #[error(transparent)]
    Slots(#[from] SlotsError),
    /// See [`LimitsError`].
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// See [`ConfigError`].
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// See [`UnknownEncoding`].
    #[error(transparent)]
    Encoding(#[from] UnknownEncoding),
    /// See [`SuspendError`].
    #[error(transparent)]
    Suspend(#[from] SuspendError),
    /// See [`ChangeError`].
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// See [`FifoEmpty`].
    #[error(transparent)]
    Fifo(#[from] FifoEmpty),
    /// The system's own error, such as a signal that cannot be listened for.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<DatagramSendError> for Error {
    fn from(error: DatagramSendError) -> Self {
        Self::Datagram(error.refusal)
    }
}

impl<P> From<SendError<P>> for Error {
    fn from(error: SendError<P>) -> Self {
        Self::Send(error.refusal)
    }
}
