//! What came in: the unframed bytes, the armed receive, and the frame that is complete.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use crate::config::ConnectionConfig;
use crate::encoding::Encoding;
use crate::error::ArmError;
use crate::frame::{
    AnyFraming, Cut, DelimiterFraming, FrameError, Framing, LengthFraming, LineFraming, LineRule,
    SizeFraming,
};
use crate::line::{Line, SHORT};
use crate::receive::{OnTimeout, Receive, ReceiveKind, Repeat};

use super::batch::Batch;
use super::credit::Permit;
use super::{Event, Interests, spare};

/// Reads of at least this size keep their block; smaller ones are copied into one of their own, so
/// that a waiting line does not hold a whole read slot.
const KEEP_BLOCK: usize = 16 * 1024;

/// The receiving side of the machine.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    buffer: BytesMut,
    armed: Option<Armed>,
    /// The first complete frame of `buffer`; only while something is armed.
    ready: Option<Cut>,
}

#[derive(Debug)]
pub(super) struct Armed {
    framing: AnyFraming,
    form: Form,
    repeat: Repeat,
    /// Whether its frame goes to somebody who asked for it, not to the session.
    requested: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) on_timeout: OnTimeout,
}

/// What a frame is delivered as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Line { rule: LineRule, encoding: Encoding },
    Data,
    Message,
}

impl Form {
    const fn interest(self) -> (Interests, &'static str) {
        match self {
            Self::Line { .. } => (Interests::LINE, "LineReceived"),
            Self::Data => (Interests::DATA, "DataReceived"),
            Self::Message => (Interests::MESSAGE, "MessageReceived"),
        }
    }
}

impl Armed {
    /// Checks a receive against the limits and makes its framing.
    pub(super) fn new(
        receive: &Receive,
        config: &ConnectionConfig,
        interests: Interests,
    ) -> Result<Self, ArmError> {
        let bounded = |asked: usize, limit: usize| {
            if asked > limit {
                Err(ArmError::TooLarge { asked, limit })
            } else {
                Ok(asked)
            }
        };
        if receive.timeout == Some(Duration::ZERO) {
            return Err(ArmError::ZeroTimeout);
        }
        let (framing, form) = match &receive.kind {
            ReceiveKind::Line {
                rule,
                encoding,
                max,
            } => {
                let rule = rule.unwrap_or(config.line_rule);
                let max = match *max {
                    Some(max) => bounded(max, config.max_recv)?,
                    None => config.max_line,
                };
                let encoding = encoding.unwrap_or(config.encoding);
                (
                    AnyFraming::Line(LineFraming::new(rule, max)),
                    Form::Line { rule, encoding },
                )
            }
            ReceiveKind::Exact(size) => {
                bounded(size.get(), config.max_recv)?;
                (AnyFraming::Size(SizeFraming::Exact(*size)), Form::Data)
            }
            ReceiveKind::Full => {
                // The config was validated: the buffer has at least 256 bytes.
                let size = config.recv_buffer.try_into().unwrap_or(MIN_SIZE);
                (AnyFraming::Size(SizeFraming::Full(size)), Form::Data)
            }
            ReceiveKind::Available => (AnyFraming::Size(SizeFraming::Available), Form::Data),
            ReceiveKind::UpTo(size) => (AnyFraming::Size(SizeFraming::UpTo(*size)), Form::Data),
            ReceiveKind::Until { delimiter, max } => {
                let max = match *max {
                    Some(max) => bounded(max, config.max_recv)?,
                    None => config.max_line,
                };
                let framing = DelimiterFraming::new(delimiter.clone(), max)
                    .map_err(|_| ArmError::EmptyDelimiter)?;
                (AnyFraming::Delimiter(Box::new(framing)), Form::Data)
            }
            ReceiveKind::Message { max } => {
                let max = bounded(max.unwrap_or(config.max_message), config.max_message)?;
                (AnyFraming::Length(LengthFraming::new(max)), Form::Message)
            }
        };
        let (interest, event) = form.interest();
        if !interests.contains(interest) {
            return Err(ArmError::NoHandler { event });
        }
        Ok(Self {
            framing,
            form,
            repeat: receive.repeat,
            requested: false,
            timeout: receive.timeout,
            on_timeout: receive.on_timeout,
        })
    }
}

