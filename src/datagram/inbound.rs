//! What came in and waits for the session or a one-shot receiver, oldest first.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::address::Address;

/// The most datagrams that an empty queue keeps room for.
const KEPT_ROOM: usize = 64;

/// A datagram that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: Address,
    /// Its bytes; perhaps none.
    pub data: Bytes,
    /// Whether it was longer than the receive size, and its end is lost.
    pub truncated: bool,
}

/// The receiving side of the machine.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    waiting: VecDeque<Received>,
    bytes: usize,
}

impl Inbound {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, received: Received) {
        self.bytes += received.data.len();
        self.waiting.push_back(received);
    }

    /// Takes the oldest but for so many that others have a claim to.
    pub(super) fn take(&mut self, claimed: usize) -> Option<Received> {
        let received = if claimed == 0 {
            self.waiting.pop_front()
        } else {
            self.waiting.remove(claimed)
        }?;
        self.bytes -= received.data.len();
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT_ROOM {
            self.waiting = VecDeque::new();
        }
        Some(received)
    }

    /// Takes everything, joined; a single datagram as it is.
    pub(super) fn take_unread(&mut self) -> Bytes {
        let mut waiting = std::mem::take(&mut self.waiting);
        let bytes = std::mem::take(&mut self.bytes);
        if waiting.len() < 2 {
            return waiting.pop_front().map_or_else(Bytes::new, |one| one.data);
        }
        let mut joined = BytesMut::with_capacity(bytes);
        for received in waiting {
            joined.extend_from_slice(&received.data);
        }
        joined.freeze()
    }
}
