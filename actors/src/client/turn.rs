//! The turns of a connection's session: how it comes to its events, one by one or several, and what happens when
//! none is left.

use std::task::Waker;
use std::time::Instant;

use parking_lot::MutexGuard;
use switchboard_core::connection::{Batch, Permit, ReadWish};
use switchboard_core::{ConnectionState, Line, Now};

use super::home::{Home, this_thread};
use super::shared::{Core, Reader, wake_if_needed};
use super::{Shared, clock};

/// What a session gets next.
pub(crate) enum Next {
    /// A short line, told at once.
    Line(Line, Permit),
    One((SharedEvent, Permit)),
    Many(Batch),
}

/// An event of the machine, not yet a message.
pub(crate) type SharedEvent = switchboard_core::connection::Event;

/// How many bytes have moved, the state, what is to be read, and the next deadline.
type Sight = (u64, ConnectionState, ReadWish, Option<Instant>);

impl Shared {
    /// Begins a turn of the connection's own session, with the first event if it can be told at once; `false`:
    /// there is none, and its waker will be called when there is. On the connection's own thread it reads for
    /// itself.
    #[inline]
    pub(crate) fn call(&self, waker: &Waker, called: &mut Option<Next>) -> bool {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        match &core.session {
            Some(session) if session.will_wake(waker) => {}
            _ => core.session = Some(waker.clone()),
        }
        if matches!(core.reader, Reader::Session | Reader::Asker) {
            // Perhaps that is what woke it, and then nobody waits any more.
            core.reader = Reader::Nobody;
        }
        if core.in_flight || !core.machine.is_quiet() {
            return self.call_any(core, waker, &mut now, called);
        }
        if !core.read_when_quiet(waker, called, &mut now) {
            return false;
        }
        if called.is_none() {
            return self.call_read(core, None, &mut now, called);
        }
        core.in_flight = true;
        // It has read here.
        core.turn_at_home = true;
        self.pool.pass();
        core.begin_noting(self);
        true
    }

    /// The same where anything may be unusual.
    #[inline(never)]
    fn call_any(
        &self,
        mut core: MutexGuard<'_, Core>,
        waker: &Waker,
        now: &mut Now,
        called: &mut Option<Next>,
    ) -> bool {
        if core.in_flight {
            core.begin_turn();
            return self.next(core, Permit::NONE, now, called);
        }
        let before = core.sight();
        if !core.read_at_home((waker, Reader::Session), now) {
            return false;
        }
        self.call_read(core, Some(before), now, called)
    }

    /// The session has read for itself, and what came is not told yet. `before` is what was there before, if that
    /// can have been unusual.
    #[inline(never)]
    fn call_read(
        &self,
        mut core: MutexGuard<'_, Core>,
        before: Option<Sight>,
        now: &mut Now,
        called: &mut Option<Next>,
    ) -> bool {
        core.in_flight = core.has_event();
        if !core.in_flight {
            // Where both share a task, this may be a poll that was for the actor: to call it back for what it is
            // at already would go on without end.
            let is_nothing_new = core.reader == Reader::Session && before == Some(core.sight());
            if !is_nothing_new {
                wake_if_needed(core);
            }
            return false;
        }
        self.pool.pass();
        core.begin_turn();
        self.next(core, Permit::NONE, now, called)
    }

    /// The session begins a turn.
    pub(crate) fn begin_turn(&self) {
        self.lock().begin_turn();
    }

    /// The next event for the session, or several. `false` ends its turn: there is none.
    #[inline(always)]
    pub(crate) fn next_event(&self, back: Permit, next: &mut Option<Next>) -> bool {
        let mut now = Now::ask(clock);
        let mut core = self.lock_as_it_is();
        if core.ends_turn_when_quiet(back, &mut now) {
            return false;
        }
        self.next(core, back, &mut now, next)
    }

