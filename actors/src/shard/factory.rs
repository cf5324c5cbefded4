//! Who makes the session of a connection when its time has come.

use std::sync::Arc;

use switchboard_core::{ConnectionConfig, CrashPolicy};
use tracing::Span;

use crate::client::Client;
use crate::server::{Claim, HostSession, HostSessions};
use crate::session::Outlet;
use crate::tls::Asked;
use crate::workers::Seating;

use super::{Attach, MakeSession, ShardLocal};

/// Makes the session of a connection when its time has come: after a handshake, or after the one before
/// panicked.
pub(crate) struct Factory {
    attach: Attach,
    seating: Seating,
    span: Span,
}

impl Factory {
    pub(super) const fn new(attach: Attach, seating: Seating, span: Span) -> Self {
        Self {
            attach,
            seating,
            span,
        }
    }

    /// Kept only where the settings ask for it.
    pub(super) fn if_needed(
        config: &ConnectionConfig,
        attach: &Attach,
        seating: Seating,
        span: &Span,
    ) -> Option<Box<Self>> {
        matches!(config.crash, CrashPolicy::Restart { .. })
            .then(|| Box::new(Self::new(Arc::clone(attach), seating, span.clone())))
    }

    /// Has a session made.
    pub(crate) fn make(&self, client: &Client, local: &ShardLocal) -> Outlet {
        let make = MakeSession::Always(Arc::clone(&self.attach));
        let (outlet, errand) = local.seat(client, make, self.seating, &self.span);
        ShardLocal::send_for(client, errand);
        outlet
    }
}

/// Makes the first session of a connection when the handshake that comes first has ended.
pub(crate) struct Entry {
    factory: Factory,
    hosts: HostSessions,
    /// What the peer asks for.
    asked: Asked,
    /// Of whoever asks for the connection, where a listener is asked.
    claim: Option<Claim>,
}

impl Entry {
    pub(super) const fn new(
        factory: Factory,
        hosts: HostSessions,
        asked: Asked,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            factory,
            hosts,
            asked,
            claim,
        }
    }

    /// Who makes it, by what the peer has asked for, and for whom.
    pub(crate) fn choose(self) -> (Factory, Option<Claim>) {
        let hosts = self.hosts.as_deref();
        let host = hosts.and_then(|hosts| hosts.get(self.asked.get()?));
        let factory = match host {
            None => self.factory,
            Some(HostSession { factory, seating }) => {
                Factory::new(Arc::clone(&factory.attach), *seating, self.factory.span)
            }
        };
        (factory, self.claim)
    }
}
