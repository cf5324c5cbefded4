//! One session for each peer of a UDP socket.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Handler, WrapFuture};
use switchboard_core::datagram::DatagramConfig;
use switchboard_core::{Address, Cause, ConnectionState, Now};

use crate::client::clock;
use crate::context::SessionContext;
use crate::message::{DatagramReceived, Draining};
use crate::options::BindUdp;
use crate::pool::Pool;
use crate::session;
use crate::session::{Holder, IntoSession, Seat};
use crate::shard::ShardLocal;
use crate::telemetry;
use crate::transport::ChannelKind;

use super::Udp;
use super::actor::{Launch, UdpActor};
use super::opening::{BindError, Origin, SocketFactory, again};
use super::shared::{Beginning, Socket, wake_if_needed};

/// How the peers of a UDP socket get sessions of their own.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing happens until it is given to a pool"]
pub struct Peers {
    most: usize,
    idle: Duration,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            most: 1024,
            idle: Duration::from_secs(60),
        }
    }
}

impl Peers {
    /// How many peers may have a session at once; a datagram of one more is thrown away and
    /// [counted](Udp::dropped). Default: 1,024.
    pub const fn most(mut self, peers: usize) -> Self {
        self.most = peers;
        self
    }

    /// How long no datagram may move either way until a peer's session is closed, with reason Timeout; the
    /// peer's next datagram makes another one. Default: 60 s.
    pub const fn idle(mut self, time: Duration) -> Self {
        self.idle = time;
        self
    }

    fn validate(self) -> Result<(), String> {
        if self.most == 0 {
            return Err("with at most 0 peers nobody gets a session".into());
        }
        if self.idle.is_zero() {
            return Err("an idle time of zero closes every session at once".into());
        }
        Ok(())
    }
}

impl Pool {
    /// Opens a UDP socket of which each peer, by address and port, gets a session of its own from `session`
    /// when its first datagram comes. The `Udp` of a session is as if it were connected to that peer:
    /// [`send`](Udp::send) goes there, and only what comes from there is told. Each has an id, is listed,
    /// counted against the pool's limit, drained, and closes by itself; the limits of `bind` hold for each.
    /// A peer whose session is behind by as much as its [`recv_limits`](BindUdp::recv_limits), or has paused
    /// reading for so long, loses what comes meanwhile, which is [counted](Udp::dropped), and harms nobody
    /// else.
    ///
    /// What is returned stands for the socket itself; closing it closes the sessions of all peers, which send
    /// first what they have queued. In a drain it takes no new peers, and closes behind the last one.
    ///
    /// # Errors
    /// As [`bind_udp`](Self::bind_udp), and for Unix sockets and sockets that are connected.
    pub async fn serve_udp<F, S>(
        &self,
        bind: BindUdp,
        peers: Peers,
        session: F,
    ) -> Result<Udp, BindError>
    where
        F: Fn(Udp) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        peers
            .validate()
            .and_then(|()| bind.validate_for_peers())
            .map_err(|why| BindError::options(&bind.target(), why))?;
        let mut config = bind.config.clone();
        config.idle_timeout = Some(peers.idle);
        let each = Each {
            config: Arc::new(config),
            factory: again(session, Udp::new),
            most: peers.most,
        };
        let mut bind = bind;
        bind.config.idle_timeout = None;
        let table: SocketFactory = Arc::new(move |socket, local, member, span| {
            let table = PeerTable {
                socket: socket.clone(),
                local: Rc::clone(local),
                each: each.clone(),
                peers: HashMap::new(),
                draining: false,
            };
            Ok(table.attach(Seat {
                holder: Holder::Socket(socket),
                member,
                span,
            }))
        });
        let socket = self.open_datagrams(Origin::Udp(bind), Some(table)).await?;
        Ok(Udp::new(socket))
    }
}

/// What each peer's session is made with.
#[derive(Clone)]
struct Each {
    config: Arc<DatagramConfig>,
    factory: SocketFactory,
    most: usize,
}

