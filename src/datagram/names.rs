//! Datagrams whose destination is a name, while it is being looked up. Others never wait for them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::id::Token;

/// Names one look-up of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lookup(u64);

/// A datagram that waits for its address.
#[derive(Debug)]
pub(super) struct Named {
    lookup: Lookup,
    pub(super) name: Arc<str>,
    pub(super) data: Bytes,
    pub(super) token: Option<Token>,
}

/// In the order in which they were accepted; the first ones are being looked up already.
#[derive(Debug, Default)]
pub(super) struct Names {
    waiting: VecDeque<Named>,
    /// How many of them are being looked up.
    asked: usize,
    given: u64,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, name: Arc<str>, data: Bytes, token: Option<Token>) {
        let lookup = Lookup(self.given);
        self.given += 1;
        self.waiting.push_back(Named {
            lookup,
            name,
            data,
            token,
        });
    }

    /// Whether there is one that nobody looks up yet.
    pub(super) fn wants_asking(&self) -> bool {
        self.waiting.len() > self.asked
    }

    /// The next name that nobody looks up yet.
    pub(super) fn ask(&mut self) -> Option<(Lookup, Arc<str>)> {
        let named = self.waiting.get(self.asked)?;
        self.asked += 1;
        Some((named.lookup, Arc::clone(&named.name)))
    }

    /// Takes the one that was looked up under this key, unless it is gone.
    pub(super) fn take(&mut self, lookup: Lookup) -> Option<Named> {
        let place = self
            .waiting
            .binary_search_by_key(&lookup, |named| named.lookup)
            .ok()
            .filter(|place| *place < self.asked)?;
        self.asked -= 1;
        let named = self.waiting.remove(place);
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        named
    }

    /// Takes the oldest, looked up or not.
    pub(super) fn pop(&mut self) -> Option<Named> {
        let named = self.waiting.pop_front()?;
        self.asked = self.asked.saturating_sub(1);
        Some(named)
    }
}
