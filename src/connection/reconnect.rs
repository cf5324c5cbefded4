//! What becomes of an outbound connection whose link is lost, or never comes: another attempt, after a
//! pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::ReconnectConfig;
use crate::error::{ConnectError, ConnectPhase};
use crate::now::Now;
use crate::reason::{Cause, ClosePhase, ClosedDetail, TimeoutKind};
use crate::restart::Backoff;

use super::rules::LEVEL_NOTICES;
use super::state::{Report, State};
use super::{Connection, Event, Interests};

/// How the attempts have gone.
#[derive(Debug)]
pub(super) struct Redial {
    backoff: Backoff,
    most: Option<u32>,
    /// Attempts since a link was stable for the last time, the one under way included.
    attempts: u32,
    /// Whether there ever was one.
    opened: bool,
}

impl Redial {
    /// The first attempt is under way.
    fn new(config: &ReconnectConfig, seed: u64) -> Self {
        Self {
            backoff: Backoff::new(config.backoff.clone(), seed),
            most: config.max_attempts,
            attempts: 1,
            opened: false,
        }
    }

    /// There is a link.
    pub(super) const fn up(&mut self, now: Instant) {
        self.backoff.up(now);
        self.opened = true;
    }

    /// The pause before the next attempt, if there is to be one.
    fn next_pause(&mut self, now: Instant) -> Option<Duration> {
        if self.backoff.is_stable(now) {
            self.attempts = 0;
        }
        if self.most.is_some_and(|most| self.attempts >= most) {
            return None;
        }
        self.attempts += 1;
        Some(self.backoff.next_pause(now))
    }
}

impl Cause {
    /// Whether another attempt may do better: what was decided on this side stays decided.
    const fn may_be_mended(&self) -> bool {
        match self {
            Self::PeerFinished
            | Self::Tls(_)
            | Self::Io { .. }
            | Self::Frame(_)
            | Self::TruncatedMessage { .. } => true,
            Self::Timeout { kind, .. } => !matches!(kind, TimeoutKind::Adoption),
            _ => false,
        }
    }
}

impl Connection {
    /// Makes further attempts when its settings say so; `seed` decides the jitter of the pauses.
    #[must_use]
    pub fn with_reconnect(mut self, seed: u64) -> Self {
        let redial = self.config.reconnect.as_ref();
        if let Some(redial) = redial.map(|config| Redial::new(config, seed)) {
            self.seldom.get_or_insert_default().redial = Some(redial);
        }
        self
    }

    fn redial(&self) -> Option<&Redial> {
        self.seldom.as_ref()?.redial.as_ref()
    }

    pub(super) fn redial_mut(&mut self) -> Option<&mut Redial> {
        self.seldom.as_mut()?.redial.as_mut()
    }

    /// The link is over, and that is still to be told: whether it is to be established again, and after
    /// which pause. If so the session is told, and the connection is connecting.
    pub fn poll_reconnect(&mut self, now: &mut Now) -> Option<Duration> {
        if !self.state.untold()?.cause.may_be_mended() {
            return None;
        }
        let redial = self.redial_mut()?;
        let delay = redial.next_pause(now.get())?;
        let attempt = redial.attempts;
        let Event::Closed(detail) = self.last_event()? else {
            return None;
        };
        self.timers.clear_all();
        self.forget_security();
        self.state = State::Connecting;
        self.batch = None;
        self.take_fault();
        self.bytes_in = 0;
        self.bytes_out = 0;
        if self.outbox.check_resume() {
            // What was queued is gone with the link.
            self.tell(Interests::WRITE_RESUMED, Event::WriteResumed);
        }
        let detail = Box::new(Arc::unwrap_or_clone(detail));
        self.tell(Interests::DISCONNECTED, Event::Disconnected(detail));
        self.tell(
            Interests::RECONNECTING,
            Event::Reconnecting { attempt, delay },
        );
        Some(delay)
    }

    /// An attempt failed: whether there is to be another one, and after which pause. What was not even
    /// tried is not tried again.
    pub fn poll_retry(&mut self, error: &ConnectError, now: &mut Now) -> Option<Duration> {
        if !matches!(self.state, State::Connecting) || error.phase == ConnectPhase::Options {
            return None;
        }
        let redial = self.redial_mut()?;
        let delay = redial.next_pause(now.get())?;
        let attempt = redial.attempts;
        self.tell(
            Interests::RECONNECTING,
            Event::Reconnecting { attempt, delay },
        );
        Some(delay)
    }

    /// Whether it goes on, over this link or over another one.
    pub(super) fn is_to_go_on(&self) -> bool {
        let cause = match &self.state {
            State::Connecting | State::Adopting | State::Open { .. } => return true,
            State::Closing(closing) => &closing.cause,
            state => match state.untold() {
                Some(detail) => &detail.cause,
                None => return false,
            },
        };
        let redials = |redial: &Redial| redial.most != Some(0);
        cause.may_be_mended() && self.redial().is_some_and(redials)
    }

    /// What is lost from now on is not established again.
    pub(super) fn stop_redialling(&mut self) {
        if let Some(redial) = self.redial_mut() {
            redial.most = Some(0);
        }
    }

    /// Whether there was a link before, so that an end is not a failure to connect.
    pub(super) fn was_open(&self) -> bool {
        self.redial().is_some_and(|redial| redial.opened)
    }

    /// The report of a connection that had a link and gets none any more.
    pub(super) fn given_up(&mut self, error: &ConnectError) -> Report {
        let attempts = self.redial().map_or(0, |redial| redial.attempts);
        let cause = match &self.state {
            State::Cancelling { cause } => Cause::clone(cause),
            _ => Cause::ReconnectFailed {
                attempts,
                kind: error.kind,
                errno: error.errno,
            },
        };
        let unsent = self.outbox.size();
        Report::Closed(Arc::new(ClosedDetail {
            cause,
            cut_short: None,
            phase: ClosePhase::Reconnecting,
            unsent,
            unsent_tokens: self.drop_unsent(),
            unread: self.inbound.take_unread(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            tls: None,
        }))
    }

    fn tell(&mut self, interest: Interests, event: Event) {
        if !self.interests.contains(interest) {
            return;
        }
        if self.notices.len() >= LEVEL_NOTICES
            && matches!(event, Event::Reconnecting { .. })
            && matches!(self.notices.back(), Some(Event::Reconnecting { .. }))
        {
            // A session that falls behind need not hear of every attempt.
            self.notices.pop_back();
        }
        self.notices.push_back(event);
    }
}

impl Event {
    /// Whether it is told while there was no link yet.
    pub(super) const fn is_of_links(&self) -> bool {
        matches!(self, Self::Disconnected(_) | Self::Reconnecting { .. })
    }
}
