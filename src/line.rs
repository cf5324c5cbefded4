//! A line: its bytes, how it ended, how to read it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memchr;

use crate::connection::Frames;
use crate::encoding::{Encoding, Undecodable};
use crate::frame::LineRule;

/// A line that was received, or that is to be sent: the body, its ending, and how to read it.
///
/// Cloning is cheap, and a received line of more than 64 bytes, its ending included, shares the block that it was read in:
/// whoever keeps lines for long keeps a [`detached`](Self::detached) copy. It is text only when asked, so a
/// line that is not decodable is a line all the same (XAS-39). It dereferences to its body.
///
/// ```
/// use switchboard_core::{Encoding, Line, LineEnding};
///
/// let line = Line::new("caf\u{e9}".into(), LineEnding::CrLf, Encoding::Utf8);
/// assert_eq!(line.text().unwrap(), "café");
/// assert_eq!(line.as_bytes(), b"caf\xC3\xA9");
/// ```
#[derive(Clone)]
pub struct Line {
    source: Source,
    /// Bytes of the body.
    length: usize,
    ending: LineEnding,
    encoding: Encoding,
}

/// Lines of up to so many bytes, their ending included, have them inside.
pub(crate) const SHORT: usize = 64;

/// What the bytes of a line lie in.
#[derive(Clone)]
enum Source {
    /// The body and its ending, and behind them whatever it is: what stood there, mostly. To copy so little
    /// costs less than to count who holds the block.
    Short(Inline),
    /// The body, and perhaps what stood behind it.
    Own(Bytes),
    /// A batch of lines, in which this one has its body and its ending at `start`.
    Batch { frames: Arc<Frames>, start: usize },
}

/// The bytes of a short line. It is moved several times on its way to a handler: so it stands where words do, since a
/// word that was written in two parts is slow to read.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Inline([u8; SHORT]);

/// How a line ended, or is to end. The default is LF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LineEnding {
    /// Not at all: what was left when the peer finished.
    None,
    /// LF.
    #[default]
    Lf,
    /// CR LF.
    CrLf,
}

impl Line {
    /// A line of this body, which holds no ending.
    #[inline]
    #[must_use]
    pub const fn new(body: Bytes, ending: LineEnding, encoding: Encoding) -> Self {
        Self {
            length: body.len(),
            source: Source::Own(body),
            ending,
            encoding,
        }
    }

    /// The line of a body and its ending, as they were cut from the input.
    ///
    /// Under [`LineRule::StripAllCr`] its CRs are dropped here (XAS-37), which copies only when one
    /// stands before another byte of the body; under the other rules this is [`new`](Self::new).
    #[inline]
    #[must_use]
    pub fn from_cut(frame: Bytes, ending: LineEnding, rule: LineRule, encoding: Encoding) -> Self {
        let length = frame.len() - ending.as_bytes().len();
        match rule {
            LineRule::StripAllCr => Self::new(without_crs(frame, length), ending, encoding),
            LineRule::Lenient | LineRule::CrLf | LineRule::Lf => Self {
                source: Source::Own(frame),
                length,
                ending,
                encoding,
            },
        }
    }

    /// The line that so many bytes at the front of `input` are, its ending included: copied, if it is short.
    #[inline(always)]
    pub(crate) fn short(
        input: &[u8],
        total: usize,
        ending: LineEnding,
        (rule, encoding): (LineRule, Encoding),
    ) -> Option<Self> {
        if total > SHORT || matches!(rule, LineRule::StripAllCr) {
            return None;
        }
        Some(Self {
            source: Source::Short(copy_short(input, total)),
            length: total - ending.as_bytes().len(),
            ending,
            encoding,
        })
    }

