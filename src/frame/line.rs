//! Lines: where one ends, and how long it may be.

use memchr::{memchr, memchr_iter, memchr2};

use super::newlines::{Newlines, first_newline};
use super::{Cut, FrameError, Framing, cut_one_by_one};

/// What ends a line, and what happens to its CRs (AMB-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LineRule {
    /// LF ends a line; at most one CR before it belongs to the ending. Every other byte is kept.
    #[default]
    Lenient,
    /// As XAsyncSockets (XAS-37): LF ends a line, and every CR is dropped wherever it stands. CRs do
    /// not count towards the limit (XAS-38).
    StripAllCr,
    /// Only CR LF ends a line; a CR or an LF alone is an error.
    CrLf,
    /// Only LF ends a line; a CR before it stays in the body.
    Lf,
}

/// Finds lines.
///
/// The limit counts body bytes without the ending (AMB-18): a line of exactly `max` bytes passes
/// whether LF or CR LF follows, a longer one is [`FrameError::LineTooLong`] as soon as that is
/// certain, also when its LF never comes (XAS-38). So at most `max` + 2 bytes wait for their ending,
/// and 2 × `max` + 16 under [`LineRule::StripAllCr`], where a flood of CRs would otherwise be free.
#[derive(Debug, Clone)]
pub struct LineFraming {
    rule: LineRule,
    max: usize,
    /// So many bytes at the start of the input hold no ending.
    scanned: usize,
    /// So many of them are CRs, as far as it counts; under `StripAllCr` only. Every connection has this, so it is
    /// small.
    crs: u32,
}

impl LineFraming {
    /// Lines under this rule, of at most `max` body bytes.
    #[must_use]
    pub const fn new(rule: LineRule, max: usize) -> Self {
        Self {
            rule,
            max,
            scanned: 0,
            crs: 0,
        }
    }

    /// What ends a line.
    #[must_use]
    pub const fn rule(&self) -> LineRule {
        self.rule
    }

    /// The most body bytes that a line may have.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// What was not looked at before, up to byte `end` of the input: no allowed ending is behind it.
    #[inline]
    fn unseen<'a>(&self, input: &'a [u8], end: usize) -> &'a [u8] {
        let end = input.len().min(end);
        input.get(self.scanned..end).unwrap_or_default()
    }

    const fn too_long(&self) -> FrameError {
        FrameError::LineTooLong { limit: self.max }
    }

    #[inline]
    fn cut_lenient(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        let unseen = self.unseen(input, self.max.saturating_add(2));
        let found = first_newline(unseen);
        self.scanned += found.unwrap_or(unseen.len());
        let raw = match found {
            Some(_) => &input[..self.scanned],
            None => input,
        };
        // Without an LF yet, a CR behind a full body may still be half of the ending.
        let body = raw.strip_suffix(b"\r").map_or(raw.len(), <[u8]>::len);
        if body > self.max {
            return Err(self.too_long());
        }
        Ok(found.map(|_| Cut {
            skip: 0,
            body,
            discard: raw.len() - body + 1,
        }))
    }

    #[inline(never)]
    fn cut_strip_all_cr(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        let raw_max = self.max.saturating_mul(2).saturating_add(16);
        let unseen = self.unseen(input, raw_max.saturating_add(1));
        let found = memchr(b'\n', unseen);
        let passed = &unseen[..found.unwrap_or(unseen.len())];
        let crs = memchr_iter(b'\r', passed).count();
        self.crs = self
            .crs
            .saturating_add(u32::try_from(crs).unwrap_or(u32::MAX));
        self.scanned += passed.len();
        if self.scanned > raw_max || self.scanned - self.crs as usize > self.max {
            return Err(self.too_long());
        }
        Ok(found.map(|_| Cut {
            skip: 0,
            body: self.scanned,
            discard: 1,
        }))
    }

    #[inline(never)]
    fn cut_crlf(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        let unseen = self.unseen(input, self.max.saturating_add(1));
        let found = memchr2(b'\r', b'\n', unseen);
        self.scanned += found.unwrap_or(unseen.len());
        if found.is_none() {
            return if self.scanned > self.max {
                Err(self.too_long())
            } else {
                Ok(None)
            };
        }
        match input[self.scanned..] {
            [b'\r', b'\n', ..] => Ok(Some(Cut {
                skip: 0,
                body: self.scanned,
                discard: 2,
            })),
            [b'\r'] => Ok(None),
            [b'\r', ..] => Err(FrameError::BareCr),
            _ => Err(FrameError::BareLf),
        }
    }

    #[inline(never)]
    fn cut_lf(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        let unseen = self.unseen(input, self.max.saturating_add(1));
        let found = first_newline(unseen);
        self.scanned += found.unwrap_or(unseen.len());
        if self.scanned > self.max {
            return Err(self.too_long());
        }
        Ok(found.map(|_| Cut {
            skip: 0,
            body: self.scanned,
            discard: 1,
        }))
    }
}

