//! The memory of what was received.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Datagrams of up to so many bytes lie side by side.
const SHORT: usize = 128;
/// How many bytes they share: so much at most stays as long as one of them is kept.
const BLOCK: usize = 1_024;

thread_local! {
    /// Where the next short datagram goes.
    static SHARED: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// The bytes of a datagram, to be kept. Short ones share blocks: most do not live long, and to allocate each
/// by itself costs more than all else that is done to them here.
pub(crate) fn payload(data: &[u8]) -> Bytes {
    if data.is_empty() || data.len() > SHORT {
        return Bytes::copy_from_slice(data);
    }
    let shared = SHARED.try_with(|shared| {
        let block = &mut *shared.borrow_mut();
        if block.capacity() < data.len() && !block.try_reclaim(data.len()) {
            *block = BytesMut::with_capacity(BLOCK);
        }
        block.extend_from_slice(data);
        block.split().freeze()
    });
    // The thread ends.
    shared.unwrap_or_else(|_| Bytes::copy_from_slice(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_keeps_its_bytes_whatever_becomes_of_its_neighbours() {
        let mut kept = Vec::new();
        for round in 0_u32..2_000 {
            let length = (round as usize * 37) % (2 * SHORT);
            let wanted = vec![round.to_le_bytes()[0]; length];
            kept.push((payload(&wanted), wanted));
            if round % 3 == 0 {
                kept.swap_remove((round as usize * 7) % kept.len());
            }
        }
        for (data, wanted) in &kept {
            assert_eq!(data, wanted);
        }
    }

    #[test]
    fn a_block_is_used_again_when_nobody_has_any_of_it() {
        let first = payload(b"one").as_ptr();
        let in_order: Vec<_> = (0..1_000).map(|_| payload(b"one").as_ptr()).collect();
        let far = in_order.iter().map(|at| at.addr().abs_diff(first.addr()));
        assert!(far.max().is_some_and(|far| far < BLOCK));
    }

    #[test]
    fn a_long_datagram_has_memory_of_its_own() {
        let data = payload(&[7; SHORT + 1]);
        assert!(data.is_unique());
        let (one, other) = (payload(b"a"), payload(b"b"));
        assert!(!one.is_unique() && !other.is_unique(), "short ones do not");
    }
}
