//! A pool that drains or stops while one of its shards is down, or dies meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;

use switchboard::{
    Alarm, AtLimit, BufferSlots, Drain, DrainReport, Gate, ListenState, Placement, Server,
    ServerLimits, SessionContext, SuspendError,
};
use switchboard_tests::*;

use super::shard::{Assassin, greeted, ids, quick};
use super::*;

/// Two shards with a listener on each, and four peers of the first listener, by their shards.
struct Pair {
    events: mpsc::UnboundedReceiver<PoolEvent>,
    servers: [Server; 2],
    peers: [Vec<TcpStream>; 2],
}

impl Pair {
    async fn begin(pool: Pool) -> Self {
        let events = watch(&pool);
        let make = |client| Assassin { client };
        let mut servers = [
            pool.listen(local(), make).await.unwrap(),
            pool.listen(local(), make).await.unwrap(),
        ];
        servers.sort_by_key(|server| server.id().shard());
        let address = servers[0].local_addr();
        let all = peer(move || (0..4).map(|_| greeted(address)).collect::<Vec<_>>()).await;
        let mut peers = [Vec::new(), Vec::new()];
        for (id, peer) in ids(&pool, &all).await.into_iter().zip(all) {
            peers[id.shard()].push(peer);
        }
        Self {
            events,
            servers,
            peers,
        }
    }

    fn kill(&mut self, shard: usize) {
        self.peers[shard][0].write_all(b"die\n").unwrap();
    }

    /// The shard's listener is not only said to be closed.
    async fn refuses(&self, shard: usize) {
        let server = &self.servers[shard];
        until(|| server.info().state == ListenState::Closed).await;
        TcpStream::connect(server.local_addr()).unwrap_err();
    }
}

fn far() -> PoolBuilder {
    let builder = Pool::builder().shards(2);
    builder.backoff(every(Duration::from_secs(3600)))
}

fn assert_sums(report: &DrainReport, live: u64, finished: u64) {
    assert_eq!((report.live, report.finished), (live, finished), "{report}");
    let counts = [report.given_up, report.untold, report.paced];
    assert_eq!(counts, [0; 3], "{report}");
    assert_eq!(report.overdue + report.aborted, live - finished, "{report}");
    let totals = &report.totals;
    assert_eq!((totals.live, totals.closed_in_all()), (0, totals.accepted));
}

async fn failed(events: &mut mpsc::UnboundedReceiver<PoolEvent>) {
    events_until(events, |event| {
        matches!(event, PoolEvent::ShardFailed { .. })
    })
    .await;
}

/// What lives goes on for as long as it may; the port of the dead shard is closed at once.
#[test]
fn a_drain_closes_the_ports_of_a_shard_that_is_down_and_says_what_is_left() {
    for victim in [0, 1] {
        with(far(), async |pool| {
            let mut pair = Pair::begin(pool.clone()).await;
            pair.kill(victim);
            failed(&mut pair.events).await;
            let report = pool.drain(Drain::within(Duration::from_secs(3600)));
            pair.refuses(victim).await;
            pair.refuses(1 - victim).await;
            let status = pool.status().await.unwrap();
            assert!(status.draining);
            assert_eq!((status.servers, status.totals.live), (0, 2));
            assert_eq!(pool.connections().await.unwrap().len(), 2);
            pair.peers = [Vec::new(), Vec::new()];
            assert_sums(&within(report).await, 2, 2);
        });
    }
}

/// A stop may take its time where there is something to send; a port that nobody is at does not wait.
#[test]
fn a_stop_closes_the_ports_of_a_shard_that_is_down_at_once() {
    for victim in [0, 1] {
        with(far(), async |pool| {
            let mut pair = Pair::begin(pool.clone()).await;
            let stalled = &pair.peers[1 - victim][..1];
            let id = ids(&pool, stalled).await[0];
            let client = pool.connection(id).await.unwrap();
            // More than the systems of both sides take.
            for _ in 0..16 {
                let _ = client.send(vec![7; 1 << 20]);
            }
            pair.kill(victim);
            failed(&mut pair.events).await;
            let stopping = pool.stop_within(Duration::from_secs(3600));
            pair.refuses(victim).await;
            assert!(pool.stop_report().is_none(), "it waits for who is stalled");
            drop(pool.stop_within(Duration::ZERO));
            within(stopping).await;
        });
    }
}

/// Those that died with their shard had ended by themselves.
#[test]
fn a_shard_that_dies_in_a_drain_is_in_its_report() {
    for victim in [0, 1] {
        with(quick(Pool::builder().shards(2)), async |pool| {
            let mut pair = Pair::begin(pool.clone()).await;
            let report = pool.drain(Drain::within(Duration::from_secs(3600)));
            pair.refuses(0).await;
            pair.refuses(1).await;
            pair.kill(victim);
            until(|| pair.servers[0].info().live == 2).await;
            assert_eq!(pool.status().await.unwrap().totals.live, 2);
            pair.peers = [Vec::new(), Vec::new()];
            assert_sums(&within(report).await, 4, 4);
        });
    }
}

