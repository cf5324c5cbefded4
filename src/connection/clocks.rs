//! The rules of time: when clocks start, and what happens when they run out.

use crate::config::{IdleAction, IdleRule};
use crate::now::Now;
use crate::reason::{Cause, TimeoutKind};
use crate::receive::OnTimeout;

use super::secure::Security;
use super::state::{ReadHalf, State, WriteHalf};
use super::{Connection, Event, Interests, ReadWish};

impl Connection {
    #[inline]
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

    /// Bytes came.
    #[inline]
    pub(super) fn touch_read(&mut self, now: &mut Now) {
        if self.may_be_idle() {
            self.start_idle_read(now);
            self.touch_both(now);
        }
    }

    /// Whether there is a clock that bytes start again. Mostly there is none.
    #[inline]
    fn may_be_idle(&self) -> bool {
        let config = &*self.config;
        config.idle.is_some()
            || config.idle_read.is_some()
            || config.idle_write.is_some()
            || self.timers.are_any()
    }

    pub(super) fn start_idle_read(&mut self, now: &mut Now) {
        if let Some(rule) = self.config.idle_read {
            self.timers
                .start(TimeoutKind::IdleRead, now.get(), rule.after);
        }
    }

    /// Bytes went.
    #[inline]
    pub(super) fn touch_write(&mut self, now: &mut Now) {
        if self.may_be_idle() {
            self.start_idle_write(now);
            self.touch_both(now);
        }
    }

    fn start_idle_write(&mut self, now: &mut Now) {
        if let Some(rule) = self.config.idle_write {
            self.timers
                .start(TimeoutKind::IdleWrite, now.get(), rule.after);
        }
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
        // Time during which we did not want to read is not the peer's silence. The bytes of a handshake are
        // not seen here, and it has its own time.
        let excused = matches!(self.security, Security::Shaking(_))
            || kind == TimeoutKind::IdleRead && self.read_wish() == ReadWish::Nothing;
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
                let cause = Cause::clone(cause);
                self.end(cause, None, false);
            }
            _ => {
                let kind = TimeoutKind::HalfClosed;
                let after = self.config.half_closed_timeout;
                self.begin_close(Cause::Timeout { kind, after }, None, now);
            }
        }
    }
}
