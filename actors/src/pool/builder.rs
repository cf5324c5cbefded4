//! What a pool is made with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use actix::Actor;
use actix_rt::Arbiter;
use switchboard_core::{Gate, IdSource};
use tokio::sync::watch;

use crate::error::StartError;
use crate::failure::FailureHandler;
use crate::shard::{ShardActor, ShardHandle};
use crate::transport::{Network, TcpNetwork};

use super::actor::PoolActor;
use super::{Inner, Phase, Pool};

/// How many shards an id can tell apart.
const MOST_SHARDS: usize = 1 << 16;

/// Settings of a pool that is not started yet.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct PoolBuilder {
    name: String,
    shards: Option<usize>,
    max_connections: Option<usize>,
    network: Arc<dyn Network>,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        Self {
            name: "pool".into(),
            shards: None,
            max_connections: None,
            network: Arc::new(TcpNetwork),
        }
    }
}

impl PoolBuilder {
    /// The pool's name in logs. Default: `pool`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many arbiters, each a thread with its own share of the connections. Default: one per
    /// available core. 0: none, everything runs on the calling thread.
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// The most connections of the whole pool at one time, exactly. Default: no limit; the system's
    /// own is its number of open files.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// What carries the bytes. Default: the system's TCP.
    pub fn network(mut self, network: impl Network) -> Self {
        self.network = Arc::new(network);
        self
    }

    /// Starts the pool on the calling thread, which must run an actix system, or any tokio local set
    /// if there are 0 shards. No port and no helper socket is opened (XAS-04).
    ///
    /// # Errors
    /// Without such a system, or when the system gives no thread.
    ///
    /// # Panics
    /// On a thread without a tokio local set, as every start of an actix actor does.
    pub fn start(self) -> Result<Pool, StartError> {
        let shards = self.shards.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
        });
        if shards > MOST_SHARDS {
            let (asked, most) = (shards, MOST_SHARDS);
            return Err(StartError::TooManyShards { asked, most });
        }
        if shards > 0 && actix_rt::System::try_current().is_none() {
            return Err(StartError::NoSystem);
        }
        let mut arbiters = Vec::new();
        let mut handles = Vec::new();
        for index in 0..shards.max(1) {
            let ids = Arc::new(IdSource::new(u16::try_from(index).unwrap_or(u16::MAX)));
            let (network, shard_ids) = (Arc::clone(&self.network), Arc::clone(&ids));
            let address = if shards == 0 {
                ShardActor::new(shard_ids, network).start()
            } else {
                let arbiter = Arbiter::try_new().map_err(StartError::Runtime)?;
                let address = ShardActor::start_in_arbiter(&arbiter.handle(), |_| {
                    ShardActor::new(shard_ids, network)
                });
                arbiters.push(arbiter);
                address
            };
            handles.push(ShardHandle { address, ids });
        }
        let (phase, phases) = watch::channel(Phase::Running);
        let subscribed = Arc::new(AtomicBool::new(false));
        let failures = FailureHandler::default();
        let actor = PoolActor {
            shards: handles.clone(),
            arbiters,
            subscribers: Vec::new(),
            subscribed: Arc::clone(&subscribed),
            phase,
            failures: failures.clone(),
            supervisors: Vec::new(),
            span: crate::telemetry::pool_span(&self.name),
        };
        let span = actor.span.clone();
        Ok(Pool {
            inner: Arc::new(Inner {
                name: self.name,
                address: actor.start(),
                shards: handles,
                next_shard: AtomicUsize::new(0),
                gate: self.max_connections.map_or_else(Gate::unlimited, Gate::new),
                subscribed,
                failures,
                phases,
                passes: watch::Sender::new(0),
                span,
            }),
        })
    }
}
