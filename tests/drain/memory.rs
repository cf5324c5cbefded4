//! A memory budget for all connections of a pool together.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Arc;

use switchboard::StartError;
use switchboard::testkit::Link;
use switchboard_tests::{
    Gathering, Probe, dial as dial_tcp, expect, next_pool_event, peer, watch, with,
};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::*;

const PEERS: usize = 60;
const BUDGET: usize = 512 * 1024;
/// What a connection of these tests can have under way in each direction.
const WINDOW: usize = 8 * 1024;
const GRAIN: usize = 4 * 1024;
/// What may come on top: a look of each connection, which brings no more than is under way, what its
/// session answers to that, and what is not counted yet.
const SLACK: usize = PEERS * (2 * WINDOW + GRAIN);

fn narrow(seed: u64) -> Simulation {
    Simulation::seeded(seed).link(Link::default().window(WINDOW))
}

fn budgeted(world: &World, bytes: usize) -> Pool {
    world.builder().memory_budget(bytes).start().unwrap()
}

async fn memory(pool: &Pool) -> usize {
    pool.status().await.unwrap().memory.unwrap()
}

/// Looks at the sum all the time, and remembers the most that it saw.
fn watch_most(pool: &Pool) -> Rc<Cell<usize>> {
    let most = Rc::new(Cell::new(0));
    let (pool, seen) = (pool.clone(), Rc::clone(&most));
    actix_rt::spawn(async move {
        while let Ok(status) = pool.status().await {
            seen.set(seen.get().max(status.memory.unwrap()));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    most
}

/// Pressure and relief, as they were told: strictly in turn.
fn crossings(events: &mut mpsc::UnboundedReceiver<PoolEvent>) -> usize {
    let (mut told, mut pressed) = (0, false);
    while let Ok(event) = events.try_recv() {
        let presses = match event {
            PoolEvent::MemoryPressure { .. } => true,
            PoolEvent::MemoryRelieved { used, budget } => {
                assert!(used <= budget, "{used} of {budget}");
                false
            }
            _ => continue,
        };
        assert_ne!(presses, pressed, "told once per crossing");
        pressed = presses;
        told += 1;
    }
    assert!(!pressed, "it is over");
    told
}

/// Sends every line back, whether or not the peer takes it.
struct Careless {
    client: Client,
}

impl Actor for Careless {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Careless {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let _ = self.client.send_line(&event.line);
    }
}

impl Handler<WritePaused> for Careless {
    type Result = ();

    fn handle(&mut self, _: WritePaused, _: &mut Self::Context) {}
}

session!(Careless);

/// Answers each line, after a while.
struct Slow {
    client: Client,
}

impl Actor for Slow {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Slow {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) -> Self::Result {
        let client = self.client.clone();
        let working = async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = client.send_line(&event.line);
        };
        AtomicResponse::new(Box::pin(working.into_actor(self)))
    }
}

session!(Slow);

const LINES: usize = 64;

/// Sends 64 lines of 1,000 bytes and takes them back, so many bytes at a time, with a pause before each.
/// How many came.
async fn converse(world: World, gulp: usize, pause: Duration) -> usize {
    let (mut reading, mut writing) = tokio::io::split(dial(&world).await);
    let lines = [&[b'x'; 999][..], b"\n"].concat().repeat(LINES);
    let sending = actix_rt::spawn(async move {
        writing.write_all(&lines).await.unwrap();
        writing
    });
    let mut came = 0;
    let mut room = vec![0; gulp];
    while came < LINES * 1000 {
        tokio::time::sleep(pause).await;
        match reading.read(&mut room).await.unwrap() {
            0 => break,
            count => came += count,
        }
    }
    drop(sending.await);
    came
}

async fn everybody_is_served<S, F>(world: World, session: F, gulp: usize, pause: Duration)
where
    S: switchboard::IntoSession,
    F: Fn(Client) -> S + Send + Sync + 'static,
{
    let pool = budgeted(&world, BUDGET);
    pool.listen(lines(), session).await.unwrap();
    let mut events = watch(&pool);
    let most = watch_most(&pool);
    let mut talks = JoinSet::new();
    for _ in 0..PEERS {
        talks.spawn_local(converse(world.clone(), gulp, pause));
    }
    while let Some(came) = talks.join_next().await {
        assert_eq!(came.unwrap(), LINES * 1000);
    }
    while pool.status().await.unwrap().totals.live > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(memory(&pool).await, 0);
    let totals = pool.stop().await;
    assert_eq!(totals.closed[ClosedReason::Error as usize], 0, "{totals}");
    assert!(
        crossings(&mut events) >= 2,
        "there was pressure, and relief"
    );
    let most = most.get();
    assert!(most > BUDGET && most <= BUDGET + SLACK, "{most}");
}

/// 60 peers that would have 3.8 MB wait for them share half a megabyte, and each gets all of it.
#[test]
fn peers_that_read_slowly_are_all_served_within_the_budget() {
    narrow(1).run(|world| async move {
        let make = |client| Careless { client };
        everybody_is_served(world, make, 4096, Duration::from_millis(50)).await;
    });
}

/// The same for what waits for the session.
#[test]
fn sessions_that_work_slowly_are_all_served_within_the_budget() {
    narrow(2).run(|world| async move {
        let make = |client| Slow { client };
        everybody_is_served(world, make, 64 * 1024, Duration::ZERO).await;
    });
}

/// The one that is ended holds bytes, and nothing of it has moved for longest: neither the first that
/// was opened, nor the largest or smallest, nor the one that only is idle.
#[test]
fn the_longest_idle_that_holds_bytes_is_ended_and_no_other() {
    narrow(3).run(|world| async move {
        let pool = budgeted(&world, 200_000);
        let mut events = watch(&pool);
        let mut trace = Probe::new();
        pool.listen(lines(), trace.session()).await.unwrap();
        let (mut peers, mut clients) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            peers.push(dial(&world).await);
            clients.push(expect!(trace, Accepted).handle);
        }
        for (number, bytes) in [(2, 80_000), (1, 60_000), (3, 110_000)] {
            tokio::time::sleep(seconds(1)).await;
            clients[number].send(vec![7; bytes]).unwrap();
        }
        assert!(memory(&pool).await > 200_000, "a send is not refused");
        let closed = expect!(trace, Closed);
        assert_eq!(closed.client, clients[2].id());
        assert_eq!(world.elapsed(), seconds(4), "after a second of patience");
        assert_eq!(closed.detail.cause, Cause::MemoryPressure);
        assert_eq!(closed.reason, ClosedReason::Error);
        assert_eq!(closed.detail.unsent, 80_000 - WINDOW);
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(memory(&pool).await, 170_000 - 2 * WINDOW);
        assert_eq!(pool.status().await.unwrap().totals.live, 3);
        for (number, bytes) in [(1, 60_000), (3, 110_000)] {
            peers[number].read_exact(&mut vec![0; bytes]).await.unwrap();
        }
        assert_eq!(memory(&pool).await, 0);
        drop(peers);
        pool.stop().await;
        assert_eq!(crossings(&mut events), 2);
    });
}

/// Frames that are half here when reading stops: nobody waits for ever, and some are finished.
#[test]
fn half_a_frame_of_many_does_not_block_all_of_them() {
    narrow(4).run(|world| async move {
        let pool = budgeted(&world, 400_000);
        let mut trace = Probe::new();
        let listen = Listen::tcp(ADDRESS).messages();
        pool.listen(listen, trace.session()).await.unwrap();
        let mut talks = JoinSet::new();
        for _ in 0..8 {
            let world = world.clone();
            talks.spawn_local(async move {
                let mut peer = dial(&world).await;
                let message = [&100_000_u32.to_be_bytes()[..], &[7; 100_000]].concat();
                // A reset is what some get.
                let sent = peer.write_all(&message).await;
                (sent, peer.shutdown().await.is_ok())
            });
        }
        while talks.join_next().await.is_some() {}
        let (mut whole, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..8 {
            expect!(trace, Accepted);
        }
        while ended.len() < 8 {
            match trace.next().await {
                ClientEvent::MessageReceived(event) => {
                    assert_eq!(event.message.len(), 100_000);
                    whole.insert(event.client);
                }
                ClientEvent::Closed(event) => {
                    let done = whole.contains(&event.client);
                    let pressed = event.detail.cause == Cause::MemoryPressure;
                    assert!(done != pressed, "{:?}", event.detail);
                    ended.insert(event.client);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(whole.len() >= 3, "{whole:?}");
        assert!(world.elapsed() < seconds(60), "{:?}", world.elapsed());
        assert_eq!(memory(&pool).await, 0);
        pool.stop().await;
    });
}

/// However connections end, what they held is given back, and handles that are kept hold nothing.
#[test]
fn whatever_ends_a_connection_its_bytes_are_given_back() {
    use switchboard::testkit::Rates;
    for seed in 0..20 {
        let faults = Rates::default();
        narrow(seed).faults(faults).run(|world| async move {
            let pool = budgeted(&world, 64 * 1024);
            let (kept, mut handles) = mpsc::unbounded_channel();
            let make = move |client: Client| {
                kept.send(client.clone()).unwrap();
                Careless { client }
            };
            pool.listen(lines(), make).await.unwrap();
            let mut talks = JoinSet::new();
            for number in 0..20_u64 {
                let world = world.clone();
                talks.spawn_local(async move {
                    let Ok(mut peer) = world.net().connect(ADDRESS).await else {
                        return;
                    };
                    let lines = [&[b'x'; 999][..], b"\n"].concat().repeat(40);
                    let sending = peer.write_all(&lines);
                    let _ = tokio::time::timeout(seconds(3), sending).await;
                    tokio::time::sleep(Duration::from_millis(number * 100)).await;
                    if number % 2 == 0 {
                        peer.reset();
                    }
                });
            }
            while talks.join_next().await.is_some() {}
            let mut handles: Vec<_> = std::iter::from_fn(|| handles.try_recv().ok()).collect();
            for client in handles.iter_mut().step_by(3) {
                client.abort();
            }
            for client in &handles {
                client.close_with(true, Some(seconds(5)));
            }
            while pool.status().await.unwrap().totals.live > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(memory(&pool).await, 0);
            pool.stop().await;
        });
    }
}

/// Stops its own thread when it is told to.
struct Assassin;

impl Actor for Assassin {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Assassin {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        actix_rt::Arbiter::current().stop();
    }
}

session!(Assassin);

/// Sends more than the systems of both sides take.
struct Generous;

impl Actor for Generous {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Generous {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {}
}

impl Handler<Accepted> for Generous {
    type Result = ();

    fn handle(&mut self, event: Accepted, _: &mut Self::Context) {
        for _ in 0..15 {
            event.handle.send(vec![7; 1 << 20]).unwrap();
        }
    }
}

session!(Generous);

/// What a shard holds is given back when it dies, and whoever was told of pressure is told its end.
#[test]
fn pressure_that_ends_with_its_shard_is_told_to_be_over() {
    let builder = Pool::builder().shards(1).memory_budget(1 << 20);
    with(builder, |pool| async move {
        let mut events = watch(&pool);
        let listen = || Listen::tcp("127.0.0.1:0").lines();
        let giving = pool.listen(listen(), |_| Generous).await.unwrap();
        let killing = pool.listen(listen(), |_| Assassin).await.unwrap();
        for _ in 0..2 {
            let mut assassin = dial_tcp(killing.local_addr());
            let _deaf = dial_tcp(giving.local_addr());
            let presses = |event: &PoolEvent| matches!(event, PoolEvent::MemoryPressure { .. });
            next_pool_event(&mut events, |event| presses(event).then_some(())).await;
            assassin.write_all(b"die\n").unwrap();
            let relieved = |event: &PoolEvent| matches!(event, PoolEvent::MemoryRelieved { .. });
            next_pool_event(&mut events, |event| relieved(event).then_some(())).await;
            assert_eq!(memory(&pool).await, 0);
        }
    });
}

/// No budget, unless one is asked for; and one that makes sense.
#[test]
fn a_budget_has_to_be_asked_for_and_to_be_possible() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        assert_eq!(pool.status().await.unwrap().memory, None);
        pool.stop().await;
        let refused = world.builder().memory_budget(65_535).start();
        assert!(
            matches!(
                refused,
                Err(StartError::BudgetTooSmall {
                    asked: 65_535,
                    least: 65_536
                })
            ),
            "{refused:?}"
        );
        let pool = budgeted(&world, 65_536);
        assert_eq!(memory(&pool).await, 0);
        pool.stop().await;
    });
}

/// Shards of their own threads wake each other: what one has held up goes on when another is relieved.
#[test]
fn several_shards_share_one_budget() {
    const TALKERS: usize = 9;
    const BYTES: usize = 4_000_000;
    let builder = Pool::builder().shards(3).memory_budget(1 << 20);
    with(builder, |pool| async move {
        let mut events = watch(&pool);
        let make = |client| Careless { client };
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let listen = listen.send_buffer_size(32 * 1024);
        let address = pool.listen(listen, make).await.unwrap().local_addr();
        let pressed = Arc::new(Gathering::of(TALKERS + 1));
        let talk = || {
            let pressed = Arc::clone(&pressed);
            actix_rt::spawn(peer(move || {
                let mut stream = dial_tcp(address);
                let mut writing = stream.try_clone().unwrap();
                let sender = std::thread::spawn(move || {
                    let line = [&[b'x'; 999][..], b"\n"].concat();
                    let _ = writing.write_all(&line.repeat(BYTES / 1000));
                });
                pressed.wait();
                // On a machine that is busy with other things it may be ended: a second is real time.
                let _ = stream.read_exact(&mut vec![0; BYTES]);
                sender.join().unwrap();
            }))
        };
        let talks: Vec<_> = (0..TALKERS).map(|_| talk()).collect();
        let presses = |event: &PoolEvent| matches!(event, PoolEvent::MemoryPressure { .. });
        next_pool_event(&mut events, |event| presses(event).then_some(())).await;
        peer(move || pressed.wait()).await;
        for talk in talks {
            talk.await.unwrap();
        }
        while pool.status().await.unwrap().totals.live > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(memory(&pool).await, 0);
        let relieved = |event: &PoolEvent| matches!(event, PoolEvent::MemoryRelieved { .. });
        next_pool_event(&mut events, |event| relieved(event).then_some(())).await;
    });
}
