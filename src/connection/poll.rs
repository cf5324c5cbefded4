//! What is to be done: deadlines, bytes to write, wishes to read, events to tell.

use std::io::IoSlice;
use std::time::Instant;

use crate::now::Now;

use super::batch::Lent;
use super::state::{ReadHalf, Report, State, WriteHalf};
use super::{Batch, Connection, Ending, Event, Permit, ReadWish};

/// How many frames are taken at once at most.
const MOST_AT_ONCE: usize = 64;

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
            | State::Closing(_) => self.outbox.slices(slices, self.transmittable()),
            _ => 0,
        }
    }

    /// Lends out all that is to be written, if it lies in one piece and may be written at once, as it mostly
    /// does; if not, [`poll_transmit`](Self::poll_transmit) says what there is.
    #[inline]
    #[must_use]
    pub fn poll_transmit_whole(&self) -> Option<&[u8]> {
        match self.state {
            State::Open {
                write: WriteHalf::Open | WriteHalf::Finishing,
                ..
            }
            | State::Closing(_) => self.outbox.whole(self.transmittable()),
            _ => None,
        }
    }

    /// Whether it is open in both directions, as it mostly is.
    #[inline]
    #[must_use]
    pub const fn is_fully_open(&self) -> bool {
        matches!(
            self.state,
            State::Open {
                read: ReadHalf::Open,
                write: WriteHalf::Open,
            }
        )
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
            && !self.is_securing()
    }

    /// What to do with the receiving direction.
    #[inline]
    #[must_use]
    pub fn read_wish(&self) -> ReadWish {
        match &self.state {
            State::Open {
                read: ReadHalf::Open,
                ..
            } if !self.reading_paused
                && !self.reading_held
                && !self.vacant
                && !self.has_fault() =>
            {
                let wanted = if self.inbound.armed().is_some() {
                    !self.inbound.is_ready()
                        || (self.inbound.reads_ahead()
                            && !self.is_held()
                            && self.inbound.len() < self.config.read_window)
                } else {
                    self.interest.readable && self.inbound.is_empty()
                };
                if wanted && !self.is_securing() {
                    ReadWish::Data
                } else {
                    ReadWish::Nothing
                }
            }
            State::Closing(closing) if !closing.peer_finished && !self.is_securing() => {
                ReadWish::Discard
            }
            State::Lingering { .. } if !self.is_securing() => ReadWish::Discard,
            _ => ReadWish::Nothing,
        }
    }

    /// How it ended, while that is still to be told.
    #[must_use]
    pub fn ending(&self) -> Option<Ending<'_>> {
        Some(match self.state.last_report()?.untold()? {
            Report::Closed(detail) => Ending::Closed(detail),
            Report::ConnectFailed(error) => Ending::ConnectFailed(error),
        })
    }

    /// The last event, as soon as it is fixed, also when it was told.
    #[must_use]
    pub fn last_event(&self) -> Option<Event> {
        self.state.last_report().map(|last| last.get().event())
    }

    /// Whether [`poll_event`](Self::poll_event) would give something.
    #[inline]
    #[must_use]
    pub fn has_event(&self) -> bool {
        self.has_notice()
            || self.is_deliverable()
            || self.is_readable()
            || self.is_writable()
            || self.state.last_report().is_some_and(|last| !last.is_told())
    }

    /// Whether a notice waits. Before the connection is adopted for the first time they are kept: `Opened`
    /// comes first; but what becomes of its links is told.
    #[must_use]
    #[inline]
    pub fn has_notice(&self) -> bool {
        !self.notices.is_empty() && self.may_tell_notice()
    }

    fn may_tell_notice(&self) -> bool {
        !self.vacant
            && (self.is_adopted() || self.was_open() || self.notices.iter().any(Event::is_of_links))
    }

    /// The next notice, and nothing else.
    #[inline]
    pub fn poll_notice(&mut self) -> Option<(Event, Permit)> {
        if !self.has_notice() {
            return None;
        }
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
            let permit = self.credit.take(Permit::one(length));
            let outcome = self.inbound.scan();
            self.framed(outcome, now);
            return Some((event, permit));
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
                let event = report.tell()?;
                Some((event, Permit::NONE))
            }
            _ => None,
        }
    }

    /// Several frames at once, when there are several and nothing else comes first: the same events
    /// that [`poll_event`](Self::poll_event) would give one by one. Whoever takes them gives the credit
    /// of each back when it was handled, and says [`recall`](Self::recall) before anything that could
    /// change what is delivered next.
    #[inline(always)]
    pub fn poll_batch(&mut self, now: &mut Now) -> Option<Batch> {
        if self.has_notice() || self.batch.is_some() || !self.is_deliverable() {
            return None;
        }
        let most = self.config.read_credit - self.credit.frames_out() as usize;
        let (batch, permit) = self.inbound.take_batch(most.min(MOST_AT_ONCE))?;
        self.frames_in += batch.len() as u64;
        // The credit of each comes back with it.
        let _ = self.credit.take(permit);
        self.batch = Some(Lent::new(batch.clone()));
        let outcome = self.inbound.scan();
        self.framed(outcome, now);
        Some(batch)
    }

    /// Whether the session is at a batch, so that frames could still be recalled.
    #[must_use]
    pub const fn has_batch(&self) -> bool {
        self.batch.is_some()
    }

    /// How many frames of the last batch are with the session; none once it has ended.
    #[must_use]
    pub fn batch_len(&self) -> usize {
        self.batch.as_ref().map_or(0, Lent::len)
    }

    /// The frames of the last batch from this position on were not begun with: they come back, as if
    /// they had not been taken. Those before it stay with the session, until it
    /// [ends](Self::end_batch) the batch or more is recalled.
    pub fn recall(&mut self, position: usize, now: &mut Now) {
        let Some(lent) = &mut self.batch else {
            return;
        };
        let (rest, permit) = lent.recall(position);
        if rest.is_empty() {
            return;
        }
        self.frames_in -= u64::from(permit.frames());
        self.put_back(&rest);
        self.take_fault();
        self.credit.give_back(permit);
        if matches!(self.state, State::Open { .. }) {
            let outcome = self.inbound.scan();
            self.framed(outcome, now);
        }
    }

    /// The session is at the end of the last batch, or gives up what it has not begun with: that comes
    /// back, and the next batch may be taken.
    pub fn end_batch(&mut self, position: usize, now: &mut Now) {
        self.recall(position, now);
        self.batch = None;
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
    #[inline]
    pub fn give_back(&mut self, permit: Permit, now: &mut Now) -> bool {
        if permit.is_none() {
            return false;
        }
        let stopped = !self.has_credit();
        self.credit.give_back(permit);
        // The peer's end, and the close for a rule that it broke, wait until all that came before was
        // handled, and so answered.
        if self.credit.frames_out() == 0 {
            let outcome = self.take_fault().map_or(Ok(()), Err);
            self.framed(outcome, now);
        }
        stopped && self.has_credit()
    }

    /// Frames that are with the session now.
    #[must_use]
    pub const fn frames_out(&self) -> u32 {
        self.credit.frames_out()
    }
}