/// Takes its time to end, and says when it has.
struct Slow {
    ended: Arc<AtomicUsize>,
    _client: Client,
}

impl Actor for Slow {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Slow {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        actix_rt::Arbiter::current().stop();
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // What the thread is busy with while it ends.
        std::thread::sleep(Duration::from_millis(100));
        self.ended.fetch_add(1, SeqCst);
    }
}

switchboard::session!(Slow);

/// A thread that is still ending is waited for like the others.
#[test]
fn a_stop_waits_for_a_shard_that_is_dying() {
    let ended = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&ended);
    let totals = with(quick(Pool::builder().shards(1)), async |pool| {
        let make = move |client| Slow {
            ended: Arc::clone(&ended),
            _client: client,
        };
        let server = pool.listen(local(), make).await.unwrap();
        let address = server.local_addr();
        let peers = peer(move || (0..4).map(|_| dial(address)).collect::<Vec<_>>()).await;
        until(|| server.info().live == 4).await;
        (&peers[0]).write_all(b"die\n").unwrap();
        until(|| server.info().state == ListenState::Restarting).await;
        within(pool.stop()).await;
        assert_eq!(seen.load(SeqCst), 4);
    });
    assert_eq!((totals.accepted, totals.closed_in_all()), (4, 4));
}

/// As [`Slow`], for a task of the user's own on a shard's thread.
struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(200));
        self.0.store(true, SeqCst);
    }
}

/// A second stop makes the first one quicker, and no less whole.
#[test]
fn a_second_stop_waits_for_the_threads_too() {
    let left = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&left);
    with(Pool::builder().shards(2), async |pool| {
        let make = move |client| {
            let left = Left(Arc::clone(&left));
            actix_rt::spawn(async move {
                let _left = left;
                std::future::pending::<()>().await;
            });
            Echo { client }
        };
        let server = pool.listen(local(), make).await.unwrap();
        let address = server.local_addr();
        let _peer = peer(move || dial(address)).await;
        until(|| server.info().live == 1).await;
        drop(pool.stop());
        within(pool.stop_within(Duration::ZERO)).await;
        assert!(gone.load(SeqCst), "a thread is still there");
    });
}

/// Whatever counts a connection counts it no more when it has died with its shard, and the limits are as
/// exact as before.
#[test]
fn what_dies_with_a_shard_gives_every_place_back() {
    let (gate, slots) = (Gate::new(6), BufferSlots::new(16, 4096, false).unwrap());
    let builder = quick(Pool::builder().shards(2)).share_limit(gate.clone());
    let builder = builder.placement(Placement::LeastConnections);
    with(builder, async |pool| {
        let mut events = watch(&pool);
        let listen = local().slots(slots.clone()).max_per_ip(4);
        let listen = listen.alarm(Alarm { high: 4, low: 2 });
        let server = pool
            .listen(listen, |client| Assassin { client })
            .await
            .unwrap();
        let address = server.local_addr();
        let limits = ServerLimits::new().max_per_ip(5).at_limit(AtLimit::Reject);
        server.set_limits(limits).unwrap();
        for round in 0..6 {
            let mut peers = peer(move || {
                let peers: Vec<_> = (0..5).map(|_| greeted(address)).collect();
                assert_eq!(read_all(&mut dial(address)), b"", "one too many");
                peers
            })
            .await;
            assert_eq!((gate.live(), slots.available()), (5, 6));
            let homes: Vec<_> = ids(&pool, &peers).await;
            let on_first = homes.iter().filter(|id| id.shard() == 0).count();
            assert!((2..4).contains(&on_first), "{homes:?}");
            let victim = homes.iter().position(|id| id.shard() == round % 2).unwrap();
            peers[victim].write_all(b"die\n").unwrap();
            let seen = events_until(&mut events, is_shard_restarted).await;
            let raised = |event: &PoolEvent| matches!(event, PoolEvent::AlarmRaised { .. });
            assert_eq!(seen.iter().filter(|event| raised(event)).count(), 1);
            let left = homes.iter().filter(|id| id.shard() != round % 2).count();
            assert_eq!((gate.live(), slots.available()), (left, 16 - 2 * left));
            drop(peers);
            until(|| server.info().live == 0).await;
            until(|| gate.live() == 0 && slots.available() == 16).await;
            assert!(!server.info().alarm_raised);
        }
        assert_eq!(server.info().rejections.prefix, 6);
    });
}

/// Whoever waits for a listener to come back is told when it will not.
#[test]
fn a_command_to_a_listener_that_is_closed_while_it_is_down_is_answered() {
    with(far(), async |pool| {
        let mut pair = Pair::begin(pool.clone()).await;
        pair.kill(0);
        failed(&mut pair.events).await;
        let server = pair.servers[0].clone();
        let waiting = actix_rt::spawn(async move { server.resume().await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        pair.servers[0].close().await;
        let answer = within(waiting).await.unwrap();
        assert!(matches!(answer, Err(SuspendError::Closed)), "{answer:?}");
    });
}
