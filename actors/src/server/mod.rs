//! `ServerActor` accepts peers; `Server` is its handle.
//!
//! A listener is more than its actor: the keeper (`keeper`) holds the listening socket and lends it to
//! the actor (`actor`) through a door (`door`), so that an actor that panics is started again on the
//! same socket, and nobody in its backlog notices. What must outlive even the thread of both is in
//! `state`.

mod acceptor;
mod actor;
mod admission;
mod alarm;
mod control;
mod door;
mod guard;
mod hosts;
mod keeper;
mod limits;
mod pull;
mod state;

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix::Addr;
use switchboard_core::{Address, ClosedReason, ConnectionConfig, ServerId};
use tokio::sync::oneshot;

use crate::client::Client;
use crate::error::{ChangeError, SuspendError};
use crate::message::PoolEvent;
use crate::options::Listen;
use crate::pool::Pool;
use crate::session::{IntoSession, SessionFactory};
use crate::shard::ShardLocal;
use crate::telemetry;
use crate::transport::{Listener, Network};
use crate::workers::Seating;

use control::Order;

pub use acceptor::Acceptor;
pub use actor::ServerActor;
pub(crate) use alarm::Presence;
pub use control::{CloseServer, Resume, Suspend, SwapSession};
pub use guard::ServerGuard;
pub(crate) use hosts::{HostSession, HostSessions, host_sessions};
pub(crate) use keeper::{Keeper, open};
pub use limits::{ServerLimits, SetLimits, SetLimitsError};
pub(crate) use pull::{Claim, Pull};
pub(crate) use state::ServerState;

/// The handle of a listener. Cheap to clone, usable from any thread; dropping it does not close the
/// listener, unless it is made a [`guard`](Self::guard). It stays valid over restarts.
#[derive(Clone)]
pub struct Server {
    state: Arc<ServerState>,
}

/// What a listener is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenState {
    /// It takes peers, as far as its limits allow.
    Accepting,
    /// It was told to take nobody for a while.
    Suspended(Suspend),
    /// It has failed, or its shard has, and comes back after a pause. If its socket lives, peers wait
    /// in the backlog meanwhile.
    Restarting,
    /// It is closed for good.
    Closed,
}

/// A listener's facts and counters, at one moment. The counters go on over restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The listener.
    pub id: ServerId,
    /// The address as it was asked for (XAS-29).
    pub requested: String,
    /// The real address, of whatever kind.
    pub address: Address,
    /// The real IP address; 0.0.0.0:0 of a Unix socket.
    pub local_addr: SocketAddr,
    /// What it is doing.
    pub state: ListenState,
    /// Peers that became connections: always `live` and all of `closed` together.
    pub accepted: u64,
    /// Connections that are there now.
    pub live: u64,
    /// Connections that ended, by the number of their [`ClosedReason`].
    pub closed: [u64; 4],
    /// Peers that were closed at once because of a limit or of their address: all of `rejections`.
    pub rejected: u64,
    /// The same by reason.
    pub rejections: Rejections,
    /// Peers that had to wait long and had left when it was their turn; they took no place.
    pub gone: u64,
    /// Peers that were closed with the descriptor in reserve, while the system had no other.
    pub shed: u64,
    /// Peers that were gone before they could be accepted, and other passing faults.
    pub faults: u64,
    /// Times that accepting paused because the system had nothing left.
    pub pauses: u64,
    /// Times that it came back after a failure (T-05).
    pub restarts: u64,
    /// Whether its alarm is raised.
    pub alarm_raised: bool,
    /// The TLS handshakes with its peers: all where it speaks TLS from the first byte, and else those of
    /// connections that were upgraded.
    pub tls: TlsCounts,
}

/// How the TLS handshakes of a listener's connections have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TlsCounts {
    /// Those that were done.
    pub handshakes: u64,
    /// Of these, those that resumed an earlier session.
    pub resumed: u64,
    /// Those that began and were not done: they failed, took too long, or their connection was closed
    /// meanwhile.
    pub failed: u64,
}

