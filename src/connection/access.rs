//! Channels whose bytes go one way only, such as the end of a pipe, and channels that do not linger.

use crate::error::ArmError;
use crate::reason::{Cause, IoOperation};

use super::Connection;
use super::state::{ReadHalf, State, WriteHalf};

/// Which ways bytes go: the access mode that a descriptor was opened with (open(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Access {
    /// Both ways.
    #[default]
    ReadWrite,
    /// Only towards us: nothing can be sent.
    ReadOnly,
    /// Only away from us: nothing can be received.
    WriteOnly,
}

impl Access {
    /// The halves that a connection opens with. A way that bytes do not go is a half that has finished.
    pub(super) const fn halves(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::ReadWrite => (ReadHalf::Open, WriteHalf::Open),
            Self::ReadOnly => (ReadHalf::Open, WriteHalf::Finished),
            Self::WriteOnly => (ReadHalf::Finished { told: true }, WriteHalf::Open),
        }
    }
}

impl Connection {
    /// Bytes go these ways only. Without it they go both.
    #[must_use]
    pub const fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Once everything is sent it is over: what others may still read there is not read and thrown away.
    #[must_use]
    pub const fn without_lingering(mut self) -> Self {
        self.lingers = false;
        self
    }

    /// Which ways bytes go.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// Refuses what needs bytes to come, where none can.
    pub(super) const fn check_readable(&self) -> Result<(), ArmError> {
        match self.access {
            Access::WriteOnly if self.is_in_use() => Err(ArmError::WriteOnly),
            _ => Ok(()),
        }
    }

    /// Whether it is neither closed nor closing.
    pub(super) const fn is_in_use(&self) -> bool {
        matches!(
            self.state,
            State::Connecting | State::Adopting | State::Open { .. }
        )
    }

    /// Which operation a peer's reset makes fail.
    pub(super) const fn reset_operation(&self) -> IoOperation {
        match self.access {
            Access::WriteOnly => IoOperation::Write,
            Access::ReadWrite | Access::ReadOnly => IoOperation::Read,
        }
    }

    /// Our direction is finished, and the other one is too: over. Where there never was another one it was
    /// our end.
    pub(super) fn end_both(&mut self) {
        let cause = match self.access {
            Access::WriteOnly => Cause::LocalClose,
            Access::ReadWrite | Access::ReadOnly => Cause::PeerFinished,
        };
        self.end(cause, None, false);
    }
}
