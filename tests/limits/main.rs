//! Promises about the door of a listener: whom it lets in, how it turns the others away, and what it
//! survives.

mod access;
mod alarm;
mod exhaustion;
mod live;
mod network;
mod places;
mod prefix;
mod rate;
mod sweep;
mod traps;
mod turned_away;

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::{MemoryNet, MemoryStream, Simulation, World};
use switchboard::{RejectReason, ServerInfo};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

const HERE: &str = "10.0.0.1:7000";

/// Greets, so that a peer sees that it was let in, echoes lines, and panics when told to.
struct Greeter {
    client: Client,
}

impl Actor for Greeter {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        // A peer that is gone already needs no greeting.
        let _ = msg.handle.send("hello\n");
    }
}

impl Handler<LineReceived> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        assert_ne!(&*msg.line, b"panic", "as it was told");
        let _ = self.client.send_line(&msg.line);
    }
}

session!(Greeter);

async fn greet(pool: &Pool, listen: Listen) -> Server {
    pool.listen(listen.lines(), |client| Greeter { client })
        .await
        .unwrap()
}

/// What a peer sees of a listener.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    LetIn,
    /// The end, after these bytes.
    End(Vec<u8>),
    Reset,
    /// Nothing within a second.
    Nothing,
}

const END: Seen = Seen::End(Vec::new());

async fn sees(peer: &mut MemoryStream) -> Seen {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            match peer.read_buf(&mut bytes).await {
                Ok(0) => return Seen::End(std::mem::take(&mut bytes)),
                Ok(_) if bytes == b"hello\n" => return Seen::LetIn,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    return Seen::Reset;
                }
            }
        }
    };
    timeout(Duration::from_secs(1), reading)
        .await
        .unwrap_or(Seen::Nothing)
}

fn host(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn dial_from(net: &MemoryNet, from: &str) -> MemoryStream {
    net.connect_from(host(from), HERE).await.unwrap()
}

/// A peer from this host that has waited for what becomes of it.
async fn visit(net: &MemoryNet, from: &str) -> (MemoryStream, Seen) {
    let mut peer = dial_from(net, from).await;
    let seen = sees(&mut peer).await;
    (peer, seen)
}

/// Virtual time in which everything that can happen has happened.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// The next peers that a pool says it has turned away.
async fn next_rejected(
    events: &mut UnboundedReceiver<PoolEvent>,
) -> (Option<SocketAddr>, RejectReason) {
    switchboard_tests::next_pool_event(events, |event| match event {
        PoolEvent::AcceptRejected {
            peer_addr, reason, ..
        } => Some((*peer_addr, *reason)),
        _ => None,
    })
    .await
}

fn simulate<W: Future<Output = ()>>(test: impl FnOnce(World) -> W) {
    Simulation::seeded(1).run(test);
}

/// Runs a test as [`simulate`] does; everything that was logged meanwhile.
fn logged<W: Future<Output = ()>>(test: impl FnOnce(World) -> W) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::with_default(subscriber, || simulate(test));
    let log = log.0.lock().unwrap();
    String::from_utf8_lossy(&log).into_owned()
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether the reasons add up to all that were turned away.
fn adds_up(info: &ServerInfo) -> bool {
    let by = info.rejections;
    info.rejected == by.limit + by.prefix + by.slots + by.denied
}
