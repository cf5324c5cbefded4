//! Requests: receives and sends whose answer comes to the caller, beside a session or without one.
//!
//! Receives of one connection take turns, in the order in which they were asked. The connection's actor keeps
//! their deadlines, as it keeps all others, and wakes whoever is due; who waits on the connection's own thread
//! reads and writes for itself, as a session does.

mod error;
mod receiving;
mod sending;
mod wait;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use parking_lot::MutexGuard;
use switchboard_core::connection::{Event, ReadWish, WatchId};
use switchboard_core::{Cause, ClosedDetail, ConnectError, Connection, ConnectionState};

use super::shared::{Core, Reader};
use super::{Shared, clock};

pub(crate) use error::kind_of;
pub use error::{RecvError, SentError};
pub(crate) use receiving::RecvSlot;
pub use receiving::{Frame, Receiving};
pub use sending::Sending;
pub(crate) use wait::SendWait;

/// Who waits for what of one connection.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    next: u64,
    /// The first one has its turn.
    receivers: VecDeque<Waiter<bool>>,
    senders: Vec<Waiter<Awaited>>,
    /// Whether somebody has taken what came before the peer's end.
    rest_taken: bool,
}

/// One who waits.
#[derive(Debug)]
struct Waiter<T> {
    id: u64,
    /// What for; of a receiver whether its receive is armed.
    what: T,
    deadline: Option<Instant>,
    /// How the link ended on which it waited.
    lost: Option<Arc<ClosedDetail>>,
    /// `None`: it was woken, and has not looked yet.
    waker: Option<Waker>,
}

/// What a sender, or somebody who waits for the end, waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Until the system has taken what is watched.
    Taken(WatchId),
    /// Until writing is not paused.
    Resumed,
    /// Until so many bytes can be queued.
    Room(usize),
    End,
}

/// How a connection ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    Closed(Arc<ClosedDetail>),
    ConnectFailed(Box<ConnectError>),
}

impl Awaited {
    fn is_due(self, machine: &Connection) -> bool {
        if machine.state() == ConnectionState::Closed {
            return true;
        }
        match self {
            Self::Taken(watch) => machine.poll_watch(watch).is_some(),
            Self::Resumed => {
                !machine.is_write_paused() || machine.write_fault().is_some() || is_ending(machine)
            }
            Self::Room(length) => {
                machine.has_room(length) || machine.write_fault().is_some() || is_ending(machine)
            }
            Self::End => false,
        }
    }
}

/// Whether nothing can be asked of it any more.
fn is_ending(machine: &Connection) -> bool {
    !machine.may_receive()
}

impl Requests {
    fn take_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Whoever asks for nothing leaves nothing; what it leaves is dropped when the lock is free.
    fn leave_receivers(&mut self, id: u64) -> Option<Waiter<bool>> {
        let place = self.receiver_at(id)?;
        self.receivers.remove(place)
    }

    fn leave_senders(&mut self, id: u64) -> Option<Waiter<Awaited>> {
        let place = self.sender_at(id)?;
        Some(self.senders.remove(place))
    }

    /// Where it waits: they stand in the order of their numbers.
    fn receiver_at(&self, id: u64) -> Option<usize> {
        let place = self.receivers.binary_search_by_key(&id, |waiter| waiter.id);
        place.ok()
    }

    fn sender_at(&self, id: u64) -> Option<usize> {
        let place = self.senders.binary_search_by_key(&id, |waiter| waiter.id);
        place.ok()
    }

    /// Whether there is somebody to be woken.
    fn is_due(&self, machine: &Connection) -> bool {
        let receives = if is_ending(machine) {
            self.receivers.iter().any(Waiter::is_asleep)
        } else {
            let first = self.receivers.front();
            first.is_some_and(|first| first.is_asleep() && is_turn(first, machine))
        };
        let sends = |waiter: &Waiter<Awaited>| waiter.is_asleep() && waiter.what.is_due(machine);
        receives || self.senders.iter().any(sends)
    }

    /// The next deadline of those who sleep.
    fn deadline(&self) -> Option<Instant> {
        let receivers = self.receivers.iter().filter_map(Waiter::sleeps_until);
        receivers
            .chain(self.senders.iter().filter_map(Waiter::sleeps_until))
            .min()
    }
}

/// Whether the first receiver should look: it has not armed yet, or something has become of it.
fn is_turn(first: &Waiter<bool>, machine: &Connection) -> bool {
    !first.what || machine.is_request_due()
}

impl<T> Waiter<T> {
    const fn new(id: u64, what: T, deadline: Option<Instant>) -> Self {
        Self {
            id,
            what,
            deadline,
            lost: None,
            waker: None,
        }
    }

    const fn is_asleep(&self) -> bool {
        self.waker.is_some()
    }

    fn sleeps_until(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.is_asleep())
    }

    /// Returns the waker that it had before, which is dropped when the lock is free: it is not our code.
    fn sleep(&mut self, waker: &Waker) -> Option<Waker> {
        match &mut self.waker {
            Some(sleeping) if sleeping.will_wake(waker) => None,
            other => other.replace(waker.clone()),
        }
    }
}