const MIN_SIZE: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN;

impl Inbound {
    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    pub(super) const fn armed(&self) -> Option<&Armed> {
        self.armed.as_ref()
    }

    pub(super) const fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Whether the armed receive goes on after the frame that is ready.
    pub(super) const fn reads_ahead(&self) -> bool {
        matches!(
            self.armed,
            Some(Armed {
                repeat: Repeat::Always,
                ..
            })
        )
    }

    /// Whether what is there is the beginning of a frame that must not stay unfinished.
    pub(super) fn partial_is_error(&self) -> bool {
        !self.is_empty()
            && self
                .armed
                .as_ref()
                .is_some_and(|armed| armed.framing.partial_is_error())
    }

    /// Arms a receive and looks whether what is there completes it already.
    pub(super) fn arm(&mut self, armed: Armed) -> Result<(), FrameError> {
        self.armed = Some(armed);
        self.ready = None;
        self.scan()
    }

    /// The same for somebody who will fetch the frame.
    pub(super) fn request(
        &mut self,
        receive: &Receive,
        config: &ConnectionConfig,
    ) -> Result<Result<(), FrameError>, ArmError> {
        let mut armed = Armed::new(receive, config, Interests::ALL)?;
        armed.requested = true;
        Ok(self.arm(armed))
    }

    /// Whether a requested receive is armed.
    pub(super) fn is_requested(&self) -> bool {
        self.armed.as_ref().is_some_and(|armed| armed.requested)
    }

    /// What has come, copied.
    pub(super) fn copy(&self) -> Bytes {
        Bytes::copy_from_slice(&self.buffer)
    }

    pub(super) fn disarm(&mut self) -> Option<Armed> {
        self.ready = None;
        self.armed.take()
    }

    /// Keeps all of `data`, without looking for frames in it.
    pub(super) fn keep(&mut self, data: &mut BytesMut) {
        self.buffer.extend_from_slice(data);
        data.clear();
    }

    /// Takes all of `data`. Small reads are copied out, so that the read slot can go back.
    pub(super) fn append(&mut self, data: &mut BytesMut) -> Result<(), FrameError> {
        if self.buffer.is_empty() && data.len() >= KEEP_BLOCK {
            self.buffer = data.split();
        } else if self.buffer.is_empty() {
            self.buffer = spare::take_small(data.len());
            self.buffer.extend_from_slice(data);
            data.clear();
        } else {
            self.buffer.extend_from_slice(data);
            data.clear();
        }
        self.scan()
    }

    /// Whether a receive is armed whose frame is not complete.
    #[inline]
    pub(super) const fn awaits_frame(&self) -> bool {
        self.armed.is_some() && self.ready.is_none()
    }

    /// Takes all of `data`, if it is one short line that the session waits for, and nothing stands before it.
    #[inline]
    pub(super) fn take_at_once(&mut self, data: &mut BytesMut) -> Option<(Line, usize)> {
        let length = data.len();
        let armed = self.armed.as_mut()?;
        let AnyFraming::Line(framing) = &mut armed.framing else {
            return None;
        };
        if length > SHORT
            || !self.buffer.is_empty()
            || armed.requested
            || armed.repeat != Repeat::Always
            || armed.timeout.is_some()
        {
            return None;
        }
        let cut = framing.cut(data);
        framing.reset();
        let cut = cut.ok()?.filter(|cut| cut.total() == length)?;
        let line = armed.form.short_line(data, cut)?;
        data.clear();
        Some((line, length))
    }

