//! What a plan is asked and what it answers.

use std::fmt;
use std::io;
use std::time::Duration;

/// Whom a fault is for. Each kind is counted from 0 by the network (its clones included), apart from
/// the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// The nth listener that was opened.
    Listener(u64),
    /// The nth peer that was accepted, over all listeners.
    Accepted(u64),
    /// The nth outbound connection, in the order of the calls; attempts that failed are counted.
    Outbound(u64),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener(number) => write!(f, "listener {number}"),
            Self::Accepted(number) => write!(f, "accepted connection {number}"),
            Self::Outbound(number) => write!(f, "outbound connection {number}"),
        }
    }
}

/// An operation that is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Accepting a peer.
    Accept,
    /// Establishing an outbound connection.
    Connect,
    /// Reading.
    Read {
        /// How many bytes have come before, lost ones included.
        at: u64,
        /// How many bytes the reader has room for.
        len: usize,
    },
    /// Writing.
    Write {
        /// How many bytes were taken before, lost ones included.
        at: u64,
        /// How many bytes are to be written, over all slices.
        len: usize,
    },
    /// Finishing our direction.
    Shutdown {
        /// How many bytes were taken before, lost ones included.
        at: u64,
    },
}

/// What shall become of an operation.
///
/// An action that makes no sense for the operation (an end of what is written, a short accept) is
/// [`Go`](Self::Go).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is done as it is, unless the next script says otherwise.
    Go,
    /// It moves so many bytes at most, and at least 1. The next script is asked too; the least counts.
    Short(usize),
    /// It is not ready, and is woken at once. The same script is asked again for the same operation.
    Block,
    /// Its result comes so much later; a write, a shutdown and a connect begin so much later. The next
    /// script is asked too; times add up.
    Delay(Duration),
    /// It fails. A [`ConnectionReset`](io::ErrorKind::ConnectionReset) of a connection is a real one:
    /// its peer sees it, and everything after it fails in the same way. Other errors change nothing.
    Fail(Fault),
    /// It reads the end.
    Eof,
    /// It never becomes ready, nor does any after it in that direction.
    Stall,
    /// It moves one byte, of which the lowest bit is turned on its way.
    Corrupt,
    /// What is written is taken and thrown away; what comes is thrown away and waited on for more.
    Lose,
}

/// An error to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// One of this kind, without a number of the system.
    Kind(io::ErrorKind),
    /// The system's error with this number.
    Os(i32),
}

impl Fault {
    /// The connection was reset.
    pub const RESET: Self = Self::Kind(io::ErrorKind::ConnectionReset);
    /// No descriptors are left for this process (Linux 24).
    pub const EMFILE: Self = Self::Os(24);
    /// No descriptors are left in the whole system (Linux 23).
    pub const ENFILE: Self = Self::Os(23);
    /// The peer was gone before it was accepted (Linux 103).
    pub const ECONNABORTED: Self = Self::Os(103);

    /// The error itself.
    #[must_use]
    pub fn error(self) -> io::Error {
        match self {
            Self::Kind(kind) => kind.into(),
            Self::Os(number) => io::Error::from_raw_os_error(number),
        }
    }

    pub(super) fn is_reset(self) -> bool {
        self.error().kind() == io::ErrorKind::ConnectionReset
    }
}

impl From<io::ErrorKind> for Fault {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Kind(kind)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

/// Decides what becomes of each operation of one listener or one connection.
///
/// Every closure `FnMut(Operation) -> Action` is one. An operation is decided once, before it is first
/// tried, and the decision stays until the operation is done, however often it is polled.
pub trait FaultScript: Send + 'static {
    /// What becomes of this operation.
    fn decide(&mut self, operation: Operation) -> Action;
}

impl<F> FaultScript for F
where
    F: FnMut(Operation) -> Action + Send + 'static,
{
    fn decide(&mut self, operation: Operation) -> Action {
        self(operation)
    }
}

/// The scripts of one party, in the order in which they are asked.
pub(super) type Scripts = Vec<Box<dyn FaultScript>>;