/// How many peers a listener has turned away, by [`RejectReason`](switchboard_core::RejectReason).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rejections {
    /// No place with the listener, the pool, or the limit that pools share.
    pub limit: u64,
    /// No place for their prefix.
    pub prefix: u64,
    /// No slots (XAS-25).
    pub slots: u64,
    /// Kept out by the access list.
    pub denied: u64,
}

impl Rejections {
    /// All of them.
    const fn in_all(self) -> u64 {
        self.limit + self.prefix + self.slots + self.denied
    }
}

/// Looking.
impl Server {
    /// The listener's id.
    #[must_use]
    pub fn id(&self) -> ServerId {
        self.state.id
    }

    /// The address that peers reach it at, of whatever kind.
    #[must_use]
    pub fn address(&self) -> Address {
        self.state.address.clone()
    }

    /// The IP address that peers reach it at: a port of 0 has become a real one, and stays that one. That of
    /// a Unix socket is 0.0.0.0:0.
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

    /// Whether it is not closed: suspended or restarting, it will listen again.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        !self.state.is_closed()
    }

    /// Its actor, for commands as messages: [`SetLimits`], [`Suspend`], [`Resume`], [`SwapSession`],
    /// [`CloseServer`].
    /// It is another one after each restart; `None` while there is none.
    #[must_use]
    pub fn addr(&self) -> Option<Addr<ServerActor>> {
        let actor = self.state.kept().actor.clone();
        actor?.upgrade().filter(Addr::connected)
    }
}

/// Changing.
impl Server {
    /// Changes the most connections of this listener at one time; at once, but no connection is
    /// closed for it.
    pub fn set_max_connections(&self, connections: usize) {
        self.state.gate.set_limit(connections);
    }

    /// Changes whom the listener lets in; each limit's documentation says from when on it counts. The
    /// message [`SetLimits`] does the same.
    ///
    /// # Errors
    /// When a limit cannot be, or the listener is closed; then nothing is changed.
    pub fn set_limits(&self, limits: ServerLimits) -> Result<(), SetLimitsError> {
        self.state.set_limits(limits)
    }

    /// Sessions of connections that are opened from now on come from this factory. Those that are there
    /// keep theirs, the port stays open, and nobody in the backlog is lost.
    ///
    /// # Errors
    /// When the listener is closed, or when its new connections receive something from the start that
    /// the session does not handle; then nothing changes.
    pub fn swap_session<F, S>(&self, session: F) -> Result<(), ChangeError>
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        self.state.swap(SessionFactory::new(session))
    }

    /// Changes the settings of connections that are opened from now on; those that are there keep
    /// theirs. Of changes that are made at the same moment the last one counts.
    ///
    /// # Errors
    /// When the listener is closed, when a value cannot work, or when new connections would receive
    /// something from the start that their session does not handle; then nothing changes.
    pub fn set_options(
        &self,
        change: impl FnOnce(&mut ConnectionConfig),
    ) -> Result<(), ChangeError> {
        self.state.set_options(change)
    }

    /// Takes nobody for a while, in one of two ways; its connections stay. It resolves when that is so.
    /// One that is restarting goes by it when it comes back. Suspending again changes the way.
    ///
    /// # Errors
    /// When it is closed; when a port that was closed would have to be taken again and cannot be.
    pub async fn suspend(&self, how: Suspend) -> Result<(), SuspendError> {
        let answer = self.order(|answer| Order::Suspend(how, answer)).await;
        answer.unwrap_or(Err(SuspendError::Closed))
    }

    /// Takes peers again, at the same real port. It resolves when that is so; at once if it was not
    /// suspended.
    ///
    /// # Errors
    /// When it is closed; when its port was taken meanwhile ([`Suspend::ClosePort`]): then it stays
    /// suspended, and can be resumed later. While connections of its own stay, the port can be taken
    /// again only with [`Listen::reuse_addr`], which is the default.
    pub async fn resume(&self) -> Result<(), SuspendError> {
        let answer = self.order(Order::Resume).await;
        answer.unwrap_or(Err(SuspendError::Closed))
    }

    /// Asks the keeper of the moment, and the next one if that ends without an answer; `None`: the
    /// listener is closed.
    async fn order<T>(&self, order: impl Fn(oneshot::Sender<T>) -> Order) -> Option<T> {
        let mut keepers = self.state.keeper.subscribe();
        let asking = async {
            loop {
                let keeper = keepers.borrow_and_update().clone();
                if self.state.is_closed() {
                    return None;
                }
                if let Some(keeper) = keeper {
                    let (answer, answered) = oneshot::channel();
                    if keeper.send(order(answer)).is_ok()
                        && let Ok(answer) = answered.await
                    {
                        return Some(answer);
                    }
                }
                keepers.changed().await.ok()?;
            }
        };
        tokio::select! {
            biased;
            answer = asking => answer,
            // While its shard is down there may never be another keeper.
            () = self.wait_closed() => None,
        }
    }
}

