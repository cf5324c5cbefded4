//! Bytes in the pieces in which they came.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use memchr::memmem;

/// Chunks below this size are copied together when others wait before them, so that bytes that come
/// one by one cost little more memory than they are.
const SMALL: usize = 1024;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// None of them is empty.
    whole: VecDeque<Bytes>,
    /// The small ones behind them.
    tail: BytesMut,
    len: usize,
}

impl Chunks {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let behind = self.len > 0;
        self.len += chunk.len();
        if behind && chunk.len() < SMALL {
            self.tail.extend_from_slice(&chunk);
            return;
        }
        if !self.tail.is_empty() {
            self.whole.push_back(self.tail.split().freeze());
        }
        self.whole.push_back(chunk);
    }

    /// The first piece.
    pub(super) fn first(&self) -> &[u8] {
        self.whole.front().map_or(&self.tail, Bytes::as_ref)
    }

    /// Takes so many bytes, which must be there.
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        debug_assert!(count <= self.len, "more is taken than there is");
        if count > self.first().len() {
            let mut gathered = BytesMut::with_capacity(count);
            while gathered.len() < count {
                let missing = count - gathered.len();
                let first = self.first();
                gathered.put_slice(&first[..missing.min(first.len())]);
                self.skip_in_first(missing);
            }
            return gathered.freeze();
        }
        self.len -= count;
        match self.whole.front_mut() {
            Some(first) if count < first.len() => first.split_to(count),
            Some(_) => self.whole.pop_front().unwrap_or_default(),
            None => self.tail.split_to(count).freeze(),
        }
    }

    /// Throws so many bytes away, which must be there.
    pub(super) fn skip(&mut self, mut count: usize) {
        debug_assert!(count <= self.len, "more is skipped than there is");
        while count > 0 {
            count -= self.skip_in_first(count);
        }
    }

    /// Throws up to so many bytes of the first piece away; says how many.
    fn skip_in_first(&mut self, most: usize) -> usize {
        let count = most.min(self.first().len());
        match self.whole.front_mut() {
            Some(first) if count < first.len() => first.advance(count),
            Some(_) => _ = self.whole.pop_front(),
            None => self.tail.advance(count),
        }
        self.len -= count;
        count
    }

    /// Where `wanted` begins first, at `from` or behind it.
    pub(super) fn find(&self, wanted: &[u8], from: usize) -> Option<usize> {
        // From behind, since what was not searched yet is usually at the end.
        let mut number = self.whole.len();
        let mut start = self.len - self.tail.len();
        while start > from && number > 0 {
            number -= 1;
            start -= self.whole[number].len();
        }
        let pieces = |number: usize| {
            let whole = self.whole.range(number.min(self.whole.len())..);
            let tail = (number <= self.whole.len()).then_some(&self.tail[..]);
            whole.map(Bytes::as_ref).chain(tail)
        };
        let finder = memmem::Finder::new(wanted);
        let overlap = wanted.len().saturating_sub(1);
        for (number, piece) in (number..).zip(pieces(number)) {
            let end = start + piece.len();
            let unseen = piece.get(from.saturating_sub(start)..).unwrap_or_default();
            if let Some(at) = finder.find(unseen) {
                return Some(end - unseen.len() + at);
            }
            // It may begin here and end in the pieces behind.
            if overlap > 0 && end < self.len {
                let before = &unseen[unseen.len().saturating_sub(overlap)..];
                let behind = pieces(number + 1).flatten().take(overlap);
                let seam: Vec<u8> = before.iter().chain(behind).copied().collect();
                if let Some(at) = finder.find(&seam) {
                    return Some(end - before.len() + at);
                }
            }
            start = end;
        }
        None
    }
}
