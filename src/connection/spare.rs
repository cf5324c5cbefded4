//! Buffers for what is sent and for what came: kept per thread, so that an idle connection holds none and a busy
//! one need not make one for each request.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;

/// How many a thread keeps.
const KEPT: usize = 16;
/// The largest that is kept, in bytes.
const LARGEST: usize = 64 * 1024;

/// The room of a small buffer for what came: it may wait long for the rest of a frame, so there is no more.
const SMALL: usize = 128;

thread_local! {
    /// The one that was given back last: nearly always that is enough.
    static LAST: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static SMALL_SPARES: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer for so many bytes that came.
pub(super) fn take_small(room: usize) -> BytesMut {
    if room > SMALL {
        return BytesMut::with_capacity(room);
    }
    let spare = SMALL_SPARES.try_with(|spares| spares.borrow_mut().pop());
    spare
        .ok()
        .flatten()
        .unwrap_or_else(|| BytesMut::with_capacity(SMALL))
}

/// Whether it is such a buffer, which can be given back.
pub(super) fn is_small(buffer: &BytesMut) -> bool {
    buffer.capacity() == SMALL
}

/// Gives such a buffer back.
pub(super) fn give_small(mut buffer: BytesMut) {
    buffer.clear();
    // One that has lent out a part of its memory, or is of another size, is of no use.
    if is_small(&buffer) {
        let _ = SMALL_SPARES.try_with(|spares| {
            let mut spares = spares.borrow_mut();
            if spares.len() < KEPT {
                spares.push(buffer);
            }
        });
    }
}

/// An empty buffer with room for so many bytes.
#[inline]
pub(super) fn take(room: usize) -> Vec<u8> {
    let mut buffer = LAST.try_with(Cell::take).unwrap_or_default();
    if buffer.capacity() < room {
        buffer = take_other(buffer);
        buffer.reserve(room);
    }
    buffer
}

/// One that may be larger than this.
fn take_other(small: Vec<u8>) -> Vec<u8> {
    let spare = SPARES.try_with(|spares| spares.borrow_mut().pop());
    match spare.ok().flatten() {
        Some(other) => {
            keep(small);
            other
        }
        None => small,
    }
}

/// Gives a buffer back.
#[inline]
pub(super) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() > LARGEST {
        return;
    }
    buffer.clear();
    // At the end of a thread there is nothing left to keep it in.
    if let Ok(before) = LAST.try_with(|last| last.replace(buffer)) {
        keep(before);
    }
}

fn keep(buffer: Vec<u8>) {
    if buffer.capacity() == 0 {
        return;
    }
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < KEPT {
            spares.push(buffer);
        }
    });
}