    /// Takes the frame that is ready, as the event that it is delivered as.
    pub(super) fn take(&mut self) -> Option<(Event, usize)> {
        let cut = self.ready.take()?;
        let armed = self.armed.as_mut()?;
        let length = cut.total();
        let event = match armed.form.short_line(&self.buffer, cut) {
            Some(line) => {
                let line = Event::Line(line);
                if length < self.buffer.len() {
                    self.buffer.advance(length);
                } else {
                    spare::give_small(std::mem::take(&mut self.buffer));
                }
                line
            }
            None => armed.form.event(take_front(&mut self.buffer, length), cut),
        };
        match &mut armed.repeat {
            Repeat::Always => armed.framing.reset(),
            Repeat::Times(left) => match std::num::NonZeroU32::new(left.get() - 1) {
                Some(fewer) => {
                    *left = fewer;
                    armed.framing.reset();
                }
                None => self.armed = None,
            },
        }
        Some((event, length))
    }

    /// Takes all complete frames at once, at most so many, if there is more than one and the receive
    /// goes on without a deadline. Whether the bytes behind them are in order is not looked at.
    #[inline]
    pub(super) fn take_batch(&mut self, most: usize) -> Option<(Batch, Permit)> {
        let first = self.ready?;
        if first.total() == self.buffer.len() {
            return None;
        }
        self.take_several(most)
    }

    fn take_several(&mut self, most: usize) -> Option<(Batch, Permit)> {
        let armed = self.armed.as_mut()?;
        if most < 2 || armed.repeat != Repeat::Always || armed.timeout.is_some() {
            return None;
        }
        let mut cuts = Vec::with_capacity(most);
        // A broken rule is found again when its turn comes.
        let end = armed.framing.cut_run(&self.buffer, 0, most, &mut cuts);
        if cuts.len() < 2 {
            return None;
        }
        self.ready = None;
        let permit = Permit::many(cuts.len(), end);
        let block = self.buffer.split_to(end).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Some((Batch::new(block, armed.form, cuts), permit))
    }

    /// Puts back what was taken last and not begun with.
    pub(super) fn put_back(&mut self, rest: &Bytes) {
        let mut buffer = BytesMut::with_capacity(rest.len() + self.buffer.len());
        buffer.extend_from_slice(rest);
        buffer.extend_from_slice(&self.buffer);
        self.buffer = buffer;
        self.ready = None;
        if let Some(armed) = &mut self.armed {
            armed.framing.reset();
        }
    }

    /// Takes at most so many bytes without any framing.
    pub(super) fn take_raw(&mut self, most: usize) -> Bytes {
        let count = most.min(self.buffer.len());
        take_front(&mut self.buffer, count)
    }

    /// Takes everything that nobody has asked for.
    pub(super) fn take_unread(&mut self) -> Bytes {
        self.disarm();
        std::mem::take(&mut self.buffer).freeze()
    }

    /// Looks for the next frame; called after bytes came or a frame was taken.
    #[inline]
    pub(super) fn scan(&mut self) -> Result<(), FrameError> {
        // Nothing comes of nothing, whatever is waited for.
        if self.ready.is_none() && !self.buffer.is_empty() {
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), FrameError> {
        if let Some(armed) = &mut self.armed {
            self.ready = armed.framing.cut(&self.buffer)?;
        }
        Ok(())
    }
}

/// Takes so many bytes off the front. When that is all there is, the buffer itself goes, if it is not
/// much larger than what is in it, nor one that is used again.
fn take_front(buffer: &mut BytesMut, count: usize) -> Bytes {
    if count < buffer.len() {
        return buffer.split_to(count).freeze();
    }
    let whole = std::mem::take(buffer);
    if whole.capacity() > 2 * count || spare::is_small(&whole) {
        let copy = Bytes::copy_from_slice(&whole);
        spare::give_small(whole);
        return copy;
    }
    whole.freeze()
}
