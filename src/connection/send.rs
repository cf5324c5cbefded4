//! Commands that send.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::config::write_limits;
use crate::error::{LimitsError, SendError, SendRefusal, SlotError};
use crate::id::Token;
use crate::line::{AsLine, LineEnding};
use crate::now::Now;
use crate::payload::Payload;
use crate::reason::{Cause, TimeoutKind};

use super::state::{State, WriteHalf};
use super::{Connection, Event, Interests, SendSlot, WatchId, Watched, outbox};

impl Connection {
    /// Queues bytes. `Ok(true)`: the outbox was empty, so the driver must be woken.
    ///
    /// # Errors
    /// When nothing can be queued; the payload comes back.
    pub fn send<P: Payload>(
        &mut self,
        payload: P,
        token: Option<Token>,
    ) -> Result<bool, SendError<P>> {
        let length = payload.as_slice().len();
        if let Err(refusal) = self.check_send(length, token) {
            return Err(SendError { refusal, payload });
        }
        let wake = self.outbox.is_empty();
        self.outbox.push(payload);
        self.queued(length, token);
        Ok(wake)
    }

    /// Queues a line and its ending, its own or else the connection's.
    ///
    /// # Errors
    /// When nothing can be queued.
    pub fn send_line(
        &mut self,
        line: &(impl AsLine + ?Sized),
        token: Option<Token>,
    ) -> Result<bool, SendRefusal> {
        let wake = self.outbox.is_empty();
        let length = if let Some(wire) = line.wire() {
            self.check_send(wire.len(), token)?;
            match (wire.len() > outbox::COALESCE).then(|| line.block()) {
                Some(Some(block)) => self.outbox.push(block),
                _ => self.outbox.copy(wire),
            }
            wire.len()
        } else {
            let ending = line.ending().unwrap_or(self.config.line_ending).as_bytes();
            let body = line.body();
            let length = body.len() + ending.len();
            self.check_send(length, token)?;
            self.outbox.copy(body);
            self.outbox.copy(ending);
            length
        };
        self.queued(length, token);
        Ok(wake)
    }

    /// Queues a message behind its 4-byte big-endian length (ACO-08). An empty one is a message.
    ///
    /// # Errors
    /// When nothing can be queued; the payload comes back.
    pub fn send_message<P: Payload>(
        &mut self,
        payload: P,
        token: Option<Token>,
    ) -> Result<bool, SendError<P>> {
        let length = payload.as_slice().len();
        let limit = self.config.max_message;
        let announced = match u32::try_from(length) {
            Ok(announced) if length <= limit => announced,
            _ => {
                let asked = length;
                let refusal = SendRefusal::MessageTooLong { asked, limit };
                return Err(SendError { refusal, payload });
            }
        };
        if let Err(refusal) = self.check_send(length + 4, token) {
            return Err(SendError { refusal, payload });
        }
        let wake = self.outbox.is_empty();
        self.outbox.copy(&announced.to_be_bytes());
        if length > 0 {
            self.outbox.push(payload);
        }
        self.queued(length + 4, token);
        Ok(wake)
    }

