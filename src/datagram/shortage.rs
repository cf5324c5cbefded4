//! A system without room for one more datagram (`ENOBUFS`): the head of the queue waits, for longer each
//! time, and fails in the end. Nothing spins, and nothing stays paused for ever (cpython #156698).

use std::io;
use std::time::{Duration, Instant};

use super::DatagramError;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_millis(500);
/// How long one datagram waits in all; then it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The pauses since the last datagram that was sent.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// When to try again, while nothing is tried.
    until: Option<Instant>,
    pause: Duration,
    /// How long the head has waited.
    waited: Duration,
}

impl Shortage {
    /// When to try again, while nothing is tried.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// There was no room: the next try comes after a pause. `false`: the head has waited for long enough,
    /// and the pause is for the one behind it.
    pub(super) fn begin_pause(&mut self, now: Instant) -> bool {
        let goes_on = self.waited < PATIENCE;
        if !goes_on {
            self.waited = Duration::ZERO;
        }
        self.pause = (self.pause * 2).clamp(FIRST, LONGEST);
        self.waited += self.pause;
        self.until = now.checked_add(self.pause);
        goes_on
    }

    /// It is time to try again.
    pub(super) fn end_pause(&mut self) {
        self.until = None;
    }

    /// The head has left without being sent: the next one has its own patience.
    pub(super) fn next_head(&mut self) {
        self.waited = Duration::ZERO;
    }

    /// There was room.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

/// What a datagram fails with that has waited for long enough.
pub(super) fn no_room() -> DatagramError {
    NUMBER.map_or(
        DatagramError::Io {
            kind: io::ErrorKind::Other,
            errno: None,
        },
        |number| DatagramError::io(&io::Error::from_raw_os_error(number)),
    )
}

/// The system's `ENOBUFS`, where it is known.
const NUMBER: Option<i32> = if cfg!(any(target_os = "linux", target_os = "android")) {
    if cfg!(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    )) {
        Some(132)
    } else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        Some(55)
    } else {
        Some(105)
    }
} else if cfg!(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
)) {
    Some(55)
} else if cfg!(windows) {
    Some(10055)
} else {
    None
};
