//! What opens something on a shard: listeners, accepted peers, outbound connections.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use actix::{ActorFutureExt, Handler, Message, ResponseActFuture, ResponseFuture, WrapFuture};
use switchboard_core::{ConnectError, ConnectPhase};
use tokio::sync::oneshot;

use crate::client::Client;
use crate::error::{ListenError, PoolStopped};
use crate::options::{Connect, Listen};
use crate::placement::Share;
use crate::places::Passes;
use crate::pool::Pool;
use crate::server::{HostSessions, Keeper, Opening, Pull, Server, ServerGuard, ServerState, open};
use crate::session::SessionFactory;
use crate::telemetry;
use crate::transport::{Detached, Incoming};
use crate::workers::Seating;

use super::{Admitted, MakeSession, ShardActor};

/// Opens a listener on this shard.
#[derive(Message)]
#[rtype(result = "Result<ServerGuard, ListenError>")]
pub(crate) struct OpenListener {
    pub(crate) listen: Listen,
    pub(crate) factory: SessionFactory,
    pub(crate) seating: Seating,
    pub(crate) hosts: HostSessions,
    pub(crate) pull: Option<Arc<Pull>>,
    pub(crate) pool: Pool,
}

impl Handler<OpenListener> for ShardActor {
    type Result = ResponseActFuture<Self, Result<ServerGuard, ListenError>>;

    fn handle(&mut self, request: OpenListener, _: &mut Self::Context) -> Self::Result {
        let target = request.listen.target.clone();
        let network = Arc::clone(&self.network);
        let listening = async move { open(&*network, target).await };
        Box::pin(listening.into_actor(self).map(move |listener, shard, _| {
            let listener = listener?;
            if shard.local.stopping.get() {
                return Err(ListenError::stopped(
                    request.listen.target.place.to_string(),
                ));
            }
            if shard.local.drainage.has_begun() {
                return Err(ListenError::draining(
                    request.listen.target.place.to_string(),
                ));
            }
            let local = Rc::clone(&shard.local);
            let opening = Opening {
                id: local.home.ids.server(),
                listener,
                listen: request.listen,
                factory: request.factory,
                seating: request.seating,
                hosts: request.hosts,
                pull: request.pull,
                pool: request.pool,
            };
            let server = Server::launch(opening, local, Arc::clone(&shard.network));
            // It does not stay when nobody waits for it any more.
            Ok(server.guard())
        }))
    }
}

/// Goes on with the listeners of a thread that has died; replies when each has been tried.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Revive;

impl Handler<Revive> for ShardActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Revive, _: &mut Self::Context) -> Self::Result {
        let servers = self.local.home.servers();
        let back: Vec<_> = servers
            .into_iter()
            // One that was opened since the shard is up needs nothing.
            .filter(|state| !state.is_kept())
            .map(|state| {
                let (tried, back) = oneshot::channel();
                let local = Rc::clone(&self.local);
                let mut keeper = Keeper::new(state, local, Arc::clone(&self.network));
                tokio::task::spawn_local(async move {
                    let go_on = keeper.come_back().await.is_continue();
                    let _ = tried.send(());
                    if go_on {
                        keeper.run().await;
                    }
                });
                back
            })
            .collect();
        Box::pin(async move {
            for back in back {
                let _ = back.await;
            }
        })
    }
}

/// Hands an accepted connection over to this shard. Dropped on the way, it is counted as lost.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct HandOver {
    server: Arc<ServerState>,
    handed: Option<Handed>,
}

struct Handed {
    transport: Box<dyn Detached>,
    peer_addr: Option<SocketAddr>,
    local_addr: Option<SocketAddr>,
    pool: Pool,
    admitted: Admitted,
}

impl HandOver {
    pub(crate) fn new(
        transport: Box<dyn Detached>,
        (peer_addr, local_addr): (Option<SocketAddr>, Option<SocketAddr>),
        pool: Pool,
        admitted: Admitted,
    ) -> Self {
        Self {
            server: Arc::clone(&admitted.server),
            handed: Some(Handed {
                transport,
                peer_addr,
                local_addr,
                pool,
                admitted,
            }),
        }
    }
}

impl Handler<HandOver> for ShardActor {
    type Result = ();

    fn handle(&mut self, mut message: HandOver, _: &mut Self::Context) {
        let Some(handed) = message.handed.take() else {
            return;
        };
        match handed.transport.attach() {
            Ok(transport) => self.local.open(
                Incoming {
                    transport,
                    peer_addr: handed.peer_addr,
                    local_addr: handed.local_addr,
                },
                &handed.pool,
                handed.admitted,
            ),
            Err(error) => message.server.lost(&error),
        }
    }
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if self.handed.take().is_some() {
            self.server.lost(&gone());
        }
        self.server.moved();
    }
}

/// Begins an outbound connection on this shard. Dropped on the way, it has failed.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct OpenOutbound(Option<Outbound>);

/// What an outbound connection begins with.
pub(crate) struct Outbound {
    pub(crate) client: Client,
    pub(crate) connect: Connect,
    pub(crate) make: MakeSession,
    pub(crate) seating: Seating,
    pub(crate) outcome: oneshot::Sender<Result<Client, ConnectError>>,
    pub(crate) passes: Passes,
    pub(crate) share: Share,
    /// Why it is not even tried.
    pub(crate) refusal: Option<ConnectError>,
}

impl OpenOutbound {
    pub(crate) const fn new(outbound: Outbound) -> Self {
        Self(Some(outbound))
    }

    /// The shard that it is for.
    pub(crate) fn shard(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |outbound| outbound.client.id().shard())
    }
}

impl Handler<OpenOutbound> for ShardActor {
    type Result = ();

    fn handle(&mut self, mut open: OpenOutbound, _: &mut Self::Context) {
        if let Some(outbound) = open.0.take() {
            self.local.connect(outbound, &self.network);
        }
    }
}

impl Drop for OpenOutbound {
    fn drop(&mut self) {
        let Some(outbound) = self.0.take() else {
            return;
        };
        let Outbound {
            client,
            connect,
            outcome,
            ..
        } = outbound;
        let pool = client.pool();
        let why = if pool.is_running() {
            gone()
        } else {
            io::Error::new(io::ErrorKind::Interrupted, PoolStopped)
        };
        let error = ConnectError::new(
            connect.target.place.to_string(),
            ConnectPhase::Connect,
            &why,
        );
        pool.shards()[client.id().shard()].count().connect_failed += 1;
        telemetry::connect_failed(&client, &error);
        client.shared.never_began(error.clone());
        let _ = outcome.send(Err(error));
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "its shard has failed")
}
