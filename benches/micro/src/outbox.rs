//! What goes out, by way of a connection: sends, what is lent for writing, what was written.

use std::hint::black_box;

use bytes::Bytes;

use crate::wire::Wire;
use crate::{Body, LINE, Rounds, TOGETHER, each};

/// The loops of this group.
pub const BODIES: &[Body] = &[
    Body {
        name: "outbox/small",
        round: "64 sends of 64 bytes, coalesced, and one write",
        rounds: 2_000,
        setup: small,
    },
    Body {
        name: "outbox/large",
        round: "256 KiB queued as they are, in writes of 32 KiB",
        rounds: 5_000,
        setup: || send(1, 256 * 1024, usize::MAX),
    },
    Body {
        name: "outbox/chunks",
        round: "64 sends of 8 KiB, each a chunk, in writes of 32 KiB",
        rounds: 1_000,
        setup: || send(TOGETHER, 8 * 1024, usize::MAX),
    },
    Body {
        name: "outbox/advance",
        round: "the same in 512 writes of 1 KiB",
        rounds: 200,
        setup: || send(TOGETHER, 8 * 1024, 1024),
    },
];

fn small() -> Rounds {
    let mut wire = Wire::open(Wire::lines());
    each(move || {
        for _ in 0..TOGETHER {
            let sent = wire.machine.send(black_box(&LINE[..]), None);
            assert!(sent.is_ok(), "there is room");
        }
        assert_eq!(wire.flush(usize::MAX), LINE.len() * TOGETHER);
    })
}

fn send(count: usize, length: usize, gulp: usize) -> Rounds {
    let mut wire = Wire::open(Wire::lines());
    let payload = Bytes::from(vec![b'x'; length]);
    each(move || {
        for _ in 0..count {
            let sent = wire.machine.send(black_box(&payload), None);
            assert!(sent.is_ok(), "there is room");
        }
        assert_eq!(wire.flush(gulp), length * count);
    })
}