/// Closing.
impl Server {
    /// Closes the listener: its port refuses from when this returns, its connections stay (XAS-28).
    /// Closing it again does nothing.
    pub async fn close(&self) {
        loop {
            if let Some(closed) = self.begin_to_close() {
                // A keeper that is gone has closed, or its thread has died, and then it is asked again.
                let _ = closed.await;
            }
            if self.state.keeper.borrow().is_none() && self.state.is_closed() {
                return;
            }
        }
    }

    /// A handle that closes the listener when it is dropped; its connections stay (UA-21). Other handles of
    /// the same listener do not keep it open.
    pub const fn guard(self) -> ServerGuard {
        ServerGuard::new(self)
    }

    /// Has whoever keeps it close it; answered when that is done or the keeper is gone. Without a keeper it
    /// is closed when this returns.
    fn begin_to_close(&self) -> Option<oneshot::Receiver<()>> {
        self.state.begin_to_close();
        let keeper = self.state.keeper.borrow().clone();
        let Some(keeper) = keeper else {
            // Its shard is down, and would bring it back.
            self.state.finish(ClosedReason::ClosedByHost);
            return None;
        };
        let (done, closed) = oneshot::channel();
        // One whose thread dies before it has heard of it does not come back.
        let _ = keeper.send(Order::Close(done));
        Some(closed)
    }

    /// Waits until the listener is gone: closed by whomever, or with its pool. Its connections may
    /// still be there (AIO-41).
    pub async fn wait_closed(&self) {
        let mut state = self.state.watch_state();
        tokio::select! {
            _ = state.wait_for(|state| *state == ListenState::Closed) => {}
            _ = self.state.pool.stopped() => {}
        }
    }

    /// Waits until the listener is gone and each of its connections is closed (AIO-41).
    pub async fn wait_drained(&self) {
        self.wait_closed().await;
        tokio::select! {
            () = self.state.drained() => {}
            _ = self.state.pool.stopped() => {}
        }
    }
}

impl Server {
    pub(crate) fn of(state: &Arc<ServerState>) -> Self {
        let state = Arc::clone(state);
        Self { state }
    }

    /// Starts a listener on this shard.
    pub(crate) fn launch(
        opening: Opening,
        local: Rc<ShardLocal>,
        network: Arc<dyn Network>,
    ) -> Self {
        let Opening {
            id,
            listener,
            listen,
            factory,
            seating,
            hosts,
            pull,
            pool,
        } = opening;
        let local_addr = listener.local_addr();
        let addresses = (listener.address(), local_addr);
        let state = ServerState::new(id, addresses, listen, (factory, seating, hosts), pull, pool);
        state.pool.report(PoolEvent::ServerOpened {
            server: id,
            local_addr,
        });
        telemetry::server_opened(&state.span);
        state.pool.shards()[id.shard()].remember_server(Arc::clone(&state));
        let mut keeper = Keeper::new(Arc::clone(&state), local, network);
        keeper.open(listener);
        tokio::task::spawn_local(keeper.run());
        Self { state }
    }
}

/// What a listener starts with.
pub(crate) struct Opening {
    pub(crate) id: ServerId,
    pub(crate) listener: Box<dyn Listener>,
    pub(crate) listen: Listen,
    pub(crate) factory: SessionFactory,
    pub(crate) seating: Seating,
    pub(crate) hosts: HostSessions,
    pub(crate) pull: Option<Arc<Pull>>,
    pub(crate) pool: Pool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("id", &self.id())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}
