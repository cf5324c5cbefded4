//! `ServerActor` accepts peers; `Server` is its handle.

mod actor;
mod admission;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::Addr;
use switchboard_core::{ClosedReason, ConnectionConfig, Gate, ServerId};
use tracing::Span;

use crate::shard::Attach;
use crate::telemetry;
use crate::workers::Seating;

pub use actor::{CloseServer, ServerActor};

/// The handle of a listener. Cheap to clone, usable from any thread; dropping it does not close the
/// listener.
#[derive(Clone)]
pub struct Server {
    state: Arc<ServerState>,
    address: Addr<ServerActor>,
}

/// A listener's facts and counters, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The listener.
    pub id: ServerId,
    /// The address as it was asked for (XAS-29).
    pub requested: String,
    /// The real address.
    pub local_addr: SocketAddr,
    /// Peers that became connections: always `live` and all of `closed` together.
    pub accepted: u64,
    /// Connections that are there now.
    pub live: u64,
    /// Connections that ended, by the number of their [`ClosedReason`].
    pub closed: [u64; 4],
    /// Peers that were closed at once because of a limit.
    pub rejected: u64,
    /// Peers that were gone before they could be accepted, and other passing faults.
    pub faults: u64,
    /// Times that accepting paused because the system had nothing left.
    pub pauses: u64,
}

impl Server {
    /// The listener's id.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.state.id
    }

    /// The address that peers reach it at: a port of 0 has become a real one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.state.local_addr
    }

    /// The address as it was asked for (XAS-29).
    #[must_use]
    pub fn requested(&self) -> &str {
        &self.state.requested
    }

    /// Its facts and counters.
    #[must_use]
    pub fn info(&self) -> ServerInfo {
        self.state.info()
    }

    /// Changes the most connections of this listener at one time; at once, but no connection is
    /// closed for it.
    pub fn set_max_connections(&self, connections: usize) {
        self.state.gate.set_limit(connections);
    }

    /// Closes the listener: its port refuses from when this returns, its connections stay (XAS-28).
    /// Closing it again does nothing.
    pub async fn close(&self) {
        // An actor that is gone has closed its port.
        let _ = self.address.send(CloseServer).await;
    }

    /// Whether it still listens.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.state.listening.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.id())
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// What a listener, its handle and its connections share.
pub(crate) struct ServerState {
    pub(crate) id: ServerId,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) attach: Attach,
    pub(crate) seating: Seating,
    pub(crate) span: Span,
    requested: String,
    local_addr: SocketAddr,
    /// The address of an actor tells it too late: the actor ends after it has let go of its port.
    listening: AtomicBool,
    gate: Gate,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    live: AtomicU64,
    closed: [AtomicU64; 4],
    rejected: AtomicU64,
    faults: AtomicU64,
    pauses: AtomicU64,
}

impl ServerState {
    pub(crate) fn opened(&self) {
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        self.counts.live.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, reason: ClosedReason) {
        self.counts.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
        self.counts.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// A peer was accepted, but its socket could not be moved to its shard.
    pub(crate) fn lost(&self, error: &std::io::Error) {
        self.counts.faults.fetch_add(1, Ordering::Relaxed);
        telemetry::accept_fault(&self.span, error);
    }

    fn info(&self) -> ServerInfo {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ServerInfo {
            id: self.id,
            requested: self.requested.clone(),
            local_addr: self.local_addr,
            accepted: read(&self.counts.accepted),
            live: read(&self.counts.live),
            closed: [0, 1, 2, 3].map(|reason: usize| read(&self.counts.closed[reason])),
            rejected: read(&self.counts.rejected),
            faults: read(&self.counts.faults),
            pauses: read(&self.counts.pauses),
        }
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