    #[inline(never)]
    fn next(
        &self,
        mut core: MutexGuard<'_, Core>,
        back: Permit,
        now: &mut Now,
        next: &mut Option<Next>,
    ) -> bool {
        if let Some(pad) = core.pad
            && !(core.turn_at_home && core.machine.is_quiet())
        {
            core.move_noted(pad);
        }
        self.recall(&mut core, now);
        core.machine.give_back(back, now);
        if !core.machine.is_quiet() {
            if let Some(batch) = core.machine.poll_batch(now) {
                core.batch_thread = Some(this_thread());
                self.claim.start();
                *next = Some(Next::Many(batch));
                core.begin_noting(self);
                return true;
            }
            *next = core.poll_event(now).map(Next::One);
        }
        if next.is_none() && core.turn_at_home {
            core.write_at_home(now);
            if core.reader != Reader::Session {
                core.read_for_session(next, now);
            }
            if next.is_none() {
                *next = core.poll_event(now).map(Next::One);
            }
        }
        if next.is_none() {
            core.in_flight = false;
            core.turn_at_home = false;
            core.count_held();
            wake_if_needed(core);
            return false;
        }
        core.begin_noting(self);
        true
    }

    /// Begins with the next frame of the batch: its position, which is behind the last one if there is
    /// none left, or if they were recalled. `claimed` is how many the session has claimed.
    #[inline]
    pub(crate) fn begin_frame(&self, claimed: &mut u32) -> usize {
        self.claim.begin(claimed)
    }

    /// Takes back the frames that were taken at once and not begun with, so that what is commanded
    /// meets the connection as it is. From another thread those that the session has claimed stay.
    pub(super) fn recall(&self, core: &mut Core, now: &mut Now) {
        if !core.machine.has_batch() {
            return;
        }
        if core.batch_thread == Some(this_thread()) {
            core.machine.end_batch(self.claim.recall_here(), now);
        } else {
            core.machine.recall(self.claim.recall_elsewhere(), now);
        }
    }

    /// A turn is interrupted; the session comes back to it.
    pub(crate) fn interrupt_turn(&self, back: Permit) {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        self.recall(&mut core, &mut now);
        core.machine.give_back(back, &mut now);
        if std::mem::take(&mut core.turn_at_home) {
            core.write_at_home(&mut now);
        }
        core.count_held();
        wake_if_needed(core);
    }

    /// A shared handler is done with an event that it was given for the session of this seat.
    pub(super) fn ticket_back(&self, seat: u32, permit: Permit) {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        core.tickets = core.tickets.saturating_sub(1);
        if seat == core.seat {
            core.machine.give_back(permit, &mut now);
            core.count_held();
        }
        wake_if_needed(core);
    }
}

impl Core {
    /// Takes the next event, unless it is the last one and the connection is still registered.
    pub(super) fn poll_event(&mut self, now: &mut Now) -> Option<(SharedEvent, Permit)> {
        if !self.released && self.machine.state() == ConnectionState::Closed {
            // Notices may still be told, the end may not.
            return self.machine.poll_notice();
        }
        self.machine.poll_event(now)
    }

    /// Ends a turn on the connection's own thread in few steps, where nothing is unusual: what was told is
    /// handled, what was sent is written, and the socket wakes the session for more. `false`: nothing was done but
    /// perhaps to write.
    #[inline]
    fn ends_turn_when_quiet(&mut self, back: Permit, now: &mut Now) -> bool {
        if !std::mem::take(&mut self.undisturbed) && !self.is_quiet_at_home() {
            return false;
        }
        self.write_at_home(now);
        // What could not be written whole may have changed anything, and what could be is perhaps to be told.
        let machine = &self.machine;
        if machine.write_buffer_size() > 0 || !machine.is_fully_open() || machine.has_notice() {
            return false;
        }
        self.machine.give_back_when_quiet(back);
        self.in_flight = false;
        self.turn_at_home = false;
        self.count_held();
        debug_assert!(!self.driver_needed(), "nobody would look at it");
        true
    }

    fn is_quiet_at_home(&self) -> bool {
        self.turn_at_home
            && self.reader == Reader::Session
            && self.requests.is_none()
            && !self.machine.has_batch()
            && self.machine.is_quiet()
    }

    /// What a read may change that the actor has to look at.
    fn sight(&self) -> Sight {
        let machine = &self.machine;
        (
            machine.moved(),
            machine.state(),
            machine.read_wish(),
            machine.poll_timeout(),
        )
    }

    fn begin_turn(&mut self) {
        self.turn_at_home = self.in_flight && self.home.is_some_and(Home::is_here);
    }
}
