//! The rules of ending: how a connection closes, lingers and is let go of.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::id::Token;
use crate::now::Now;
use crate::reason::{Cause, ClosePhase, ClosedDetail, TimeoutKind};
use crate::tls::TlsError;

use super::Connection;
use super::state::{Closing, LastReport, ReadHalf, Report, State, WriteHalf};

impl Connection {
    /// From use to closing. Frames that were not taken become unread bytes. What is not established
    /// yet is given up.
    pub(super) fn begin_close(&mut self, cause: Cause, deadline: Option<Duration>, now: &mut Now) {
        let peer_finished = match &self.state {
            State::Connecting => {
                self.state = State::Cancelling {
                    cause: Box::new(cause),
                };
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
            State::Open { read, .. } => match read {
                ReadHalf::Open => false,
                ReadHalf::Finished { .. } => true,
                ReadHalf::Broken(cause) => **cause == Cause::Tls(TlsError::Truncated),
            },
            _ => return,
        };
        let finished = matches!(
            self.state,
            State::Open {
                write: WriteHalf::Finished,
                ..
            }
        );
        let phase = self.phase();
        let adopting = matches!(self.state, State::Adopting);
        let handshake = self.handshake_deadline();
        let deadline = deadline.unwrap_or(self.config.flush_timeout);
        self.inbound.disarm();
        self.timers.clear_all();
        if let Some(handshake) = handshake {
            self.timers.set(TimeoutKind::Handshake, handshake);
        }
        self.state = State::Closing(Box::new(Closing {
            cause,
            phase,
            deadline,
            peer_finished,
            dropped: 0,
            dropped_tokens: Vec::new(),
        }));
        if adopting {
            self.tell_pause();
        }
        if peer_finished && self.outbox.is_empty() && !self.owes_end() {
            self.finish_closing(now);
        } else if finished {
            self.start_lingering(now);
        } else {
            self.timers.start(TimeoutKind::Flush, now.get(), deadline);
        }
        self.close_securing(now);
    }

    /// How far it has come.
    const fn phase(&self) -> ClosePhase {
        match self.state {
            State::Adopting | State::Open { .. } if self.is_securing() => ClosePhase::Securing,
            State::Adopting => ClosePhase::Adopting,
            _ => ClosePhase::Open,
        }
    }

    /// Whether the sending direction must be finished though the peer has finished: without close_notify
    /// it would take the end for a truncation (RFC 8446 6.1).
    pub(super) const fn owes_end(&self) -> bool {
        self.tls().is_some()
    }

    /// Everything is sent and the peer has finished: over, in good order.
    pub(super) fn finish_closing(&mut self, _now: &mut Now) {
        if let Some(report) = self.close_report(None) {
            self.timers.clear_all();
            self.state = State::Over {
                reset: false,
                report: LastReport::new(report),
            };
        }
    }

    /// For how long it lingers, if it does.
    pub(super) fn linger(&self) -> Option<Duration> {
        let hurried = self.seldom.as_ref().and_then(|seldom| seldom.hurried);
        self.lingers
            .then(|| hurried.unwrap_or(self.config.linger_timeout))
    }

    /// Everything is sent: told now, let go of when the peer has finished too.
    pub(super) fn start_lingering(&mut self, now: &mut Now) {
        let Some(linger) = self.linger() else {
            self.finish_closing(now);
            return;
        };
        if let Some(report) = self.close_report(None) {
            self.timers.clear_all();
            self.timers.start(TimeoutKind::Linger, now.get(), linger);
            self.state = State::Lingering {
                discarded: 0,
                report: LastReport::new(report),
            };
        }
    }

    /// The closing itself failed or took too long.
    pub(super) fn cut_short(&mut self, by: Cause, reset: bool) {
        if let Some(report) = self.close_report(Some(by)) {
            self.timers.clear_all();
            self.state = State::Over {
                reset,
                report: LastReport::new(report),
            };
        }
    }

    /// Bytes that the session gave back unhandled. When the end is reported already, they are unread.
    pub(super) fn put_back(&mut self, bytes: &Bytes) {
        match self.state.untold_mut() {
            Some(detail) => detail.unread = [&bytes[..], &detail.unread[..]].concat().into(),
            None => self.inbound.put_back(bytes),
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
        let queued = self.outbox.size();
        let unsent = dropped + queued;
        unsent_tokens.extend(self.drop_unsent());
        let securing = from == ClosePhase::Securing && (queued == 0 || self.is_securing());
        let phase = if unsent > 0 && !securing {
            ClosePhase::Flushing
        } else {
            from
        };
        Some(Report::Closed(Arc::new(ClosedDetail {
            cause,
            cut_short,
            phase,
            unsent,
            unsent_tokens,
            unread: self.inbound.take_unread(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            tls: self.tls().cloned(),
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
        let phase = self.phase();
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
            tls: self.tls().cloned(),
        };
        self.timers.clear_all();
        self.state = State::Over {
            reset,
            report: LastReport::new(Report::Closed(Arc::new(detail))),
        };
    }

    /// Lingering is over.
    pub(super) fn let_go(&mut self) {
        if let State::Lingering { report, .. } = &self.state {
            let report = report.clone();
            self.timers.clear_all();
            self.state = State::Over {
                reset: false,
                report,
            };
        }
    }
}
