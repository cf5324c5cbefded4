//! Urgent bytes among the others: they leave at their place, by themselves.

use std::collections::VecDeque;

use super::{Chunk, Outbox};

/// Their positions in the stream, in order.
#[derive(Debug, Default)]
pub(super) struct Urgent(VecDeque<u64>);

impl Outbox {
    /// Queues a byte that is sent as an urgent one when its turn has come; the caller has checked the room.
    pub(in crate::connection) fn push_urgent(&mut self, byte: u8) {
        let position = self.position;
        self.copy(&[byte]);
        let rare = self.rare.get_or_insert_default();
        rare.urgent.0.push_back(position);
    }

    fn first_urgent(&self) -> Option<u64> {
        self.rare.as_ref()?.urgent.0.front().copied()
    }

    /// Whether some of the queued bytes are urgent.
    #[inline]
    pub(super) fn has_urgent(&self) -> bool {
        self.first_urgent().is_some()
    }

    /// The urgent byte whose turn it is.
    pub(in crate::connection) fn front_urgent(&self) -> Option<u8> {
        if !self.has_urgent() || self.until_urgent() > 0 {
            return None;
        }
        self.queue
            .iter()
            .map(Chunk::rest)
            .chain([&self.tail[self.tail_taken..]])
            .find_map(|chunk| chunk.first().copied())
    }

    /// How many bytes stand before the first urgent one.
    pub(super) fn until_urgent(&self) -> usize {
        self.first_urgent()
            .map_or(self.size, |position| self.left_until(position))
    }

    /// Some bytes were taken.
    #[cold]
    pub(super) fn pass_urgent(&mut self) {
        let taken = self.position - self.size as u64;
        self.keep_urgent(|position| position >= taken);
    }

    /// Bytes at the end were thrown away.
    pub(super) fn cut_urgent(&mut self) {
        let end = self.position;
        self.keep_urgent(|position| position < end);
    }

    fn keep_urgent(&mut self, keep: impl Fn(u64) -> bool) {
        if let Some(rare) = &mut self.rare {
            rare.urgent.0.retain(|position| keep(*position));
        }
    }
}