/// The session of the socket itself: hands each datagram to the session of its peer.
struct PeerTable {
    socket: Socket,
    local: Rc<ShardLocal>,
    each: Each,
    peers: HashMap<Address, Socket>,
    /// Nobody new is served any more.
    draining: bool,
}

impl Actor for PeerTable {
    type Context = SessionContext<Self>;
}

session!(PeerTable);

impl Handler<DatagramReceived> for PeerTable {
    type Result = ();

    fn handle(&mut self, mut msg: DatagramReceived, _: &mut Self::Context) {
        let peer = self.peers.get(&msg.from);
        if let Some(peer) = peer
            && peer.hand(&mut msg)
        {
            return;
        }
        match self.new_peer(&msg.from) {
            Some(peer) => {
                peer.hand(&mut msg);
            }
            None => {
                self.socket.0.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Handler<Draining> for PeerTable {
    type Result = ();

    fn handle(&mut self, _: Draining, ctx: &mut Self::Context) {
        self.draining = true;
        let shares = Arc::clone(&self.socket.0.shares);
        let served = async move { shares.given_back().await };
        ctx.spawn(served.into_actor(self).map(|(), table, _| {
            table
                .socket
                .0
                .command(|machine, now| machine.close(Cause::LocalClose, true, None, now));
        }));
    }
}

impl PeerTable {
    fn new_peer(&mut self, address: &Address) -> Option<Socket> {
        self.forget_ended();
        // One that is closing still sends what it has queued, and counts no more.
        self.peers.remove(address);
        if self.draining || self.peers.len() >= self.each.most || self.local.is_stopping() {
            return None;
        }
        let pool = self.socket.pool();
        let passes = pool.gates().try_enter().ok()?;
        let shared = &self.socket.0;
        let link = shared
            .lock()
            .link
            .as_ref()?
            .share(address, &shared.shares)?;
        let peer = Socket::new(Beginning {
            id: self.local.next_id(),
            pool: pool.clone(),
            kind: ChannelKind::Udp,
            config: Arc::clone(&self.each.config),
            link,
            peer: Some(address.clone()),
            reads: true,
            strips_header: false,
        });
        let span = telemetry::socket_span(pool.span(), &peer);
        self.local.opened(peer.id());
        let launch = Launch {
            socket: peer.clone(),
            factory: Some(Arc::clone(&self.each.factory)),
            passes,
            share: self.local.take_share(),
            span,
        };
        UdpActor::launch(launch, &self.local);
        self.peers.insert(address.clone(), peer.clone());
        Some(peer)
    }

    fn forget_ended(&mut self) {
        for address in self.socket.0.shares.ended() {
            // Somebody else may have this address by now.
            if self.peers.get(&address).is_some_and(Socket::has_ended) {
                self.peers.remove(&address);
            }
        }
    }
}

impl Drop for PeerTable {
    fn drop(&mut self) {
        for peer in self.peers.values() {
            peer.0
                .command(|machine, now| machine.close(Cause::LocalClose, true, None, now));
        }
    }
}

impl fmt::Debug for PeerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTable")
            .field("socket", &self.socket)
            .field("peers", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl Socket {
    fn has_ended(&self) -> bool {
        self.0.lock().machine.is_over()
    }

    /// Hands a datagram of its peer over. `false`: it is closing.
    fn hand(&self, msg: &mut DatagramReceived) -> bool {
        let shared = &self.0;
        let mut core = shared.lock();
        // Without a session it may be about to get one, or another one.
        let serves = [ConnectionState::Adopting, ConnectionState::Open];
        if !serves.contains(&core.machine.state()) {
            return false;
        }
        if !core.machine.has_room() {
            drop(core);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let (from, data) = (msg.from.clone(), std::mem::take(&mut msg.data));
        let mut now = Now::ask(clock);
        core.machine
            .handle_datagram(from, data, msg.truncated, &mut now);
        core.machine.begin_round();
        if core.receivers > 0 {
            shared.arrived.notify_one();
        }
        if !core.in_flight
            && core.has_event()
            && let Some(session) = core.session.clone()
        {
            core.in_flight = true;
            drop(core);
            shared.pool.pass();
            session.wake();
            return true;
        }
        wake_if_needed(core);
        true
    }
}