/// Whom to wake once the lock is free. Nearly always that is one, for whom nothing is allocated.
#[derive(Debug, Default)]
#[must_use = "they sleep on"]
pub(crate) struct Due {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Due {
    fn add(&mut self, waker: Option<Waker>) {
        if self.first.is_none() {
            self.first = waker;
        } else {
            self.others.extend(waker);
        }
    }

    pub(crate) fn wake(self) {
        self.first
            .into_iter()
            .chain(self.others)
            .for_each(Waker::wake);
    }
}

impl Core {
    /// Whether the actor has to wake somebody who waits.
    pub(super) fn has_due(&self) -> bool {
        self.requests
            .as_ref()
            .is_some_and(|requests| requests.is_due(&self.machine))
    }

    /// The next deadline of all.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let machine = self.machine.poll_timeout();
        let Some(requests) = &self.requests else {
            return machine;
        };
        machine.into_iter().chain(requests.deadline()).min()
    }

    /// Takes those who are to be woken now.
    pub(super) fn take_due(&mut self, now: impl FnOnce() -> Instant) -> Due {
        let mut due = Due::default();
        let Some(requests) = &mut self.requests else {
            return due;
        };
        let late = requests.deadline().and_then(|deadline| {
            let now = now();
            (deadline <= now).then_some(now)
        });
        let is_late = |deadline: Option<Instant>| {
            late.is_some_and(|now| deadline.is_some_and(|deadline| deadline <= now))
        };
        let machine = &self.machine;
        // Nobody's turn is waited for at the end, not even that of one who does not look.
        let ending = is_ending(machine);
        for (place, waiter) in requests.receivers.iter_mut().enumerate() {
            let is_turn = ending || (place == 0 && is_turn(waiter, machine));
            if is_turn || waiter.lost.is_some() || is_late(waiter.deadline) {
                due.add(waiter.waker.take());
            }
        }
        let ended = self.released;
        for waiter in &mut requests.senders {
            let is_due = ended || waiter.lost.is_some() || waiter.what.is_due(machine);
            if is_due || is_late(waiter.deadline) {
                due.add(waiter.waker.take());
            }
        }
        due
    }

    /// How it ended, once it is off its registry.
    pub(super) fn end(&self) -> Option<End> {
        self.released.then(|| self.fixed_end())?
    }

    /// The same, as soon as it is fixed.
    fn fixed_end(&self) -> Option<End> {
        match self.machine.last_event()? {
            Event::Closed(detail) => Some(End::Closed(detail)),
            Event::ConnectFailed(error) => Some(End::ConnectFailed(error)),
            _ => None,
        }
    }

    /// The link is lost and another one is to come: what was waited for on this one never will.
    pub(super) fn lose_link(&mut self, detail: &ClosedDetail) {
        let Some(requests) = &mut self.requests else {
            return;
        };
        let receivers = requests.receivers.iter_mut().map(|waiter| &mut waiter.lost);
        let senders = requests.senders.iter_mut().map(|waiter| &mut waiter.lost);
        let detail = Arc::new(detail.clone());
        for lost in receivers.chain(senders) {
            // The first one that it has missed counts.
            lost.get_or_insert_with(|| Arc::clone(&detail));
        }
    }

    /// Why nothing can be asked of it any more, as far as it is known.
    fn ending_cause(&self) -> Cause {
        match self.end() {
            Some(End::Closed(detail)) => detail.cause.clone(),
            _ => self
                .machine
                .closing_cause()
                .cloned()
                .unwrap_or(Cause::LocalClose),
        }
    }

    /// Whose waker is at the socket may be gone: whoever reads next says so.
    const fn forget_reader(&mut self) {
        self.reader = Reader::Nobody;
    }

    /// Whether others wait for what only the socket knows: then its actor reads, since one who has asked may
    /// wait without looking.
    fn has_listeners(&self) -> bool {
        let ends = |waiter: &Waiter<Awaited>| waiter.what == Awaited::End;
        let asked = self.requests.as_ref();
        self.session.is_some() || asked.is_some_and(|asked| asked.senders.iter().any(ends))
    }

    /// Whether the socket wakes one who has asked, so that the actor need not read.
    pub(super) fn is_read_by_asker(&self) -> bool {
        self.reader == Reader::Asker
            && self.machine.read_wish() == ReadWish::Data
            && self.machine.write_fault().is_none()
            && !self.machine.hears_urgent()
            && self.requests.as_ref().is_some_and(|requests| {
                let first = requests.receivers.front();
                first.is_some_and(|first| first.what && first.is_asleep())
            })
    }
}

impl Shared {
    /// It has failed before its actor began.
    pub(crate) fn never_began(&self, error: ConnectError) {
        let mut core = self.lock();
        core.machine.handle_connect_failed(error);
        // It never was on a registry.
        core.released = true;
        let due = core.take_due(clock);
        drop(core);
        due.wake();
    }

    /// Unlocks, has the connection looked after, and wakes the next receiver, whose turn it is now.
    fn pass_turn(self: &Arc<Self>, mut core: MutexGuard<'_, Core>) {
        core.forget_reader();
        let next = core
            .requests
            .as_mut()
            .and_then(|requests| requests.receivers.front_mut()?.waker.take());
        core.count_held();
        self.look_later_if_needed(core);
        if let Some(next) = next {
            next.wake();
        }
    }
}
