//! The rules behind the commands and the happenings: who may send, what is delivered, what follows.

use crate::error::SendRefusal;
use crate::frame::FrameError;
use crate::id::Token;
use crate::now::Now;
use crate::reason::{Cause, TimeoutKind};
use crate::tls::TlsError;

use super::state::{ReadHalf, State, WriteHalf};
use super::{Access, Connection, Event, Interests, outbox};

/// From so many waiting notices on, changes of a level that cancel out are left out.
pub(super) const LEVEL_NOTICES: usize = 16;

impl Connection {
    pub(super) fn notify(&mut self, interest: Interests, event: Event) {
        if !self.interests.contains(interest) || self.is_reported() {
            return;
        }
        if event.is_write_level() && !self.is_adopted() {
            // How writing stands is told when there is a link, and a session.
            return;
        }
        if self.notices.len() >= LEVEL_NOTICES && self.cancels_out(&event) {
            return;
        }
        self.notices.push_back(event);
    }

    /// A session that has heard nothing of levels yet is told how writing stands.
    pub(super) fn tell_pause(&mut self) {
        if self.outbox.is_paused() {
            self.notify(Interests::WRITE_PAUSED, Event::WritePaused);
        }
    }

    /// Whether a session has taken the link that there is, or was.
    pub(super) const fn is_adopted(&self) -> bool {
        !matches!(
            self.state,
            State::Connecting | State::Cancelling { .. } | State::Adopting
        )
    }

    /// Whether the last event is fixed: nothing can come before it any more.
    pub(super) const fn is_reported(&self) -> bool {
        matches!(self.state, State::Lingering { .. } | State::Over { .. })
    }

    /// A session that falls behind need not hear of levels that have changed back meanwhile: a pause
    /// and its resume cancel out, and what is repeated says nothing new.
    fn cancels_out(&mut self, event: &Event) -> bool {
        match event {
            Event::Idle(kind) => self
                .notices
                .iter()
                .any(|notice| matches!(notice, Event::Idle(told) if told == kind)),
            level if level.is_write_level() => {
                let Some(last) = self.notices.iter().rposition(Event::is_write_level) else {
                    return false;
                };
                // A session that hears of one of the two only has the same one waiting.
                if std::mem::discriminant(&self.notices[last]) != std::mem::discriminant(level) {
                    self.notices.remove(last);
                }
                true
            }
            _ => false,
        }
    }

    pub(super) fn has_credit(&self) -> bool {
        self.credit
            .is_left(self.config.read_credit, self.config.read_window)
    }

    /// Whether input waits because the peer does not take our output. What cannot be written at all
    /// is nothing to wait for.
    pub(super) fn is_held(&self) -> bool {
        self.outbox.is_paused()
            && !matches!(
                self.state,
                State::Open {
                    write: WriteHalf::Broken(_),
                    ..
                }
            )
            && !self
                .config
                .read_while_write_paused
                .unwrap_or(self.interests.contains(Interests::WRITE_PAUSED))
    }

    pub(super) fn is_deliverable(&self) -> bool {
        self.may_take_frame()
            && !self.inbound.is_requested()
            && !self.is_held()
            && self.has_credit()
    }

    /// Whether a frame is complete and may be taken, by whoever it is for.
    pub(super) fn may_take_frame(&self) -> bool {
        self.inbound.is_ready()
            && !self.reading_paused
            && !self.vacant
            && matches!(self.state, State::Open { .. })
    }

    pub(super) fn is_readable(&self) -> bool {
        self.interest.readable
            && !self.interest.readable_told
            && !self.inbound.is_empty()
            && self.inbound.armed().is_none()
            && !self.reading_paused
            && !self.vacant
            && matches!(self.state, State::Open { .. })
    }

    pub(super) const fn is_writable(&self) -> bool {
        self.interest.writable
            && !self.interest.writable_told
            && !self.outbox.is_paused()
            && matches!(
                self.state,
                State::Open {
                    write: WriteHalf::Open,
                    ..
                }
            )
    }

    pub(super) const fn check_writable(&self) -> Result<(), SendRefusal> {
        match &self.state {
            State::Open {
                write: WriteHalf::Open,
                ..
            } => Ok(()),
            State::Connecting | State::Adopting | State::Open { .. }
                if matches!(self.access, Access::ReadOnly) =>
            {
                Err(SendRefusal::ReadOnly)
            }
            State::Connecting | State::Adopting => Ok(()),
            State::Open {
                write: WriteHalf::Finishing | WriteHalf::Finished,
                ..
            } => Err(SendRefusal::WriteClosed),
            _ => Err(SendRefusal::Closed),
        }
    }

