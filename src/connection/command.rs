//! Commands: what the session wants.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::config::write_limits;
use crate::error::{ArmError, LimitsError, SendError, SendRefusal, SlotError};
use crate::id::Token;
use crate::line::AsLine;
use crate::now::Now;
use crate::payload::Payload;
use crate::reason::{Cause, TimeoutKind};
use crate::receive::Receive;

use super::inbound::Armed;
use super::state::{ReadHalf, State, WriteHalf};
use super::{Connection, Event, Interests, SendSlot, outbox};

impl Connection {
    /// Says which events the session handles. What it does not handle is not produced.
    pub const fn set_interests(&mut self, interests: Interests) {
        self.interests = interests;
    }

    /// A session took the connection: the first receive is armed, reading may begin.
    ///
    /// # Errors
    /// When the preset receive cannot be armed; the connection then closes.
    pub fn adopt(&mut self, now: &mut Now) -> Result<(), ArmError> {
        if !matches!(self.state, State::Adopting) {
            return Ok(());
        }
        self.timers.clear(TimeoutKind::Adoption);
        let again = self.was_open();
        if let Some(redial) = &mut self.redial {
            redial.up(now.get());
        }
        self.state = State::Open {
            read: ReadHalf::Open,
            write: WriteHalf::Open,
        };
        self.touch_read(now);
        self.touch_write(now);
        if let Some(after) = self.config.max_lifetime {
            self.timers.start(TimeoutKind::Lifetime, now.get(), after);
        }
        let place = if again {
            // All that waits is of an earlier link.
            self.notices.len()
        } else {
            self.after_links()
        };
        self.seated(Event::Opened, place, now)
    }

    /// Behind what was told of links, and of the connection's begin: a predecessor may have failed before
    /// it heard of them.
    pub(super) fn after_links(&self) -> usize {
        let of_links = |event: &Event| event.is_of_links() || matches!(event, Event::Opened);
        let last = self.notices.iter().rposition(of_links);
        last.map_or(0, |last| last + 1)
    }

    /// A session has the connection: it is told so at this place of what waits, then how writing stands,
    /// and the first receive is armed.
    pub(super) fn seated(
        &mut self,
        told: Event,
        place: usize,
        now: &mut Now,
    ) -> Result<(), ArmError> {
        let mut later = self.notices.split_off(place);
        if self.interests.contains(told.interest()) {
            self.notices.push_back(told);
        }
        self.tell_pause();
        self.notices.append(&mut later);
        let config = Arc::clone(&self.config);
        if let Some(first) = &config.first_receive
            && self.inbound.armed().is_none()
            && let Err(error) = self.arm(first, now)
        {
            if let ArmError::NoHandler { event } = error {
                self.begin_close(Cause::NoHandler { event }, None, now);
            }
            return Err(error);
        }
        Ok(())
    }

    /// Arms a receive.
    ///
    /// # Errors
    /// When another one is armed, a limit is exceeded, the session cannot take what it brings, or
    /// nothing can come any more. What was armed before stays untouched.
    pub fn arm(&mut self, receive: &Receive, now: &mut Now) -> Result<(), ArmError> {
        match &self.state {
            State::Connecting
            | State::Adopting
            | State::Open {
                read: ReadHalf::Open,
                ..
            } => {}
            State::Open { .. } if !self.inbound.is_empty() => {}
            State::Open { .. } => return Err(ArmError::PeerFinished),
            _ => return Err(ArmError::Closed),
        }
        if self.inbound.armed().is_some() {
            return Err(ArmError::AlreadyReceiving);
        }
        let armed = Armed::new(receive, &self.config, self.interests)?;
        let outcome = self.inbound.arm(armed);
        self.start_receive_clock(now);
        self.framed(outcome, now);
        Ok(())
    }

    /// Disarms the receive, if one is armed; what has arrived stays for the next one.
    pub fn cancel_receive(&mut self) -> bool {
        self.timers.clear(TimeoutKind::Receive);
        self.stop_frame_clocks();
        // What broke this receive's rule need not break that of the next one.
        self.fault = None;
        self.inbound.disarm().is_some()
    }