    /// Queues several payloads as one send with one notice (AIO-14). All or none.
    ///
    /// # Errors
    /// When they cannot all be queued; they come back.
    pub fn send_many(
        &mut self,
        parts: Vec<Bytes>,
        token: Option<Token>,
    ) -> Result<bool, SendError<Vec<Bytes>>> {
        let length = parts.iter().map(Bytes::len).sum();
        if let Err(refusal) = self.check_send(length, token) {
            let payload = parts;
            return Err(SendError { refusal, payload });
        }
        let wake = self.outbox.is_empty();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            self.outbox.push(part);
        }
        self.queued(length, token);
        Ok(wake)
    }

    /// How many bytes may be accepted for it ahead of the queue, to be [queued](Self::queue_ahead) soon: none that
    /// would be refused now, and none that would have anything told; and how its lines end that have no ending of
    /// their own.
    #[inline]
    #[must_use]
    pub fn room_ahead(&self) -> (usize, LineEnding) {
        let room = match &self.state {
            State::Open {
                write: WriteHalf::Open,
                ..
            } => self.outbox.room_unnoticed(),
            _ => 0,
        };
        (room, self.config.line_ending)
    }

    /// Queues what was accepted [ahead](Self::room_ahead), whatever has become of the connection meanwhile: what
    /// comes too late to be sent is among the unsent bytes of its end, and so is what stands behind bytes that a
    /// close has dropped.
    pub fn queue_ahead(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Closing(closing) if closing.dropped > 0 => closing.dropped += bytes.len(),
            state @ (State::Lingering { .. } | State::Over { .. }) => {
                if let Some(detail) = state.untold_mut() {
                    detail.unsent += bytes.len();
                }
            }
            _ => {
                self.outbox.copy(bytes);
                self.queued(bytes.len(), None);
            }
        }
    }

    /// Whether so many bytes that were accepted [ahead](Self::room_ahead) may be written at once, past the queue.
    #[inline]
    #[must_use]
    pub fn may_pass(&self, length: usize) -> bool {
        self.outbox.is_empty() && self.is_fully_open() && self.transmittable() >= length
    }

    /// The socket took so many bytes that [passed](Self::may_pass) the queue.
    #[inline]
    pub fn handle_passed(&mut self, count: usize, now: &mut Now) {
        if count > 0 {
            self.outbox.pass(count);
            self.wrote(count, now);
        }
    }

    /// Watches the last so many bytes that were queued, until it is [told](Self::poll_watch) what became of
    /// them; of none that is when everything before is taken.
    pub fn watch_queued(&mut self, length: usize) -> WatchId {
        self.outbox.watch(length)
    }

    /// What has become of the bytes that are watched, if that is known. What cannot be written any more is
    /// lost.
    #[must_use]
    pub fn poll_watch(&self, id: WatchId) -> Option<Watched> {
        if let Some(outcome) = self.outbox.watched(id) {
            return Some(outcome);
        }
        self.write_fault().is_some().then(|| Watched::Lost {
            taken: self.outbox.watched_taken(id),
        })
    }

    /// How many of the bytes that are watched the system has taken so far.
    #[must_use]
    pub fn watched_taken(&self, id: WatchId) -> usize {
        self.outbox.watched_taken(id)
    }

    /// Nobody waits for them any more.
    pub fn unwatch(&mut self, id: WatchId) {
        self.outbox.unwatch(id);
    }

    /// Why nothing can be written any more, while the connection is open.
    #[must_use]
    pub const fn write_fault(&self) -> Option<&Cause> {
        match &self.state {
            State::Open {
                write: WriteHalf::Broken(cause),
                ..
            } => Some(cause),
            _ => None,
        }
    }

    /// Whether so many bytes could be queued now, as far as the capacity goes.
    #[must_use]
    pub const fn has_room(&self, length: usize) -> bool {
        length <= self.outbox.room()
    }

    /// Queues as much of the front as there is room for and says how much that was (AC-14); the flag
    /// asks to wake the driver.
    ///
    /// # Errors
    /// When nothing can ever be queued again.
    pub fn try_send(&mut self, bytes: &[u8]) -> Result<(usize, bool), SendRefusal> {
        self.check_writable()?;
        // Nothing is queued while writing is paused: that is what "would block" means here.
        let high = match self.outbox.limits() {
            _ if self.outbox.is_paused() => 0,
            (high, _) => high.max(1),
        };
        let room = high.saturating_sub(self.outbox.size());
        let count = bytes.len().min(room).min(self.outbox.room());
        let wake = self.outbox.is_empty() && count > 0;
        if count > 0 {
            self.outbox.push(&bytes[..count]);
            self.queued(count, None);
        }
        Ok((count, wake))
    }

    /// Lends out the connection's send slot, to be filled in place (XAS-53).
    ///
    /// # Errors
    /// When it is lent or being sent, or the connection is closed.
    pub fn take_slot(&mut self) -> Result<BytesMut, SlotError> {
        self.check_writable()?;
        let slot = &mut self.seldom.get_or_insert_default().slot;
        match slot.replace(SendSlot::Away) {
            None => Ok(BytesMut::zeroed(self.config.send_slot)),
            Some(SendSlot::Home(buffer)) => Ok(buffer),
            Some(SendSlot::Away) => Err(SlotError::Busy),
        }
    }

    /// Takes the send slot back unsent.
    pub fn return_slot(&mut self, mut buffer: BytesMut) {
        buffer.resize(self.config.send_slot, 0);
        self.seldom.get_or_insert_default().slot = Some(SendSlot::Home(buffer));
    }

    /// Gives the connection memory of somebody else's for its send slot.
    pub fn lend_slot(&mut self, memory: BytesMut) {
        self.return_slot(memory);
    }

    /// Takes the memory of the send slot away, if it is not being sent; for when the connection is
    /// over.
    pub fn reclaim_slot(&mut self) -> Option<BytesMut> {
        let slot = self.seldom.as_mut()?.slot.as_mut()?;
        match std::mem::replace(slot, SendSlot::Away) {
            SendSlot::Home(memory) => Some(memory),
            SendSlot::Away => None,
        }
    }

    /// Shortens the time that the connection lingers, now or later.
    pub fn hurry(&mut self, linger: Duration, now: &mut Now) {
        let Some(lingers) = self.linger() else {
            return;
        };
        let linger = linger.min(lingers);
        self.seldom.get_or_insert_default().hurried = Some(linger);
        if matches!(self.state, State::Lingering { .. }) {
            self.timers.shorten(TimeoutKind::Linger, now.get(), linger);
        }
    }

    /// Queues the first bytes of the send slot without copying them. The slot is free again when the
    /// system has taken them.
    ///
    /// # Errors
    /// When the length does not fit or nothing can be queued; the slot comes back.
    pub fn send_slot(
        &mut self,
        mut buffer: BytesMut,
        length: usize,
        token: Option<Token>,
    ) -> Result<bool, (SlotError, BytesMut)> {
        let size = buffer.len();
        if length == 0 || length > size {
            let asked = length;
            return Err((SlotError::BadSize { asked, size }, buffer));
        }
        if let Err(refusal) = self.check_send(length, token) {
            return Err((refusal.into(), buffer));
        }
        let wake = self.outbox.is_empty();
        buffer.truncate(length);
        self.outbox.push_slot(buffer);
        self.queued(length, token);
        Ok(wake)
    }

    /// Changes the write marks; a missing one is derived (AIO-08). May pause or resume at once.
    ///
    /// # Errors
    /// When the high mark would be below the low one; nothing changes.
    pub fn set_write_limits(
        &mut self,
        high: Option<usize>,
        low: Option<usize>,
    ) -> Result<(), LimitsError> {
        let (high, low) = write_limits(high, low)?;
        match self.outbox.set_limits(high, low) {
            Some(true) => self.notify(Interests::WRITE_PAUSED, Event::WritePaused),
            Some(false) => self.notify(Interests::WRITE_RESUMED, Event::WriteResumed),
            None => {}
        }
        Ok(())
    }
}
