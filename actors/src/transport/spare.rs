//! A descriptor in reserve.

use std::io;

use socket2::{Domain, Socket, Type};

/// One descriptor that is kept for when the system has no other left.
pub(super) enum Spare {
    Unwanted,
    /// It is lent, or could not be had; it is asked for again when it is needed.
    Missing,
    Kept(Socket),
}

impl Spare {
    /// Keeps one, if it is wanted and can be had.
    pub(super) fn new(wanted: bool) -> Self {
        if wanted { Self::take() } else { Self::Unwanted }
    }

    pub(super) const fn is_wanted(&self) -> bool {
        !matches!(self, Self::Unwanted)
    }

    /// Any descriptor does; that of a socket which is nowhere is one on every system.
    fn take() -> Self {
        Socket::new(Domain::IPV4, Type::STREAM, None).map_or(Self::Missing, Self::Kept)
    }

    /// Gives the descriptor free for this call and takes it again after it. `Ok(false)` without a call
    /// when there is none.
    pub(super) fn lend(&mut self, call: impl FnOnce() -> io::Result<bool>) -> io::Result<bool> {
        if let Self::Missing = self {
            *self = Self::take();
        }
        match std::mem::replace(self, Self::Missing) {
            Self::Kept(descriptor) => drop(descriptor),
            none => {
                *self = none;
                return Ok(false);
            }
        }
        let outcome = call();
        *self = Self::take();
        outcome
    }
}
