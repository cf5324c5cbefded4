//! The machine of a child process: when it is told what, which signals it gets, and when it is over.
//!
//! Its pipes are connections with machines of their own; this one only knows which of them are open.

mod ending;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::connection::{ConnectionState, Interests, Standing};
use crate::now::Now;
use crate::reason::{Cause, ClosedDetail};

use ending::Ending;

/// The pipes of a process, by the number that they have in it: its input, its output, its errors.
pub const PIPES: usize = 3;

/// One thing that happened to a process.
#[derive(Debug)]
pub enum ProcessEvent {
    /// It ended; its pipes may still be open (AIO-23).
    Exited {
        /// Its exit code, or minus the number of the signal that ended it (AIO-17).
        code: i32,
    },
    /// The pool drains; so much time is left.
    Draining(Duration),
    /// It has ended, and all of its pipes are closed. Comes once and last.
    Closed(Box<ClosedDetail>),
}

impl ProcessEvent {
    /// Who is told it.
    #[must_use]
    pub const fn interest(&self) -> Interests {
        match self {
            Self::Exited { .. } => Interests::PROCESS_EXITED,
            Self::Draining(_) => Interests::DRAINING,
            Self::Closed(_) => Interests::CLOSED,
        }
    }
}

/// What somebody has to do to the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Close its pipes: send what is queued for its input, for which there is so much time, and read nothing
    /// more. Comes again when the time becomes shorter.
    ClosePipes {
        /// How long that may take.
        within: Duration,
    },
    /// Close its pipes at once.
    AbortPipes,
    /// Ask it to end (SIGTERM).
    Terminate,
    /// End it (SIGKILL).
    Kill,
}

/// A child process that was started.
#[derive(Debug)]
pub struct ProcessMachine {
    interests: Interests,
    /// How long it may take to end when it was asked to.
    grace: Duration,
    code: Option<i32>,
    pipes: [PipeEnd; PIPES],
    ending: Ending,
    notices: VecDeque<ProcessEvent>,
    actions: VecDeque<Action>,
    told: bool,
    /// What of its pipes was not sent, and what they moved, for the last event.
    totals: Totals,
}

/// How a pipe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PipeEnd {
    /// It is no pipe of ours.
    Foreign,
    Open,
    /// It is closed, and that was told.
    Told,
}

#[derive(Debug, Default)]
struct Totals {
    unsent: usize,
    unsent_tokens: Vec<crate::id::Token>,
    bytes_in: u64,
    bytes_out: u64,
}

/// Getters.
impl ProcessMachine {
    /// A process that runs; `pipes` says which of its pipes lead here, `grace` how long it may take to end
    /// when it is asked to.
    #[must_use]
    pub fn new(pipes: [bool; PIPES], grace: Duration) -> Self {
        Self {
            interests: Interests::NONE,
            grace,
            code: None,
            pipes: pipes.map(|ours| {
                if ours {
                    PipeEnd::Open
                } else {
                    PipeEnd::Foreign
                }
            }),
            ending: Ending::NotAsked,
            notices: VecDeque::new(),
            actions: VecDeque::new(),
            told: false,
            totals: Totals::default(),
        }
    }

    /// Its exit code, or minus the number of the signal that ended it; `None` while it runs (AIO-17).
    #[must_use]
    pub const fn returncode(&self) -> Option<i32> {
        self.code
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        if self.is_over() {
            ConnectionState::Closed
        } else if self.ending.is_asked() {
            ConnectionState::Closing
        } else if self.code.is_some() {
            ConnectionState::HalfClosed
        } else {
            ConnectionState::Open
        }
    }

    /// Whether it has ended and all of its pipes are closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.code.is_some() && self.pipes.iter().all(|pipe| *pipe != PipeEnd::Open)
    }

    /// Whether it is in use: nobody has closed it, and it is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.ending.is_asked() && !self.is_over()
    }

    /// Whether the last event was taken.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.told
    }

    /// Why it is over, and what it has moved.
    #[must_use]
    pub fn detail(&self) -> ClosedDetail {
        let (cause, cut_short, phase) = self.ending.story();
        ClosedDetail {
            cause,
            cut_short,
            phase,
            unsent: self.totals.unsent,
            unsent_tokens: self.totals.unsent_tokens.clone(),
            unread: bytes::Bytes::new(),
            bytes_in: self.totals.bytes_in,
            bytes_out: self.totals.bytes_out,
            tls: None,
        }
    }

    /// What to do next to the process.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether [`poll_action`](Self::poll_action) would give something.
    #[must_use]
    pub fn has_action(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The next deadline, if any.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        if self.code.is_some() {
            // It has ended: its pipes have the same time by clocks of their own.
            return None;
        }
        self.ending.deadline()
    }

    /// Whether [`poll_event`](Self::poll_event) would give something.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.notices.is_empty() || (self.is_over() && !self.told)
    }

    /// The next event for the session; the last one comes once, when all is over.
    pub fn poll_event(&mut self) -> Option<ProcessEvent> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(notice);
        }
        if self.told || !self.is_over() {
            return None;
        }
        self.told = true;
        Some(ProcessEvent::Closed(Box::new(self.detail())))
    }
}

/// What happened.
impl ProcessMachine {
    /// A session handles these events.
    pub fn adopt(&mut self, interests: Interests) {
        self.interests = interests;
    }

    /// The process ended. Say it once.
    pub fn handle_exit(&mut self, code: i32) {
        if self.code.is_some() {
            return;
        }
        self.code = Some(code);
        self.actions
            .retain(|action| !matches!(action, Action::Terminate | Action::Kill));
        self.notify(ProcessEvent::Exited { code });
    }

    /// The pipe with this number closed, and its session was told.
    pub fn handle_pipe_told(&mut self, fd: usize, detail: &ClosedDetail) {
        if let Some(pipe @ PipeEnd::Open) = self.pipes.get_mut(fd) {
            *pipe = PipeEnd::Told;
            self.totals.unsent += detail.unsent;
            self.totals.unsent_tokens.extend(&detail.unsent_tokens);
            self.totals.bytes_in += detail.bytes_in;
            self.totals.bytes_out += detail.bytes_out;
        }
    }

    /// Whoever waits for its pipes is gone with its thread: they count as closed.
    pub fn handle_lost_pipes(&mut self) {
        for pipe in &mut self.pipes {
            if *pipe == PipeEnd::Open {
                *pipe = PipeEnd::Told;
            }
        }
    }

    /// The session failed or ended: the process is closed.
    pub fn handle_session_gone(&mut self, cause: Cause, now: &mut Now) {
        self.interests = Interests::NONE;
        self.notices.clear();
        self.close(cause, None, now);
    }

    /// The pool drains, and so much time is left.
    pub fn handle_draining(&mut self, left: Duration) -> Standing {
        if !self.is_open() {
            return Standing::Ending;
        }
        if !self.interests.contains(Interests::DRAINING) {
            return Standing::Untold;
        }
        self.notify(ProcessEvent::Draining(left));
        Standing::Told
    }

    fn notify(&mut self, event: ProcessEvent) {
        if self.interests.contains(event.interest()) {
            self.notices.push_back(event);
        }
    }
}
