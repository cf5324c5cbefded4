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

#[derive(Debug)]
struct Frames {
    block: Bytes,
    form: Form,
    /// Where each frame begins, and how it is cut.
    cuts: Vec<(usize, Cut)>,
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

    /// The frame at this position, with the credit that it took; `None` behind the last one.
    #[inline]
    #[must_use]
    pub fn get(&self, position: usize) -> Option<(Event, Permit)> {
        let (start, cut) = self.0.cuts.get(position).copied()?;
        let frame = self.0.block.slice(start..start + cut.total());
        Some((self.0.form.event(frame, cut), Permit::one(cut.total())))
    }

    /// All bytes from the frame at this position on, and the credit that those frames took.
    pub(super) fn rest(&self, position: usize) -> (Bytes, Permit) {
        match self.0.cuts.get(position) {
            None => (Bytes::new(), Permit::NONE),
            Some(&(start, _)) => {
                let rest = self.0.block.slice(start..);
                let permit = Permit::many(self.len() - position, rest.len());
                (rest, permit)
            }
        }
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
