//! Where frames end: 64 frames of 64 bytes that came in one block, and a line that came byte by byte.

use std::hint::black_box;
use std::num::NonZeroUsize;

use switchboard_core::LineRule;
use switchboard_core::frame::{
    AnyFraming, DelimiterFraming, Framing, LengthFraming, LineFraming, SizeFraming,
};

use crate::{Body, LINE, Rounds, TOGETHER, each};

/// The longest frame that is allowed.
const MOST: usize = 4096;

/// The loops of this group.
pub const BODIES: &[Body] = &[
    Body {
        name: "framing/lines",
        round: "64 lines of 64 bytes in one block",
        rounds: 5_000,
        setup: || block(LineFraming::new(LineRule::Lenient, MOST), &LINE),
    },
    Body {
        name: "framing/crlf",
        round: "the same under the strict CRLF rule",
        rounds: 5_000,
        setup: || block(LineFraming::new(LineRule::CrLf, MOST), &ending(b"\r\n")),
    },
    Body {
        name: "framing/dribble",
        round: "a line of 64 bytes, looked at after each byte",
        rounds: 5_000,
        setup: dribble,
    },
    Body {
        name: "framing/exact",
        round: "64 frames of 64 bytes in one block",
        rounds: 5_000,
        setup: || block(SizeFraming::Exact(SIZE), &LINE),
    },
    Body {
        name: "framing/delimiter",
        round: "64 frames that end with 4 bytes, in one block",
        rounds: 2_000,
        setup: || block(delimiter(), &ending(b"\r\n\r\n")),
    },
    Body {
        name: "framing/length",
        round: "64 messages of 60 bytes in one block",
        rounds: 5_000,
        setup: || block(LengthFraming::new(MOST), &message()),
    },
];

const SIZE: NonZeroUsize = NonZeroUsize::new(LINE.len()).expect("a line is not empty");

fn delimiter() -> DelimiterFraming {
    DelimiterFraming::new(&b"\r\n\r\n"[..], MOST).expect("the delimiter is not empty")
}

/// A frame of 64 bytes that ends with these.
fn ending(bytes: &[u8]) -> [u8; 64] {
    let mut frame = [b'x'; 64];
    frame[64 - bytes.len()..].copy_from_slice(bytes);
    frame
}

fn message() -> [u8; 64] {
    let mut frame = [b'x'; 64];
    frame[..4].copy_from_slice(&60_u32.to_be_bytes());
    frame
}

fn block(framing: impl Into<AnyFraming>, frame: &[u8; 64]) -> Rounds {
    let mut framing = framing.into();
    let block = frame.repeat(TOGETHER);
    let mut cuts = Vec::with_capacity(TOGETHER);
    each(move || {
        cuts.clear();
        let end = framing.cut_run(black_box(&block), 0, TOGETHER, &mut cuts);
        assert_eq!((end, cuts.len()), (block.len(), TOGETHER));
        black_box(&cuts);
    })
}

fn dribble() -> Rounds {
    let mut framing = AnyFraming::from(LineFraming::new(LineRule::Lenient, MOST));
    each(move || {
        for count in 1..LINE.len() {
            let cut = framing.cut(black_box(&LINE[..count]));
            assert!(matches!(black_box(cut), Ok(None)));
        }
        let cut = framing.cut(black_box(&LINE));
        assert!(matches!(black_box(cut), Ok(Some(_))));
        framing.reset();
    })
}
