//! Bodies behind their length.

use super::{Cut, FrameError, Framing};

/// Finds messages behind a 4-byte unsigned big-endian length, as asyncoro sends them (ACO-08).
///
/// A length of zero is a message of no bytes (ACO-09). A length over `max` is
/// [`FrameError::FrameTooLong`] as soon as its four bytes are there: nothing is awaited and nothing
/// allocated for it (ACO-10). A peer that finishes inside a message has made an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthFraming {
    max: usize,
}

/// Bytes of the length itself.
const PREFIX: usize = size_of::<u32>();

impl LengthFraming {
    /// Messages of at most `max` body bytes.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { max }
    }

    /// The most body bytes that a message may have.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// The length that the peer announced, or `None` when it is not there yet.
    #[inline]
    fn announced(&self, input: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = input.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let announced = u32::from_be_bytes(*prefix);
        match usize::try_from(announced) {
            Ok(body) if body <= self.max => Ok(Some(body)),
            _ => Err(FrameError::FrameTooLong {
                limit: self.max,
                announced: Some(announced.into()),
            }),
        }
    }
}

impl Framing for LengthFraming {
    #[inline]
    fn cut(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        let cut = self.announced(input)?.map(|body| Cut {
            skip: PREFIX,
            body,
            discard: 0,
        });
        Ok(cut.filter(|cut| cut.body <= input.len() - PREFIX))
    }

    #[inline]
    fn reset(&mut self) {}

    fn needed(&self, input: &[u8]) -> usize {
        match self.announced(input) {
            Ok(Some(body)) => body.saturating_sub(input.len() - PREFIX).max(1),
            Ok(None) => PREFIX - input.len(),
            Err(_) => 1,
        }
    }

    fn partial_is_error(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bodies, feed};
    use super::*;

    #[test]
    fn aco_08_the_length_is_four_bytes_big_endian() {
        let cut = LengthFraming::new(9).cut(b"\0\0\0\x02hi").unwrap().unwrap();
        assert_eq!((cut.skip, cut.body, cut.discard), (4, 2, 0));
    }

    #[test]
    fn aco_09_zero_length_is_a_message_and_every_split_gives_the_same() {
        let script = b"\0\0\0\x02hi\0\0\0\0\0\0\0\x03you\0\0";
        for split in 0..=script.len() {
            let (head, tail) = script.split_at(split);
            let fed = feed(LengthFraming::new(3).into(), [head, tail]);
            assert_eq!(bodies(&fed), ["hi", "", "you"], "split at {split}");
            assert_eq!(fed.rest, b"\0\0");
        }
    }

    #[test]
    fn aco_09_finishing_inside_a_message_is_an_error() {
        assert!(LengthFraming::new(9).partial_is_error());
    }

    #[test]
    fn aco_10_too_long_is_told_after_the_length_alone() {
        let mut framing = LengthFraming::new(8);
        assert_eq!(framing.cut(b"\xFF\xFF\xFF"), Ok(None));
        let error = FrameError::FrameTooLong {
            limit: 8,
            announced: Some(0xFFFF_FFFF),
        };
        assert_eq!(framing.cut(b"\xFF\xFF\xFF\xFF"), Err(error));
        assert_eq!(framing.needed(b"\xFF\xFF\xFF\xFF"), 1);
        assert_eq!(framing.cut(b"\0\0\0\x08"), Ok(None));
        assert!(framing.cut(b"\0\0\0\x09").is_err());
    }

    #[test]
    fn needed_is_the_rest_of_the_length_then_of_the_body() {
        let framing = LengthFraming::new(8);
        assert_eq!(framing.needed(b""), 4);
        assert_eq!(framing.needed(b"\0\0\0"), 1);
        assert_eq!(framing.needed(b"\0\0\0\x08ab"), 6);
        assert_eq!(framing.needed(b"\0\0\0\x00"), 1);
    }
}
