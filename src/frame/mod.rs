//! Where a frame ends: lines, sizes, delimiters and length prefixes.
//!
//! A [`Framing`] only looks. It is shown the bytes that were received and not yet taken, and answers
//! with a [`Cut`]: how many bytes to skip, how many are the body, how many to discard behind it. It
//! owns no buffer, copies nothing and allocates nothing, so what a peer announces or leaves out can
//! cost neither memory nor time: every byte is looked at a bounded number of times however it is
//! split over segments (XAS-45, T-10), and each framing has a limit, in bytes of body.

mod delimiter;
mod length;
mod line;
mod newlines;
mod size;

pub use delimiter::{DelimiterFraming, EmptyDelimiter};
pub use length::LengthFraming;
pub use line::{LineFraming, LineRule};
pub use size::SizeFraming;

/// Where the first frame of the input ends: bytes to skip, the body, bytes to discard behind it.
///
/// A cut always lies within the input that it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes in front of the body that are no part of it, such as a length prefix.
    pub skip: usize,
    /// Bytes of the body.
    pub body: usize,
    /// Bytes behind the body that are no part of it, such as a line ending.
    pub discard: usize,
}

impl Cut {
    /// All bytes that the frame takes from the input.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.skip + self.body + self.discard
    }
}

/// Why the input cannot become a frame. Always the peer's doing; the connection that sees it ends
/// with reason Error, or drops [`Framing::resync`] bytes and reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A line has more body bytes than allowed, whether or not its ending was seen (XAS-38).
    #[error("line is longer than {limit} bytes")]
    LineTooLong {
        /// The most body bytes that a line may have.
        limit: usize,
    },
    /// A frame is, or says that it will be, longer than allowed (ACO-10, AC-26).
    #[error("{}", too_long(*limit, *announced))]
    FrameTooLong {
        /// The most body bytes that a frame may have.
        limit: usize,
        /// The length that the peer announced; `None` where frames end with a delimiter.
        announced: Option<u64>,
    },
    /// A CR without an LF behind it, under [`LineRule::CrLf`].
    #[error("carriage return without a line feed behind it")]
    BareCr,
    /// An LF without a CR before it, under [`LineRule::CrLf`].
    #[error("line feed without a carriage return before it")]
    BareLf,
}

fn too_long(limit: usize, announced: Option<u64>) -> String {
    match announced {
        Some(announced) => format!("frame of {announced} bytes exceeds the limit of {limit}"),
        None => format!("no delimiter behind a frame of at most {limit} bytes"),
    }
}

/// Finds the frames of a stream, one after the other.
///
/// **Show it the unread input after every read; take the frame when there is a cut; then reset.**
///
/// 1. Call [`cut`](Self::cut) with all bytes that were received and not yet taken.
/// 2. `Ok(None)`: read more, append, go to 1. The input may only grow meanwhile, and keeps its start.
/// 3. `Ok(Some(cut))`: take [`Cut::total`] bytes, call [`reset`](Self::reset), go to 1 with the rest.
/// 4. `Err`: close, or drop [`resync`](Self::resync) bytes and call `reset`.
pub trait Framing {
    /// Looks for the first frame of `input`, and remembers how far it looked.
    ///
    /// Asked again about the same input it gives the same answer.
    ///
    /// # Errors
    /// When it is certain that no allowed frame can come of `input`, whatever follows. Nothing is
    /// consumed.
    fn cut(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError>;

    /// Cuts off frame after frame, from byte `start` of the input on: appends where each begins and
    /// how it is cut, `most` at most, and returns where the last one ends. Stops before the first that
    /// is not complete or not allowed, to be looked at by [`cut`](Self::cut). The framing is reset.
    fn cut_run(
        &mut self,
        input: &[u8],
        start: usize,
        most: usize,
        cuts: &mut Vec<(usize, Cut)>,
    ) -> usize {
        cut_one_by_one(self, input, start, most, cuts)
    }

    /// Forgets what was looked at: the next input starts with another byte.
    fn reset(&mut self);

    /// How many more bytes than `input` the next frame certainly needs, at least 1.
    ///
    /// A hint for how much to read before it is worth looking again. It never exceeds the framing's
    /// limit, whatever the peer announced, and nobody has to allocate that much (T-29).
    fn needed(&self, input: &[u8]) -> usize {
        let _ = input;
        1
    }

    /// How many bytes of a refused `input` to drop so that reading can go on behind them: through
    /// the first ending when it is there, everything otherwise (AIO-32).
    fn resync(&self, input: &[u8]) -> usize {
        input.len()
    }

    /// Whether what a peer leaves when it finishes in the middle of a frame is an error
    /// (length-prefixed messages, ACO-09) rather than a remainder to hand back (XAS-48).
    fn partial_is_error(&self) -> bool {
        false
    }
}

fn cut_one_by_one<F: Framing + ?Sized>(
    framing: &mut F,
    input: &[u8],
    mut start: usize,
    most: usize,
    cuts: &mut Vec<(usize, Cut)>,
) -> usize {
    framing.reset();
    for _ in 0..most {
        let Ok(Some(cut)) = framing.cut(&input[start..]) else {
            break;
        };
        cuts.push((start, cut));
        start += cut.total();
        framing.reset();
    }
    framing.reset();
    start
}

/// Any framing of this module, chosen at run time and called without a vtable.
#[derive(Debug, Clone)]
pub enum AnyFraming {
    /// Lines.
    Line(LineFraming),
    /// So many bytes, or what is there.
    Size(SizeFraming),
    /// Bodies that end with a delimiter. Boxed, since it is the largest by far.
    Delimiter(Box<DelimiterFraming>),
    /// Bodies behind their length.
    Length(LengthFraming),
}

impl Framing for AnyFraming {
    #[inline]
    fn cut(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        match self {
            Self::Line(framing) => framing.cut(input),
            Self::Size(framing) => framing.cut(input),
            Self::Delimiter(framing) => framing.cut(input),
            Self::Length(framing) => framing.cut(input),
        }
    }