    pub(super) fn check_send(
        &self,
        length: usize,
        token: Option<Token>,
    ) -> Result<(), SendRefusal> {
        self.check_writable()?;
        self.outbox.check_room(length)?;
        if token.is_some() && self.outbox.marks() + self.notices.len() >= outbox::MAX_NOTICES {
            let limit = outbox::MAX_NOTICES;
            return Err(SendRefusal::TooManyNotices { limit });
        }
        Ok(())
    }

    /// What follows from a send that was queued.
    pub(super) fn queued(&mut self, length: usize, token: Option<Token>) {
        if let Some(token) = token {
            self.outbox.mark(token, length);
        }
        if self.outbox.check_pause() {
            self.notify(Interests::WRITE_PAUSED, Event::WritePaused);
        }
    }

    /// Whether the peer has broken a framing rule behind frames that are still with the session.
    #[inline]
    pub(super) fn has_fault(&self) -> bool {
        let seldom = self.seldom.as_ref();
        seldom.is_some_and(|seldom| seldom.fault.is_some())
    }

    /// That rule: now it counts, or is forgotten.
    pub(super) fn take_fault(&mut self) -> Option<FrameError> {
        self.seldom.as_mut()?.fault.take()
    }

    /// What follows from looking for a frame.
    #[inline]
    pub(super) fn framed(&mut self, outcome: Result<(), FrameError>, now: &mut Now) {
        match outcome {
            Ok(()) => {
                if self.inbound.is_ready() {
                    self.timers.clear(TimeoutKind::Receive);
                }
                self.pace_reading(now);
                self.settle(now);
            }
            Err(error) => self.misframed(error, now),
        }
    }

    #[cold]
    fn misframed(&mut self, error: FrameError, now: &mut Now) {
        if self.credit.frames_out() > 0 {
            // The answers to the frames before it are still to come.
            self.seldom.get_or_insert_default().fault = Some(error);
            self.timers.clear(TimeoutKind::Receive);
            self.pace_reading(now);
            return;
        }
        self.begin_close(Cause::Frame(error), None, now);
    }

    /// Ends what cannot go on: once no frame is left to deliver, a finished or broken direction
    /// decides. A frame that is with the session may still be answered.
    #[inline]
    pub(super) fn settle(&mut self, now: &mut Now) {
        if !self.is_fully_open() {
            self.settle_halves(now);
        }
    }

    fn settle_halves(&mut self, now: &mut Now) {
        if self.credit.frames_out() > 0 || self.vacant {
            return;
        }
        let State::Open { read, write } = &mut self.state else {
            return;
        };
        let ready = self.inbound.is_ready();
        match (read, write) {
            (ReadHalf::Broken(cause), _) if !ready => {
                let cause = Cause::clone(cause);
                if cause == Cause::Tls(TlsError::Truncated) {
                    // The peer may still take what is queued.
                    self.begin_close(cause, None, now);
                } else {
                    self.end(cause, None, false);
                }
            }
            (ReadHalf::Finished { .. }, WriteHalf::Broken(cause)) if !ready => {
                let cause = Cause::clone(cause);
                self.end(cause, None, false);
            }
            // While it is being secured nothing is read: what would come is a handshake that cannot begin.
            (ReadHalf::Open, WriteHalf::Broken(cause))
                if !ready
                    && (self.security.is_under_way()
                        || self.inbound.armed().is_none() && !self.interest.readable) =>
            {
                let cause = Cause::clone(cause);
                self.end(cause, None, false);
            }
            (ReadHalf::Finished { told }, write) if !*told && !ready => {
                let unread = self.inbound.armed().is_none() && !self.inbound.is_empty();
                // Whoever has asked fetches what there is, and hears of the end by that.
                let asked = self.inbound.is_requested() && !self.inbound.partial_is_error();
                if unread || asked {
                    return;
                }
                if self.inbound.partial_is_error() {
                    let received = self.inbound.len();
                    self.begin_close(Cause::TruncatedMessage { received }, None, now);
                } else if self.interests.contains(Interests::PEER_FINISHED) {
                    *told = true;
                    let both_finished = matches!(write, WriteHalf::Finished);
                    self.inbound.disarm();
                    self.timers.clear(TimeoutKind::Receive);
                    self.stop_frame_clocks();
                    self.notices.push_back(Event::PeerFinished);
                    if both_finished {
                        self.end(Cause::PeerFinished, None, false);
                    }
                } else {
                    self.begin_close(Cause::PeerFinished, None, now);
                }
            }
            _ => {}
        }
    }
}
