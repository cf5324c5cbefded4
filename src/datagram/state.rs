//! The states of a datagram socket; what belongs to a state lives inside it.

use std::time::Duration;

use crate::connection::ConnectionState;
use crate::reason::{Cause, ClosePhase, ClosedDetail};

/// Where a datagram socket is in its life.
#[derive(Debug)]
pub(super) enum State {
    /// Without a session so far. Sends are queued, nothing moves.
    Adopting,
    /// In use.
    Open,
    /// Sending what is left. Nothing is read.
    Closing(Box<Closing>),
    /// Nothing is left to do but to tell the end and let go of the socket.
    Over { report: Option<Box<ClosedDetail>> },
}

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) cause: Cause,
    /// How far the socket had come.
    pub(super) phase: ClosePhase,
    /// How long sending what is left may take.
    pub(super) deadline: Duration,
}

impl State {
    pub(super) const fn outside(&self) -> ConnectionState {
        match self {
            Self::Adopting => ConnectionState::Adopting,
            Self::Open => ConnectionState::Open,
            Self::Closing(_) => ConnectionState::Closing,
            Self::Over { .. } => ConnectionState::Closed,
        }
    }
}

impl Closing {
    pub(super) const fn new(cause: Cause, phase: ClosePhase, deadline: Duration) -> Self {
        Self {
            cause,
            phase,
            deadline,
        }
    }
}
