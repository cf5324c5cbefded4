//! What the socket, the clock and the session's actor did.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;

use crate::error::ConnectError;
use crate::now::Now;
use crate::reason::{Cause, IoOperation, TimeoutKind};
use crate::tls::{TlsError, TlsInfo};

use super::secure::Security;
use super::state::{LastReport, ReadHalf, Report, State, WriteHalf};
use super::{Connection, Event, Interests};

impl Connection {
    /// The connection was established, outbound; these are the facts of its TLS, if it speaks it from
    /// the start.
    pub fn handle_connected(&mut self, tls: Option<Arc<TlsInfo>>) {
        if matches!(self.state, State::Connecting) {
            self.state = State::Adopting;
            self.security = tls.map_or(Security::Plain, Security::Secured);
        }
    }

    /// The connection could not be established, and no further attempt is made: there will be no
    /// `Closed`, unless it had been established before.
    pub fn handle_connect_failed(&mut self, mut error: ConnectError) {
        self.timers.clear_all();
        let report = if self.was_open() {
            self.given_up(&error)
        } else {
            error.unsent = self.outbox.size();
            self.drop_unsent();
            self.notices.retain(Event::is_of_links);
            Report::ConnectFailed(Box::new(error))
        };
        self.state = State::Over {
            reset: false,
            report: LastReport::new(report),
        };
    }

    /// The connection is not even tried; returns the error with what is lost by it.
    pub fn refuse(&mut self, mut error: ConnectError) -> ConnectError {
        error.unsent = self.outbox.size();
        self.handle_connect_failed(error.clone());
        error
    }

    /// The session did not adopt at once: its time starts now.
    pub fn handle_unadopted(&mut self, now: &mut Now) {
        if matches!(self.state, State::Adopting) && !self.timers.is_set(TimeoutKind::Adoption) {
            let after = self.config.adoption_timeout;
            self.timers.start(TimeoutKind::Adoption, now.get(), after);
        }
    }

    /// The socket took so many bytes.
    pub fn handle_written(&mut self, count: usize, now: &mut Now) {
        if count == 0 {
            return;
        }
        self.wrote(count, now);
        let progress = self.outbox.advance(count);
        if self.outbox.is_empty() {
            self.shut_write_window();
        }
        if let Some(slot) = progress.slot {
            self.return_slot(slot);
        }
        while let Some((token, bytes)) = self.outbox.take_sent() {
            self.notify(Interests::SENT, Event::Sent { token, bytes });
        }
        if progress.resumed {
            self.notify(Interests::WRITE_RESUMED, Event::WriteResumed);
        }
    }

    /// So many bytes are out.
    #[inline]
    pub(super) fn wrote(&mut self, count: usize, now: &mut Now) {
        self.bytes_out += count as u64;
        if let Some(seldom) = &mut self.seldom {
            seldom.under_way.outgoing = 0;
            seldom.under_way.sealed = 0;
        }
        self.touch_write(now);
    }

    /// The socket takes no more for now, and what is queued waits.
    pub fn handle_write_blocked(&mut self, now: &mut Now) {
        self.pace_writing(now);
    }

    /// Writing failed. What the peer had sent before is still read and delivered.
    pub fn handle_write_error(&mut self, error: &io::Error, now: &mut Now) {
        let cause = Cause::io(IoOperation::Write, error);
        match &mut self.state {
            State::Open { write, .. } => {
                *write = WriteHalf::Broken(Box::new(cause));
                self.shut_write_window();
                self.start_half_closed_clock(now);
                self.settle(now);
            }
            // A peer that has finished and gone misses nothing of what was said last.
            State::Closing(closing) if closing.peer_finished && self.outbox.is_empty() => {
                self.finish_closing(now);
            }
            State::Closing(_) => self.cut_short(cause, false),
            _ => {}
        }
    }

    /// The sending direction is finished.
    pub fn handle_finished(&mut self, now: &mut Now) {
        match &mut self.state {
            State::Open { read, write } => {
                *write = WriteHalf::Finished;
                if matches!(read, ReadHalf::Finished { told: true }) {
                    self.end_both();
                }
            }
            State::Closing(closing) => {
                if closing.peer_finished {
                    self.finish_closing(now);
                } else {
                    self.start_lingering(now);
                }
            }
            _ => {}
        }
    }

