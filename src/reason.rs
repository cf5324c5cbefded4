//! Why a connection ended.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::frame::FrameError;
use crate::id::Token;
use crate::tls::{TlsError, TlsInfo};

/// Who or what ended a connection; the numbers are those of XAsyncSockets (XAS-14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ClosedReason {
    /// An error: a reset, a broken rule, a panic of the session.
    Error = 0,
    /// This side closed it.
    ClosedByHost = 1,
    /// The peer finished.
    ClosedByPeer = 2,
    /// Time was up.
    Timeout = 3,
}

impl ClosedReason {
    /// All four, in the order of their numbers.
    pub const ALL: [Self; 4] = [
        Self::Error,
        Self::ClosedByHost,
        Self::ClosedByPeer,
        Self::Timeout,
    ];
}

impl TryFrom<u8> for ClosedReason {
    type Error = UnknownReason;

    fn try_from(number: u8) -> Result<Self, UnknownReason> {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .ok_or(UnknownReason(number))
    }
}

impl fmt::Display for ClosedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::ClosedByHost => "closed by host",
            Self::ClosedByPeer => "closed by peer",
            Self::Timeout => "timeout",
        })
    }
}

/// No [`ClosedReason`] has this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no closed reason has the number {0}")]
pub struct UnknownReason(pub u8);

/// Which clock ran out. Each is one line of the connection's timer table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeoutKind {
    /// When no session has adopted the connection in time.
    Adoption,
    /// When a TLS handshake has not completed; absolute from when it was asked for.
    Handshake,
    /// When an armed receive has not completed; absolute from arming (XAS-46).
    Receive,
    /// When a frame that has begun is not complete; absolute from its beginning.
    Frame,
    /// When the peer sent too little of a frame that has begun.
    ReadRate,
    /// When the peer took too little of what waits to be sent.
    WriteRate,
    /// When the connection is as old as it may become.
    Lifetime,
    /// When no byte was received for so long.
    IdleRead,
    /// When no byte was sent for so long.
    IdleWrite,
    /// When no byte moved either way for so long.
    Idle,
    /// When what was pending at a close could not be sent in time.
    Flush,
    /// When the peer has finished and the connection neither moves nor closes.
    HalfClosed,
    /// When the peer does not finish after we have.
    Linger,
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adoption => "adoption",
            Self::Handshake => "TLS handshake",
            Self::Receive => "receive",
            Self::Frame => "frame",
            Self::ReadRate => "read rate",
            Self::WriteRate => "write rate",
            Self::Lifetime => "lifetime",
            Self::IdleRead => "idle read",
            Self::IdleWrite => "idle write",
            Self::Idle => "idle",
            Self::Flush => "flush",
            Self::HalfClosed => "half-closed",
            Self::Linger => "linger",
        })
    }
}

/// Which system operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IoOperation {
    /// Receiving.
    Read,
    /// Sending.
    Write,
    /// Preparing the socket (registering it with the runtime).
    Open,
    /// The TLS handshake.
    Handshake,
}

impl fmt::Display for IoOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Open => "open",
            Self::Handshake => "TLS handshake",
        })
    }
}

/// What exactly ended a connection. [`reason`](Self::reason) groups it into the four of the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// `Close` was called.
    LocalClose,
    /// `Abort` was called: nothing was flushed, the peer sees a reset.
    LocalAbort,
    /// The pool was stopped.
    PoolStopped,
    /// The pool drained, and the connection had not ended by itself.
    Drained,
    /// The pool's connections held more bytes than its budget, and this one was given up for it.
    MemoryPressure,
    /// The session's actor ended by itself.
    SessionStopped,
    /// There was nobody to give the connection to.
    NoSession,
    /// The peer finished sending, and nobody kept the connection open.
    PeerFinished,
    /// The system reported an error.
    Io {
        /// What was tried.
        operation: IoOperation,
        /// The portable kind, such as `ConnectionReset`.
        kind: io::ErrorKind,
        /// The system's number, if it gave one.
        errno: Option<i32>,
    },
    /// TLS failed: the handshake, or the protection of the stream.
    Tls(TlsError),
    /// The peer broke a framing rule or exceeded a limit.
    Frame(FrameError),
    /// The peer finished in the middle of a length-prefixed message.
    TruncatedMessage {
        /// Bytes of the unfinished message that had arrived, its prefix included.
        received: usize,
    },
    /// The session panicked.
    SessionPanicked {
        /// The event that it was handling, if known.
        event: Option<&'static str>,
        /// The panic's text.
        text: String,
    },
    /// The connection's own actor failed or its thread ended.
    RuntimeFailed,
    /// The link was lost, and could not be established again.
    ReconnectFailed {
        /// How many attempts were made since the last stable link.
        attempts: u32,
        /// The portable kind of the last failure.
        kind: io::ErrorKind,
        /// The system's number, if it gave one.
        errno: Option<i32>,
    },
    /// A receive was preset that the session cannot take.
    NoHandler {
        /// The event that the session would have to handle.
        event: &'static str,
    },
    /// Time was up.
    Timeout {
        /// Which clock.
        kind: TimeoutKind,
        /// How long it ran.
        after: Duration,
    },
}

