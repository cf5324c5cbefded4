//! The states of a connection; what belongs to a state lives inside it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ConnectError;
use crate::id::Token;
use crate::reason::{Cause, ClosePhase, ClosedDetail};

use super::{Access, Event};

/// Where a connection is in its life. An open one has room for this all its time, so what is large is boxed.
// It and its halves are looked at many times for every request: a tag of their own is told apart with one
// comparison, one that hides in a cause is not.
#[repr(u8)]
#[derive(Debug)]
pub(super) enum State {
    /// Outbound, not yet established. Sends are queued, nothing is read.
    Connecting,
    /// Outbound, given up before it was established; the attempt is being stopped.
    Cancelling { cause: Box<Cause> },
    /// Established, without a session. Nothing is read.
    Adopting,
    /// In use.
    Open { read: ReadHalf, write: WriteHalf },
    /// Sending what is left, then finishing. Input is discarded.
    Closing(Box<Closing>),
    /// Told and finished; reading on so that a reset does not destroy our last bytes.
    Lingering {
        discarded: usize,
        report: LastReport,
    },
    /// Nothing is left to do but to let go of the socket.
    Over { reset: bool, report: LastReport },
}

#[repr(u8)]
#[derive(Debug)]
pub(super) enum ReadHalf {
    Open,
    /// The peer finished; `told` once the session was asked what to do.
    Finished {
        told: bool,
    },
    /// Reading failed; complete frames are still delivered.
    Broken(Box<Cause>),
}

#[repr(u8)]
#[derive(Debug)]
pub(super) enum WriteHalf {
    Open,
    /// Finishes when the outbox is empty.
    Finishing,
    Finished,
    /// Writing failed; what the peer had sent before is still read.
    Broken(Box<Cause>),
}

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) cause: Cause,
    /// How far the connection had come.
    pub(super) phase: ClosePhase,
    /// How long sending what is left may take.
    pub(super) deadline: Duration,
    pub(super) peer_finished: bool,
    /// What was thrown away instead of sent.
    pub(super) dropped: usize,
    pub(super) dropped_tokens: Vec<Token>,
}

/// What the last event says.
#[derive(Debug, Clone)]
pub(super) enum Report {
    Closed(Arc<ClosedDetail>),
    ConnectFailed(Box<ConnectError>),
}

impl Report {
    pub(super) fn event(&self) -> Event {
        match self {
            Self::Closed(detail) => Event::Closed(Arc::clone(detail)),
            Self::ConnectFailed(error) => Event::ConnectFailed(error.clone()),
        }
    }
}

/// A report, and whether it was told. It stays, for those who ask later.
#[derive(Debug, Clone)]
pub(super) struct LastReport {
    report: Report,
    told: bool,
}

impl LastReport {
    pub(super) const fn new(report: Report) -> Self {
        Self {
            report,
            told: false,
        }
    }

    pub(super) const fn get(&self) -> &Report {
        &self.report
    }

    pub(super) const fn is_told(&self) -> bool {
        self.told
    }

    /// As long as it is still to be told.
    pub(super) const fn untold(&self) -> Option<&Report> {
        if self.told { None } else { Some(&self.report) }
    }

    /// Tells it, once.
    pub(super) fn tell(&mut self) -> Option<Event> {
        let event = self.untold()?.event();
        self.told = true;
        Some(event)
    }
}

/// Where a connection is in its life, for those who look from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Outbound and not yet established.
    Connecting,
    /// Established, waiting for its session.
    Adopting,
    /// Both directions are open, or the one that there is.
    Open,
    /// One direction is finished.
    HalfClosed,
    /// Closing; what is queued is still being sent.
    Closing,
    /// Closed; perhaps lingering.
    Closed,
}

impl State {
    /// How it ended, told or not.
    pub(super) const fn last_report(&self) -> Option<&LastReport> {
        match self {
            Self::Lingering { report, .. } | Self::Over { report, .. } => Some(report),
            _ => None,
        }
    }

    /// How it was closed, as long as that is still to be told.
    pub(super) fn untold(&self) -> Option<&ClosedDetail> {
        match self.last_report()?.untold()? {
            Report::Closed(detail) => Some(detail),
            Report::ConnectFailed(_) => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn untold_mut(&mut self) -> Option<&mut ClosedDetail> {
        match self {
            Self::Lingering { report, .. } | Self::Over { report, .. } if !report.told => {
                match &mut report.report {
                    Report::Closed(detail) => Some(Arc::make_mut(detail)),
                    Report::ConnectFailed(_) => None,
                }
            }
            _ => None,
        }
    }

    pub(super) const fn outside(&self, access: Access) -> ConnectionState {
        match self {
            Self::Connecting | Self::Cancelling { .. } => ConnectionState::Connecting,
            Self::Adopting => ConnectionState::Adopting,
            Self::Open {
                read: ReadHalf::Open,
                write: WriteHalf::Open,
            } => ConnectionState::Open,
            Self::Open { read, write } => match (access, read, write) {
                (Access::ReadOnly, ReadHalf::Open, _) | (Access::WriteOnly, _, WriteHalf::Open) => {
                    ConnectionState::Open
                }
                _ => ConnectionState::HalfClosed,
            },
            Self::Closing(_) => ConnectionState::Closing,
            Self::Lingering { .. } | Self::Over { .. } => ConnectionState::Closed,
        }
    }
}
