//! How something that is opened on a shard finds its place: a socket, a process.

use std::io;

use actix::{Handler, Message};

use crate::error::{PoolDraining, PoolStopped};
use crate::placement::Share;
use crate::places::Passes;
use crate::shard::{ShardActor, ShardHandle};

use super::Pool;

/// A place on a shard, and what it takes of the pool's limits.
pub(crate) struct Place {
    pub(crate) shard: ShardHandle,
    pub(crate) passes: Passes,
    pub(crate) share: Share,
}

impl Pool {
    /// Finds a place for one more.
    ///
    /// # Errors
    /// The pool drains, is stopped, or is full.
    pub(crate) async fn find_place(&self) -> io::Result<Place> {
        if self.is_draining() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, PoolDraining));
        }
        if !self.is_running() {
            return Err(stopped());
        }
        let passes = self.gates().try_enter();
        let passes = passes
            .map_err(|full| io::Error::new(io::ErrorKind::QuotaExceeded, full.to_string()))?;
        let shards = self.shards();
        let load = |at: usize| shards[at].load();
        let shard = &shards[self.placer().place(shards.len(), load, None)];
        tokio::select! {
            () = shard.up() => {}
            _ = self.stopped() => return Err(stopped()),
        }
        Ok(Place {
            share: shard.take_share(),
            shard: shard.clone(),
            passes,
        })
    }

    /// Has the shard open it.
    ///
    /// # Errors
    /// The shard, or the pool, has ended before it answered.
    pub(crate) async fn ask_shard<M>(&self, shard: &ShardHandle, open: M) -> io::Result<M::Result>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        ShardActor: Handler<M>,
    {
        match shard.address().send(open).await {
            Ok(answer) => Ok(answer),
            Err(_) if self.is_running() => Err(io::Error::new(
                io::ErrorKind::Interrupted,
                "its shard has failed",
            )),
            Err(_) => Err(stopped()),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, PoolStopped)
}
