//! Why a datagram did not go out, or was not taken to be sent.

use std::io;

/// Why an accepted datagram was never sent. The socket lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramError {
    /// The system refused it (XAS-61).
    #[error("cannot send the datagram: {kind}{}", number(*errno))]
    Io {
        /// The portable kind.
        kind: io::ErrorKind,
        /// The system's number, if it gave one: `EMSGSIZE` for one that is too large.
        errno: Option<i32>,
    },
    /// The name that it was for has no address (AMB-06); the next one is looked up again.
    #[error("cannot resolve the name: {kind}")]
    Unresolved {
        /// The portable kind.
        kind: io::ErrorKind,
    },
    /// The socket was closed before.
    #[error("the socket was closed before it was sent")]
    Closed,
}

impl DatagramError {
    /// What the system's error means for a datagram.
    #[must_use]
    pub fn io(error: &io::Error) -> Self {
        Self::Io {
            kind: error.kind(),
            errno: error.raw_os_error(),
        }
    }
}

/// The number behind the kind, for people who look it up.
fn number(errno: Option<i32>) -> String {
    errno.map_or_else(String::new, |errno| format!(" (os error {errno})"))
}

/// Why a datagram was not even taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatagramRefusal {
    /// The queue would hold more bytes than it may; try again after `WriteResumed`.
    #[error("the queue is full: {queued} of {capacity} bytes are queued, {asked} more do not fit")]
    Full {
        /// Bytes queued now.
        queued: usize,
        /// The most that may be queued.
        capacity: usize,
        /// Bytes of the refused datagram.
        asked: usize,
    },
    /// The queue holds as many datagrams as it may.
    #[error("{limit} datagrams are queued already")]
    TooMany {
        /// The most that may be queued.
        limit: usize,
    },
    /// So many sends already wait for their notice to be handled.
    #[error("{limit} sends already wait for their notice to be handled")]
    TooManyNotices {
        /// The most that may wait.
        limit: usize,
    },
    /// It says no destination, and the socket is not connected (AIO-15).
    #[error("the socket is not connected, and the datagram has no destination")]
    NoDestination,
    /// The socket is connected to somebody else (AIO-15).
    #[error("the socket is connected to another address")]
    OtherPeer,
    /// An address of another family than the socket's.
    #[error("the destination is of another family than the socket")]
    OtherFamily,
    /// The socket is closed or closing.
    #[error("the socket is closed")]
    Closed,
}
