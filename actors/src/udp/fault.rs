//! What an error of a datagram socket means for it.

use std::io;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A network or a peer has said no, perhaps to an earlier datagram (ICMP): the socket lives on, and what
    /// is to be sent may be tried again at once.
    Passing,
    /// There is no room now: to be tried again after a pause.
    NoRoom,
    /// The receiver has no room now (Unix): the same, and others go on.
    ReceiverFull,
    /// This datagram cannot be sent.
    Refused,
    /// The descriptor is no socket (any more).
    Fatal,
}

/// Sorts an error (udp(7), ip(7), send(2)).
pub(super) fn fault(error: &io::Error) -> Fault {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::WouldBlock => Fault::ReceiverFull,
        Kind::OutOfMemory => Fault::NoRoom,
        Kind::ConnectionRefused
        | Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::HostUnreachable
        | Kind::NetworkUnreachable
        | Kind::NetworkDown
        | Kind::Interrupted
        | Kind::TimedOut => Fault::Passing,
        _ => by_number(error),
    }
}

#[cfg(unix)]
fn by_number(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(libc::ENOBUFS) => Fault::NoRoom,
        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT) => Fault::Fatal,
        // What ICMP tells on Linux besides: EPROTO, ENOPROTOOPT, EHOSTDOWN, EOPNOTSUPP.
        Some(libc::EPROTO | libc::ENOPROTOOPT | libc::EHOSTDOWN | libc::EOPNOTSUPP) => {
            Fault::Passing
        }
        _ => Fault::Refused,
    }
}

#[cfg(not(unix))]
fn by_number(_: &io::Error) -> Fault {
    Fault::Refused
}
