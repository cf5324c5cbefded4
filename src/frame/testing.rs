//! Feeds a framing as a connection would, and checks every framing against a slow, obvious twin.

use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::{AnyFraming, DelimiterFraming, FrameError, Framing, LengthFraming, LineFraming};
use super::{LineRule, SizeFraming};

/// What came of some input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fed {
    pub(super) frames: Vec<Vec<u8>>,
    pub(super) rest: Vec<u8>,
    pub(super) error: Option<FrameError>,
}

/// Appends piece after piece to one buffer and takes every frame as soon as it is there.
pub(super) fn feed<'a>(mut framing: AnyFraming, pieces: impl IntoIterator<Item = &'a [u8]>) -> Fed {
    let mut fed = Fed {
        frames: Vec::new(),
        rest: Vec::new(),
        error: None,
    };
    for piece in pieces {
        fed.rest.extend_from_slice(piece);
        while fed.error.is_none() {
            assert!(framing.needed(&fed.rest) >= 1);
            match framing.cut(&fed.rest) {
                Ok(None) => break,
                Ok(Some(cut)) => {
                    assert!(cut.total() >= 1 && cut.total() <= fed.rest.len());
                    let frame: Vec<u8> = fed.rest.drain(..cut.total()).collect();
                    fed.frames
                        .push(frame[cut.skip..cut.skip + cut.body].to_vec());
                    framing.reset();
                }
                Err(error) => fed.error = Some(error),
            }
        }
    }
    fed
}

/// Takes runs of frames where there are any, and looks at one frame at a time otherwise.
pub(super) fn feed_runs(mut framing: AnyFraming, input: &[u8], most: usize) -> Fed {
    let mut fed = Fed {
        frames: Vec::new(),
        rest: input.to_vec(),
        error: None,
    };
    loop {
        let mut cuts = Vec::new();
        let end = framing.cut_run(&fed.rest, 0, most, &mut cuts);
        assert!(cuts.len() <= most);
        for (start, cut) in cuts {
            let body = start + cut.skip;
            fed.frames.push(fed.rest[body..body + cut.body].to_vec());
        }
        fed.rest.drain(..end);
        if end == 0 {
            fed.error = framing.cut(&fed.rest).err();
            return fed;
        }
    }
}

/// The frames as text.
pub(super) fn bodies(fed: &Fed) -> Vec<&str> {
    fed.frames
        .iter()
        .map(|frame| str::from_utf8(frame).unwrap())
        .collect()
}

