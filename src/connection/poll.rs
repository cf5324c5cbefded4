//! What is to be done: deadlines, bytes to write, wishes to read, events to tell.

use std::io::IoSlice;
use std::time::Instant;

use crate::now::Now;

use super::state::{Closing, ReadHalf, Report, State, WriteHalf};
use super::{Connection, Ending, Event, Permit, ReadWish};

impl Connection {
    /// The next deadline, if any.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Lends out bytes for one vectored write; returns how many slices were set.
    pub fn poll_transmit<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        match self.state {
            State::Open {
                write: WriteHalf::Open | WriteHalf::Finishing,
                ..
            }
            | State::Closing(_) => self.outbox.slices(slices),
            _ => 0,
        }
    }

    /// Whether the sending direction is to be finished now.
    #[must_use]
    pub const fn wants_finish(&self) -> bool {
        self.outbox.is_empty()
            && matches!(
                self.state,
                State::Open {
                    write: WriteHalf::Finishing,
                    ..
                } | State::Closing(_)
            )
    }

    /// What to do with the receiving direction.
    #[must_use]
    pub fn read_wish(&self) -> ReadWish {
        match &self.state {
            State::Open {
                read: ReadHalf::Open,
                ..
            } if !self.reading_paused => {
                let wanted = if self.inbound.armed().is_some() {
                    !self.inbound.is_ready()
                        || (self.inbound.reads_ahead()
                            && !self.is_held()
                            && self.inbound.len() < self.config.read_window)
                } else {
                    self.interest.readable && self.inbound.is_empty()
                };
                if wanted {
                    ReadWish::Data
                } else {
                    ReadWish::Nothing
                }
            }
            State::Closing(Closing {
                peer_finished: false,
                ..
            })
            | State::Lingering { .. } => ReadWish::Discard,
            _ => ReadWish::Nothing,
        }
    }

    /// How it ended, while that is still to be told.
    #[must_use]
    pub fn ending(&self) -> Option<Ending<'_>> {
        match &self.state {
            State::Lingering { report, .. } | State::Over { report, .. } => {
                report.as_ref().map(|report| match report {
                    Report::Closed(detail) => Ending::Closed(detail),
                    Report::ConnectFailed(error) => Ending::ConnectFailed(error),
                })
            }
            _ => None,
        }
    }

    /// Whether [`poll_event`](Self::poll_event) would give something.
    #[must_use]
    pub fn has_event(&self) -> bool {
        !self.notices.is_empty()
            || self.is_deliverable()
            || self.is_readable()
            || self.is_writable()
            || matches!(
                self.state,
                State::Lingering {
                    report: Some(_),
                    ..
                } | State::Over {
                    report: Some(_),
                    ..
                }
            )
    }

    /// Whether a notice waits.
    #[must_use]
    pub fn has_notice(&self) -> bool {
        !self.notices.is_empty()
    }

    /// The next notice, and nothing else.
    pub fn poll_notice(&mut self) -> Option<(Event, Permit)> {
        let notice = self.notices.pop_front()?;
        Some((notice, Permit::NONE))
    }

    /// The next event for the session, with the credit that it took. Frames come in order, notices
    /// come before the frames that are still waiting, the report comes last.
    pub fn poll_event(&mut self, now: &mut Now) -> Option<(Event, Permit)> {
        if let Some(notice) = self.poll_notice() {
            return Some(notice);
        }
        if self.is_deliverable()
            && let Some((event, length)) = self.inbound.take()
        {
            self.frames_in += 1;
            self.start_receive_clock(now);
            let outcome = self.inbound.scan();
            self.framed(outcome, now);
            return Some((event, self.credit.take(length)));
        }
        if self.is_readable() {
            self.interest.readable_told = true;
            return Some((Event::Readable, Permit::NONE));
        }
        if self.is_writable() {
            self.interest.writable_told = true;
            return Some((Event::Writable, Permit::NONE));
        }
        match &mut self.state {
            State::Lingering { report, .. } | State::Over { report, .. } => {
                let event = match report.take()? {
                    Report::Closed(detail) => Event::Closed(detail),
                    Report::ConnectFailed(error) => Event::ConnectFailed(error),
                };
                Some((event, Permit::NONE))
            }
            _ => None,
        }
    }

    /// The driver looks again: levels of readiness mode may be told once more.
    pub const fn begin_round(&mut self) {
        self.interest.readable_told = false;
        self.interest.writable_told = false;
    }

    /// Whether a level of readiness mode will be told again in the next round.
    #[must_use]
    pub fn wants_round(&self) -> bool {
        (self.interest.readable_told || self.interest.writable_told) && {
            let mut fresh = self.interest;
            fresh.readable_told = false;
            fresh.writable_told = false;
            matches!(self.state, State::Open { .. })
                && ((fresh.readable && !self.inbound.is_empty()) || fresh.writable)
        }
    }

    /// An event was handled: its credit comes back. `true`: delivery had stopped for want of it.
    pub fn give_back(&mut self, permit: Permit) -> bool {
        if permit.is_none() {
            return false;
        }
        let stopped = !self.has_credit();
        self.credit.give_back(permit);
        stopped && self.has_credit()
    }

    /// Frames that are with the session now.
    #[must_use]
    pub const fn frames_out(&self) -> u32 {
        self.credit.frames_out()
    }
}
