//! What an error of `accept` means for the listener, and how long to pause.

use std::io::ErrorKind;
use std::time::Duration;

/// What an error of `accept` means. No error of a single connection ever ends a listener (T-28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AcceptFault {
    /// It concerned the connection that was to be accepted, which is gone: accept the next one.
    Transient,
    /// Descriptors or memory are exhausted: pause ([`AcceptBackoff`]), then accept again. The
    /// connection still waits in the backlog.
    Exhausted,
    /// The listening socket itself is unusable.
    Fatal,
}

impl AcceptFault {
    /// What this error means, by its number where there is one and this platform's are known, by its
    /// kind otherwise (accept(2), "Error handling").
    #[must_use]
    pub fn classify(kind: ErrorKind, errno: Option<i32>) -> Self {
        match errno {
            Some(errno) if errno::EXHAUSTED.contains(&errno) => Self::Exhausted,
            Some(errno) if errno::TRANSIENT.contains(&errno) => Self::Transient,
            Some(_) if errno::COMPLETE => Self::Fatal,
            _ => Self::of_kind(kind),
        }
    }

    const fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::OutOfMemory => Self::Exhausted,
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock => Self::Transient,
            _ => Self::Fatal,
        }
    }
}

/// The numbers of Linux, on the architectures that have the common ones.
#[cfg(all(
    any(target_os = "linux", target_os = "android"),
    not(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6",
        target_arch = "sparc",
        target_arch = "sparc64"
    ))
))]
mod errno {
    /// A number that is in neither list is fatal.
    pub(super) const COMPLETE: bool = true;

    /// ENOMEM, ENFILE, EMFILE, ENOBUFS.
    pub(super) const EXHAUSTED: &[i32] = &[12, 23, 24, 105];

    /// EPERM (a firewall), EINTR, EAGAIN, ENONET, EPROTO, ENOPROTOOPT, EOPNOTSUPP, ENETDOWN,
    /// ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH.
    pub(super) const TRANSIENT: &[i32] =
        &[1, 4, 11, 64, 71, 92, 95, 100, 101, 103, 104, 110, 112, 113];
}

/// Only what has no kind of its own; everything else is told by its kind.
#[cfg(not(all(
    any(target_os = "linux", target_os = "android"),
    not(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6",
        target_arch = "sparc",
        target_arch = "sparc64"
    ))
)))]
mod errno {
    pub(super) const COMPLETE: bool = false;

    /// ENFILE, EMFILE, and ENOBUFS of the BSDs.
    #[cfg(unix)]
    pub(super) const EXHAUSTED: &[i32] = &[23, 24, 55];

    /// `WSAEMFILE`, `WSAENOBUFS`.
    #[cfg(not(unix))]
    pub(super) const EXHAUSTED: &[i32] = &[10024, 10055];

    pub(super) const TRANSIENT: &[i32] = &[];
}

/// How long a listener pauses after each failure in a row: 100 ms, then twice as long each time, 1 s
/// at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptBackoff {
    next: Duration,
}

impl AcceptBackoff {
    /// The pause after the first failure.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The longest pause.
    pub const LONGEST: Duration = Duration::from_secs(1);

    /// No failure yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// The pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        pause
    }

    /// Whether no failure has come since the last success.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.next.as_nanos() == Self::FIRST.as_nanos()
    }

    /// A connection was accepted: the next failure is the first again.
    pub const fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Default for AcceptBackoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_start_again_after_success() {
        let mut backoff = AcceptBackoff::default();
        assert!(backoff.is_first());
        let pauses: Vec<_> = (0..6).map(|_| backoff.next_pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        assert!(!backoff.is_first());
        backoff.reset();
        assert!(backoff.is_first());
        assert_eq!(backoff.next_pause(), AcceptBackoff::FIRST);
    }

    #[test]
    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    fn t_28_every_number_of_accept_has_its_meaning() {
        let classify = |errno| {
            let error = io::Error::from_raw_os_error(errno);
            AcceptFault::classify(error.kind(), error.raw_os_error())
        };
        for errno in [103, 4, 71, 1, 100, 112, 64, 113, 101, 95, 92, 110, 11, 104] {
            assert_eq!(classify(errno), AcceptFault::Transient, "{errno}");
        }
        for errno in [24, 23, 105, 12] {
            assert_eq!(classify(errno), AcceptFault::Exhausted, "{errno}");
        }
        // EBADF, EACCES, EFAULT, EINVAL, ENOTSOCK
        for errno in [9, 13, 14, 22, 88] {
            assert_eq!(classify(errno), AcceptFault::Fatal, "{errno}");
        }
    }

    #[test]
    fn without_a_number_the_kind_decides() {
        let classify = |kind| AcceptFault::classify(kind, None);
        assert_eq!(
            classify(io::ErrorKind::ConnectionAborted),
            AcceptFault::Transient
        );
        assert_eq!(classify(io::ErrorKind::OutOfMemory), AcceptFault::Exhausted);
        assert_eq!(classify(io::ErrorKind::InvalidInput), AcceptFault::Fatal);
    }
}
