//! Several complete frames taken at once: one block, one lock, one look at the rules.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::Event;
use super::credit::Permit;
use super::inbound::Form;
use crate::frame::Cut;
use crate::line::{Line, LineEnding};

/// Frames that lie behind one another, on their way to the session. A clone stays with the machine,
/// so that what the session has not begun with can be [recalled](super::Connection::recall).
#[derive(Debug, Clone)]
pub struct Batch(Arc<Frames>);

/// The machine's own view of a batch that is with the session.
#[derive(Debug)]
pub(super) struct Lent {
    batch: Batch,
    /// Frames from here on were recalled.
    end: usize,
}

impl Lent {
    pub(super) fn new(batch: Batch) -> Self {
        let end = batch.len();
        Self { batch, end }
    }

    /// How many frames were not recalled.
    pub(super) const fn len(&self) -> usize {
        self.end
    }

    /// Takes back the frames from this position on: their bytes, and the credit that they took.
    pub(super) fn recall(&mut self, position: usize) -> (Bytes, Permit) {
        let end = self.end;
        self.end = position.min(end);
        let (from, to) = (self.batch.start(self.end), self.batch.start(end));
        let rest = self.batch.0.block.slice(from..to);
        (rest, Permit::many(end - self.end, to - from))
    }
}

/// What the frames of a [`Batch`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Lines.
    Line,
    /// Data.
    Data,
    /// Messages.
    Message,
}

/// A block of input, and where the frames lie in it.
#[derive(Debug)]
pub(crate) struct Frames {
    block: Bytes,
    form: Form,
    /// Where each frame begins, and how it is cut.
    cuts: Vec<(usize, Cut)>,
}

impl Frames {
    #[inline]
    pub(crate) const fn block(&self) -> &Bytes {
        &self.block
    }
}

impl Batch {
    pub(super) fn new(block: Bytes, form: Form, cuts: Vec<(usize, Cut)>) -> Self {
        Self(Arc::new(Frames { block, form, cuts }))
    }

    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.cuts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.cuts.is_empty()
    }

    /// What its frames are.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> FrameKind {
        match self.0.form {
            Form::Line { .. } => FrameKind::Line,
            Form::Data => FrameKind::Data,
            Form::Message => FrameKind::Message,
        }
    }

    /// The line at this position of a batch of lines, with the credit that it took; `None` behind the
    /// last one.
    #[inline(always)]
    #[must_use]
    pub fn line(&self, position: usize) -> Option<(Line, Permit)> {
        let Form::Line { rule, encoding } = self.0.form else {
            return None;
        };
        let (start, cut) = *self.0.cuts.get(position)?;
        let ending = LineEnding::of_discarded(cut.discard);
        let place = (start, cut.total());
        let line = Line::from_batch(&self.0, place, ending, (rule, encoding));
        Some((line, Permit::one(cut.total())))
    }

    /// The body of the frame at this position, with the credit that it took; `None` behind the last
    /// one.
    #[inline]
    #[must_use]
    pub fn body(&self, position: usize) -> Option<(Bytes, Permit)> {
        let (start, cut) = *self.0.cuts.get(position)?;
        let frame = self.0.block.slice(start..start + cut.total());
        Some((body(frame, cut), Permit::one(cut.total())))
    }

    /// Where the frame at this position begins in the block; its end behind the last one.
    fn start(&self, position: usize) -> usize {
        let cut = self.0.cuts.get(position);
        cut.map_or(self.0.block.len(), |&(start, _)| start)
    }
}

fn body(mut frame: Bytes, cut: Cut) -> Bytes {
    if cut.body < frame.len() {
        frame.advance(cut.skip);
        frame.truncate(cut.body);
    }
    frame
}

impl Form {
    /// The frame at the front of the input, if it is a short line.
    #[inline]
    pub(super) fn short_line(self, input: &[u8], cut: Cut) -> Option<Line> {
        let Self::Line { rule, encoding } = self else {
            return None;
        };
        let ending = LineEnding::of_discarded(cut.discard);
        Line::short(input, cut.total(), ending, (rule, encoding))
    }

    /// A frame as the event that it is delivered as.
    #[inline]
    pub(super) fn event(self, frame: Bytes, cut: Cut) -> Event {
        match self {
            Self::Line { rule, encoding } => {
                let ending = LineEnding::of_discarded(cut.discard);
                Event::Line(Line::from_cut(frame, ending, rule, encoding))
            }
            Self::Data => Event::Data(body(frame, cut)),
            Self::Message => Event::Message(body(frame, cut)),
        }
    }
}