    fn cut_run(
        &mut self,
        input: &[u8],
        start: usize,
        most: usize,
        cuts: &mut Vec<(usize, Cut)>,
    ) -> usize {
        match self {
            Self::Line(framing) => framing.cut_run(input, start, most, cuts),
            Self::Size(framing) => framing.cut_run(input, start, most, cuts),
            Self::Delimiter(framing) => framing.cut_run(input, start, most, cuts),
            Self::Length(framing) => framing.cut_run(input, start, most, cuts),
        }
    }

    #[inline]
    fn reset(&mut self) {
        match self {
            Self::Line(framing) => framing.reset(),
            Self::Size(framing) => framing.reset(),
            Self::Delimiter(framing) => framing.reset(),
            Self::Length(framing) => framing.reset(),
        }
    }

    #[inline]
    fn needed(&self, input: &[u8]) -> usize {
        match self {
            Self::Line(framing) => framing.needed(input),
            Self::Size(framing) => framing.needed(input),
            Self::Delimiter(framing) => framing.needed(input),
            Self::Length(framing) => framing.needed(input),
        }
    }

    fn resync(&self, input: &[u8]) -> usize {
        match self {
            Self::Line(framing) => framing.resync(input),
            Self::Size(framing) => framing.resync(input),
            Self::Delimiter(framing) => framing.resync(input),
            Self::Length(framing) => framing.resync(input),
        }
    }

    fn partial_is_error(&self) -> bool {
        match self {
            Self::Line(framing) => framing.partial_is_error(),
            Self::Size(framing) => framing.partial_is_error(),
            Self::Delimiter(framing) => framing.partial_is_error(),
            Self::Length(framing) => framing.partial_is_error(),
        }
    }
}

impl From<LineFraming> for AnyFraming {
    fn from(framing: LineFraming) -> Self {
        Self::Line(framing)
    }
}

impl From<SizeFraming> for AnyFraming {
    fn from(framing: SizeFraming) -> Self {
        Self::Size(framing)
    }
}

impl From<DelimiterFraming> for AnyFraming {
    fn from(framing: DelimiterFraming) -> Self {
        Self::Delimiter(Box::new(framing))
    }
}

impl From<LengthFraming> for AnyFraming {
    fn from(framing: LengthFraming) -> Self {
        Self::Length(framing)
    }
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_display_as_one_lower_case_line() {
        let errors = [
            (
                FrameError::LineTooLong { limit: 4096 },
                "line is longer than 4096 bytes",
            ),
            (
                FrameError::FrameTooLong {
                    limit: 9,
                    announced: Some(4_294_967_295),
                },
                "frame of 4294967295 bytes exceeds the limit of 9",
            ),
            (
                FrameError::FrameTooLong {
                    limit: 9,
                    announced: None,
                },
                "no delimiter behind a frame of at most 9 bytes",
            ),
            (
                FrameError::BareCr,
                "carriage return without a line feed behind it",
            ),
            (
                FrameError::BareLf,
                "line feed without a carriage return before it",
            ),
        ];
        for (error, text) in errors {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn total_is_all_that_a_frame_takes() {
        let cut = Cut {
            skip: 4,
            body: 3,
            discard: 2,
        };
        assert_eq!(cut.total(), 9);
    }

    #[test]
    fn any_framing_stays_small_so_that_an_idle_connection_does() {
        assert!(size_of::<AnyFraming>() <= 64);
    }
}
