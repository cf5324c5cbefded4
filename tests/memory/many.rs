//! One hundred thousand connections at one time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{LeakCheck, MemoryNet, MemoryStream};
use switchboard::{
    BufferSlots, Client, ClosedReason, ConnectionOptions, Listen, Pool, Server, SessionContext,
    Totals,
};
use switchboard_tests::alone;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const CONNECTIONS: usize = 100_000;
/// Peers that come at once: as many as the listener's queue holds.
const WAVE: usize = 1_000;
/// Peers of one host, which has some 16,000 ports.
const PEERS_OF_A_HOST: usize = 10_000;
/// Each connection has one to receive and one to send.
const SLOTS: usize = 2 * CONNECTIONS;
const SLOT_BYTES: usize = 256;
/// What a connection may hold while it is open, with its peer and both ends of the network in memory. It is some
/// 5,000 bytes.
const MOST_RESIDENT: usize = 8 * 1024;
/// How long each of the steps may take: ten times what the longest takes on two cores.
const LIMIT: Duration = Duration::from_secs(90);

/// Echoes, and counts its ends.
struct Counted {
    client: Client,
    ends: Arc<Ends>,
}

/// How sessions ended.
#[derive(Default)]
struct Ends {
    by_reason: [AtomicUsize; 4],
    dropped: AtomicUsize,
}

impl Ends {
    fn by(&self, reason: ClosedReason) -> usize {
        self.by_reason[reason as usize].load(Ordering::SeqCst)
    }

    fn in_all(&self) -> usize {
        ClosedReason::ALL.map(|reason| self.by(reason)).iter().sum()
    }
}

impl Actor for Counted {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Counted {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.client.send_line(&msg.line).unwrap();
    }
}

impl Handler<Closed> for Counted {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.ends.by_reason[msg.reason as usize].fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.ends.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

switchboard::session!(Counted);

/// Says how long each step took.
async fn step<T>(name: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = tokio::time::timeout(LIMIT, work).await;
    println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    done.unwrap_or_else(|_| panic!("{name}: not done after {LIMIT:?}"))
}

/// A peer's line, which is no other's.
fn line(peer: usize) -> String {
    format!("peer {peer}\n")
}

/// Opens all connections, wave by wave; each exchanges one line and stays.
async fn open(net: &MemoryNet, address: SocketAddr) -> Vec<MemoryStream> {
    let mut peers = Vec::with_capacity(CONNECTIONS);
    while peers.len() < CONNECTIONS {
        let first = peers.len();
        for peer in first..first + WAVE {
            let host = u8::try_from(peer / PEERS_OF_A_HOST).unwrap();
            let host = IpAddr::from(Ipv4Addr::new(10, 0, 1, host));
            let mut stream = net.connect_from(host, address).await.unwrap();
            stream.write_all(line(peer).as_bytes()).await.unwrap();
            peers.push(stream);
        }
        for (peer, stream) in (first..).zip(&mut peers[first..]) {
            let line = line(peer);
            let mut answer = vec![0; line.len()];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, line.as_bytes());
        }
    }
    peers
}

/// Waits until so many connections are left, of which no event tells.
async fn live(server: &Server, count: usize) {
    while server.info().live != count as u64 {
        // Asks again shortly; the step around it is bounded.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn serve(pool: Pool, net: MemoryNet, ends: Arc<Ends>) -> Totals {
    let slots = BufferSlots::new(SLOTS, SLOT_BYTES, false).unwrap();
    let leaks = LeakCheck::begin()
        .pool(&pool)
        .net(&net)
        .slots(&slots)
        .patience(LIMIT);
    let counted = Arc::clone(&ends);
    let listen = Listen::tcp("10.0.0.1:7000").lines().slots(slots.clone());
    let listen = listen.backlog(WAVE.try_into().unwrap());
    let server = pool.listen(listen, move |client| Counted {
        client,
        ends: Arc::clone(&counted),
    });
    let server = server.await.unwrap();

    let before = resident();
    let mut peers = step("open", open(&net, server.local_addr())).await;
    assert_eq!(server.info().live, CONNECTIONS as u64);
    assert_eq!(net.open_ends(), 2 * CONNECTIONS);
    assert_eq!(slots.available(), 0);
    let status = pool.status().await.unwrap();
    assert_eq!(status.actors, 2 * CONNECTIONS);
    assert_eq!((ends.in_all(), ends.dropped.load(Ordering::SeqCst)), (0, 0));
    if let (Some(before), Some(now)) = (before, resident()) {
        let each = now.saturating_sub(before) / CONNECTIONS;
        println!("resident: {each} bytes per connection, both ends");
        assert!(each < MOST_RESIDENT, "{each} bytes per connection");
    }

    // One half is left by its peers.
    let rest = CONNECTIONS / 2;
    peers.truncate(rest);
    step("peers leave", live(&server, rest)).await;
    // The other half is closed by us, and each of its peers sees an orderly end.
    let see_the_end = async {
        for mut peer in peers {
            assert_eq!(peer.read(&mut [0; 8]).await.unwrap(), 0);
        }
    };
    let stop = async { tokio::join!(pool.stop(), see_the_end).0 };
    let totals = step("stop", stop).await;
    step("nothing is left", leaks.settle()).await;
    totals
}

/// Resident memory of this process, where the system tells.
fn resident() -> Option<usize> {
    cfg!(target_os = "linux").then(switchboard_tests::resident)
}

/// In a process of its own: its memory is measured.
#[test]
fn a_hundred_thousand_connections_start_and_stop_and_leave_nothing() {
    if !alone("many::a_hundred_thousand_connections_start_and_stop_and_leave_nothing") {
        return;
    }
    let ends = Arc::new(Ends::default());
    let seen = Arc::clone(&ends);
    let totals = System::new().block_on(async move {
        let net = MemoryNet::new();
        let pool = Pool::builder().shards(2).network(net.clone()).start();
        serve(pool.unwrap(), net, seen).await
    });
    let half = CONNECTIONS / 2;
    assert_eq!(ends.by(ClosedReason::ClosedByPeer), half);
    assert_eq!(ends.by(ClosedReason::ClosedByHost), half);
    assert_eq!(ends.in_all(), CONNECTIONS, "each was told its end once");
    assert_eq!(ends.dropped.load(Ordering::SeqCst), CONNECTIONS);
    assert_eq!(totals.accepted, CONNECTIONS as u64);
    assert_eq!(totals.closed_in_all(), totals.accepted);
    assert_eq!(totals.closed, [0, half as u64, half as u64, 0]);
    assert_eq!(totals.live, 0);
}
