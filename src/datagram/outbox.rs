//! The outbox: datagrams that are ready to go, the marks, and what all that is accepted takes up.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::address::{Address, Destination};
use crate::id::Token;

/// The most datagrams that an empty queue keeps room for.
const KEPT_ROOM: usize = 64;

/// A datagram on its way to the socket.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) data: Bytes,
    pub(super) to: Option<Address>,
    pub(super) token: Option<Token>,
}

/// Datagrams in the order in which they go, and the size of everything that was accepted.
#[derive(Debug)]
pub(super) struct Outbox {
    ready: VecDeque<Queued>,
    /// Accepted bytes, those included whose destination is being looked up.
    size: usize,
    /// How many accepted datagrams have a token.
    tokens: usize,
    high: usize,
    low: usize,
    paused: bool,
}

impl Outbox {
    pub(super) const fn new(high: usize, low: usize) -> Self {
        Self {
            ready: VecDeque::new(),
            size: 0,
            tokens: 0,
            high,
            low,
            paused: false,
        }
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) const fn tokens(&self) -> usize {
        self.tokens
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) const fn limits(&self) -> (usize, usize) {
        (self.high, self.low)
    }

    /// How many are ready to go.
    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Counts a datagram that was accepted.
    pub(super) fn accept(&mut self, length: usize, token: Option<Token>) {
        self.size += length;
        self.tokens += usize::from(token.is_some());
    }

    /// No longer counts a datagram that has its outcome.
    pub(super) fn settle(&mut self, length: usize, token: Option<Token>) {
        self.size -= length;
        self.tokens -= usize::from(token.is_some());
    }

    /// Puts a datagram, accepted before, behind those that are ready to go.
    pub(super) fn push(&mut self, queued: Queued) {
        self.ready.push_back(queued);
    }

    /// Puts these before all others.
    pub(super) fn put_first(&mut self, mut first: VecDeque<Queued>) {
        first.append(&mut self.ready);
        self.ready = first;
    }

    /// Takes out all that are for this receiver, in order; they are still counted.
    pub(super) fn take_for(&mut self, to: &Address) -> VecDeque<Queued> {
        let all = std::mem::take(&mut self.ready);
        let (taken, left) = all
            .into_iter()
            .partition(|queued| queued.to.as_ref() == Some(to));
        self.ready = left;
        taken
    }

    /// Gives this destination to those that have none of their own.
    pub(super) fn address(&mut self, to: &Address) {
        for queued in &mut self.ready {
            queued.to.get_or_insert_with(|| to.clone());
        }
    }

    /// The next one to go.
    pub(super) fn head(&self) -> Option<&Queued> {
        self.ready.front()
    }

    /// Takes the head away; it is still counted.
    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.ready.pop_front();
        if self.ready.is_empty() && self.ready.capacity() > KEPT_ROOM {
            self.ready = VecDeque::new();
        }
        queued
    }

    /// Whether more than the high mark is queued now, for the first time.
    pub(super) const fn check_pause(&mut self) -> bool {
        let pauses = !self.paused && self.size > self.high;
        if pauses {
            self.paused = true;
        }
        pauses
    }

    /// Whether writing goes on, since there is little or nothing left.
    pub(super) const fn check_resume(&mut self) -> bool {
        let resumes = self.paused && self.size <= self.low;
        if resumes {
            self.paused = false;
        }
        resumes
    }

    pub(super) const fn set_limits(&mut self, high: usize, low: usize) {
        self.high = high;
        self.low = low;
    }
}

impl Queued {
    /// Where it was to go, as the session is told.
    pub(super) fn destination(to: Option<Address>) -> Option<Destination> {
        to.map(Destination::Address)
    }
}
