//! What a connection is asked to receive next.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;

use crate::encoding::Encoding;
use crate::frame::LineRule;

/// One arming: what to wait for, how often, for how long at most.
///
/// Nothing is read from the socket while nothing is armed, so a peer that sends more than it is
/// asked for is held back by TCP itself (XAS-30).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receive {
    /// What ends it.
    pub kind: ReceiveKind,
    /// How many of them.
    pub repeat: Repeat,
    /// The deadline of each, absolute from the moment it is armed (XAS-46). A repetition is armed
    /// when the one before it was delivered. `None`: no deadline.
    pub timeout: Option<Duration>,
    /// What happens at the deadline.
    pub on_timeout: OnTimeout,
}

/// What ends a receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveKind {
    /// A line. `None` takes the connection's own setting.
    Line {
        /// What ends a line.
        rule: Option<LineRule>,
        /// How its text is to be read.
        encoding: Option<Encoding>,
        /// The longest line, in bytes without its ending.
        max: Option<usize>,
    },
    /// Exactly so many bytes.
    Exact(NonZeroUsize),
    /// As many bytes as the receive buffer holds (XAS-42's "no size").
    Full,
    /// Whatever is there, at least one byte.
    Available,
    /// At most so many bytes, at least one.
    UpTo(NonZeroUsize),
    /// Everything before this delimiter, which is taken away.
    Until {
        /// The delimiter, at least one byte.
        delimiter: Bytes,
        /// The longest body, in bytes; `None` takes the connection's `max_line`.
        max: Option<usize>,
    },
    /// A message behind a 4-byte big-endian length (ACO-08).
    Message {
        /// The longest message, in bytes; `None` takes the connection's `max_message`.
        max: Option<usize>,
    },
}

/// How often a receive completes before it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// So many times.
    Times(NonZeroU32),
    /// Until it is cancelled or the connection ends.
    Always,
}

/// What happens when a receive's deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTimeout {
    /// The connection closes with reason Timeout, as XAsyncSockets does.
    #[default]
    Close,
    /// The session is told by `Idle`, the receive is over, the connection stays (AMB-05).
    Report,
}

impl Receive {
    /// This kind, once, without a deadline.
    #[must_use]
    pub const fn once(kind: ReceiveKind) -> Self {
        Self {
            kind,
            repeat: Repeat::Times(NonZeroU32::MIN),
            timeout: None,
            on_timeout: OnTimeout::Close,
        }
    }

    /// This kind, for ever, without a deadline.
    #[must_use]
    pub const fn always(kind: ReceiveKind) -> Self {
        Self {
            kind,
            repeat: Repeat::Always,
            timeout: None,
            on_timeout: OnTimeout::Close,
        }
    }
}
