//! Who waits for whom, and who stops whom.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchboard::Cause;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::local;

/// The middle one: what the machine does besides may stretch a few.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Answers each line after having blocked its thread for as many milliseconds as the line says.
struct Slow {
    client: Client,
}

impl Actor for Slow {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Slow {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        let time = event.line.text().unwrap().parse().unwrap();
        // The work that this test is about.
        std::thread::sleep(Duration::from_millis(time));
        let _ = self.client.send_line(&event.line);
    }
}

session!(Slow);

/// XAS-10.
#[test]
fn xas_10_a_slow_handler_delays_nobody_on_another_shard() {
    with(Pool::builder().shards(2), |pool| async move {
        let make = |client| Slow { client };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut slow = dial(server.local_addr());
        let mut quick = dial(server.local_addr());
        assert_eq!(exchange(&mut slow, b"0\n"), b"0\n");
        assert_eq!(exchange(&mut quick, b"0\n"), b"0\n");
        let shards: Vec<_> = pool
            .connections()
            .await
            .unwrap()
            .iter()
            .map(|info| info.id.shard())
            .collect();
        assert_ne!(shards[0], shards[1], "they live on different threads");
        let start = Instant::now();
        slow.write_all(b"1000\n").unwrap();
        let times = peer(move || {
            let one = |_| {
                let start = Instant::now();
                assert_eq!(exchange(&mut quick, b"0\n"), b"0\n");
                start.elapsed()
            };
            (0..20).map(one).collect()
        })
        .await;
        assert!(start.elapsed() < Duration::from_millis(1000));
        let usual = median(times);
        assert!(usual < Duration::from_millis(50), "{usual:?}");
        let got = peer(move || read_exact(&mut slow, 5)).await;
        assert_eq!(got, b"1000\n");
        assert!(start.elapsed() >= Duration::from_millis(1000));
    });
}

/// Checks that numbered lines come in order, and answers each.
struct InOrder {
    client: Client,
    next: u32,
}

impl Actor for InOrder {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for InOrder {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        assert_eq!(event.line.text().unwrap(), self.next.to_string());
        self.next += 1;
        self.client.send_line(&event.line).unwrap();
    }
}

session!(InOrder);

/// XAS-09, T-26.
#[test]
fn xas_09_order_within_a_connection_is_strict_on_any_number_of_shards() {
    const LINES: u32 = 2_000;
    const PEERS: usize = 8;
    for shards in [0, 1, 2, 4] {
        let totals = with(Pool::builder().shards(shards), |pool| async move {
            let make = |client| InOrder { client, next: 0 };
            let server = pool.listen(local().lines(), make).await.unwrap();
            let address = server.local_addr();
            let talk = move || {
                let mut stream = dial(address);
                let mut writer = stream.try_clone().unwrap();
                let lines: String = (0..LINES).map(|n| format!("{n}\n")).collect();
                let expected = lines.clone();
                let writing = std::thread::spawn(move || {
                    for piece in lines.as_bytes().chunks(777) {
                        writer.write_all(piece).unwrap();
                    }
                });
                let got = read_exact(&mut stream, expected.len());
                writing.join().unwrap();
                assert!(got == expected.as_bytes(), "the answers are out of order");
            };
            let peers: Vec<_> = (0..PEERS).map(|_| std::thread::spawn(talk)).collect();
            peer(|| {
                for peer in peers {
                    peer.join().unwrap();
                }
            })
            .await;
            let info = server.info();
            assert_eq!(info.accepted, PEERS as u64);
        });
        assert_eq!(totals.closed[0], 0, "a session was told something else");
    }
}

/// Stops the pool at the first line.
struct Stops {
    client: Client,
    told: mpsc::UnboundedSender<ClientId>,
}

impl Actor for Stops {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Stops {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {
        self.client.send("stopping\n").unwrap();
        drop(self.client.pool().stop());
    }
}

impl Handler<Closed> for Stops {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        assert_eq!(event.detail.cause, Cause::PoolStopped);
        let _ = self.told.send(event.client);
    }
}

session!(Stops);

