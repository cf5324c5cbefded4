//! Bodies that end with a delimiter.

use bytes::Bytes;
use memchr::memmem;

use super::{Cut, FrameError, Framing};

/// A delimiter must have at least one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delimiter needs at least one byte")]
pub struct EmptyDelimiter;

/// Finds bodies that end with a given sequence of bytes, which is taken away (AC-26).
///
/// The first occurrence ends the body, also when it is split over segments. `max` counts body bytes;
/// a body that is certainly longer is [`FrameError::FrameTooLong`]. So fewer than `max` bytes plus
/// the delimiter's wait for their end.
#[derive(Debug, Clone)]
pub struct DelimiterFraming {
    delimiter: Bytes,
    max: usize,
    /// No delimiter starts in so many bytes at the start of the input.
    scanned: usize,
}

impl DelimiterFraming {
    /// Bodies of at most `max` bytes that end with `delimiter`.
    ///
    /// # Errors
    /// When the delimiter is empty.
    pub fn new(delimiter: impl Into<Bytes>, max: usize) -> Result<Self, EmptyDelimiter> {
        let delimiter = delimiter.into();
        if delimiter.is_empty() {
            return Err(EmptyDelimiter);
        }
        Ok(Self {
            delimiter,
            max,
            scanned: 0,
        })
    }

    /// What ends a body.
    #[must_use]
    pub const fn delimiter(&self) -> &Bytes {
        &self.delimiter
    }

    /// The most body bytes that a frame may have.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// Whether `input`, which holds no delimiter, can still become an allowed frame: it is short
    /// enough, or a delimiter may have begun before the limit.
    fn may_end(&self, input: &[u8]) -> bool {
        input.len() <= self.max
            || (self.scanned..=self.max).any(|start| self.delimiter.starts_with(&input[start..]))
    }
}

impl Framing for DelimiterFraming {
    fn cut(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        debug_assert!(
            self.scanned <= input.len(),
            "the input only grows until a frame is taken and the framing reset"
        );
        let end = input
            .len()
            .min(self.max.saturating_add(self.delimiter.len()));
        let unseen = input.get(self.scanned..end).unwrap_or_default();
        if let Some(at) = memmem::find(unseen, &self.delimiter) {
            self.scanned += at;
            return Ok(Some(Cut {
                skip: 0,
                body: self.scanned,
                discard: self.delimiter.len(),
            }));
        }
        // The last bytes may be the start of a delimiter.
        self.scanned = self
            .scanned
            .max((end + 1).saturating_sub(self.delimiter.len()));
        if self.may_end(input) {
            Ok(None)
        } else {
            Err(FrameError::FrameTooLong {
                limit: self.max,
                announced: None,
            })
        }
    }

    #[inline]
    fn reset(&mut self) {
        self.scanned = 0;
    }

    fn resync(&self, input: &[u8]) -> usize {
        memmem::find(input, &self.delimiter).map_or(input.len(), |at| at + self.delimiter.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bodies, feed};
    use super::*;

    fn framing(delimiter: &'static str, max: usize) -> DelimiterFraming {
        DelimiterFraming::new(delimiter, max).unwrap()
    }

    const TOO_LONG: Result<Option<Cut>, FrameError> = Err(FrameError::FrameTooLong {
        limit: 4,
        announced: None,
    });

    #[test]
    fn ac_26_a_custom_delimiter_is_found_across_every_split() {
        let script = b"mail\r\n.body\r\n.\r\n\r\n.\r\nrest";
        for split in 0..=script.len() {
            let (head, tail) = script.split_at(split);
            let fed = feed(framing("\r\n.\r\n", 64).into(), [head, tail]);
            assert_eq!(bodies(&fed), ["mail\r\n.body", ""], "split at {split}");
            assert_eq!(fed.rest, b"rest");
        }
    }

    #[test]
    fn a_false_start_does_not_hide_the_delimiter() {
        let fed = feed(framing("aab", 9).into(), b"aaab".chunks(1));
        assert_eq!(bodies(&fed), ["a"]);
    }

    #[test]
    fn max_bytes_pass_and_one_more_does_not() {
        assert_eq!(framing("--", 4).cut(b"abcd--").unwrap().unwrap().body, 4);
        assert_eq!(framing("--", 4).cut(b"abcde--"), TOO_LONG);
        assert_eq!(framing(";", 4).cut(b"abcde"), TOO_LONG);
        assert!(framing(";", 0).cut(b";").unwrap().is_some());
        assert!(framing(";", 0).cut(b"x").is_err());
    }

    #[test]
    fn too_long_is_told_as_soon_as_it_is_certain() {
        assert_eq!(framing("--", 4).cut(b"abcd"), Ok(None));
        assert_eq!(framing("--", 4).cut(b"abcd-"), Ok(None));
        assert_eq!(framing("--", 4).cut(b"abcde"), TOO_LONG);
        assert_eq!(framing("--", 4).cut(b"abcd-e"), TOO_LONG);
        assert_eq!(
            framing("-=-=-", 4).cut(b"ab-=-=-=").unwrap().unwrap().body,
            2
        );
        assert_eq!(framing("-=-=+", 4).cut(b"ab-=-=-="), Ok(None));
        assert_eq!(framing("-=-=+", 4).cut(b"ab-=-=-=-"), TOO_LONG);
    }

    #[test]
    fn the_largest_limit_does_not_overflow() {
        let cut = framing("--", usize::MAX).cut(b"abcde--").unwrap().unwrap();
        assert_eq!(cut.total(), 7);
        assert_eq!(framing("--", usize::MAX).cut(b"abcde-"), Ok(None));
    }

    #[test]
    fn an_empty_delimiter_is_refused() {
        assert_eq!(DelimiterFraming::new("", 9).unwrap_err(), EmptyDelimiter);
    }

    #[test]
    fn the_same_question_has_the_same_answer() {
        for input in [&b"ab--"[..], b"abcd-", b"abcdefgh", b"-", b""] {
            let mut framing = framing("--", 4);
            let first = framing.cut(input);
            assert_eq!(framing.cut(input), first, "{input:?}");
        }
    }

    #[test]
    fn after_a_refused_frame_the_next_one_is_readable() {
        let framing = framing("--", 4);
        assert_eq!(framing.resync(b"too long--ok--"), 10);
        assert_eq!(framing.resync(b"too long"), 8);
    }

    #[test]
    fn byte_by_byte_scanning_looks_at_no_byte_more_often_than_the_delimiter_is_long() {
        let input = b"-+".repeat(2048);
        let mut framing = framing("-+-+=", input.len());
        let mut looked_at = 0;
        for end in 1..=input.len() {
            looked_at += end - framing.scanned;
            assert_eq!(framing.cut(&input[..end]), Ok(None));
        }
        assert!(looked_at <= input.len() * framing.delimiter.len());
    }
}
