//! Commands: what the session wants, except to send.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{ArmError, SendRefusal};
use crate::now::Now;
use crate::reason::{Cause, TimeoutKind};
use crate::receive::Receive;

use super::inbound::Armed;
use super::secure::Security;
use super::state::{State, WriteHalf};
use super::{Access, Connection, Event, Interests};

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
        if let Some(redial) = self.redial_mut() {
            redial.up(now.get());
        }
        let (read, write) = self.access.halves();
        self.state = State::Open { read, write };
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
        let mut later = if place < self.notices.len() {
            self.notices.split_off(place)
        } else {
            VecDeque::new()
        };
        let opened = matches!(told, Event::Opened);
        if self.interests.contains(told.interest()) {
            self.notices.push_back(told);
        }
        if opened
            && let Some(info) = self.tls()
            && self.interests.contains(Interests::TLS_STARTED)
        {
            let started = Event::TlsStarted(Arc::clone(info));
            self.notices.push_back(started);
        }
        self.tell_pause();
        if !later.is_empty() {
            self.notices.append(&mut later);
        }
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
        self.check_armable()?;
        let armed = Armed::new(receive, &self.config, self.interests)?;
        let outcome = self.inbound.arm(armed);
        self.start_receive_clock(now);
        self.framed(outcome, now);
        Ok(())
    }

    /// Disarms the receive, if one is armed that nobody has requested; what has arrived stays for the next
    /// one.
    pub fn cancel_receive(&mut self) -> bool {
        !self.is_requested() && self.disarm()
    }

    pub(super) fn disarm(&mut self) -> bool {
        self.timers.clear(TimeoutKind::Receive);
        self.stop_frame_clocks();
        // What broke this receive's rule need not break that of the next one.
        self.take_fault();
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
        self.check_readable()?;
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
    /// When the session handles no such event, when bytes do not go that way, or when a receive is armed
    /// while `readable` is asked for.
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
        if readable {
            self.check_readable()?;
        }
        if writable && matches!(self.access, Access::ReadOnly) && self.is_in_use() {
            return Err(ArmError::ReadOnly);
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
    /// When the connection is closed or closing, when nothing can be sent on it at all, or when it speaks
    /// TLS, which does not offer it (AMB-12).
    pub fn write_eof(&mut self) -> Result<(), SendRefusal> {
        match &mut self.state {
            State::Open { .. } if !matches!(self.security, Security::Plain) => {
                Err(SendRefusal::Unsupported)
            }
            State::Open { .. } if matches!(self.access, Access::ReadOnly) => {
                Err(SendRefusal::ReadOnly)
            }
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
                self.state = State::Cancelling {
                    cause: Box::new(cause),
                };
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
        // What is in records already is sent with them.
        let sealed = self.records_under_way().sealed;
        if !flush && let State::Closing(closing) = &mut self.state {
            closing.dropped += self.outbox.size().saturating_sub(sealed);
            closing.dropped_tokens.extend(self.outbox.truncate(sealed));
            self.close_securing(now);
        }
        was_open
    }

    /// Ends it now: what is queued is dropped, the peer sees a reset. `false`: it was over already.
    pub fn abort(&mut self, cause: Cause) -> bool {
        self.stop_redialling();
        match self.state {
            State::Connecting => {
                self.state = State::Cancelling {
                    cause: Box::new(cause),
                };
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
            State::Lingering { ref report, .. } => {
                let report = report.clone();
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