impl Cause {
    /// The seed's grouping of causes (XAS-14).
    #[must_use]
    pub const fn reason(&self) -> ClosedReason {
        match self {
            Self::LocalClose
            | Self::LocalAbort
            | Self::PoolStopped
            | Self::Drained
            | Self::SessionStopped
            | Self::NoSession => ClosedReason::ClosedByHost,
            // A missing close_notify is the peer's end all the same (XAS-14); the cause tells it apart.
            Self::PeerFinished | Self::Tls(TlsError::Truncated) => ClosedReason::ClosedByPeer,
            Self::Io { .. }
            | Self::Tls(_)
            | Self::Frame(_)
            | Self::TruncatedMessage { .. }
            | Self::SessionPanicked { .. }
            | Self::RuntimeFailed
            | Self::MemoryPressure
            | Self::ReconnectFailed { .. }
            | Self::NoHandler { .. } => ClosedReason::Error,
            Self::Timeout { .. } => ClosedReason::Timeout,
        }
    }

    /// The cause that stands for a failed operation of the transport.
    #[must_use]
    pub fn io(operation: IoOperation, error: &io::Error) -> Self {
        if let Some(error) = TlsError::of(error) {
            return Self::Tls(error.clone());
        }
        Self::Io {
            operation,
            kind: error.kind(),
            errno: error.raw_os_error(),
        }
    }

    /// The system's error again, when that is what it was.
    #[must_use]
    pub fn io_error(&self) -> Option<io::Error> {
        match self {
            Self::Io {
                errno: Some(errno), ..
            } => Some(io::Error::from_raw_os_error(*errno)),
            Self::Io { kind, .. } => Some((*kind).into()),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalClose => f.write_str("closed here"),
            Self::LocalAbort => f.write_str("aborted here"),
            Self::PoolStopped => f.write_str("pool stopped"),
            Self::Drained => f.write_str("drained"),
            Self::MemoryPressure => f.write_str("memory pressure"),
            Self::SessionStopped => f.write_str("session stopped"),
            Self::NoSession => f.write_str("no session to give it to"),
            Self::PeerFinished => f.write_str("peer finished"),
            Self::Io {
                operation,
                kind,
                errno: Some(errno),
            } => write!(f, "{operation} failed: {kind} (os error {errno})"),
            Self::Io {
                operation, kind, ..
            } => write!(f, "{operation} failed: {kind}"),
            Self::Tls(error) => error.fmt(f),
            Self::Frame(error) => error.fmt(f),
            Self::TruncatedMessage { received } => write!(
                f,
                "peer finished in the middle of a message, {received} bytes in"
            ),
            Self::SessionPanicked {
                event: Some(event),
                text,
            } => write!(f, "session panicked while handling {event}: {text}"),
            Self::SessionPanicked { text, .. } => write!(f, "session panicked: {text}"),
            Self::RuntimeFailed => f.write_str("the connection's actor failed"),
            Self::ReconnectFailed { attempts, kind, .. } => {
                write!(f, "gave up after {attempts} attempts to connect: {kind}")
            }
            Self::NoHandler { event } => write!(f, "session does not handle {event}"),
            Self::Timeout { kind, after } => write!(f, "{kind} timeout after {after:?}"),
        }
    }
}

/// How far a connection had come when its end began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClosePhase {
    /// Established, not yet adopted by a session.
    Adopting,
    /// Outbound, after the link was lost and before there was another one.
    Reconnecting,
    /// In its TLS handshake.
    Securing,
    /// In use.
    Open,
    /// Closing, with bytes still to send.
    Flushing,
    /// A process had ended, and others still held its pipes.
    Exited,
}

impl fmt::Display for ClosePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Adopting => "adopting",
            Self::Reconnecting => "reconnecting",
            Self::Securing => "securing",
            Self::Open => "open",
            Self::Flushing => "flushing",
            Self::Exited => "exited",
        })
    }
}

/// Everything that is known about an end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedDetail {
    /// What ended it.
    pub cause: Cause,
    /// What cut the closing short, when the end was not orderly: the flush deadline, a reset.
    pub cut_short: Option<Cause>,
    /// Where it ended: `Flushing` if bytes were left to send.
    pub phase: ClosePhase,
    /// Accepted bytes that the system never took. On TLS those of a write of which it has taken a part
    /// count in full when it is cut short, by a reset or a deadline: a peer may have received as much as one
    /// write (32 KiB) of them.
    pub unsent: usize,
    /// Tokens of accepted sends that got no `Sent`, in order.
    pub unsent_tokens: Vec<Token>,
    /// Received bytes that nobody took, such as a line without its end (XAS-48).
    pub unread: Bytes,
    /// Bytes received in all.
    pub bytes_in: u64,
    /// Bytes sent in all.
    pub bytes_out: u64,
    /// The facts of the TLS that it spoke, if it did.
    pub tls: Option<Arc<TlsInfo>>,
}

impl fmt::Display for ClosedDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        if let Some(cut) = &self.cut_short {
            write!(f, ", cut short by {cut}")?;
        }
        if self.unsent > 0 {
            write!(f, ", {} bytes unsent", self.unsent)?;
        }
        if !self.unread.is_empty() {
            write!(f, ", {} bytes unread", self.unread.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XAS-14.
    #[test]
    fn xas_14_reasons_keep_the_seeds_numbers() {
        for (number, reason) in (0_u8..).zip(ClosedReason::ALL) {
            assert_eq!(reason as u8, number);
            assert_eq!(ClosedReason::try_from(number), Ok(reason));
        }
        assert_eq!(ClosedReason::try_from(4), Err(UnknownReason(4)));
    }

    #[test]
    fn an_io_cause_gives_the_error_back() {
        let cause = Cause::io(IoOperation::Read, &io::Error::from_raw_os_error(104));
        assert_eq!(
            cause.io_error().map(|e| e.kind()),
            Some(io::ErrorKind::ConnectionReset)
        );
        assert_eq!(cause.reason(), ClosedReason::Error);
        assert!(cause.to_string().contains("104"));
    }
}
