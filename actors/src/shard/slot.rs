//! Memory that bytes are read into and sent from: the shard's own, or leased.

use std::cell::{RefCell, RefMut};

use bytes::BytesMut;
use switchboard_core::BufferSlot;

/// A slot that is read into.
pub(crate) struct ReadSlot<'a> {
    pub(super) buffer: RefMut<'a, BytesMut>,
    pub(super) size: usize,
}

impl ReadSlot<'_> {
    /// The slot, empty and at its full size again.
    pub(crate) fn prepare(&mut self) -> &mut BytesMut {
        self.buffer.clear();
        self.buffer.reserve(self.size);
        &mut self.buffer
    }

    /// The slot as it is.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }
}

/// The two slots that a connection leases for its life (XAS-25).
pub(crate) struct SlotLease {
    recv: RefCell<BufferSlot>,
    send: RefCell<BufferSlot>,
}

impl SlotLease {
    pub(crate) const fn new(recv: BufferSlot, send: BufferSlot) -> Self {
        Self {
            recv: RefCell::new(recv),
            send: RefCell::new(send),
        }
    }

    pub(crate) fn read_slot(&self) -> ReadSlot<'_> {
        let size = self.recv.borrow().size();
        ReadSlot {
            buffer: RefMut::map(self.recv.borrow_mut(), BufferSlot::buffer),
            size,
        }
    }

    /// The memory of the sending slot, for the connection to send from.
    pub(super) fn send_memory(&self) -> BytesMut {
        std::mem::take(self.send.borrow_mut().buffer())
    }

    /// Puts the memory of the sending slot back.
    pub(crate) fn restore(&self, memory: BytesMut) {
        *self.send.borrow_mut().buffer() = memory;
    }
}
