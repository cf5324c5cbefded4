//! The outbox: a byte mailbox with a bound, marks and tokens.

#[cfg(test)]
mod tests;
mod urgent;
mod watch;

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::SendRefusal;
use crate::id::Token;
use crate::payload::Payload;

use super::rare::RareQueue;
use super::spare;

use urgent::Urgent;
use watch::Watches;
pub use watch::{WatchId, Watched};

/// Payloads up to this size are copied behind one another; larger ones are queued as they are.
pub(super) const COALESCE: usize = 4 * 1024;
/// A coalesced chunk does not grow beyond this; then the next one begins.
const CHUNK: usize = 64 * 1024;
/// How many bytes are lent out for one write. A connection that always has more than one segment
/// waiting is paced by the system where it uses BBR, at a timer's cost for each segment; the
/// segments of loopback have just under 64 KiB.
const WRITE_AT_ONCE: usize = 32 * 1024;
/// The least that a new chunk is made for.
const LEAST_CHUNK: usize = 256;
/// How many queued sends with a token may be without a handled notice.
pub(super) const MAX_NOTICES: usize = 64 * 1024;

/// Bytes on their way to the socket, in order.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Full or foreign chunks, sent before `tail`.
    queue: RareQueue<Chunk>,
    /// The chunk that small payloads are copied into.
    tail: Vec<u8>,
    /// Bytes of it that were taken already.
    tail_taken: usize,
    /// How long the last flush was, but a chunk at most: the size of the next chunk.
    hint: u32,
    /// Bytes in `queue` and `tail`.
    size: usize,
    /// Bytes ever queued, so that a mark is a position in the stream.
    position: u64,
    /// What most connections never use.
    rare: Option<Box<Rare>>,
    high: usize,
    low: usize,
    capacity: usize,
    paused: bool,
}

#[derive(Debug, Default)]
struct Rare {
    /// Sends that want a notice, by the position of their last byte.
    marks: VecDeque<Mark>,
    /// Which of the queued bytes are urgent.
    urgent: Urgent,
    watches: Watches,
}

#[derive(Debug)]
enum Chunk {
    Shared(Bytes),
    /// The send slot; goes back to its owner when it was sent.
    Slot {
        buffer: BytesMut,
        sent: usize,
    },
}

impl Chunk {
    fn rest(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Slot { buffer, sent } => &buffer[*sent..],
        }
    }

    /// Keeps so many of the bytes that are left.
    fn truncate(&mut self, count: usize) {
        match self {
            Self::Shared(bytes) => bytes.truncate(count),
            Self::Slot { buffer, sent } => buffer.truncate(*sent + count),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Shared(bytes) => bytes.advance(count),
            Self::Slot { sent, .. } => *sent += count,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    end: u64,
    token: Token,
    bytes: usize,
}

/// What writing some bytes brought about.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Whether the low mark was reached from above.
    pub(super) resumed: bool,
    /// The send slot, if it was sent.
    pub(super) slot: Option<BytesMut>,
}

impl Outbox {
    pub(super) fn new(high: usize, low: usize, capacity: usize) -> Self {
        Self {
            queue: RareQueue::new(),
            tail: Vec::new(),
            tail_taken: 0,
            hint: 0,
            size: 0,
            position: 0,
            rare: None,
            high,
            low,
            capacity,
            paused: false,
        }
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.size == 0
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) const fn limits(&self) -> (usize, usize) {
        (self.high, self.low)
    }

    /// How many bytes were ever queued.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// How many of the queued bytes stand before this position.
    pub(super) fn left_until(&self, position: u64) -> usize {
        let behind = usize::try_from(self.position - position).unwrap_or(usize::MAX);
        self.size.saturating_sub(behind)
    }

