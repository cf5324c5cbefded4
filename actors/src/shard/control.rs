//! What a shard is asked: for connections, for numbers, to stop.

use std::rc::Rc;
use std::time::Duration;

use actix::{Handler, Message, ResponseActFuture, WrapFuture};
use switchboard_core::{Cause, ClientId};

use super::{Channel, PATIENCE, ShardActor, in_order};
use crate::client::ClientInfo;
use crate::drain::DrainReport;
use crate::handle::Handle;
use crate::pool::Totals;
use crate::server::Server;

/// How long connections that were closed by a stop wait for their peers to finish too.
const STOP_LINGER: Duration = Duration::from_millis(250);
/// Asks for a snapshot of every connection here.
#[derive(Message)]
#[rtype(result = "Vec<ClientInfo>")]
pub(crate) struct ListClients;

impl Handler<ListClients> for ShardActor {
    type Result = Vec<ClientInfo>;

    fn handle(&mut self, _: ListClients, _: &mut Self::Context) -> Self::Result {
        let channels = self.local.channels();
        channels.into_iter().map(Channel::info).collect()
    }
}

/// Asks for one of them.
#[derive(Message)]
#[rtype(result = "Option<Handle>")]
pub(crate) struct Find(pub(crate) ClientId);

impl Handler<Find> for ShardActor {
    type Result = Option<Handle>;

    fn handle(&mut self, find: Find, _: &mut Self::Context) -> Self::Result {
        self.local.channel(find.0).map(Channel::handle)
    }
}

/// Asks for the numbers of listeners and of actors, and for the counters.
#[derive(Message)]
#[rtype(result = "Census")]
pub(crate) struct Count;

/// What there is on one shard.
pub(crate) struct Census {
    pub(crate) servers: usize,
    pub(crate) actors: usize,
    pub(crate) totals: Totals,
}

impl Handler<Count> for ShardActor {
    type Result = actix::MessageResult<Count>;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(Census {
            servers: self.local.home.servers().len(),
            actors: self.local.crew.count(),
            totals: self.local.totals(),
        })
    }
}

/// Closes every listener and connection here; replies when every `Closed` was handled and every actor
/// is gone, with what a drain before it has brought about.
#[derive(Message)]
#[rtype(result = "DrainReport")]
pub(crate) struct StopShard {
    /// How long closing connections may take to send what is queued. Zero aborts.
    pub(crate) grace: Duration,
}

impl Handler<StopShard> for ShardActor {
    type Result = ResponseActFuture<Self, DrainReport>;

    fn handle(&mut self, stop: StopShard, _: &mut Self::Context) -> Self::Result {
        self.local.stopping.set(true);
        self.local.drainage.cut(stop.grace.is_zero());
        let local = Rc::clone(&self.local);
        let stopping = async move {
            for server in local.home.servers() {
                Server::of(&server).close().await;
            }
            let ended = in_order(&local.lingering.borrow());
            for channel in ended {
                if stop.grace.is_zero() {
                    channel.abort(Cause::PoolStopped);
                } else {
                    channel.hurry(STOP_LINGER);
                }
            }
            let channels = local.channels();
            for channel in &channels {
                if stop.grace.is_zero() {
                    channel.abort(Cause::PoolStopped);
                } else {
                    channel.hurry(STOP_LINGER);
                    channel.close(Cause::PoolStopped, stop.grace);
                }
            }
            drop(channels);
            let deadline = stop.grace + STOP_LINGER + PATIENCE;
            if tokio::time::timeout(deadline, local.crew.gone())
                .await
                .is_err()
            {
                for channel in local.channels() {
                    channel.abort(Cause::PoolStopped);
                }
                let _ = tokio::time::timeout(PATIENCE, local.crew.gone()).await;
            }
            // Their connections are gone: what they still do is their own.
            let _ = tokio::time::timeout(STOP_LINGER, local.crew.tasks_gone()).await;
            let mut report = local.drainage.report();
            report.totals = local.totals();
            report
        };
        Box::pin(stopping.into_actor(self))
    }
}
