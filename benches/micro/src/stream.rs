//! What a stream's reader holds: lines in one block, and in pieces that end anywhere.

use std::convert::Infallible;
use std::hint::black_box;

use bytes::Bytes;
use switchboard_core::{StreamBuffer, Taken};

use crate::{Body, LINE, Rounds, TOGETHER, each};

/// The longest line that is allowed.
const MOST: usize = 64 * 1024;

/// The loops of this group.
pub const BODIES: &[Body] = &[
    Body {
        name: "stream/lines",
        round: "64 lines of 64 bytes, taken from one block",
        rounds: 1_000,
        setup: || lines(LINE.len() * TOGETHER),
    },
    Body {
        name: "stream/pieces",
        round: "64 lines of 64 bytes, taken from pieces of 48 bytes",
        rounds: 500,
        setup: || lines(48),
    },
];

fn lines(piece: usize) -> Rounds {
    let all = Bytes::from(LINE.repeat(TOGETHER));
    let mut buffer = StreamBuffer::<Infallible>::new();
    each(move || {
        let mut taken = 0;
        for start in (0..all.len()).step_by(piece) {
            let end = all.len().min(start + piece);
            let pushed = buffer.push(all.slice(start..end));
            assert!(pushed.is_ok(), "it has no end");
            while let Taken::Ready(line) = buffer.take_line(MOST) {
                taken += black_box(line).len();
            }
        }
        assert_eq!(taken, all.len());
    })
}