/// The twin: shown ever longer starts of the input, it takes the first that is decided.
fn twin(framing: &AnyFraming, mut input: &[u8]) -> Fed {
    let mut frames = Vec::new();
    loop {
        let decision = (0..=input.len()).find_map(|end| decide(framing, &input[..end]));
        let error = match decision {
            Some(Ok(Frame { body, total })) => {
                frames.push(body);
                input = &input[total..];
                continue;
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        return Fed {
            frames,
            rest: input.to_vec(),
            error,
        };
    }
}

struct Frame {
    body: Vec<u8>,
    total: usize,
}

/// What this start of the input is, when nothing shorter was decided.
fn decide(framing: &AnyFraming, start: &[u8]) -> Option<Result<Frame, FrameError>> {
    let frame = |body: &[u8]| {
        Some(Ok(Frame {
            body: body.to_vec(),
            total: start.len(),
        }))
    };
    match framing {
        AnyFraming::Line(line) => {
            let strict = line.rule() == LineRule::CrLf;
            let counted = match (line.rule(), start) {
                (LineRule::CrLf, [.., b'\r', b'\n']) => return frame(&start[..start.len() - 2]),
                (LineRule::CrLf, [.., b'\n']) => return Some(Err(FrameError::BareLf)),
                (LineRule::CrLf, [.., b'\r', _]) => return Some(Err(FrameError::BareCr)),
                (LineRule::StripAllCr, [raw @ .., b'\n'] | raw) => {
                    if raw.len() > 2 * line.max() + 16 {
                        usize::MAX
                    } else {
                        raw.iter().filter(|&&byte| byte != b'\r').count()
                    }
                }
                (LineRule::Lf, [raw @ .., b'\n'] | raw) => raw.len(),
                (_, [body @ .., b'\r', b'\n'] | [body @ .., b'\n' | b'\r'] | body) => body.len(),
            };
            match start {
                _ if counted > line.max() => {
                    Some(Err(FrameError::LineTooLong { limit: line.max() }))
                }
                [body @ .., b'\r', b'\n'] if line.rule() == LineRule::Lenient => frame(body),
                [body @ .., b'\n'] if !strict => frame(body),
                _ => None,
            }
        }
        AnyFraming::Size(SizeFraming::Exact(size) | SizeFraming::Full(size)) => {
            (start.len() == size.get()).then(|| frame(start)).flatten()
        }
        AnyFraming::Size(_) => unreachable!("what these take depends on the pieces"),
        AnyFraming::Delimiter(until) => {
            let delimiter = until.delimiter();
            if let Some(body) = start.strip_suffix(&delimiter[..]) {
                return frame(body);
            }
            let hope = (0..=until.max().min(start.len()))
                .any(|begin| delimiter.starts_with(&start[begin..]));
            (!hope).then_some(Err(FrameError::FrameTooLong {
                limit: until.max(),
                announced: None,
            }))
        }
        AnyFraming::Length(length) => {
            let (prefix, body) = start.split_first_chunk::<4>()?;
            let announced = u32::from_be_bytes(*prefix) as usize;
            if announced > length.max() {
                Some(Err(FrameError::FrameTooLong {
                    limit: length.max(),
                    announced: Some(announced as u64),
                }))
            } else if announced == body.len() {
                frame(body)
            } else {
                None
            }
        }
    }
}

/// Bytes that mean something to some framing, and some that do not.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        6 => prop::sample::select(&b"ab\r\n-=\0\x01\x02\x03"[..]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..80)
}

fn size() -> impl Strategy<Value = NonZeroUsize> {
    (1_usize..9).prop_map(|size| NonZeroUsize::new(size).unwrap())
}

fn lines() -> impl Strategy<Value = AnyFraming> {
    let rule = prop::sample::select(vec![
        LineRule::Lenient,
        LineRule::StripAllCr,
        LineRule::CrLf,
        LineRule::Lf,
    ]);
    (rule, 0_usize..12).prop_map(|(rule, max)| LineFraming::new(rule, max).into())
}

/// Every framing whose frames do not depend on how the input came.
fn framing() -> impl Strategy<Value = AnyFraming> {
    let delimiter = prop::sample::select(vec!["\n", "-", "--", "-=-", "\r\n", "a-a-b", "\r\n\r\n"]);
    prop_oneof![
        4 => lines(),
        1 => size().prop_map(|size| SizeFraming::Exact(size).into()),
        1 => size().prop_map(|size| SizeFraming::Full(size).into()),
        3 => (delimiter, 0_usize..12)
            .prop_map(|(delimiter, max)| DelimiterFraming::new(delimiter, max).unwrap().into()),
        2 => (0_usize..600).prop_map(|max| LengthFraming::new(max).into()),
    ]
}

/// Cuts `input` at these places, taken modulo its length; some pieces may be empty.
fn pieces<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = places.iter().map(|at| at % (input.len() + 1)).collect();
    ends.push(input.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter()
        .map(|end| &input[std::mem::replace(&mut from, end)..end])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn xas_45_any_split_gives_the_frames_of_the_twin(
        framing in framing(),
        input in input(),
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let expected = twin(&framing, &input);
        let whole = feed(framing.clone(), [&input[..]]);
        prop_assert_eq!(&whole, &expected);
        let bytes = feed(framing.clone(), input.chunks(1));
        prop_assert_eq!(&bytes.frames, &expected.frames);
        prop_assert_eq!(bytes.error, expected.error);
        for most in [1, 3, 64] {
            let runs = feed_runs(framing.clone(), &input, most);
            prop_assert_eq!(&runs, &expected);
        }
        let split = feed(framing, pieces(&input, &places));
        prop_assert_eq!(&split.frames, &expected.frames);
        prop_assert_eq!(split.error, expected.error);
    }

    #[test]
    fn available_and_up_to_lose_and_add_nothing(
        most in size(),
        input in input(),
        places in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        for framing in [SizeFraming::Available, SizeFraming::UpTo(most)] {
            let fed = feed(framing.into(), pieces(&input, &places));
            prop_assert_eq!(fed.frames.concat(), &input[..]);
            prop_assert!(fed.rest.is_empty() && fed.error.is_none());
            prop_assert!(fed.frames.iter().all(|frame| !frame.is_empty()));
            if framing != SizeFraming::Available {
                prop_assert!(fed.frames.iter().all(|frame| frame.len() <= most.get()));
            }
        }
    }

    #[test]
    fn what_waits_for_an_ending_is_bounded_by_the_limit(
        framing in prop_oneof![lines(), (0_usize..12).prop_map(|max| {
            DelimiterFraming::new("-=-", max).unwrap().into()
        })],
        byte in prop::sample::select(&b"x\r-="[..]),
    ) {
        let most = match &framing {
            AnyFraming::Line(line) if line.rule() == LineRule::StripAllCr => 2 * line.max() + 16,
            AnyFraming::Line(line) => line.max() + 1,
            AnyFraming::Delimiter(until) => until.max() + until.delimiter().len() - 1,
            _ => unreachable!("not generated"),
        };
        let flood = vec![byte; most + 1];
        let refused = feed(framing, flood.chunks(1));
        prop_assert!(refused.error.is_some());
        prop_assert!(refused.frames.is_empty());
    }

    #[test]
    fn resync_drops_at_least_one_byte_and_no_more_than_there_is(
        mut framing in framing(),
        input in input(),
    ) {
        if framing.cut(&input).is_err() {
            let dropped = framing.resync(&input);
            prop_assert!(dropped >= 1 && dropped <= input.len());
        }
    }
}