impl Framing for LineFraming {
    #[inline]
    fn cut(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        debug_assert!(
            self.scanned <= input.len(),
            "the input only grows until a frame is taken and the framing reset"
        );
        match self.rule {
            LineRule::Lenient => self.cut_lenient(input),
            LineRule::StripAllCr => self.cut_strip_all_cr(input),
            LineRule::CrLf => self.cut_crlf(input),
            LineRule::Lf => self.cut_lf(input),
        }
    }

    fn cut_run(
        &mut self,
        input: &[u8],
        mut start: usize,
        most: usize,
        cuts: &mut Vec<(usize, Cut)>,
    ) -> usize {
        if self.rule != LineRule::Lenient {
            return cut_one_by_one(self, input, start, most, cuts);
        }
        // One search over all of the input instead of one per line.
        self.reset();
        let first = start;
        for found in Newlines::new(&input[first..]).take(most) {
            let end = first + found;
            let ending = 1 + usize::from(end > start && input[end - 1] == b'\r');
            let body = end + 1 - start - ending;
            if body > self.max {
                break;
            }
            let cut = Cut {
                skip: 0,
                body,
                discard: ending,
            };
            cuts.push((start, cut));
            start = end + 1;
        }
        start
    }

    #[inline]
    fn reset(&mut self) {
        self.scanned = 0;
        self.crs = 0;
    }

