//! All line feeds of an input, when there are many: one mask tells of 64 bytes, so that a short line costs a few
//! instructions and not a search of its own.

use memchr::memchr;
use wide::u8x16;

/// How many bytes one comparison looks at.
const LANES: usize = 16;
/// How many bytes one mask tells of.
const BLOCK: usize = 64;

/// Where the line feeds stand, in order.
pub(super) struct Newlines<'a> {
    /// What was not looked at yet.
    rest: &'a [u8],
    /// Where it begins.
    next: usize,
    /// Those of the last block that were not told yet: a bit for each.
    mask: u64,
}

/// Where the first line feed stands. Most inputs are one line or a few.
#[inline]
pub(super) fn first_newline(input: &[u8]) -> Option<usize> {
    const HALF: usize = BLOCK / 2;
    if let Some((block, rest)) = input.split_first_chunk::<BLOCK>() {
        let mask = newlines_of(block);
        return if mask == 0 {
            memchr(b'\n', rest).map(|place| BLOCK + place)
        } else {
            Some(mask.trailing_zeros() as usize)
        };
    }
    let (Some(first), Some(last)) = (input.first_chunk::<HALF>(), input.last_chunk::<HALF>())
    else {
        return memchr(b'\n', input);
    };
    // The two overlap: what both have the first one tells.
    let mask = newlines_of(first) | newlines_of(last) << (input.len() - HALF);
    (mask != 0).then(|| mask.trailing_zeros() as usize)
}

impl<'a> Newlines<'a> {
    pub(super) const fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            next: 0,
            mask: 0,
        }
    }
}

impl Iterator for Newlines<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.mask == 0 {
            self.mask = match self.rest.split_first_chunk::<BLOCK>() {
                Some((block, rest)) => {
                    self.rest = rest;
                    newlines_of(block)
                }
                None if self.rest.is_empty() => return None,
                None => {
                    let mut block = [0; BLOCK];
                    block[..self.rest.len()].copy_from_slice(self.rest);
                    self.rest = &[];
                    newlines_of(&block)
                }
            };
            self.next += BLOCK;
        }
        let place = self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        Some(self.next - BLOCK + place)
    }
}

/// A bit for each line feed in the bytes, at most 64; the first byte's is the lowest.
#[inline(always)]
#[allow(
    clippy::cast_sign_loss,
    reason = "of the 32 bits only the lower 16 are set"
)]
fn newlines_of<const BYTES: usize>(block: &[u8; BYTES]) -> u64 {
    let feed = u8x16::splat(b'\n');
    let lanes = block.as_chunks::<LANES>().0;
    lanes.iter().rev().fold(0, |mask, lane| {
        let equal = u8x16::new(*lane).cmp_eq(feed).move_mask();
        mask << LANES | u64::from(equal as u32)
    })
}

#[cfg(test)]
mod tests {
    use memchr::memchr_iter;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_place_of_each_length_is_found() {
        for length in 0..200 {
            for place in 0..length {
                let mut input = vec![b'\r'; length];
                input[place] = b'\n';
                assert!(Newlines::new(&input).eq([place]), "{place} of {length}");
                assert_eq!(first_newline(&input), Some(place), "of {length}");
            }
            assert!(Newlines::new(&vec![0; length]).eq([]));
            assert_eq!(first_newline(&vec![0; length]), None);
            assert!(Newlines::new(&vec![b'\n'; length]).eq(0..length));
        }
    }

    proptest! {
        #[test]
        fn they_are_those_of_a_search_for_each(input in proptest::collection::vec(8_u8..12, 0..400)) {
            prop_assert!(Newlines::new(&input).eq(memchr_iter(b'\n', &input)));
            prop_assert_eq!(first_newline(&input), memchr(b'\n', &input));
        }
    }
}