    /// Takes at most so many received bytes at once (AC-15). `None`: nothing is there.
    ///
    /// # Errors
    /// When a receive is armed, or the connection is closed and nothing is left.
    pub fn try_receive(&mut self, most: usize, now: &mut Now) -> Result<Option<Bytes>, ArmError> {
        if !matches!(
            self.state,
            State::Connecting | State::Adopting | State::Open { .. }
        ) {
            return Err(ArmError::Closed);
        }
        if self.inbound.armed().is_some() {
            return Err(ArmError::AlreadyReceiving);
        }
        if self.inbound.is_empty() || most == 0 {
            return Ok(None);
        }
        let bytes = self.inbound.take_raw(most);
        self.settle(now);
        Ok(Some(bytes))
    }

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
        match std::mem::replace(&mut self.slot, SendSlot::Away) {
            SendSlot::Unmade => Ok(BytesMut::zeroed(self.config.send_slot)),
            SendSlot::Home(buffer) => Ok(buffer),
            SendSlot::Away => Err(SlotError::Busy),
        }
    }

    /// Takes the send slot back unsent.
    pub fn return_slot(&mut self, mut buffer: BytesMut) {
        buffer.resize(self.config.send_slot, 0);
        self.slot = SendSlot::Home(buffer);
    }

    /// Gives the connection memory of somebody else's for its send slot.
    pub fn lend_slot(&mut self, memory: BytesMut) {
        self.return_slot(memory);
    }

    /// Takes the memory of the send slot away, if it is not being sent; for when the connection is
    /// over.
    pub fn reclaim_slot(&mut self) -> Option<BytesMut> {
        match std::mem::replace(&mut self.slot, SendSlot::Away) {
            SendSlot::Home(memory) => Some(memory),
            SendSlot::Unmade | SendSlot::Away => None,
        }
    }

    /// Shortens the time that the connection lingers, now or later.
    pub fn hurry(&mut self, linger: Duration, now: &mut Now) {
        self.linger = self.linger.min(linger);
        if matches!(self.state, State::Lingering { .. }) {
            self.timers
                .shorten(TimeoutKind::Linger, now.get(), self.linger);
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

    /// Stops delivery and reading (AIO-03). Repeating it does nothing.
    pub const fn pause_reading(&mut self) {
        self.reading_paused = true;
    }

    /// Goes on with delivery and reading. Repeating it does nothing.
    pub fn resume_reading(&mut self, now: &mut Now) {
        if std::mem::take(&mut self.reading_paused) && matches!(self.state, State::Open { .. }) {
            // No byte has moved: only the peer's silence is counted anew.
            self.start_idle_read(now);
            self.restart_frame_clocks(now);
        }
        self.settle(now);
    }

    /// Chooses what readiness mode tells (AC-11).
    ///
    /// # Errors
    /// When the session handles no such event, or a receive is armed while `readable` is asked for.
    pub fn set_readiness(
        &mut self,
        readable: bool,
        writable: bool,
        now: &mut Now,
    ) -> Result<(), ArmError> {
        for (wanted, interest, event) in [
            (readable, Interests::READABLE, "Readable"),
            (writable, Interests::WRITABLE, "Writable"),
        ] {
            if wanted && !self.interests.contains(interest) {
                return Err(ArmError::NoHandler { event });
            }
        }
        if readable && self.inbound.armed().is_some() {
            return Err(ArmError::AlreadyReceiving);
        }
        self.interest.readable = readable;
        self.interest.writable = writable;
        self.settle(now);
        Ok(())
    }

    /// Finishes the sending direction once everything queued is sent (AIO-05). Repeating it does
    /// nothing.
    ///
    /// # Errors
    /// When the connection is closed or closing.
    pub fn write_eof(&mut self) -> Result<(), SendRefusal> {
        match &mut self.state {
            State::Open { write, .. } => {
                if matches!(write, WriteHalf::Open) {
                    *write = WriteHalf::Finishing;
                }
                Ok(())
            }
            _ => Err(SendRefusal::Closed),
        }
    }

    /// Begins to close, for good: no more events but notices, then everything queued is sent (or, without
    /// `flush`, dropped), then the sending direction is finished. `false`: it was closing already.
    pub fn close(
        &mut self,
        cause: Cause,
        flush: bool,
        deadline: Option<Duration>,
        now: &mut Now,
    ) -> bool {
        self.stop_redialling();
        let was_open = match self.state {
            State::Connecting => {
                self.state = State::Cancelling { cause };
                return true;
            }
            State::Adopting | State::Open { .. } => true,
            State::Closing(_) => false,
            State::Cancelling { .. } | State::Lingering { .. } | State::Over { .. } => {
                return false;
            }
        };
        if was_open {
            self.begin_close(cause, deadline, now);
        } else if let Some(deadline) = deadline
            && let State::Closing(closing) = &mut self.state
        {
            closing.deadline = deadline;
            self.timers.start(TimeoutKind::Flush, now.get(), deadline);
        }
        if !flush && let State::Closing(closing) = &mut self.state {
            closing.dropped += self.outbox.size();
            closing.dropped_tokens.extend(self.outbox.clear());
        }
        was_open
    }

    /// Ends it now: what is queued is dropped, the peer sees a reset. `false`: it was over already.
    pub fn abort(&mut self, cause: Cause) -> bool {
        self.stop_redialling();
        match self.state {
            State::Connecting => {
                self.state = State::Cancelling { cause };
                true
            }
            State::Adopting | State::Open { .. } => {
                self.end(cause, None, true);
                true
            }
            State::Closing(_) => {
                self.cut_short(cause, true);
                true
            }
            State::Lingering { ref mut report, .. } => {
                let report = report.take();
                self.timers.clear_all();
                self.state = State::Over {
                    reset: true,
                    report,
                };
                true
            }
            State::Cancelling { .. } | State::Over { .. } => false,
        }
    }

    /// The answer to `PeerFinished`: close after all.
    pub fn close_after_peer(&mut self, now: &mut Now) {
        if matches!(self.state, State::Open { .. }) {
            self.begin_close(Cause::PeerFinished, None, now);
        }
    }
}
