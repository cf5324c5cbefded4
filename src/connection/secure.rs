//! How a connection becomes secure: what is sent in plain before, what waits until it is, and what
//! must not be there at that moment.
//!
//! Whoever drives the machine begins the handshake when [`wants_handshake`](Connection::wants_handshake)
//! says so, and says what became of it. Until then nothing is read, and nothing that was sent after the
//! upgrade was asked for leaves: not in plain, not at all if the handshake fails.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::StartTlsError;
use crate::now::Now;
use crate::reason::{Cause, ClosePhase, IoOperation, TimeoutKind};
use crate::tls::{TlsError, TlsInfo};

use super::state::{ReadHalf, State, WriteHalf};
use super::{Connection, Ending, Event, Interests};

/// How far a connection is with TLS.
// Looked at several times for every request: with a tag of its own, and in this order, that is one
// comparison.
#[repr(u8)]
#[derive(Debug, Default)]
pub(super) enum Security {
    #[default]
    Plain,
    Secured(Arc<TlsInfo>),
    /// Asked for: what was queued before, up to this position of the stream, is sent in plain first.
    Asked(Box<Agreement>),
    /// The handshake is under way.
    Shaking(Box<Agreement>),
}

/// What was agreed on for a handshake. Few connections have one, or one for long.
#[derive(Debug)]
pub(super) struct Agreement {
    /// What was queued before is sent in plain.
    plain_end: u64,
    timeout: Duration,
}

impl Security {
    /// Whether it is neither what it was nor what it is to be.
    pub(super) const fn is_under_way(&self) -> bool {
        matches!(self, Self::Asked(_) | Self::Shaking(_))
    }
}

/// Bytes of records that are not complete: they have moved, and nobody was told of them yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnderWay {
    /// Received since a read last brought something.
    pub incoming: u64,
    /// Sent since a write was last done.
    pub outgoing: u64,
    /// Plaintext of the write that is not done: it is in records already, which will be sent in full.
    pub sealed: usize,
}

impl Connection {
    /// An established connection whose first bytes are a handshake, which may take so long. Whoever
    /// drives it has begun with that.
    #[must_use]
    pub fn with_handshake(mut self, timeout: Duration, now: &mut Now) -> Self {
        self.security = Security::Shaking(Box::new(Agreement {
            plain_end: 0,
            timeout,
        }));
        self.timers
            .start(TimeoutKind::Handshake, now.get(), timeout);
        self
    }

    /// The facts of the TLS that it speaks, if it does.
    #[must_use]
    pub const fn tls(&self) -> Option<&Arc<TlsInfo>> {
        match &self.security {
            Security::Secured(info) => Some(info),
            _ => None,
        }
    }

    /// Whether it is on its way to TLS.
    #[must_use]
    pub const fn is_securing(&self) -> bool {
        self.security.is_under_way()
    }

    /// Upgrades a connection that is in use (XAS-55): what is queued is sent in plain, then the handshake
    /// begins, and all of it must be done in so long. Returns the bytes of the handshake that have come
    /// already: they are the first that the peer said. `pending` is how many frames are with the session
    /// that it has not begun with.
    ///
    /// # Errors
    /// When something stands against it; nothing has changed then, but that plaintext which came behind
    /// the last frame is handed back, and never delivered.
    pub fn start_tls(
        &mut self,
        timeout: Duration,
        pending: usize,
        now: &mut Now,
    ) -> Result<Bytes, StartTlsError> {
        match &self.state {
            State::Open {
                read: ReadHalf::Open,
                write: WriteHalf::Open,
            } => {}
            State::Open {
                read: ReadHalf::Open,
                ..
            } => return Err(StartTlsError::WriteClosed),
            State::Open { .. } => return Err(StartTlsError::PeerFinished),
            State::Connecting | State::Adopting => return Err(StartTlsError::NotOpen),
            _ => return Err(StartTlsError::Closed),
        }
        if !matches!(self.security, Security::Plain) {
            return Err(StartTlsError::AlreadyTls);
        }
        if timeout.is_zero() {
            return Err(StartTlsError::ZeroTimeout);
        }
        if self.inbound.armed().is_some() || self.interest.readable {
            return Err(StartTlsError::Receiving);
        }
        if pending > 0 {
            return Err(StartTlsError::FramesPending { frames: pending });
        }
        let early = self.inbound.take_unread();
        if !is_handshake(&early) {
            return Err(StartTlsError::Plaintext { data: early });
        }
        self.security = Security::Asked(Box::new(Agreement {
            plain_end: self.outbox.position(),
            timeout,
        }));
        self.timers
            .start(TimeoutKind::Handshake, now.get(), timeout);
        Ok(early)
    }

    /// How many bytes may be sent now.
    pub(super) fn transmittable(&self) -> usize {
        match &self.security {
            Security::Plain | Security::Secured(_) => usize::MAX,
            Security::Asked(agreed) => self.outbox.left_until(agreed.plain_end),
            Security::Shaking(_) => 0,
        }
    }

    /// Whether a handshake is to begin now: all that is to be sent in plain was sent, and every frame that
    /// came in plain was handled. So none can be handled behind `TlsStarted`, whoever handles them (T-12).
    #[inline]
    #[must_use]
    pub fn wants_handshake(&self) -> bool {
        matches!(self.security, Security::Asked(_)) && self.is_handshake_due()
    }

