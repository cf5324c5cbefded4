//! Promises about listeners that survive: their actor, their socket, their shard, and what they are told.

mod down;
mod obeying;
mod restart;
mod shard;
mod suspend;
mod swap;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{MemoryNet, MemoryStream};
use switchboard::transport::{Connected, Incoming, Listener, LocalFuture, Network};
use switchboard::{
    BackoffConfig, Client, ConnectError, ConnectTarget, Listen, ListenError, ListenTarget, Pool,
    PoolBuilder, SessionContext,
};
use switchboard_tests::PATIENCE;
pub use switchboard_tests::failing::{FailOnAccept, Faults};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// A system whose blocking threads end soon when they have nothing to do, so that they are not left over.
pub fn system() -> actix_rt::SystemRunner {
    actix_rt::System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_keep_alive(Duration::from_millis(50))
            .build()
            .unwrap()
    })
}

/// Pauses that are exactly so long.
pub fn every(pause: Duration) -> BackoffConfig {
    let mut config = BackoffConfig::default();
    (config.min, config.max, config.jitter) = (pause, pause, 0.0);
    config
}

/// A pool on this network and this thread.
pub fn on(net: impl Network) -> PoolBuilder {
    Pool::builder().shards(0).network(net)
}

/// Says a word to each peer that it is given, and echoes lines.
pub struct Greeter {
    pub client: Client,
    pub word: &'static str,
}

impl Actor for Greeter {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        // A peer that is gone already needs no greeting.
        let _ = msg.handle.send_line(self.word);
    }
}

impl Handler<LineReceived> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let _ = self.client.send_line(&msg.line);
    }
}

switchboard::session!(Greeter);

/// A session factory that says this word.
pub fn greets(word: &'static str) -> impl Fn(Client) -> Greeter + Send + Sync + Clone + 'static {
    move |client| Greeter { client, word }
}

/// The options that [`Greeter`] needs.
pub fn local() -> Listen {
    use switchboard::ConnectionOptions;
    Listen::tcp("127.0.0.1:0").lines()
}

/// A line from a peer in memory, which must come in time.
pub async fn line(peer: &mut MemoryStream) -> String {
    let mut line = Vec::new();
    let reading = async {
        while line.last() != Some(&b'\n') {
            line.push(peer.read_u8().await.unwrap());
        }
    };
    within(reading).await;
    String::from_utf8(line).unwrap()
}

/// Whether a peer in memory gets its own line back.
pub async fn echoes(peer: &mut MemoryStream) -> bool {
    peer.write_all(b"echo\n").await.unwrap();
    line(peer).await == "echo\n"
}

/// Waits for what must come in time.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE * 3, work)
        .await
        .expect("it takes too long")
}

/// The events of a pool until one that `is_last` takes, that one included.
pub async fn events_until(
    events: &mut mpsc::UnboundedReceiver<PoolEvent>,
    is_last: impl Fn(&PoolEvent) -> bool,
) -> Vec<PoolEvent> {
    let mut seen = Vec::new();
    let seeing = async {
        loop {
            seen.push(events.recv().await.expect("the watcher is gone"));
            if seen.last().is_some_and(&is_last) {
                return;
            }
        }
    };
    within(seeing).await;
    seen
}

pub fn is_server_restarted(event: &PoolEvent) -> bool {
    matches!(event, PoolEvent::ServerRestarted { .. })
}

pub fn is_shard_restarted(event: &PoolEvent) -> bool {
    matches!(event, PoolEvent::ShardRestarted { .. })
}

pub fn is_server_failed(event: &PoolEvent) -> bool {
    matches!(event, PoolEvent::ServerFailed { .. })
}

pub fn is_server_closed(event: &PoolEvent) -> bool {
    matches!(event, PoolEvent::ServerClosed { .. })
}

/// A listener in memory of greeters, and the network with its faults.
pub fn shaky(net: &MemoryNet) -> (PoolBuilder, Arc<Faults>) {
    let (net, faults) = FailOnAccept::over(net.clone());
    (on(net), faults)
}