    fn resync(&self, input: &[u8]) -> usize {
        memchr(b'\n', input).map_or(input.len(), |lf| lf + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bodies, feed};
    use super::*;

    const ALL: [LineRule; 4] = [
        LineRule::Lenient,
        LineRule::StripAllCr,
        LineRule::CrLf,
        LineRule::Lf,
    ];

    fn cut(rule: LineRule, max: usize, input: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let cut = LineFraming::new(rule, max).cut(input)?;
        Ok(cut.map(|cut| (cut.body, cut.discard)))
    }

    const TOO_LONG: Result<Option<(usize, usize)>, FrameError> =
        Err(FrameError::LineTooLong { limit: 4 });

    #[test]
    fn xas_37_lenient_takes_at_most_one_cr_with_the_lf() {
        let rule = LineRule::Lenient;
        assert_eq!(cut(rule, 9, b"ab\r\n"), Ok(Some((2, 2))));
        assert_eq!(cut(rule, 9, b"ab\n"), Ok(Some((2, 1))));
        assert_eq!(cut(rule, 9, b"ab\r\r\n"), Ok(Some((3, 2))));
        assert_eq!(cut(rule, 9, b"a\rb\n"), Ok(Some((3, 1))));
        assert_eq!(cut(rule, 9, b"\n"), Ok(Some((0, 1))));
        assert_eq!(cut(rule, 9, b"\r\n"), Ok(Some((0, 2))));
        assert_eq!(cut(rule, 9, b"ab\r"), Ok(None));
        assert_eq!(cut(rule, 9, b""), Ok(None));
    }

    #[test]
    fn xas_37_strip_all_cr_leaves_the_crs_to_the_line() {
        let rule = LineRule::StripAllCr;
        assert_eq!(cut(rule, 9, b"ab\r\r\n"), Ok(Some((4, 1))));
        assert_eq!(cut(rule, 9, b"a\rb\n"), Ok(Some((3, 1))));
        assert_eq!(cut(rule, 9, b"\n"), Ok(Some((0, 1))));
    }

    #[test]
    fn crlf_refuses_a_cr_or_an_lf_alone() {
        let rule = LineRule::CrLf;
        assert_eq!(cut(rule, 9, b"ab\r\n"), Ok(Some((2, 2))));
        assert_eq!(cut(rule, 9, b"ab\n"), Err(FrameError::BareLf));
        assert_eq!(cut(rule, 9, b"ab\r\r\n"), Err(FrameError::BareCr));
        assert_eq!(cut(rule, 9, b"a\rb\r\n"), Err(FrameError::BareCr));
        assert_eq!(cut(rule, 9, b"ab\r"), Ok(None));
    }

    #[test]
    fn lf_keeps_every_cr() {
        let rule = LineRule::Lf;
        assert_eq!(cut(rule, 9, b"ab\r\n"), Ok(Some((3, 1))));
        assert_eq!(cut(rule, 9, b"a\rb\n"), Ok(Some((3, 1))));
    }

    #[test]
    fn t_10_an_ending_may_be_split_between_cr_and_lf() {
        for rule in [LineRule::Lenient, LineRule::CrLf] {
            let mut framing = LineFraming::new(rule, 2);
            assert_eq!(framing.cut(b"ab\r"), Ok(None));
            let cut = framing.cut(b"ab\r\n").unwrap().unwrap();
            assert_eq!((cut.body, cut.discard), (2, 2));
        }
    }

    #[test]
    fn xas_38_max_bytes_pass_and_one_more_does_not() {
        for rule in ALL {
            if rule != LineRule::CrLf {
                assert_eq!(cut(rule, 4, b"abcd\n"), Ok(Some((4, 1))), "{rule:?}");
                assert_eq!(cut(rule, 4, b"abcde\n"), TOO_LONG, "{rule:?}");
            }
            assert_eq!(cut(rule, 4, b"abcde\r\n"), TOO_LONG, "{rule:?}");
            assert_eq!(cut(rule, 4, b"abcd"), Ok(None), "{rule:?}");
        }
        assert_eq!(cut(LineRule::Lenient, 4, b"abcd\r\n"), Ok(Some((4, 2))));
        assert_eq!(cut(LineRule::CrLf, 4, b"abcd\r\n"), Ok(Some((4, 2))));
        assert_eq!(cut(LineRule::StripAllCr, 4, b"abcd\r\n"), Ok(Some((5, 1))));
        assert_eq!(cut(LineRule::Lf, 4, b"abcd\r\n"), TOO_LONG);
        assert_eq!(cut(LineRule::Lf, 4, b"abc\r\n"), Ok(Some((4, 1))));
    }

    #[test]
    fn xas_38_too_long_is_told_without_waiting_for_the_lf() {
        for rule in ALL {
            assert_eq!(cut(rule, 4, b"abcde"), TOO_LONG, "{rule:?}");
        }
        assert_eq!(cut(LineRule::Lenient, 4, b"abcd\r"), Ok(None));
        assert_eq!(cut(LineRule::Lenient, 4, b"abcd\r\r"), TOO_LONG);
        assert_eq!(cut(LineRule::CrLf, 4, b"abcd\r"), Ok(None));
        assert_eq!(cut(LineRule::Lf, 4, b"abcd\r"), TOO_LONG);
    }

    #[test]
    fn xas_38_crs_do_not_count_but_a_flood_of_them_is_bounded() {
        let flood = |crs: usize| [b"ab".as_slice(), &vec![b'\r'; crs], b"cd\n"].concat();
        let rule = LineRule::StripAllCr;
        assert_eq!(cut(rule, 4, &flood(20)), Ok(Some((24, 1))));
        assert_eq!(cut(rule, 4, &flood(21)), TOO_LONG);
        assert_eq!(cut(rule, 4, &[b'\r'; 24]), Ok(None));
        assert_eq!(cut(rule, 4, &[b'\r'; 25]), TOO_LONG);
        assert_eq!(cut(rule, 0, b"\r\r\r\n"), Ok(Some((3, 1))));
    }

    #[test]
    fn the_largest_limits_do_not_overflow() {
        for rule in ALL {
            for max in [usize::MAX, usize::MAX - 1, usize::MAX / 2] {
                assert!(cut(rule, max, b"ab\r\n").unwrap().is_some(), "{rule:?}");
            }
            assert!(cut(rule, 0, b"\r\n").is_ok() || rule == LineRule::Lf);
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer() {
        for rule in ALL {
            for input in [&b"a\r\rb\r\n"[..], b"a\r\n", b"abcdef", b"ab\r", b"ab\n"] {
                let mut framing = LineFraming::new(rule, 4);
                let first = framing.cut(input);
                assert_eq!(framing.cut(input), first, "{rule:?} {input:?}");
            }
        }
    }

    #[test]
    fn several_lines_of_one_segment_come_in_order() {
        let framing = LineFraming::new(LineRule::Lenient, 9);
        let fed = feed(framing.into(), [&b"one\r\n\ntwo\nthr"[..]]);
        assert_eq!(bodies(&fed), ["one", "", "two"]);
        assert_eq!(fed.rest, b"thr");
    }

    #[test]
    fn xas_45_every_split_of_a_script_gives_the_same_lines() {
        let script = b"hello\r\n\r\nw\xC3\xB6rld\n";
        for split in 0..=script.len() {
            let (head, tail) = script.split_at(split);
            let framing = LineFraming::new(LineRule::Lenient, 6);
            let fed = feed(framing.into(), [head, tail]);
            assert_eq!(bodies(&fed), ["hello", "", "wörld"], "split at {split}");
            assert_eq!(fed.error, None);
        }
    }

    #[test]
    fn aio_32_after_a_line_that_is_too_long_the_next_one_is_readable() {
        let mut framing = LineFraming::new(LineRule::Lenient, 4);
        let mut input = &b"0123456789\nok\n"[..];
        assert!(framing.cut(input).is_err());
        input = &input[framing.resync(input)..];
        framing.reset();
        assert_eq!(framing.cut(input).unwrap().unwrap().body, 2);
        assert_eq!(framing.resync(b"0123456789"), 10);
    }

    #[test]
    fn t_09_byte_by_byte_scanning_is_linear() {
        let patterns: [&[u8]; 3] = [b"x", b"\r", b"xy\r"];
        for rule in ALL {
            for pattern in patterns {
                if rule == LineRule::CrLf && pattern != b"x" {
                    continue;
                }
                let input = pattern.repeat(4096);
                let mut framing = LineFraming::new(rule, input.len());
                let mut looked_at = 0;
                for end in 1..=input.len() {
                    looked_at += end - framing.scanned;
                    assert_eq!(framing.cut(&input[..end]), Ok(None));
                }
                assert_eq!(looked_at, input.len(), "{rule:?}");
            }
        }
    }

    #[test]
    fn a_cr_in_suspense_is_the_only_byte_that_is_looked_at_twice() {
        let mut framing = LineFraming::new(LineRule::CrLf, 9);
        assert_eq!(framing.cut(b"abc\r"), Ok(None));
        assert_eq!(framing.scanned, 3);
    }

    #[test]
    fn one_huge_segment_is_not_searched_beyond_the_limit() {
        let mut input = vec![b'x'; 1 << 20];
        input.push(b'\n');
        for rule in ALL {
            let mut framing = LineFraming::new(rule, 100);
            assert!(framing.cut(&input).is_err());
            assert!(framing.scanned <= 2 * 100 + 17, "{rule:?}");
        }
    }
}
