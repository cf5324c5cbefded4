//! A receive whose frame goes to whoever asked for it, beside the session or without one.
//!
//! It is armed like any other, and at most one of both kinds is. Its frame takes no credit and is no event:
//! it is fetched. When the peer finishes before it is complete, what had come is fetched instead.

use bytes::Bytes;

use crate::error::ArmError;
use crate::now::Now;
use crate::reason::Cause;
use crate::receive::Receive;

use super::state::{ReadHalf, State};
use super::{Connection, Event};

/// What became of a requested receive.
#[derive(Debug)]
pub enum Requested {
    /// The frame.
    Frame(Event),
    /// The peer finished before it was complete; what had come of it.
    Finished(Bytes),
}

impl Connection {
    /// Arms a receive for somebody who will [fetch](Self::poll_request) its frame. Only its kind counts: it
    /// is for one frame, and without a deadline.
    ///
    /// # Errors
    /// As [`arm`](Self::arm), but for events that the session does not handle. What is preset for a session
    /// that is still to come counts as armed.
    pub fn request(&mut self, receive: &Receive, now: &mut Now) -> Result<(), ArmError> {
        self.check_armable()?;
        if self.config.first_receive.is_some() && self.awaits_session() {
            return Err(ArmError::AlreadyReceiving);
        }
        let requested = Receive::once(receive.kind.clone());
        let outcome = self.inbound.request(&requested, &self.config)?;
        self.start_receive_clock(now);
        self.framed(outcome, now);
        Ok(())
    }

    /// Whether a requested receive is armed, and may still be completed.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.inbound.is_requested() && self.may_receive()
    }

    /// Whether something has become of a requested receive: there is something to fetch, or it is armed no
    /// more.
    #[must_use]
    pub fn is_request_due(&self) -> bool {
        !self.is_requested() || self.is_fetchable() || self.is_cut_off()
    }

    /// What has become of the requested receive, if something has.
    pub fn poll_request(&mut self, now: &mut Now) -> Option<Requested> {
        if self.is_cut_off() {
            let rest = self.inbound.take_unread();
            self.stop_frame_clocks();
            self.settle(now);
            return Some(Requested::Finished(rest));
        }
        if !self.is_fetchable() {
            return None;
        }
        let (event, _) = self.inbound.take()?;
        self.frames_in += 1;
        self.pace_reading(now);
        self.settle(now);
        Some(Requested::Frame(event))
    }

    /// Disarms the requested receive; what has come stays for the next one. `true`: there was one.
    pub fn cancel_request(&mut self, now: &mut Now) -> bool {
        let cancelled = self.is_requested() && self.disarm();
        if cancelled {
            self.settle(now);
        }
        cancelled
    }

    /// What has come and not been taken, copied.
    #[must_use]
    pub fn unread(&self) -> Bytes {
        match self.state.untold() {
            Some(detail) => detail.unread.clone(),
            None => self.inbound.copy(),
        }
    }

    /// Whether a receive could bring anything now or later.
    #[must_use]
    pub const fn may_receive(&self) -> bool {
        matches!(
            self.state,
            State::Connecting | State::Adopting | State::Open { .. }
        )
    }

    /// Why it is closed, or being closed, as long as that is still to be told.
    #[must_use]
    pub fn closing_cause(&self) -> Option<&Cause> {
        match &self.state {
            State::Cancelling { cause } => Some(cause),
            State::Closing(closing) => Some(&closing.cause),
            _ => match self.state.untold() {
                Some(detail) => Some(&detail.cause),
                None => None,
            },
        }
    }

    /// Whether bytes that were queued have been thrown away, as long as that is still to be told.
    #[must_use]
    pub fn has_dropped(&self) -> bool {
        match &self.state {
            State::Closing(closing) => closing.dropped > 0,
            _ => match self.state.untold() {
                Some(detail) => detail.unsent > 0,
                None => false,
            },
        }
    }

    /// Whether a session is still to take it, and with it what is preset.
    const fn awaits_session(&self) -> bool {
        self.vacant || matches!(self.state, State::Connecting | State::Adopting)
    }

    fn is_fetchable(&self) -> bool {
        self.may_take_frame() && self.inbound.is_requested()
    }

    /// Whether the peer has finished, and what it asked for will never be complete.
    fn is_cut_off(&self) -> bool {
        self.inbound.is_requested()
            && !self.inbound.is_ready()
            && !self.inbound.partial_is_error()
            && !self.vacant
            && matches!(
                self.state,
                State::Open {
                    read: ReadHalf::Finished { .. },
                    ..
                }
            )
    }

    /// Whether a receive can be armed.
    pub(super) fn check_armable(&self) -> Result<(), ArmError> {
        self.check_readable()?;
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
        Ok(())
    }
}
