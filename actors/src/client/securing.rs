//! How a connection gets TLS: its actor has the handshake, and the session comes in or goes on when it is
//! done.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

#[cfg(feature = "tls")]
use switchboard_core::StartTlsError;
use switchboard_core::{Now, TlsInfo};

use crate::server::Claim;
use crate::session::Outlet;
use crate::telemetry;
use crate::tls::Failed;
#[cfg(feature = "tls")]
use crate::tls::StartTls;
#[cfg(feature = "tls")]
use crate::transport::ChannelKind;

use super::actor::Link;
#[cfg(feature = "tls")]
use super::clock;
#[cfg(feature = "tls")]
use super::shared::{Core, wake_if_needed};
use super::{ClientActor, Shared};

impl ClientActor {
    /// Begins a handshake that is due, and goes on with one.
    pub(super) fn drive_securing(
        &mut self,
        shared: &Arc<Shared>,
        cx: &mut TaskContext<'_>,
        now: &mut Now,
    ) {
        let berth = Rc::clone(&self.berth);
        let mut link = berth.link.borrow_mut();
        begin(shared, &mut link);
        let Link::Securing(handshake) = &mut *link else {
            return;
        };
        // Not under the lock: cryptography takes its time.
        let Poll::Ready(outcome) = handshake.poll(cx) else {
            return;
        };
        // How it went is settled before anybody makes the session, which a worker does at any moment.
        match outcome {
            Ok(transport) => {
                let tls = transport.tls().cloned();
                *link = Link::Up(transport);
                drop(link);
                self.count_handshake(tls.as_deref());
                if let Some(tls) = tls {
                    telemetry::tls_started(&self.client, &tls);
                    shared.lock().machine.handle_secured(tls, now);
                }
                let claim = self.seat();
                let mut core = shared.lock();
                if matches!(self.outlet, Outlet::None | Outlet::Awaited) {
                    // What a worker makes adopts it there.
                    core.machine.handle_unadopted(now);
                } else if let Err(error) = core.machine.adopt(now) {
                    telemetry::not_adopted(&self.client, &error);
                }
                drop(core);
                if let Some(claim) = claim {
                    claim.give(self.client.clone());
                }
            }
            Err(Failed { error, transport }) => {
                let linked = transport.is_some();
                *link = transport.map_or(Link::Down, Link::Up);
                drop(link);
                self.count_handshake(None);
                let mut core = shared.lock();
                core.machine.handle_handshake_failed(&error, linked, now);
                drop(core);
                drop(self.seat());
            }
        }
    }

    /// Gives a connection its session when its handshake has ended, well or not. Whoever asks for the
    /// connection is to get it now, or another one.
    pub(super) fn seat(&mut self) -> Option<Claim> {
        let entry = self.rare.as_mut()?.entry.take()?;
        let local = Rc::clone(&self.berth.local);
        let (factory, claim) = entry.choose();
        self.outlet = factory.make(&self.client, &local);
        if let Some(rare) = &mut self.rare
            && rare.factory.is_some()
        {
            rare.factory = Some(Box::new(factory));
        }
        claim
    }

    /// A handshake has ended; with an accepted peer it is counted. `None`: it was not done.
    pub(super) fn count_handshake(&self, tls: Option<&TlsInfo>) {
        match (&self.client.shared.server, tls) {
            (Some(server), Some(tls)) => server.secured(tls),
            (Some(server), None) => server.not_secured(),
            (None, _) => {}
        }
    }
}

#[cfg(feature = "tls")]
impl Shared {
    pub(crate) fn start_tls(&self, start: StartTls) -> Result<(), StartTlsError> {
        if self.kind() == ChannelKind::Pipe {
            return Err(StartTlsError::NotANetwork);
        }
        let timeout = start.within();
        let upgrade = start.prepare()?;
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        self.recall(&mut core, &mut now);
        let pending = self.frames_pending(&core);
        let started = core.machine.start_tls(timeout, pending, &mut now);
        let started =
            started.map(|early| core.make_rare().upgrade = Some(Box::new(upgrade.after(early))));
        core.count_held();
        if !core.is_own_turn() {
            wake_if_needed(core);
        }
        started
    }

    /// Frames that are with the session, and that it has not begun with.
    fn frames_pending(&self, core: &Core) -> usize {
        if core.tickets > 0 {
            // One may be what its handler is at.
            return (core.machine.frames_out() as usize).saturating_sub(1);
        }
        core.machine.batch_len().saturating_sub(self.claim.begun())
    }
}

fn begin(shared: &Shared, link: &mut Link) {
    if !matches!(link, Link::Up(_)) {
        return;
    }
    let mut core = shared.lock();
    if !core.machine.wants_handshake() {
        return;
    }
    let Some(upgrade) = core.rare().and_then(|rare| rare.upgrade.take()) else {
        return;
    };
    core.make_rare().tls_config = Some(Box::new(upgrade.config()));
    core.machine.handle_handshake_begun();
    drop(core);
    if let Link::Up(transport) = std::mem::replace(link, Link::Down) {
        *link = Link::Securing(Box::new(upgrade.begin(transport)));
    }
}
