//! The outbox: a byte mailbox with a bound, marks and tokens.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::SendRefusal;
use crate::id::Token;
use crate::payload::Payload;

use super::spare;

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
    queue: VecDeque<Chunk>,
    /// The chunk that small payloads are copied into.
    tail: Vec<u8>,
    /// Bytes of it that were taken already.
    tail_taken: usize,
    /// How long the last flush was: the size of the next chunk.
    hint: usize,
    /// Bytes in `queue` and `tail`.
    size: usize,
    /// Bytes ever queued, so that a mark is a position in the stream.
    position: u64,
    /// Sends that want a notice, by the position of their last byte.
    marks: VecDeque<Mark>,
    high: usize,
    low: usize,
    capacity: usize,
    paused: bool,
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
            queue: VecDeque::new(),
            tail: Vec::new(),
            tail_taken: 0,
            hint: 0,
            size: 0,
            position: 0,
            marks: VecDeque::new(),
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

    pub(super) fn marks(&self) -> usize {
        self.marks.len()
    }

    /// Room for so many more bytes.
    pub(super) const fn room(&self) -> usize {
        self.capacity.saturating_sub(self.size)
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
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        if self.tail.len() + bytes.len() > CHUNK {
            self.close_tail();
        }
        if self.tail.capacity() == 0 {
            self.tail = spare::take(bytes.len().max(self.hint).clamp(LEAST_CHUNK, CHUNK));
        }
        self.tail.extend_from_slice(bytes);
        self.grown(bytes.len());
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
        self.marks.push_back(Mark {
            end: self.position,
            token,
            bytes,
        });
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
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail[self.tail_taken..];
        if self.queue.is_empty() {
            let ([slot, ..], false) = (slices, tail.is_empty()) else {
                return 0;
            };
            *slot = IoSlice::new(&tail[..tail.len().min(WRITE_AT_ONCE)]);
            return 1;
        }
        let chunks = self
            .queue
            .iter()
            .map(Chunk::rest)
            .chain([tail])
            .filter(|chunk| !chunk.is_empty());
        let (mut count, mut left) = (0, WRITE_AT_ONCE);
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

    /// Takes away what the system has taken.
    pub(super) fn advance(&mut self, mut count: usize) -> Progress {
        let mut progress = Progress::default();
        count = count.min(self.size);
        self.size -= count;
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
            self.hint = self.tail.len();
            self.tail_taken = 0;
            spare::give(std::mem::take(&mut self.tail));
        }
        if self.size == 0 && self.queue.capacity() > 16 {
            self.queue = VecDeque::new();
        }
        progress.resumed = self.check_resume();
        progress
    }

    /// The next send whose last byte has been taken.
    pub(super) fn take_sent(&mut self) -> Option<(Token, usize)> {
        let taken = self.position - self.size as u64;
        let mark = self
            .marks
            .front()
            .filter(|mark| mark.end <= taken)
            .copied()?;
        self.marks.pop_front();
        Some((mark.token, mark.bytes))
    }

    /// Throws everything away; returns the tokens that will get no notice.
    pub(super) fn clear(&mut self) -> Vec<Token> {
        self.queue = VecDeque::new();
        self.tail = Vec::new();
        self.tail_taken = 0;
        self.size = 0;
        let marks = std::mem::take(&mut self.marks);
        marks.into_iter().map(|mark| mark.token).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn front(outbox: &Outbox, most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let count = outbox.slices(&mut slices);
        let bytes: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        bytes[..most.min(bytes.len())].to_vec()
    }

    #[test]
    fn an_empty_outbox_holds_no_memory() {
        let mut outbox = Outbox::new(10, 5, 100);
        outbox.push("hello");
        assert!(outbox.tail.capacity() > 0);
        let _ = outbox.advance(5);
        assert_eq!(outbox.tail.capacity(), 0);
        assert_eq!(outbox.queue.capacity(), 0);
    }

    #[test]
    fn one_write_is_lent_a_bounded_part() {
        let mut outbox = Outbox::new(1 << 20, 1 << 20, 1 << 20);
        let mut queued = 0;
        for length in [WRITE_AT_ONCE + 5, 100, 40_000, 3000] {
            outbox.push(vec![7; length]);
            queued += length;
        }
        let mut writes = Vec::new();
        while !outbox.is_empty() {
            let lent = front(&outbox, usize::MAX).len();
            writes.push(lent);
            let _ = outbox.advance(lent);
        }
        assert_eq!(writes, [32_768, 32_768, queued - 65_536]);
    }

    /// AIO-09, AIO-11.
    #[test]
    fn aio_09_it_pauses_above_high_and_resumes_at_low() {
        let mut outbox = Outbox::new(4, 2, 100);
        outbox.push("1234");
        assert!(!outbox.check_pause(), "size equals high");
        outbox.push("5");
        assert!(outbox.check_pause());
        assert!(!outbox.check_pause(), "only once");
        assert!(!outbox.advance(2).resumed, "3 is above low");
        assert!(outbox.advance(1).resumed, "2 is at low");
        let mut outbox = Outbox::new(0, 0, 100);
        outbox.push("1");
        assert!(outbox.check_pause(), "a high mark of 0 pauses at one byte");
        assert!(outbox.advance(1).resumed);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Send(usize),
        SendTracked(usize),
        Taken(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                (0_usize..9000).prop_map(Step::Send),
                (1_usize..9000).prop_map(Step::SendTracked),
                (0_usize..20_000).prop_map(Step::Taken),
            ],
            0..60,
        )
    }

    proptest! {
        /// AIO-10, AIO-12, XAS-50: the bound holds, bytes and notices keep their order, and pauses
        /// alternate strictly with resumes.
        #[test]
        fn it_never_exceeds_its_bound_never_reorders_and_alternates(steps in steps()) {
            let capacity = 30_000;
            let mut outbox = Outbox::new(10_000, 3_000, capacity);
            let (mut sent, mut received) = (Vec::new(), Vec::new());
            let mut next = 0_u8;
            let mut tokens = 0_u64;
            let mut told = 0_u64;
            let mut ends = Vec::new();
            let mut paused = false;
            for step in steps {
                match step {
                    Step::Send(length) | Step::SendTracked(length) => {
                        let data: Vec<u8> = (0..length).map(|_| { next = next.wrapping_add(1); next }).collect();
                        match outbox.check_room(length) {
                            Ok(()) => {
                                sent.extend_from_slice(&data);
                                if length % 2 == 0 { outbox.push(&data[..]) } else { outbox.push(data) }
                                if matches!(step, Step::SendTracked(_)) {
                                    outbox.mark(Token(tokens), length);
                                    ends.push(sent.len());
                                    tokens += 1;
                                }
                            }
                            Err(SendRefusal::Empty) => prop_assert_eq!(length, 0),
                            Err(SendRefusal::Full { queued, .. }) => prop_assert!(queued + length > capacity),
                            Err(other) => panic!("{other}"),
                        }
                        if outbox.check_pause() { prop_assert!(!paused); paused = true; }
                    }
                    Step::Taken(most) => {
                        let bytes = front(&outbox, most);
                        received.extend_from_slice(&bytes);
                        if outbox.advance(bytes.len()).resumed { prop_assert!(paused); paused = false; }
                        while let Some((token, _)) = outbox.take_sent() {
                            prop_assert_eq!(token, Token(told));
                            let end = ends[usize::try_from(told).unwrap()];
                            prop_assert!(end <= received.len(), "told too early");
                            told += 1;
                        }
                    }
                }
                prop_assert!(outbox.size() <= capacity);
                prop_assert_eq!(outbox.size(), sent.len() - received.len());
                prop_assert_eq!(outbox.is_paused(), paused);
            }
            while !outbox.is_empty() {
                let bytes = front(&outbox, usize::MAX);
                received.extend_from_slice(&bytes);
                let _ = outbox.advance(bytes.len());
            }
            prop_assert_eq!(sent, received);
        }
    }
}
