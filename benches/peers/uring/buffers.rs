//! Buffers that the kernel takes one of for each receive.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The only group of buffers.
pub(crate) const GROUP: u16 = 0;
/// The most that one receive brings.
const BUFFER_BYTES: usize = 8 * 1024;
/// A power of two. When all are taken, receives end and are asked for again.
const BUFFERS: u16 = 256;

const PAGE_BYTES: usize = 4 * 1024;

/// The kernel asks that the list of buffers begins on a page.
#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

/// Received bytes, in a buffer that the kernel does not use until it is given back.
#[derive(Debug)]
pub(crate) struct Chunk {
    buffer: u16,
    length: usize,
}

/// A list of buffers that is shared with the kernel.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Never freed: the kernel may write to them as long as the ring lives.
    list: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    /// Gives all buffers to the kernel.
    ///
    /// # Errors
    /// The kernel has no such lists, or no memory for one.
    pub(crate) fn new(ring: &IoUring) -> io::Result<Self> {
        let list = pages(usize::from(BUFFERS) * size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        let memory = pages(usize::from(BUFFERS) * BUFFER_BYTES);
        // SAFETY: the list has room for that many entries, and is never freed.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(list as u64, BUFFERS, GROUP, 0)?;
        }
        let mut buffers = Self {
            list,
            memory,
            tail: 0,
        };
        for buffer in 0..BUFFERS {
            buffers.give(buffer);
        }
        Ok(buffers)
    }

    /// The chunk of a receive that filled `length` bytes of `buffer`.
    ///
    /// # Safety
    /// A completion has just said so, and there is no other chunk of it.
    pub(crate) unsafe fn filled(buffer: u16, length: usize) -> Chunk {
        debug_assert!(buffer < BUFFERS && length <= BUFFER_BYTES);
        Chunk { buffer, length }
    }

    /// The bytes of a chunk. They stay where they are until it is given back.
    pub(crate) fn bytes(&self, chunk: &Chunk) -> &[u8] {
        // SAFETY: the buffer is within the memory, its beginning was written by the kernel, which does not
        // touch it again before `give_back`, and that consumes the chunk.
        unsafe { std::slice::from_raw_parts(self.start(chunk.buffer), chunk.length) }
    }

    /// Lets the kernel use the buffer again.
    pub(crate) fn give_back(&mut self, chunk: Chunk) {
        self.give(chunk.buffer);
    }

    fn give(&mut self, buffer: u16) {
        let address = self.start(buffer) as u64;
        let place = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the place is within the list. The kernel reads no entry at or after the tail, and no more
        // buffers are given than there are, so that it is done with what the entry held before.
        unsafe {
            let entry = &mut *self.list.add(place);
            entry.set_addr(address);
            entry.set_len(u32::try_from(BUFFER_BYTES).expect("a few pages"));
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is a part of the first entry, which is initialised and which only this thread and
        // the kernel know; the kernel reads it with acquire semantics.
        unsafe {
            let tail = BufRingEntry::tail(self.list).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    fn start(&self, buffer: u16) -> *mut u8 {
        self.memory.wrapping_add(usize::from(buffer) * BUFFER_BYTES)
    }
}

/// Zeroed pages for that many bytes, never freed.
fn pages(bytes: usize) -> *mut u8 {
    let pages = vec![Page([0; PAGE_BYTES]); bytes.div_ceil(PAGE_BYTES)].leak();
    ptr::from_mut(pages).cast()
}