    /// The line of so many bytes, its ending included, at `start` in a batch.
    #[inline(always)]
    pub(crate) fn from_batch(
        frames: &Arc<Frames>,
        (start, total): (usize, usize),
        ending: LineEnding,
        (rule, encoding): (LineRule, Encoding),
    ) -> Self {
        let input = &frames.block()[start..];
        if let Some(line) = Self::short(input, total, ending, (rule, encoding)) {
            return line;
        }
        if matches!(rule, LineRule::StripAllCr) {
            let frame = frames.block().slice(start..start + total);
            return Self::from_cut(frame, ending, rule, encoding);
        }
        Self {
            source: Source::Batch {
                frames: Arc::clone(frames),
                start,
            },
            length: total - ending.as_bytes().len(),
            ending,
            encoding,
        }
    }

    /// The body, without its ending.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.source {
            Source::Short(Inline(bytes)) => &bytes[..self.length],
            Source::Own(block) => &block[..self.length],
            Source::Batch { frames, start } => &frames.block()[*start..*start + self.length],
        }
    }

    /// The body as a block that is cheap to clone.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &self.source {
            Source::Short(_) => Bytes::copy_from_slice(self.as_bytes()),
            Source::Own(block) => block.slice(..self.length),
            Source::Batch { frames, start } => frames.block().slice(*start..*start + self.length),
        }
    }

    /// The body alone.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.source {
            Source::Own(mut block) => {
                block.truncate(self.length);
                block
            }
            Source::Short(_) | Source::Batch { .. } => self.to_bytes(),
        }
    }

    /// How it ended.
    #[inline]
    #[must_use]
    pub const fn ending(&self) -> LineEnding {
        self.ending
    }

    /// How [`text`](Self::text) reads it.
    #[inline]
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The body as text.
    ///
    /// # Errors
    /// When the body is not valid in the line's encoding (XAS-39).
    #[inline]
    pub fn text(&self) -> Result<Cow<'_, str>, Undecodable> {
        self.encoding.decode(self.as_bytes())
    }

    /// Bytes of the body.
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether the body has no byte. An empty line is a line.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The same line with a body of its own, which does not keep the block alive that it was read in.
    #[must_use]
    pub fn detached(&self) -> Self {
        if matches!(self.source, Source::Short(_)) {
            return self.clone();
        }
        Self {
            source: Source::Own(Bytes::copy_from_slice(self.as_bytes())),
            ..*self
        }
    }
}

/// Copies so many bytes from the front of `input`, mostly by pieces whose size the compiler knows.
#[inline(always)]
fn copy_short(input: &[u8], total: usize) -> Inline {
    const HALF: usize = 32;
    if let Some(bytes) = input.first_chunk() {
        return Inline(*bytes);
    }
    let line = &input[..total];
    let mut bytes = [0; SHORT];
    match (line.first_chunk::<HALF>(), line.last_chunk::<HALF>()) {
        // The two overlap.
        (Some(first), Some(last)) if total <= 2 * HALF => {
            bytes[..HALF].copy_from_slice(first);
            bytes[total - HALF..total].copy_from_slice(last);
        }
        _ => bytes[..total].copy_from_slice(line),
    }
    Inline(bytes)
}

fn without_crs(mut raw: Bytes, length: usize) -> Bytes {
    raw.truncate(length);
    let kept = raw
        .iter()
        .rposition(|&byte| byte != b'\r')
        .map_or(0, |last| last + 1);
    raw.truncate(kept);
    if memchr(b'\r', &raw).is_none() {
        return raw;
    }
    let mut body = Vec::with_capacity(raw.len());
    body.extend(raw.iter().filter(|&&byte| byte != b'\r'));
    body.into()
}

impl LineEnding {
    /// Its bytes.
    #[inline]
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }

    /// The ending of a line that was cut with so many bytes to discard behind its body.
    #[inline]
    #[must_use]
    pub const fn of_discarded(bytes: usize) -> Self {
        match bytes {
            0 => Self::None,
            1 => Self::Lf,
            _ => Self::CrLf,
        }
    }
}

