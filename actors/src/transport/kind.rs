//! What kinds of channels there are.

use std::fmt;

/// What carries the bytes or datagrams of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChannelKind {
    /// TCP of the system.
    Tcp,
    /// A Unix stream socket.
    Unix,
    /// A descriptor that was given: a pipe, a FIFO, a terminal, a serial line (AC-21).
    Pipe,
    /// A UDP socket.
    Udp,
    /// A Unix datagram socket.
    UnixDatagram,
    /// An IP raw socket.
    Raw,
    /// A child process with its pipes.
    Process,
    /// A [`Network`](crate::transport::Network) that is not the system's, or one that has not answered
    /// yet.
    #[default]
    Network,
}

impl fmt::Display for ChannelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Unix => "Unix stream",
            Self::Pipe => "pipe",
            Self::Udp => "UDP",
            Self::UnixDatagram => "Unix datagram",
            Self::Raw => "raw IP",
            Self::Process => "process",
            Self::Network => "network",
        })
    }
}