    pub(super) fn marks(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.marks.len())
    }

    /// Room for so many more bytes.
    pub(super) const fn room(&self) -> usize {
        self.capacity.saturating_sub(self.size)
    }

    /// How many bytes may be queued without anything to be told.
    pub(super) const fn room_unnoticed(&self) -> usize {
        if self.paused {
            return 0;
        }
        let marked = self.high.saturating_sub(self.size);
        let room = self.room();
        if marked < room { marked } else { room }
    }

    pub(super) const fn check_room(&self, asked: usize) -> Result<(), SendRefusal> {
        if asked == 0 {
            return Err(SendRefusal::Empty);
        }
        if asked > self.room() {
            return Err(SendRefusal::Full {
                queued: self.size,
                capacity: self.capacity,
                asked,
            });
        }
        Ok(())
    }

    /// Queues one payload; the caller has checked the room.
    pub(super) fn push(&mut self, payload: impl Payload) {
        let length = payload.as_slice().len();
        if length <= COALESCE {
            self.copy(payload.as_slice());
        } else {
            self.close_tail();
            self.queue.push_back(Chunk::Shared(payload.into_bytes()));
            self.grown(length);
        }
    }

    /// Copies bytes behind what is queued; the caller has checked the room.
    #[inline]
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        // Whichever it lacks, room or a chunk to have room in.
        if self.tail.len() + bytes.len() > self.tail.capacity() {
            self.make_room(bytes.len());
        }
        self.tail.extend_from_slice(bytes);
        self.grown(bytes.len());
    }

    /// Makes room for so many more bytes that are copied.
    fn make_room(&mut self, length: usize) {
        if self.tail.len() + length > CHUNK {
            self.close_tail();
        }
        if self.tail.capacity() == 0 {
            self.tail = spare::take(length.max(self.hint as usize).clamp(LEAST_CHUNK, CHUNK));
        }
        let needed = self.tail.len() + length;
        if needed > self.tail.capacity() {
            // Twice as much each time, but a chunk at most.
            let room = (2 * self.tail.capacity()).min(CHUNK).max(needed);
            self.tail.reserve_exact(room - self.tail.len());
        }
    }

    /// So many bytes were taken that were never in it; it is empty.
    pub(super) const fn pass(&mut self, count: usize) {
        self.position += count as u64;
    }

    /// Queues the filled part of the send slot; the caller has checked the room.
    pub(super) fn push_slot(&mut self, buffer: BytesMut) {
        let length = buffer.len();
        self.close_tail();
        self.queue.push_back(Chunk::Slot { buffer, sent: 0 });
        self.grown(length);
    }

    /// Asks for a notice when everything queued so far has been taken.
    pub(super) fn mark(&mut self, token: Token, bytes: usize) {
        let end = self.position;
        let mark = Mark { end, token, bytes };
        self.rare.get_or_insert_default().marks.push_back(mark);
    }

    /// Whether the high mark was passed by the sends since the last call.
    pub(super) const fn check_pause(&mut self) -> bool {
        let pauses = !self.paused && self.size > self.high;
        if pauses {
            self.paused = true;
        }
        pauses
    }

    /// Changes the marks; `Some(true)` if that pauses writing, `Some(false)` if it resumes it.
    pub(super) const fn set_limits(&mut self, high: usize, low: usize) -> Option<bool> {
        self.high = high;
        self.low = low;
        if self.check_pause() {
            Some(true)
        } else if self.check_resume() {
            Some(false)
        } else {
            None
        }
    }

    /// Lends out the front of the queue for one vectored write; returns how many slices were set.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>], most: usize) -> usize {
        let mut most = most.min(WRITE_AT_ONCE);
        if self.has_urgent() {
            most = most.min(self.until_urgent());
        }
        if most == 0 {
            return 0;
        }
        let tail = &self.tail[self.tail_taken..];
        if self.queue.is_empty() {
            let ([slot, ..], false) = (slices, tail.is_empty()) else {
                return 0;
            };
            *slot = IoSlice::new(&tail[..tail.len().min(most)]);
            return 1;
        }
        let chunks = self
            .queue
            .iter()
            .map(Chunk::rest)
            .chain([tail])
            .filter(|chunk| !chunk.is_empty());
        let (mut count, mut left) = (0, most);
        for (slot, chunk) in slices.iter_mut().zip(chunks) {
            *slot = IoSlice::new(&chunk[..chunk.len().min(left)]);
            count += 1;
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
        count
    }

    /// Lends out everything, if it lies in one piece of at most so many bytes.
    #[inline]
    pub(super) fn whole(&self, most: usize) -> Option<&[u8]> {
        let is_whole = self.queue.is_empty()
            && !self.has_urgent()
            && self.size > 0
            && self.size <= most.min(WRITE_AT_ONCE);
        is_whole.then(|| &self.tail[self.tail_taken..])
    }

    /// Takes away what the system has taken.
    pub(super) fn advance(&mut self, mut count: usize) -> Progress {
        let mut progress = Progress::default();
        count = count.min(self.size);
        self.size -= count;
        if self.rare.is_some() {
            self.pass_urgent();
            self.note_taken();
        }
        while let Some(chunk) = self.queue.front_mut() {
            let step = count.min(chunk.rest().len());
            chunk.advance(step);
            count -= step;
            if !chunk.rest().is_empty() {
                break;
            }
            if let Some(Chunk::Slot { buffer, .. }) = self.queue.pop_front() {
                progress.slot = Some(buffer);
            }
        }
        self.tail_taken += count;
        if count > 0 && self.tail_taken == self.tail.len() {
            // An idle connection keeps no send buffer.
            self.hint = u32::try_from(self.tail.len()).unwrap_or(u32::MAX);
            self.tail_taken = 0;
            spare::give(std::mem::take(&mut self.tail));
        }
        if self.size == 0 && self.queue.capacity() > 16 {
            self.queue = RareQueue::new();
        }
        progress.resumed = self.check_resume();
        progress
    }

    /// The next send whose last byte has been taken.
    pub(super) fn take_sent(&mut self) -> Option<(Token, usize)> {
        let marks = &mut self.rare.as_mut()?.marks;
        let taken = self.position - self.size as u64;
        let mark = *marks.front().filter(|mark| mark.end <= taken)?;
        marks.pop_front();
        Some((mark.token, mark.bytes))
    }

    /// Throws everything away; returns the tokens that will get no notice.
    pub(super) fn clear(&mut self) -> Vec<Token> {
        self.note_lost(self.position - self.size as u64);
        self.queue = RareQueue::new();
        self.tail = Vec::new();
        self.tail_taken = 0;
        self.size = 0;
        let Some(rare) = &mut self.rare else {
            return Vec::new();
        };
        rare.urgent = Urgent::default();
        let marks = std::mem::take(&mut rare.marks);
        marks.into_iter().map(|mark| mark.token).collect()
    }

    /// Throws away all but the first so many bytes; the tokens that get no notice.
    pub(super) fn truncate(&mut self, count: usize) -> Vec<Token> {
        if count == 0 {
            return self.clear();
        }
        let Some(behind) = self.size.checked_sub(count) else {
            return Vec::new();
        };
        self.note_lost(self.position - behind as u64);
        let mut left = count;
        for chunk in self.queue.iter_mut() {
            let kept = left.min(chunk.rest().len());
            chunk.truncate(kept);
            left -= kept;
        }
        // The send slot stays, though empty: it goes back when what is before it was sent.
        let empty = |chunk: &Chunk| chunk.rest().is_empty();
        self.queue
            .retain(|chunk| !empty(chunk) || matches!(chunk, Chunk::Slot { .. }));
        self.tail.truncate(self.tail_taken + left);
        self.size = count;
        self.position -= behind as u64;
        let end = self.position;
        self.cut_urgent();
        let Some(Rare { marks, .. }) = self.rare.as_deref_mut() else {
            return Vec::new();
        };
        let kept = marks.partition_point(|mark| mark.end <= end);
        marks.drain(kept..).map(|mark| mark.token).collect()
    }

    /// The send slot, if it is queued; what it still had to send is gone.
    pub(super) fn take_slot(&mut self) -> Option<BytesMut> {
        let place = self
            .queue
            .iter()
            .position(|chunk| matches!(chunk, Chunk::Slot { .. }))?;
        match self.queue.remove(place) {
            Some(Chunk::Slot { buffer, .. }) => Some(buffer),
            _ => None,
        }
    }

    /// Whether writing goes on, since there is little or nothing left.
    pub(super) const fn check_resume(&mut self) -> bool {
        let resumes = self.paused && self.size <= self.low;
        if resumes {
            self.paused = false;
        }
        resumes
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(std::mem::take(&mut self.tail_taken));
            self.queue.push_back(Chunk::Shared(tail));
        }
    }

    const fn grown(&mut self, length: usize) {
        self.size += length;
        self.position += length as u64;
    }
}