/// XAS-11, T-25.
#[test]
fn xas_11_a_stop_from_inside_a_handler_completes_and_tells_everybody() {
    let (told, mut seen) = mpsc::unbounded_channel();
    with(Pool::builder().shards(2), |pool| async move {
        let make = move |client| Stops {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut peers: Vec<_> = (0..10).map(|_| dial(server.local_addr())).collect();
        until(|| server.info().accepted == 10).await;
        let start = Instant::now();
        peers[3].write_all(b"now\n").unwrap();
        let totals = pool.stopped().await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!(totals.closed, [0, 10, 0, 0]);
        assert!(!pool.is_running());
        for (number, stream) in peers.iter_mut().enumerate() {
            let last = if number == 3 { &b"stopping\n"[..] } else { b"" };
            assert_eq!(read_all(stream), last);
        }
    });
    let mut closed: Vec<_> = std::iter::from_fn(|| seen.try_recv().ok()).collect();
    closed.sort();
    closed.dedup();
    assert_eq!(closed.len(), 10);
}

/// AC-02.
#[test]
fn ac_02_stopping_one_pool_leaves_another_alone() {
    with_pool(|pool| async move {
        let other = Pool::builder().name("other").shards(1).start().unwrap();
        let make = |client| Echo { client };
        let stays = pool.listen(local().lines(), make).await.unwrap();
        let goes = other.listen(local().lines(), make).await.unwrap();
        let mut here = dial(stays.local_addr());
        let mut there = dial(goes.local_addr());
        assert_eq!(exchange(&mut here, b"1\n"), b"1\n");
        assert_eq!(exchange(&mut there, b"2\n"), b"2\n");
        let totals = other.stop().await;
        assert_eq!(totals.closed, [0, 1, 0, 0]);
        assert_eq!(read_all(&mut there), b"");
        assert!(TcpStream::connect(goes.local_addr()).is_err());
        assert_eq!(exchange(&mut here, b"3\n"), b"3\n");
        let mut fresh = dial(stays.local_addr());
        assert_eq!(exchange(&mut fresh, b"4\n"), b"4\n");
        assert!(pool.is_running() && !other.is_running());
    });
}

/// A handler that awaits before the next event may come.
struct Awaits {
    client: Client,
    inside: Arc<Mutex<u32>>,
}

impl Actor for Awaits {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Awaits {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) -> Self::Result {
        *self.inside.lock().unwrap() += 1;
        // The work in which another line could come.
        let work = tokio::time::sleep(Duration::from_millis(2)).into_actor(self);
        AtomicResponse::new(Box::pin(work.map(move |(), session, _| {
            let mut inside = session.inside.lock().unwrap();
            assert_eq!(*inside, 1, "another line came meanwhile");
            *inside -= 1;
            session.client.send_line(&event.line).unwrap();
        })))
    }
}

session!(Awaits);

/// Events behind a handler that awaits wait for it, and none of them is lost.
#[test]
fn events_wait_for_a_handler_that_awaits() {
    with_pool(|pool| async move {
        let make = |client| Awaits {
            client,
            inside: Arc::default(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let mut stream = dial(server.local_addr());
        let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
        stream.write_all(lines.as_bytes()).unwrap();
        let length = lines.len();
        let got = peer(move || read_exact(&mut stream, length)).await;
        assert_eq!(got, lines.as_bytes());
    });
}

/// However many messages one connection's actor gets, others have their turn.
#[test]
fn a_flood_of_messages_to_one_connection_starves_nobody() {
    with_pool(|pool| async move {
        let (_flooded, client, _trace) = serve(&pool, local().lines()).await;
        let server = pool
            .listen(local().lines(), |client| Echo { client })
            .await
            .unwrap();
        let mut neighbour = dial(server.local_addr());
        assert_eq!(exchange(&mut neighbour, b"hello\n"), b"hello\n");
        let address = client.addr().unwrap();
        let flood = std::thread::spawn(move || {
            for _ in 0..300_000 {
                address.do_send(GetInfo {});
            }
            address
        });
        let times = peer(move || {
            let mut times = Vec::new();
            while !flood.is_finished() {
                let start = Instant::now();
                assert_eq!(exchange(&mut neighbour, b"here\n"), b"here\n");
                times.push(start.elapsed());
            }
            flood.join().unwrap();
            times
        })
        .await;
        assert!(times.len() > 10, "{} turns in all", times.len());
        let usual = median(times);
        assert!(usual < Duration::from_millis(50), "{usual:?}");
    });
}
