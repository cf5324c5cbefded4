//! What a connection answers, line by line, and what of it is under way.

use std::io;
use std::mem;

use crate::buffers::Chunk;
use crate::ring::{Ring, Slot};

/// The answers of one connection. At most one send is under way, so that they stay in order.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    under_way: UnderWay,
    /// An unfinished line.
    tail: Vec<u8>,
    /// Lines that wait until a send is done.
    next: Vec<u8>,
}

/// What the kernel is sending, and how much of it has gone.
#[derive(Debug, Default)]
enum UnderWay {
    #[default]
    Nothing,
    /// Whole lines, from where they were received to.
    Chunk {
        chunk: Chunk,
        sent: usize,
    },
    Copy {
        lines: Vec<u8>,
        sent: usize,
    },
}

impl Answers {
    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.under_way, UnderWay::Nothing)
    }

    /// Answers all lines that end in `chunk` with one send, or with the next one.
    pub(crate) fn take(&mut self, ring: &mut Ring, slot: Slot, chunk: Chunk) {
        let bytes = ring.buffers.bytes(&chunk);
        let whole = whole_lines(bytes);
        if whole == bytes.len() && self.tail.is_empty() && self.is_idle() {
            self.under_way = UnderWay::Chunk { chunk, sent: 0 };
            self.send(ring, slot);
            return;
        }
        if whole > 0 {
            self.next.append(&mut self.tail);
            self.next.extend_from_slice(&bytes[..whole]);
        }
        self.tail.extend_from_slice(&bytes[whole..]);
        ring.buffers.give_back(chunk);
        if self.is_idle() {
            self.send_next(ring, slot);
        }
    }

    /// Goes on after a send.
    ///
    /// # Errors
    /// It failed: the connection has gone.
    pub(crate) fn sent(
        &mut self,
        ring: &mut Ring,
        slot: Slot,
        result: io::Result<usize>,
    ) -> io::Result<()> {
        let failed = match (&result, &mut self.under_way) {
            (Ok(more), UnderWay::Chunk { sent, .. } | UnderWay::Copy { sent, .. }) => {
                *sent += more;
                false
            }
            _ => true,
        };
        if failed || self.rest(ring).is_none() {
            match mem::take(&mut self.under_way) {
                UnderWay::Chunk { chunk, .. } => ring.buffers.give_back(chunk),
                // Its room is used again.
                UnderWay::Copy { mut lines, .. } if self.next.is_empty() => {
                    lines.clear();
                    self.next = lines;
                }
                UnderWay::Copy { .. } | UnderWay::Nothing => {}
            }
        }
        if failed {
            self.next.clear();
        } else if self.is_idle() {
            self.send_next(ring, slot);
        } else {
            self.send(ring, slot);
        }
        result.map(drop)
    }

    fn send_next(&mut self, ring: &mut Ring, slot: Slot) {
        if !self.next.is_empty() {
            let lines = mem::take(&mut self.next);
            self.under_way = UnderWay::Copy { lines, sent: 0 };
            self.send(ring, slot);
        }
    }

    fn send(&mut self, ring: &mut Ring, slot: Slot) {
        if let Some(rest) = self.rest(ring) {
            let rest: *const [u8] = rest;
            // SAFETY: what is under way is neither changed nor given back before `sent` has heard of it, and a
            // connection is not forgotten before that.
            unsafe { ring.send(slot, rest) };
        }
    }

    /// What has not gone yet.
    fn rest<'a>(&'a self, ring: &'a Ring) -> Option<&'a [u8]> {
        let rest = match &self.under_way {
            UnderWay::Nothing => return None,
            UnderWay::Chunk { chunk, sent } => &ring.buffers.bytes(chunk)[*sent..],
            UnderWay::Copy { lines, sent } => &lines[*sent..],
        };
        (!rest.is_empty()).then_some(rest)
    }
}

/// How many bytes the lines have that end here. Each is looked for by itself, as a line protocol has to.
fn whole_lines(bytes: &[u8]) -> usize {
    let mut whole = 0;
    while let Some(end) = memchr::memchr(b'\n', &bytes[whole..]) {
        whole += end + 1;
    }
    whole
}
