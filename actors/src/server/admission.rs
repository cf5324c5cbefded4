//! Who may come in: the limits of a listener and of its pool, and what is in the way of the next peer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use switchboard_core::gate::PrefixPass;
use switchboard_core::{Gate, RejectReason};
use tokio::time::{Sleep, sleep_until};

use crate::client::clock;
use crate::options::AtLimit;
use crate::placement::Placer;
use crate::places::Passes;
use crate::pool::Pool;
use crate::shard::SlotLease;
use crate::transport::Incoming;

use super::ServerState;
use super::limits::Rules;

/// How often a listener looks for free slots while there are none.
const SLOT_PAUSE: Duration = Duration::from_millis(20);

/// Who may come in, and where they go.
pub(super) struct Admission {
    pub(super) pool: Pool,
    pub(super) placer: Placer,
    state: Arc<ServerState>,
    /// What the listener's handle may change, as it was when `version` was seen.
    rules: Rules,
    version: u64,
    /// Until when there is no use in looking again.
    wait: Option<Pin<Box<Sleep>>>,
    /// Whether the next peers have waited so long that they may have left.
    sweeping: bool,
}

/// What becomes of a peer that was accepted.
pub(super) enum Verdict {
    Admit(Passes, Option<Box<SlotLease>>),
    TurnAway(RejectReason),
    /// It has left already, and takes no place.
    Gone,
    /// Somebody else took its place a moment ago: it is kept in hand until there is another.
    Hold,
}

/// What keeps the next peer out.
enum Obstacle {
    Full,
    NoSlots,
    /// No token before this moment.
    TooFast(Instant),
}

impl Admission {
    pub(super) fn new(state: &Arc<ServerState>) -> Self {
        let pool = state.pool.clone();
        let (rules, version) = state.rules();
        Self {
            placer: pool.placer().another(state.placement, state.id.shard()),
            pool,
            state: Arc::clone(state),
            rules,
            version,
            wait: None,
            sweeping: false,
        }
    }

    /// Takes note of what the listener's handle has changed.
    fn refresh(&mut self) {
        if self.state.rules_version() != self.version {
            (self.rules, self.version) = self.state.rules();
            // What was waited for may be in the way no longer.
            self.wait = None;
        }
    }

    /// Ready when the next peer may be accepted. No place is taken for it yet: one that is held for
    /// nobody, if only for a moment, could have a connection refused elsewhere.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.refresh();
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            let Err(obstacle) = self.look() else {
                return Poll::Ready(());
            };
            self.sweeping = true;
            let until = match obstacle {
                Obstacle::Full => {
                    let Some(full) = self.gates().find(|gate| !gate.has_room()) else {
                        continue;
                    };
                    full.register(cx.waker());
                    return Poll::Pending;
                }
                // Slots may be shared with others, and nobody tells when one comes back.
                Obstacle::NoSlots => clock() + SLOT_PAUSE,
                Obstacle::TooFast(until) => until,
            };
            self.wait = Some(Box::pin(sleep_until(until.into())));
        }
    }

    /// What is in the way of any next peer, and not to be told to it.
    fn look(&self) -> Result<(), Obstacle> {
        if let Some(rate) = &self.rules.rate {
            rate.check(clock()).map_err(Obstacle::TooFast)?;
        }
        if self.rules.at_limit == AtLimit::Wait {
            self.look_for_room()?;
        }
        Ok(())
    }

    fn look_for_room(&self) -> Result<(), Obstacle> {
        if !self.gates().all(Gate::has_room) {
            return Err(Obstacle::Full);
        }
        match &self.state.slots {
            Some(slots) if slots.available() < 2 => Err(Obstacle::NoSlots),
            _ => Ok(()),
        }
    }

    fn gates(&self) -> impl Iterator<Item = &Gate> {
        std::iter::once(&self.state.gate).chain(self.pool.gates().iter())
    }

    /// Decides about a peer that was accepted, and takes its places.
    pub(super) fn judge(&self, incoming: &Incoming) -> Verdict {
        let address = incoming.peer_addr.map(|peer| peer.ip());
        if address.is_some_and(|address| !self.rules.access.allows(address)) {
            return Verdict::TurnAway(RejectReason::Denied);
        }
        if self.sweeping && incoming.transport.peer_left() {
            return Verdict::Gone;
        }
        let prefix = match address {
            None => None,
            Some(address) => match self.state.prefix.try_enter(address) {
                Some(pass) => Some(pass),
                None => return Verdict::TurnAway(RejectReason::Prefix),
            },
        };
        match self.take(prefix) {
            Ok((passes, lease)) => Verdict::Admit(passes, lease),
            Err(Obstacle::TooFast(_)) => Verdict::Hold,
            Err(_) if self.rules.at_limit == AtLimit::Wait => Verdict::Hold,
            Err(Obstacle::Full) => Verdict::TurnAway(RejectReason::Limit),
            Err(Obstacle::NoSlots) => Verdict::TurnAway(RejectReason::Slots),
        }
    }

    /// Takes a place under each limit, two slots and a token; all or nothing.
    fn take(
        &self,
        prefix: Option<PrefixPass>,
    ) -> Result<(Passes, Option<Box<SlotLease>>), Obstacle> {
        // Looks before it takes: what is taken only to be given back may be missed elsewhere.
        self.look_for_room()?;
        if let Some(rate) = &self.rules.rate {
            rate.check(clock()).map_err(Obstacle::TooFast)?;
        }
        let server = self.state.gate.try_enter().ok_or(Obstacle::Full)?;
        let mut passes = self.pool.gates().try_enter().map_err(|_| Obstacle::Full)?;
        let lease = match &self.state.slots {
            None => None,
            Some(slots) => match (slots.try_take(), slots.try_take()) {
                (Some(recv), Some(send)) => Some(Box::new(SlotLease::new(recv, send))),
                _ => return Err(Obstacle::NoSlots),
            },
        };
        if let Some(rate) = &self.rules.rate {
            rate.try_take(clock()).map_err(Obstacle::TooFast)?;
        }
        passes.server = Some(server);
        passes.prefix = prefix;
        if let Some(alarm) = &self.state.alarm {
            passes.rare().presence = Some(alarm.enter());
        }
        Ok((passes, lease))
    }

    /// How peers are turned away for this reason: the policy, where there is nothing to wait for.
    pub(super) fn farewell(&self, reason: RejectReason) -> &AtLimit {
        match &self.rules.at_limit {
            AtLimit::Wait => &AtLimit::Reject,
            AtLimit::Answer(_) if reason == RejectReason::Denied => &AtLimit::Reject,
            policy => policy,
        }
    }

    /// Accepting has paused, and peers may have left meanwhile: those that left without a word take no
    /// place.
    pub(super) const fn sweep(&mut self) {
        self.sweeping = true;
    }

    /// Nobody waits any more: who comes from now on has just come.
    pub(super) const fn swept(&mut self) {
        self.sweeping = false;
    }
}
