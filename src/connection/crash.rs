//! What becomes of a connection whose session panicked: it closes, or another session takes it over.

use std::time::{Duration, Instant};

use crate::config::CrashPolicy;
use crate::now::Now;
use crate::reason::{Cause, TimeoutKind};
use crate::restart::Intensity;

use super::credit::Credit;
use super::state::State;
use super::{Connection, Event, Interests, Readiness};

/// The sessions that a connection has lost.
#[derive(Debug)]
pub(crate) struct Crashes {
    intensity: Intensity,
    restarts: u32,
}

impl Crashes {
    /// None so far.
    pub(crate) const fn new(max: u32, within: Duration) -> Self {
        Self {
            intensity: Intensity::new(max, within),
            restarts: 0,
        }
    }

    /// One more; whether another session may follow.
    pub(crate) fn count(&mut self, now: Instant) -> bool {
        let allowed = self.intensity.allows(now);
        self.restarts += u32::from(allowed);
        allowed
    }

    /// How many sessions were followed by another one.
    pub(crate) const fn restarts(&self) -> u32 {
        self.restarts
    }
}

impl Connection {
    /// The session failed or ended; whatever it had not given back is void. `true`: the connection stays
    /// open without a session, nothing is read or told, and somebody is to give it another one
    /// ([`handle_successor`](Self::handle_successor)).
    pub fn handle_session_gone(&mut self, cause: Cause, now: &mut Now) -> bool {
        self.credit = Credit::default();
        self.take_fault();
        self.inbound.disarm();
        self.stop_frame_clocks();
        if self.is_succeeded(&cause, now) {
            self.vacant = true;
            self.reading_paused = false;
            self.interest = Readiness::default();
            self.timers.clear(TimeoutKind::Receive);
            let after = self.config.adoption_timeout;
            self.timers.start(TimeoutKind::Adoption, now.get(), after);
            return true;
        }
        self.vacant = false;
        self.interests = Interests::NONE;
        self.notices.clear();
        // Nobody is left to have another link.
        self.stop_redialling();
        let aborts = self.config.crash == CrashPolicy::Abort
            && matches!(cause, Cause::SessionPanicked { .. });
        match self.state {
            State::Adopting | State::Open { .. } if aborts => self.end(cause, None, true),
            State::Connecting | State::Adopting | State::Open { .. } => {
                self.begin_close(cause, None, now);
            }
            _ => {}
        }
        false
    }

    /// Whether the connection lives on without the session that it had.
    fn is_succeeded(&mut self, cause: &Cause, now: &mut Now) -> bool {
        let CrashPolicy::Restart { max, within } = self.config.crash else {
            return false;
        };
        if !matches!(cause, Cause::SessionPanicked { .. }) || !self.is_to_go_on() {
            return false;
        }
        let crashes = self
            .seldom
            .get_or_insert_default()
            .crashes
            .get_or_insert_with(|| Crashes::new(max, within));
        crashes.count(now.get())
    }

    /// Whether it waits for another session.
    #[must_use]
    pub const fn is_vacant(&self) -> bool {
        self.vacant
    }

    /// How many of its sessions panicked and were replaced.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.seldom
            .as_ref()
            .and_then(|seldom| seldom.crashes.as_ref())
            .map_or(0, |crashes| crashes.restarts())
    }

    /// Another session has it now: it is told how things stand, and what a fresh connection would receive
    /// first is armed again.
    pub fn handle_successor(&mut self, interests: Interests, now: &mut Now) {
        if !std::mem::take(&mut self.vacant) {
            return;
        }
        self.interests = interests;
        self.timers.clear(TimeoutKind::Adoption);
        // What the predecessor had heard of levels is nothing to a successor, who is told how they stand.
        self.notices
            .retain(|event| interests.contains(event.interest()) && !event.is_write_level());
        if !matches!(self.state, State::Open { .. }) {
            // It has not begun, or is at its end: the successor is told from the start, or the end.
            self.tell_pause();
            return;
        }
        let adopted = Event::Adopted {
            unread: self.inbound.len(),
            restarts: self.restarts(),
        };
        // A receive that cannot be armed has closed the connection already.
        let _ = self.seated(adopted, self.after_links(), now);
        self.settle(now);
    }
}
