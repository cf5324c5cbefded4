//! The rules behind the commands and the happenings: who may send, what is delivered, how it ends.

use std::time::Duration;

use bytes::Bytes;

use crate::config::{IdleAction, IdleRule};
use crate::error::SendRefusal;
use crate::frame::FrameError;
use crate::id::Token;
use crate::now::Now;
use crate::reason::{Cause, ClosePhase, ClosedDetail, TimeoutKind};
use crate::receive::OnTimeout;

use super::state::{Closing, ReadHalf, Report, State, WriteHalf};
use super::{Connection, Event, Interests, ReadWish, outbox};

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
    const fn is_reported(&self) -> bool {
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
        self.inbound.is_ready()
            && !self.reading_paused
            && !self.vacant
            && matches!(self.state, State::Open { .. })
            && !self.is_held()
            && self.has_credit()
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
            State::Connecting
            | State::Adopting
            | State::Open {
                write: WriteHalf::Open,
                ..
            } => Ok(()),
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

    /// What follows from looking for a frame.
    pub(super) fn framed(&mut self, outcome: Result<(), FrameError>, now: &mut Now) {
        if let Err(error) = outcome {
            if self.credit.frames_out() > 0 {
                // The answers to the frames before it are still to come.
                self.fault = Some(error);
                self.timers.clear(TimeoutKind::Receive);
                self.pace_reading(now);
                return;
            }
            self.begin_close(Cause::Frame(error), None, now);
            return;
        }
        if self.inbound.is_ready() {
            self.timers.clear(TimeoutKind::Receive);
        }
        self.pace_reading(now);
        self.settle(now);
    }

    /// Ends what cannot go on: once no frame is left to deliver, a finished or broken direction
    /// decides. A frame that is with the session may still be answered.
    pub(super) fn settle(&mut self, now: &mut Now) {
        if self.credit.frames_out() > 0 || self.vacant {
            return;
        }
        let State::Open { read, write } = &mut self.state else {
            return;
        };
        let ready = self.inbound.is_ready();
        match (read, write) {
            (ReadHalf::Broken(cause), _) if !ready => {
                let cause = cause.clone();
                self.end(cause, None, false);
            }
            (ReadHalf::Finished { .. }, WriteHalf::Broken(cause)) if !ready => {
                let cause = cause.clone();
                self.end(cause, None, false);
            }
            (ReadHalf::Open, WriteHalf::Broken(cause))
                if !ready && self.inbound.armed().is_none() && !self.interest.readable =>
            {
                let cause = cause.clone();
                self.end(cause, None, false);
            }
            (ReadHalf::Finished { told }, write) if !*told && !ready => {
                let waits = self.inbound.armed().is_none() && !self.inbound.is_empty();
                if waits {
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

    pub(super) fn start_receive_clock(&mut self, now: &mut Now) {
        match self.inbound.armed().and_then(|armed| armed.timeout) {
            Some(timeout) => self.timers.start(TimeoutKind::Receive, now.get(), timeout),
            None => self.timers.clear(TimeoutKind::Receive),
        }
    }

    pub(super) fn start_half_closed_clock(&mut self, now: &mut Now) {
        let after = self.config.half_closed_timeout;
        self.timers.start(TimeoutKind::HalfClosed, now.get(), after);
    }

    pub(super) fn touch_read(&mut self, now: &mut Now) {
        self.start_idle_read(now);
        self.touch_both(now);
    }

    pub(super) fn start_idle_read(&mut self, now: &mut Now) {
        if let Some(rule) = self.config.idle_read {
            self.timers
                .start(TimeoutKind::IdleRead, now.get(), rule.after);
        }
    }

    pub(super) fn touch_write(&mut self, now: &mut Now) {
        if let Some(rule) = self.config.idle_write {
            self.timers
                .start(TimeoutKind::IdleWrite, now.get(), rule.after);
        }
        self.touch_both(now);
    }

    pub(super) fn touch_both(&mut self, now: &mut Now) {
        if let Some(rule) = self.config.idle {
            self.timers.start(TimeoutKind::Idle, now.get(), rule.after);
        }
        if self.timers.is_set(TimeoutKind::HalfClosed) {
            self.start_half_closed_clock(now);
        }
    }

    pub(super) fn receive_timed_out(&mut self, now: &mut Now) {
        let Some(armed) = self.inbound.disarm() else {
            return;
        };
        self.stop_frame_clocks();
        let kind = TimeoutKind::Receive;
        match armed.on_timeout {
            OnTimeout::Report => self.notify(Interests::IDLE, Event::Idle(kind)),
            OnTimeout::Close => {
                let after = armed.timeout.unwrap_or_default();
                self.begin_close(Cause::Timeout { kind, after }, None, now);
            }
        }
    }

    pub(super) fn idle_timed_out(
        &mut self,
        kind: TimeoutKind,
        rule: Option<IdleRule>,
        now: &mut Now,
    ) {
        let Some(IdleRule { after, action }) = rule else {
            return;
        };
        if !matches!(self.state, State::Open { .. }) {
            return;
        }
        // Time during which we did not want to read is not the peer's silence.
        let excused = kind == TimeoutKind::IdleRead && self.read_wish() == ReadWish::Nothing;
        match action {
            IdleAction::Close if !excused => {
                self.begin_close(Cause::Timeout { kind, after }, None, now);
            }
            _ => {
                if !excused {
                    self.notify(Interests::IDLE, Event::Idle(kind));
                }
                self.timers.start(kind, now.get(), after);
            }
        }
    }

    pub(super) fn half_closed_timed_out(&mut self, now: &mut Now) {
        let State::Open { read, write } = &self.state else {
            return;
        };
        match (read, write) {
            (ReadHalf::Broken(cause), _) | (_, WriteHalf::Broken(cause)) => {
                let cause = cause.clone();
                self.end(cause, None, false);
            }
            _ => {
                let kind = TimeoutKind::HalfClosed;
                let after = self.config.half_closed_timeout;
                self.begin_close(Cause::Timeout { kind, after }, None, now);
            }
        }
    }

    /// From use to closing. Frames that were not taken become unread bytes. What is not established
    /// yet is given up.
    pub(super) fn begin_close(&mut self, cause: Cause, deadline: Option<Duration>, now: &mut Now) {
        let peer_finished = match &self.state {
            State::Connecting => {
                self.state = State::Cancelling { cause };
                return;
            }
            State::Adopting => false,
            State::Open {
                write: WriteHalf::Broken(_),
                ..
            } => {
                self.end(cause, None, false);
                return;
            }
            State::Open { read, .. } => matches!(read, ReadHalf::Finished { .. }),
            _ => return,
        };
        let finished = matches!(
            self.state,
            State::Open {
                write: WriteHalf::Finished,
                ..
            }
        );
        let phase = match self.state {
            State::Adopting => ClosePhase::Adopting,
            _ => ClosePhase::Open,
        };
        let deadline = deadline.unwrap_or(self.config.flush_timeout);
        self.inbound.disarm();
        self.timers.clear_all();
        self.state = State::Closing(Closing {
            cause,
            phase,
            deadline,
            peer_finished,
            dropped: 0,
            dropped_tokens: Vec::new(),
        });
        if phase == ClosePhase::Adopting {
            self.tell_pause();
        }
        if peer_finished && self.outbox.is_empty() {
            self.finish_closing(now);
        } else if finished {
            self.start_lingering(now);
        } else {
            self.timers.start(TimeoutKind::Flush, now.get(), deadline);
        }
    }

    /// Everything is sent and the peer has finished: over, in good order.
    pub(super) fn finish_closing(&mut self, _now: &mut Now) {
        if let Some(report) = self.close_report(None) {
            self.timers.clear_all();
            self.state = State::Over {
                reset: false,
                report: Some(report),
            };
        }
    }

    /// Everything is sent: told now, let go of when the peer has finished too.
    pub(super) fn start_lingering(&mut self, now: &mut Now) {
        if let Some(report) = self.close_report(None) {
            self.timers.clear_all();
            self.timers
                .start(TimeoutKind::Linger, now.get(), self.linger);
            self.state = State::Lingering {
                discarded: 0,
                report: Some(report),
            };
        }
    }

    /// The closing itself failed or took too long.
    pub(super) fn cut_short(&mut self, by: Cause, reset: bool) {
        if let Some(report) = self.close_report(Some(by)) {
            self.timers.clear_all();
            self.state = State::Over {
                reset,
                report: Some(report),
            };
        }
    }

    /// Bytes that the session gave back unhandled. When the end is reported already, they are unread.
    pub(super) fn put_back(&mut self, bytes: &Bytes) {
        match &mut self.state {
            State::Lingering {
                report: Some(Report::Closed(detail)),
                ..
            }
            | State::Over {
                report: Some(Report::Closed(detail)),
                ..
            } => detail.unread = [&bytes[..], &detail.unread[..]].concat().into(),
            _ => self.inbound.put_back(bytes),
        }
    }

    /// The report of a connection that is closing.
    pub(super) fn close_report(&mut self, cut_short: Option<Cause>) -> Option<Report> {
        let State::Closing(closing) = &mut self.state else {
            return None;
        };
        let cause = closing.cause.clone();
        let dropped = closing.dropped;
        let from = closing.phase;
        let mut unsent_tokens = std::mem::take(&mut closing.dropped_tokens);
        let unsent = dropped + self.outbox.size();
        unsent_tokens.extend(self.drop_unsent());
        let phase = if unsent > 0 {
            ClosePhase::Flushing
        } else {
            from
        };
        Some(Report::Closed(Box::new(ClosedDetail {
            cause,
            cut_short,
            phase,
            unsent,
            unsent_tokens,
            unread: self.inbound.take_unread(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        })))
    }

    /// Throws away what is queued, but for the send slot's memory; the tokens that get no notice.
    pub(super) fn drop_unsent(&mut self) -> Vec<Token> {
        if let Some(slot) = self.outbox.take_slot() {
            self.return_slot(slot);
        }
        self.outbox.clear()
    }

    /// Over at once, from use.
    pub(super) fn end(&mut self, cause: Cause, cut_short: Option<Cause>, reset: bool) {
        let phase = match self.state {
            State::Adopting => ClosePhase::Adopting,
            _ => ClosePhase::Open,
        };
        let unsent = self.outbox.size();
        let detail = ClosedDetail {
            cause,
            cut_short,
            phase,
            unsent,
            unsent_tokens: self.drop_unsent(),
            unread: self.inbound.take_unread(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        };
        self.timers.clear_all();
        self.state = State::Over {
            reset,
            report: Some(Report::Closed(Box::new(detail))),
        };
    }

    /// Lingering is over.
    pub(super) fn let_go(&mut self) {
        if let State::Lingering { report, .. } = &mut self.state {
            let report = report.take();
            self.timers.clear_all();
            self.state = State::Over {
                reset: false,
                report,
            };
        }
    }
}
