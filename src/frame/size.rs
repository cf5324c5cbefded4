//! So many bytes, or what is there.

use std::num::NonZeroUsize;

use super::{Cut, FrameError, Framing};

/// Takes bytes by their number (XAS-42, XAS-43, AMB-02).
///
/// It never fails and has no limit of its own: whoever arms a receive checks the size against
/// `max_recv` before, and nothing is allocated for it in advance (T-29).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeFraming {
    /// Exactly so many bytes; what is beyond stays for the next frame.
    Exact(NonZeroUsize),
    /// Exactly as many bytes as the receive buffer holds, given here. XAsyncSockets means this by
    /// "no size" (XAS-42).
    Full(NonZeroUsize),
    /// All that is there, at least one byte.
    Available,
    /// What is there but at most so many bytes, at least one.
    UpTo(NonZeroUsize),
}

impl Framing for SizeFraming {
    #[inline]
    fn cut(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        let body = match *self {
            Self::Exact(size) | Self::Full(size) => size.get(),
            Self::Available => input.len().max(1),
            Self::UpTo(most) => input.len().clamp(1, most.get()),
        };
        Ok((body <= input.len()).then_some(Cut {
            skip: 0,
            body,
            discard: 0,
        }))
    }

    #[inline]
    fn reset(&mut self) {}

    #[inline]
    fn needed(&self, input: &[u8]) -> usize {
        match *self {
            Self::Exact(size) | Self::Full(size) => size.get().saturating_sub(input.len()).max(1),
            Self::Available | Self::UpTo(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bodies, feed};
    use super::*;

    fn size(size: usize) -> NonZeroUsize {
        NonZeroUsize::new(size).unwrap()
    }

    #[test]
    fn xas_43_exact_leaves_the_surplus_for_the_next() {
        let fed = feed(SizeFraming::Exact(size(5)).into(), [&b"0123456789ab"[..]]);
        assert_eq!(bodies(&fed), ["01234", "56789"]);
        assert_eq!(fed.rest, b"ab");
    }

    #[test]
    fn xas_42_full_waits_where_available_does_not() {
        let input = b"hello world";
        assert_eq!(SizeFraming::Full(size(4096)).cut(input), Ok(None));
        let cut = SizeFraming::Available.cut(input).unwrap().unwrap();
        assert_eq!(cut.body, 11);
    }

    #[test]
    fn up_to_takes_what_is_there_but_not_more() {
        let body = |input: &[u8]| {
            let cut = SizeFraming::UpTo(size(4)).cut(input).unwrap();
            cut.map(|cut| cut.total())
        };
        assert_eq!(body(b""), None);
        assert_eq!(body(b"a"), Some(1));
        assert_eq!(body(b"abcd"), Some(4));
        assert_eq!(body(b"abcde"), Some(4));
    }

    #[test]
    fn nothing_is_never_a_frame() {
        assert_eq!(SizeFraming::Available.cut(b""), Ok(None));
        assert_eq!(SizeFraming::Exact(size(1)).cut(b""), Ok(None));
    }

    #[test]
    fn needed_is_what_is_missing() {
        assert_eq!(SizeFraming::Exact(size(5)).needed(b"abc"), 2);
        assert_eq!(SizeFraming::Exact(size(5)).needed(b"abcdefg"), 1);
        assert_eq!(SizeFraming::Available.needed(b""), 1);
    }
}
