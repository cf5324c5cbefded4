//! How a process is brought to its end: its pipes close, it is asked to end, and then it is ended (AIO-20,
//! AMB-13).

use std::time::{Duration, Instant};

use crate::now::Now;
use crate::reason::{Cause, ClosePhase, TimeoutKind};

use super::{Action, ProcessMachine};

/// How far the end is that was asked for.
#[derive(Debug)]
pub(super) enum Ending {
    /// Nobody asked: when it ends, it ends by itself.
    NotAsked,
    /// It was asked to end, and is ended at the deadline if it has not by then.
    Terminating { why: Why, deadline: Option<Instant> },
    /// It was ended.
    Killing(Why),
}

/// Why it ends.
#[derive(Debug, Clone)]
pub(super) struct Why {
    cause: Cause,
    cut_short: Option<Cause>,
    /// How long it may take.
    grace: Duration,
    /// Whether it had ended before, and only pipes were open.
    after_exit: bool,
}

impl Ending {
    pub(super) const fn is_asked(&self) -> bool {
        !matches!(self, Self::NotAsked)
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Terminating { deadline, .. } => *deadline,
            Self::NotAsked | Self::Killing(_) => None,
        }
    }

    /// The cause of the end, what cut it short, and where it was then.
    pub(super) fn story(&self) -> (Cause, Option<Cause>, ClosePhase) {
        match self {
            Self::NotAsked => (Cause::PeerFinished, None, ClosePhase::Open),
            Self::Terminating { why, .. } | Self::Killing(why) => {
                let phase = if why.after_exit {
                    ClosePhase::Exited
                } else {
                    ClosePhase::Open
                };
                (why.cause.clone(), why.cut_short.clone(), phase)
            }
        }
    }
}

impl ProcessMachine {
    /// Closes its pipes, asks it to end (SIGTERM), and ends it (SIGKILL) when it has not ended within a grace.
    /// `false`: that was under way already, and goes on as it does; a shorter grace shortens it.
    pub fn close(&mut self, cause: Cause, grace: Option<Duration>, now: &mut Now) -> bool {
        if self.is_over() {
            return false;
        }
        let grace = grace.unwrap_or(self.grace);
        match &mut self.ending {
            Ending::NotAsked => {}
            Ending::Terminating { why, deadline } => {
                let sooner = now.get().checked_add(grace);
                if let Some(sooner) = sooner
                    && deadline.is_none_or(|set| sooner < set)
                {
                    *deadline = Some(sooner);
                    why.grace = grace;
                    self.actions.push_back(Action::ClosePipes { within: grace });
                }
                return false;
            }
            Ending::Killing(_) => return false,
        }
        let runs = self.code.is_none();
        let deadline = now.get().checked_add(grace);
        self.ending = Ending::Terminating {
            why: Why {
                cause,
                cut_short: None,
                grace,
                after_exit: !runs,
            },
            deadline,
        };
        self.actions.push_back(Action::ClosePipes { within: grace });
        if runs {
            self.actions.push_back(Action::Terminate);
        }
        true
    }

    /// Ends it at once (SIGKILL), and its pipes. `false`: it is over, or was ended before.
    pub fn abort(&mut self, cause: Cause) -> bool {
        if self.is_over() {
            return false;
        }
        let after_exit = self.code.is_some();
        let why = match std::mem::replace(&mut self.ending, Ending::NotAsked) {
            Ending::NotAsked => Why {
                cause,
                cut_short: None,
                grace: Duration::ZERO,
                after_exit,
            },
            Ending::Terminating { why, .. } => Why {
                cut_short: Some(cause),
                ..why
            },
            killing @ Ending::Killing(_) => {
                self.ending = killing;
                return false;
            }
        };
        self.ending = Ending::Killing(why);
        self.actions.clear();
        if !after_exit {
            self.actions.push_back(Action::Kill);
        }
        self.actions.push_back(Action::AbortPipes);
        true
    }

    /// A deadline has passed: what did not end when it was asked is ended.
    pub fn handle_timeout(&mut self, now: &mut Now) {
        let due = self.poll_timeout().is_some_and(|at| at <= now.get());
        if !due {
            return;
        }
        if let Ending::Terminating { why, .. } = &self.ending {
            let kind = TimeoutKind::Flush;
            let after = why.grace;
            self.abort(Cause::Timeout { kind, after });
        }
    }
}
