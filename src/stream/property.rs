//! However the bytes were cut, the same is read.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Read {
    UpTo(usize),
    Exact(usize),
    Line(usize),
    Until(Bytes, usize),
    All(usize),
    Consume(usize),
}

/// The same rules over one vector, searched from its start each time.
#[derive(Default)]
struct Naive {
    bytes: Vec<u8>,
    finished: bool,
}

impl Naive {
    fn take(&mut self, count: usize) -> Bytes {
        self.bytes.drain(..count).collect()
    }

    fn incomplete(&mut self) -> Taken<()> {
        if self.finished {
            Taken::Ended(self.take(self.bytes.len()))
        } else {
            Taken::More
        }
    }

    fn until(&mut self, delimiter: &[u8], limit: usize, drops: bool) -> Taken<()> {
        let found = self
            .bytes
            .windows(delimiter.len())
            .position(|window| window == delimiter);
        let certain = (self.bytes.len() + 1).saturating_sub(delimiter.len());
        let length = found.unwrap_or(certain);
        if length > limit {
            let whole = found.map_or(self.bytes.len(), |at| at + delimiter.len());
            let dropped = if drops { whole } else { 0 };
            self.bytes.drain(..dropped);
            return Taken::Over { length, dropped };
        }
        match found {
            Some(at) => Taken::Ready(self.take(at + delimiter.len())),
            None => self.incomplete(),
        }
    }

    fn read(&mut self, read: &Read) -> Taken<()> {
        let here = self.bytes.len();
        match read {
            Read::UpTo(most) if *most > 0 && here == 0 => self.incomplete(),
            Read::UpTo(most) => Taken::Ready(self.take(here.min(*most))),
            Read::Exact(count) if *count > here => self.incomplete(),
            Read::Exact(count) => Taken::Ready(self.take(*count)),
            Read::Line(limit) => self.until(b"\n", *limit, true),
            Read::Until(delimiter, limit) => self.until(delimiter, *limit, false),
            Read::All(max) if here > *max => Taken::Over {
                length: here,
                dropped: 0,
            },
            Read::All(_) if self.finished => Taken::Ready(self.take(here)),
            Read::All(_) => Taken::More,
            Read::Consume(count) => {
                self.take(here.min(*count));
                Taken::More
            }
        }
    }
}

fn read(buffer: &mut StreamBuffer<()>, read: &Read) -> Taken<()> {
    match read {
        Read::UpTo(most) => buffer.take_up_to(*most),
        Read::Exact(count) => buffer.take_exact(*count),
        Read::Line(limit) => buffer.take_line(*limit),
        Read::Until(delimiter, limit) => buffer.take_until(delimiter, *limit),
        Read::All(max) => buffer.take_all(*max),
        Read::Consume(count) => {
            buffer.consume(*count);
            Taken::More
        }
    }
}

/// Chunks of few different bytes, so that delimiters are met half, twice and across chunks; some are
/// so long that they are kept as they came.
fn chunk() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(&b"ab\n"[..]);
    prop_oneof![
        4 => vec(byte.clone(), 0..6),
        1 => (vec(byte, 1..9), 200..400_usize).prop_map(|(bytes, times)| bytes.repeat(times)),
    ]
}

fn any_read(limit: impl Fn() -> BoxedStrategy<usize>) -> impl Strategy<Value = Read> {
    let delimiter = prop::sample::select(&["a", "ab", "aab", "aaab", "\n\n", "abaab"][..]);
    prop_oneof![
        (0..3000_usize).prop_map(Read::Exact),
        limit().prop_map(Read::Line),
        (delimiter, limit()).prop_map(|(delimiter, limit)| Read::Until(delimiter.into(), limit)),
    ]
}

fn short_limit() -> BoxedStrategy<usize> {
    prop_oneof![0..8_usize, 0..4000_usize].boxed()
}

fn no_limit() -> BoxedStrategy<usize> {
    Just(usize::MAX).boxed()
}

/// What a reader gets that waits until each read is complete.
fn session(chunks: &[Vec<u8>], reads: &[Read]) -> Vec<Taken<()>> {
    let mut buffer = StreamBuffer::<()>::new();
    let mut chunks: VecDeque<_> = chunks.iter().cloned().map(Bytes::from).collect();
    let wait = |asked: &Read| loop {
        match read(&mut buffer, asked) {
            Taken::More => match chunks.pop_front() {
                Some(chunk) => buffer.push(chunk).unwrap(),
                None => buffer.finish(),
            },
            taken => return taken,
        }
    };
    reads.iter().map(wait).collect()
}

proptest! {
    #[test]
    fn every_step_is_as_the_naive_reader_does_it(
        steps in vec((chunk(), prop_oneof![
            any_read(short_limit),
            (0..9_usize).prop_map(Read::UpTo),
            (0..9000_usize).prop_map(Read::All),
            (0..9_usize).prop_map(Read::Consume),
        ]), 0..40),
        ends in 0..40_usize,
    ) {
        let (mut buffer, mut naive) = (StreamBuffer::<()>::new(), Naive::default());
        for (number, (chunk, asked)) in steps.into_iter().enumerate() {
            if number == ends {
                buffer.finish();
                naive.finished = true;
            }
            if number < ends {
                naive.bytes.extend(&chunk);
                buffer.push(chunk.into()).unwrap();
            }
            prop_assert_eq!(read(&mut buffer, &asked), naive.read(&asked), "{:?}", asked);
            prop_assert_eq!(buffer.len(), naive.bytes.len());
            prop_assert!(naive.bytes.starts_with(buffer.first()));
        }
    }

    #[test]
    fn whatever_the_chunks_complete_reads_give_the_same(
        chunks in vec(chunk(), 0..20),
        reads in vec(any_read(no_limit), 0..20),
    ) {
        let stream = chunks.concat();
        let bytes: Vec<_> = stream.iter().map(|&byte| vec![byte]).collect();
        let whole = session(std::slice::from_ref(&stream), &reads);
        prop_assert_eq!(&session(&chunks, &reads), &whole);
        if stream.len() < 3000 {
            prop_assert_eq!(&session(&bytes, &reads), &whole);
        }
    }
}