    #[cold]
    fn is_handshake_due(&self) -> bool {
        self.transmittable() == 0
            && self.credit.frames_out() == 0
            && matches!(
                self.state,
                State::Open {
                    write: WriteHalf::Open,
                    ..
                } | State::Closing(_)
            )
    }

    /// The handshake has begun.
    pub fn handle_handshake_begun(&mut self) {
        if matches!(self.security, Security::Asked(_))
            && let Security::Asked(agreed) = std::mem::take(&mut self.security)
        {
            self.security = Security::Shaking(agreed);
            self.shut_write_window();
        }
    }

    /// The handshake is done: from now on all bytes are protected. A connection in use is told so; one
    /// that is not adopted yet when it is.
    pub fn handle_secured(&mut self, info: Arc<TlsInfo>, now: &mut Now) {
        if self.is_reported() {
            return;
        }
        self.timers.clear(TimeoutKind::Handshake);
        if matches!(self.state, State::Open { .. }) {
            self.touch_read(now);
            self.touch_write(now);
            self.notify(Interests::TLS_STARTED, Event::TlsStarted(Arc::clone(&info)));
        }
        self.security = Security::Secured(info);
    }

    /// Reading or writing would block, and so much of a record is under way: it keeps the clocks of the
    /// network from taking a slow peer for a silent one.
    pub fn handle_under_way(&mut self, under_way: UnderWay, now: &mut Now) {
        let before = self.records_under_way();
        if under_way == before {
            return;
        }
        self.seldom.get_or_insert_default().under_way = under_way;
        if !matches!(self.state, State::Open { .. }) {
            return;
        }
        if under_way.incoming > before.incoming {
            self.touch_read(now);
        }
        if under_way.outgoing > before.outgoing {
            self.touch_write(now);
        }
    }

    /// The handshake failed. What was not sent will not be. `linked`: the transport is still there, so
    /// that what the peer was told of it can arrive before the end.
    pub fn handle_handshake_failed(&mut self, error: &io::Error, linked: bool, now: &mut Now) {
        let cause = Cause::io(IoOperation::Handshake, error);
        if !linked {
            match self.state {
                State::Adopting | State::Open { .. } => self.end(cause, None, false),
                State::Closing(_) => self.cut_short(cause, false),
                _ => {}
            }
            return;
        }
        let left = TlsError::of(error) == Some(&TlsError::HandshakeEof);
        match &mut self.state {
            State::Adopting | State::Open { .. } => {
                // Nothing is left to be sent when the end begins.
                let dropped = self.outbox.size();
                let dropped_tokens = self.drop_unsent();
                self.security = Security::Plain;
                self.begin_close(cause, None, now);
                self.timers.clear(TimeoutKind::Handshake);
                if let State::Closing(closing) = &mut self.state {
                    closing.phase = ClosePhase::Securing;
                    closing.dropped = dropped;
                    closing.dropped_tokens = dropped_tokens;
                    closing.peer_finished |= left;
                }
            }
            State::Closing(_) => self.cut_short(cause, false),
            _ => {}
        }
    }

    /// Closing: an upgrade for which nothing waits is given up.
    pub(super) fn close_securing(&mut self, now: &mut Now) {
        if !matches!(self.state, State::Closing(_)) {
            return;
        }
        match self.security {
            Security::Asked(_) if self.outbox.size() == self.transmittable() => {
                self.security = Security::Plain;
                self.timers.clear(TimeoutKind::Handshake);
            }
            Security::Shaking(_) if self.outbox.is_empty() => self.finish_closing(now),
            _ => {}
        }
    }

    /// The handshake, what is to be sent before it included, has taken too long.
    pub(super) fn handshake_timed_out(&mut self) {
        let (Security::Asked(agreed) | Security::Shaking(agreed)) = &self.security else {
            return;
        };
        let cause = Cause::Timeout {
            kind: TimeoutKind::Handshake,
            after: agreed.timeout,
        };
        match self.state {
            State::Closing(_) => self.cut_short(cause, false),
            _ => self.end(cause, None, false),
        }
    }

    /// Whether it ends, or has ended, before its handshake was done, and that is still to be told.
    #[must_use]
    pub fn ends_securing(&self) -> bool {
        match &self.state {
            State::Closing(closing) => closing.phase == ClosePhase::Securing,
            _ => matches!(
                self.ending(),
                Some(Ending::Closed(detail)) if detail.phase == ClosePhase::Securing
            ),
        }
    }

    /// What has moved of records that are not complete.
    pub(super) fn records_under_way(&self) -> UnderWay {
        let seldom = self.seldom.as_ref();
        seldom.map_or_else(UnderWay::default, |seldom| seldom.under_way)
    }

    /// When the handshake must be done.
    pub(super) fn handshake_deadline(&self) -> Option<Instant> {
        self.timers.get(TimeoutKind::Handshake)
    }

    /// The link of this connection is gone, with all that was agreed on for it.
    pub(super) fn forget_security(&mut self) {
        self.security = Security::Plain;
        if let Some(seldom) = &mut self.seldom {
            seldom.under_way = UnderWay::default();
        }
    }
}

/// Whether these are the first bytes of TLS records (RFC 8446 5.1), or none at all.
fn is_handshake(bytes: &[u8]) -> bool {
    const FIRST_TYPE: u8 = 20;
    const LAST_TYPE: u8 = 23;
    match bytes {
        [] => true,
        [kind] => (FIRST_TYPE..=LAST_TYPE).contains(kind),
        [kind, major, ..] => (FIRST_TYPE..=LAST_TYPE).contains(kind) && *major == 3,
    }
}
