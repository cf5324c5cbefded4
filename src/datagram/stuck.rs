//! Receivers without room, as Unix sockets have them: what is for one of them waits aside, in order, and
//! what is for others goes on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::address::Address;

use super::outbox::Queued;
use super::shortage::PATIENCE;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(10);
/// The longest pause.
const LONGEST: Duration = Duration::from_millis(500);

/// Those that had no room, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    waiting: VecDeque<Queued>,
    receivers: Vec<Receiver>,
    /// When all of them are tried again.
    until: Option<Instant>,
    pause: Duration,
}

#[derive(Debug)]
struct Receiver {
    address: Address,
    /// When it was first found without room.
    since: Instant,
    /// Whether what is for it waits aside, until the next try.
    aside: bool,
}

impl Stuck {
    /// When those that wait are tried again.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether what is for this receiver has to wait aside.
    pub(super) fn holds(&self, to: &Address) -> bool {
        let mut receivers = self.receivers.iter();
        receivers.any(|receiver| receiver.aside && receiver.address == *to)
    }

    pub(super) fn push(&mut self, queued: Queued) {
        self.waiting.push_back(queued);
    }

    /// The oldest of all that wait.
    pub(super) fn pop(&mut self) -> Option<Queued> {
        self.waiting.pop_front()
    }

    /// A receiver had no room. `false`: it has had none for long enough.
    pub(super) fn put_aside(&mut self, to: &Address, now: Instant) -> bool {
        let found = self.receivers.iter().position(|one| one.address == *to);
        let place = found.unwrap_or_else(|| {
            self.receivers.push(Receiver {
                address: to.clone(),
                since: now,
                aside: false,
            });
            self.receivers.len() - 1
        });
        let receiver = &mut self.receivers[place];
        if now.saturating_duration_since(receiver.since) >= PATIENCE {
            self.receivers.swap_remove(place);
            return false;
        }
        receiver.aside = true;
        if self.until.is_none() {
            self.pause = (self.pause * 2).clamp(FIRST, LONGEST);
            self.until = now.checked_add(self.pause);
        }
        true
    }

    /// A receiver had room.
    pub(super) fn had_room(&mut self, to: &Address) {
        self.receivers.retain(|receiver| receiver.address != *to);
        if self.receivers.is_empty() {
            self.pause = Duration::ZERO;
        }
    }

    /// Whether nobody is known to be without room.
    pub(super) const fn is_idle(&self) -> bool {
        self.receivers.is_empty()
    }

    /// It is time to try again: all that waits, in order.
    pub(super) fn release(&mut self) -> VecDeque<Queued> {
        self.until = None;
        for receiver in &mut self.receivers {
            receiver.aside = false;
        }
        std::mem::take(&mut self.waiting)
    }
}