    /// Bytes came. All of `data` is taken.
    pub fn handle_data(&mut self, data: &mut BytesMut, now: &mut Now) {
        let length = data.len();
        if length == 0 {
            return;
        }
        self.bytes_in += length as u64;
        if let Some(seldom) = &mut self.seldom {
            seldom.under_way.incoming = 0;
        }
        self.touch_read(now);
        match &mut self.state {
            State::Open { .. } => {
                let outcome = self.inbound.append(data);
                self.framed(outcome, now);
            }
            State::Lingering { discarded, .. } => {
                data.clear();
                *discarded += length;
                if *discarded > self.config.linger_bytes {
                    self.let_go();
                }
            }
            _ => data.clear(),
        }
    }

    /// The peer finished sending.
    pub fn handle_eof(&mut self, now: &mut Now) {
        match &mut self.state {
            // Once is enough: what was told already is not told again.
            State::Open {
                read: read @ ReadHalf::Open,
                ..
            } => {
                *read = ReadHalf::Finished { told: false };
                self.settle(now);
                if matches!(self.state, State::Open { .. }) {
                    self.start_half_closed_clock(now);
                }
            }
            State::Closing(closing) => closing.peer_finished = true,
            State::Lingering { .. } => self.let_go(),
            _ => {}
        }
        if matches!(&self.state, State::Closing(closing) if closing.peer_finished)
            && self.outbox.is_empty()
            && !self.owes_end()
        {
            self.finish_closing(now);
        }
    }

    /// Reading failed. Complete frames that came before are still delivered.
    pub fn handle_read_error(&mut self, error: &io::Error, now: &mut Now) {
        let cause = Cause::io(IoOperation::Read, error);
        match &mut self.state {
            State::Open { read, .. } => {
                *read = ReadHalf::Broken(Box::new(cause));
                self.start_half_closed_clock(now);
                self.settle(now);
            }
            State::Adopting => self.end(cause, None, false),
            // What is queued may still be taken.
            State::Closing(_) if cause == Cause::Tls(TlsError::Truncated) => self.handle_eof(now),
            State::Closing(_) => self.cut_short(cause, false),
            State::Lingering { .. } => self.let_go(),
            _ => {}
        }
    }

    /// Reading would block. If writing has failed before, nothing more is to be expected.
    #[inline]
    pub fn handle_read_blocked(&mut self, now: &mut Now) {
        self.judge_reading(now);
        if !self.is_fully_open() {
            self.give_up_reading(now);
        }
    }

    /// Nothing more is to be expected of a peer that writing failed to.
    fn give_up_reading(&mut self, now: &mut Now) {
        if matches!(
            self.state,
            State::Open {
                read: ReadHalf::Open,
                write: WriteHalf::Broken(_),
            }
        ) && let State::Open { read, .. } = &mut self.state
        {
            *read = ReadHalf::Finished { told: true };
            self.settle(now);
        }
    }

    /// The moment of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: &mut Now) {
        while let Some(kind) = self.timers.take_due(now.get()) {
            match kind {
                TimeoutKind::Adoption => {
                    let after = self.config.adoption_timeout;
                    self.begin_close(Cause::Timeout { kind, after }, None, now);
                }
                TimeoutKind::Handshake => self.handshake_timed_out(),
                TimeoutKind::Receive => self.receive_timed_out(now),
                TimeoutKind::Frame => self.frame_timed_out(now),
                TimeoutKind::ReadRate => self.read_window_ended(now),
                TimeoutKind::WriteRate => self.write_window_ended(),
                TimeoutKind::Lifetime => {
                    let after = self.config.max_lifetime.unwrap_or_default();
                    self.begin_close(Cause::Timeout { kind, after }, None, now);
                }
                TimeoutKind::IdleRead => self.idle_timed_out(kind, self.config.idle_read, now),
                TimeoutKind::IdleWrite => self.idle_timed_out(kind, self.config.idle_write, now),
                TimeoutKind::Idle => self.idle_timed_out(kind, self.config.idle, now),
                TimeoutKind::Flush => {
                    if let State::Closing(closing) = &self.state {
                        let after = closing.deadline;
                        self.cut_short(Cause::Timeout { kind, after }, true);
                    }
                }
                TimeoutKind::HalfClosed => self.half_closed_timed_out(now),
                TimeoutKind::Linger => self.let_go(),
            }
        }
    }
}
