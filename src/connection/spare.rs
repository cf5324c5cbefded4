//! Send buffers between two flushes: kept per thread, so that an idle connection holds none and a
//! busy one need not make one for each reply.

use std::cell::RefCell;

/// How many a thread keeps.
const KEPT: usize = 16;
/// The largest that is kept, in bytes.
const LARGEST: usize = 64 * 1024;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for so many bytes.
pub(super) fn take(room: usize) -> Vec<u8> {
    let spare = SPARES.try_with(|spares| spares.borrow_mut().pop());
    let mut buffer = spare.ok().flatten().unwrap_or_default();
    buffer.reserve(room);
    buffer
}

/// Gives a buffer back.
pub(super) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() > LARGEST {
        return;
    }
    buffer.clear();
    // At the end of a thread there is nothing left to keep it in.
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < KEPT {
            spares.push(buffer);
        }
    });
}