impl fmt::Debug for Line {
    /// The ending, the length, and at most 80 characters of the body, read as UTF-8.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        const LONGEST_CHAR: usize = 4;
        let start = &self[..self.len().min(SHOWN * LONGEST_CHAR)];
        let text = String::from_utf8_lossy(start);
        let shown: String = text.chars().take(SHOWN).collect();
        f.debug_struct("Line")
            .field("text", &shown)
            .field("len", &self.len())
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
            && self.ending == other.ending
            && self.encoding == other.encoding
    }
}

impl Eq for Line {}

/// Whether its body is this text; how it ended does not count.
impl PartialEq<str> for Line {
    fn eq(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

/// Whether its body is this text; how it ended does not count.
impl PartialEq<&str> for Line {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

/// Whether its body is these bytes; how it ended does not count.
impl PartialEq<[u8]> for Line {
    fn eq(&self, body: &[u8]) -> bool {
        self.as_bytes() == body
    }
}

impl Deref for Line {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<[u8]> for Line {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// A UTF-8 line without an ending.
impl From<&str> for Line {
    fn from(text: &str) -> Self {
        let body = Bytes::copy_from_slice(text.as_bytes());
        Self::new(body, LineEnding::None, Encoding::Utf8)
    }
}

/// What can be sent as a line.
pub trait AsLine {
    /// The body, without an ending.
    fn body(&self) -> &[u8];

    /// The ending to send. `None`: the connection's own.
    fn ending(&self) -> Option<LineEnding> {
        None
    }

    /// Both in one piece, where they lie so.
    fn wire(&self) -> Option<&[u8]> {
        None
    }

    /// The bytes of [`wire`](Self::wire), shared instead of copied, where that is possible.
    fn block(&self) -> Option<Bytes> {
        None
    }
}

/// Goes out as it came in: with its own ending, or without one when it had none.
impl AsLine for Line {
    #[inline]
    fn body(&self) -> &[u8] {
        self.as_bytes()
    }

    #[inline]
    fn ending(&self) -> Option<LineEnding> {
        Some(self.ending)
    }

    #[inline]
    fn wire(&self) -> Option<&[u8]> {
        let whole = self.length + self.ending.as_bytes().len();
        match &self.source {
            Source::Short(Inline(bytes)) => Some(&bytes[..whole]),
            Source::Own(block) => (block.len() == whole).then_some(block),
            Source::Batch { frames, start } => Some(&frames.block()[*start..*start + whole]),
        }
    }

    fn block(&self) -> Option<Bytes> {
        let whole = self.length + self.ending.as_bytes().len();
        match &self.source {
            Source::Short(_) => None,
            Source::Own(block) => (block.len() == whole).then(|| block.clone()),
            Source::Batch { frames, start } => Some(frames.block().slice(*start..*start + whole)),
        }
    }
}

impl<T: AsLine + ?Sized> AsLine for &T {
    #[inline]
    fn body(&self) -> &[u8] {
        (**self).body()
    }

    #[inline]
    fn ending(&self) -> Option<LineEnding> {
        (**self).ending()
    }

    #[inline]
    fn wire(&self) -> Option<&[u8]> {
        (**self).wire()
    }

    fn block(&self) -> Option<Bytes> {
        (**self).block()
    }
}

macro_rules! plain_lines {
    ($($type:ty),*) => {$(
        impl AsLine for $type {
            #[inline]
            fn body(&self) -> &[u8] {
                self.as_ref()
            }
        }
    )*};
}

plain_lines!(str, String, [u8], Vec<u8>, Bytes);

impl<const N: usize> AsLine for [u8; N] {
    #[inline]
    fn body(&self) -> &[u8] {
        self
    }
}

/// As [`Line::text`] gives it.
impl AsLine for Cow<'_, str> {
    #[inline]
    fn body(&self) -> &[u8] {
        self.as_bytes()
    }
}
