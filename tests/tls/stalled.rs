//! Handshakes that do not go on: whom they hold up (nobody), what they cost, and how they end.

use std::net::TcpStream;
use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::Simulation;
use switchboard::{Cause, ClosePhase, TimeoutKind};
use switchboard_tests::*;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::pair;

const ANY: &str = "127.0.0.1:0";
const HOST: &str = "10.0.0.1:7000";

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn is_handshake_timeout(cause: &Cause) -> bool {
    const KIND: TimeoutKind = TimeoutKind::Handshake;
    matches!(cause, Cause::Timeout { kind: KIND, .. })
}

/// A peer in its handshake has its place, and gives it back when that ends.
#[test]
fn a_handshake_counts_against_every_limit() {
    for per_ip in [false, true] {
        Simulation::seeded(5).run(|world| async move {
            let (server, client) = pair();
            let mut far = Probe::new();
            let listen = Listen::tcp(HOST).at_limit(AtLimit::Wait).tls(server);
            let listen = if per_ip {
                listen.max_per_ip(1)
            } else {
                listen.max_connections(1)
            };
            let pool = world.pool();
            let server = pool.listen(listen, far.full_session()).await.unwrap();
            let address = server.local_addr();
            let from = "10.0.0.2".parse().unwrap();
            let silent = world.net().connect_from(from, address).await.unwrap();
            sleep(seconds(1)).await;
            assert_eq!(server.info().live, 1, "it has a place");
            let second = world.net().connect_from(from, address).await.unwrap();
            sleep(seconds(1)).await;
            assert_eq!(server.info().live, 1);
            let closed = expect!(far, Closed);
            assert!(is_handshake_timeout(&closed.detail.cause));
            if per_ip {
                assert_eq!(
                    server.info().rejections.prefix,
                    1,
                    "no second one at a time"
                );
            } else {
                // It has waited for the place, and takes as long.
                let closed = expect!(far, Closed);
                assert!(is_handshake_timeout(&closed.detail.cause));
            }
            // Whoever comes now finds the place free.
            let connect = Connect::tcp(address).tls(client).server_name("localhost");
            let mut near = Probe::new();
            let client = pool.connect(connect, near.full_session()).await.unwrap();
            expect!(near, Connected);
            client.abort();
            drop((silent, second));
            let totals = pool.stop().await;
            assert_eq!(totals.live, 0);
            near.finish();
            far.finish();
        });
    }
}

/// Trap 4 (ractor_actors' listener, thousand_island PR #207, hummingbird #503): peers that stall in their
/// handshake hold up neither who comes, nor a drain, nor a stop.
#[test]
fn trap_04_stalled_handshakes_block_neither_accepting_nor_shutdown() {
    const STALLED: usize = 100;
    for drains in [false, true] {
        let totals = with_pool(async |pool| {
            let (server, client) = pair();
            let (mut near, mut far) = (Probe::new(), Probe::new().partial());
            let listen = Listen::tcp(ANY).lines().tls(server);
            let server = pool.listen(listen, far.full_session()).await.unwrap();
            let address = server.local_addr();
            let silent: Vec<TcpStream> =
                peer(move || (0..STALLED).map(|_| dial(address)).collect()).await;
            until(|| server.info().live == STALLED as u64).await;

            let begun = Instant::now();
            let connect = Connect::tcp(address).lines().tls(client);
            let client = pool.connect(connect, near.full_session()).await.unwrap();
            expect!(near, Connected);
            client.send_line("served").unwrap();
            let accepted = expect!(far, Accepted).client;
            far.of(accepted).expect::<TlsStarted>().await;
            assert_eq!(
                &*far.of(accepted).expect::<LineReceived>().await.line,
                b"served"
            );
            client.abort();
            drop(far.of(accepted).expect::<Closed>().await);
            if drains {
                let report = pool.drain(Drain::within(seconds(60))).await;
                assert_eq!(report.given_up, STALLED as u64, "{report:?}");
            } else {
                pool.stop().await;
            }
            // Their own time is 5 s.
            assert!(begun.elapsed() < seconds(4), "{:?}", begun.elapsed());
            let cause = if drains {
                Cause::Drained
            } else {
                Cause::PoolStopped
            };
            for _ in 0..STALLED {
                let detail = expect!(far, Closed).detail;
                assert_eq!(
                    (detail.cause, detail.phase),
                    (cause.clone(), ClosePhase::Securing)
                );
            }
            drop(silent);
            near.finish();
        });
        assert_eq!(totals.accepted, STALLED as u64 + 1);
    }
}

/// Thousands in their handshake, some half done, when the pool stops: every one is told and counted once.
#[test]
fn a_stop_in_the_midst_of_thousands_of_handshakes_tells_each_once() {
    const PEERS: usize = 1_500;
    for (seed, drains) in [(1, false), (2, true), (3, false)] {
        Simulation::seeded(seed).run(|world| async move {
            let (server, client) = pair();
            let (near, mut far) = (Probe::new().partial(), Probe::new().partial());
            let pool = world.pool();
            let listen = Listen::tcp(HOST).backlog(4_096).tls(server);
            pool.listen(listen, far.full_session()).await.unwrap();
            let mut silent = Vec::new();
            let mut connecting = Vec::new();
            for peer in 0..PEERS {
                if peer % 5 == 0 && peer < 250 {
                    let connect = Connect::tcp(HOST)
                        .tls(client.clone())
                        .server_name("localhost");
                    let (pool, session) = (pool.clone(), near.full_session());
                    connecting.push(tokio::task::spawn_local(async move {
                        pool.connect(connect, session).await.is_ok()
                    }));
                } else {
                    silent.push(world.net().connect(HOST).await.unwrap());
                }
            }
            let pause = world.draw(|rng| rng.u64(0..400));
            sleep(Duration::from_micros(pause)).await;
            if drains {
                pool.drain(Drain::within(Duration::from_millis(10))).await;
            }
            let totals = pool.stop().await;
            assert_eq!(totals.live, 0);
            assert_eq!(totals.accepted + totals.connected, totals.closed_in_all());
            for attempt in connecting {
                let _ = attempt.await.unwrap();
            }
            let mut told = 0;
            for _ in 0..totals.accepted {
                loop {
                    if let ClientEvent::Closed(_) = far.next().await {
                        told += 1;
                        break;
                    }
                }
            }
            assert_eq!(told, totals.accepted);
            far.no_more(seconds(60)).await;
            near.finish();
            drop(silent);
        });
    }
}

/// An abort during the handshake is a reset, as any abort is.
#[test]
fn an_abort_during_an_upgrade_is_a_reset() {
    with_pool(async |pool| {
        let (server, _) = pair();
        let (mut stream, client, mut told) = serve_full(&pool, Listen::tcp(ANY)).await;
        client.start_tls(StartTls::server(server)).unwrap();
        client.send("never in plain").unwrap();
        // The handshake has begun when the socket's own side has nothing more to do.
        sleep(Duration::from_millis(50)).await;
        client.abort();
        let closed = expect!(told, Closed);
        assert_eq!(closed.detail.cause, Cause::LocalAbort);
        assert_eq!(
            (closed.detail.unsent, closed.detail.phase),
            (14, ClosePhase::Securing)
        );
        peer(move || {
            let read = std::io::Read::read(&mut stream, &mut [0; 64]);
            let error = read.expect_err("neither bytes nor an end in order");
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        })
        .await;
    });
}

/// A thread that ends takes the handshakes on it along: each of them has failed.
#[test]
fn a_handshake_whose_thread_ends_is_counted_as_failed() {
    with(Pool::builder().shards(1), async |pool| {
        let (server, client) = pair();
        let echo = |client| Echo { client };
        let listen = Listen::tcp(ANY).lines().tls(server);
        let server = pool.listen(listen, echo).await.unwrap();
        let address = server.local_addr();
        let connect = Connect::tcp(address).lines().tls(client);
        let client = pool.connect(connect, echo).await.unwrap();
        until(|| server.info().tls.handshakes == 1).await;
        let silent = peer(move || dial(address)).await;
        until(|| server.info().live == 2).await;
        let stopping = client.with_socket(|_| actix_rt::Arbiter::current().stop());
        stopping.await.unwrap();
        until(|| server.info().live == 0).await;
        let counts = server.info().tls;
        assert_eq!((counts.handshakes, counts.failed), (1, 1));
        drop(silent);
    });
}

/// A peer may announce what it likes: what a handshake keeps of it is bounded, also of what came before it
/// was asked for.
#[test]
fn a_handshake_keeps_no_more_than_a_handshake_needs() {
    // Records of a client's greeting that is said to have 16 MiB.
    let mut record = vec![0x16, 3, 1, 0x40, 0];
    record.extend([1, 0xff, 0xff, 0xff]);
    record.resize(5 + 0x4000, 0);
    let more = [&[0x16, 3, 1, 0x40, 0], &vec![0; 0x4000][..]].concat();
    for upgrade in [false, true] {
        let (record, more) = (record.clone(), more.clone());
        Simulation::seeded(7).run(|world| async move {
            let (server, _) = pair();
            let mut far = Probe::new();
            let pool = world.pool();
            let listen = Listen::tcp(HOST);
            let listen = if upgrade {
                listen
            } else {
                listen.tls(server.clone())
            };
            pool.listen(listen, far.full_session()).await.unwrap();
            let mut stream = world.net().connect(HOST).await.unwrap();
            if upgrade {
                let client = expect!(far, Accepted).handle;
                client.arm(RecvLine::once()).unwrap();
                stream.write_all(b"STARTTLS\r\n").await.unwrap();
                stream.write_all(&record).await.unwrap();
                stream.write_all(&more).await.unwrap();
                expect!(far, LineReceived);
                client.start_tls(StartTls::server(server)).unwrap();
            } else {
                stream.write_all(&record).await.unwrap();
            }
            // 64 KiB is the most that a handshake message may have.
            for _ in 0..4 {
                let _ = stream.write_all(&more).await;
            }
            sleep(seconds(1)).await;
            let closed = expect!(far, Closed);
            assert!(
                matches!(closed.detail.cause, Cause::Tls(_)),
                "{}",
                closed.detail
            );
            assert!(world.elapsed() <= seconds(1), "an error, not the timeout");
            assert!(closed.detail.unread.is_empty());
            drop(stream);
            pool.stop().await;
            far.finish();
        });
    }
}

/// Connections move to their shard before their handshake, and every shard does its own.
#[test]
fn handshakes_are_done_on_the_shard_that_the_connection_lives_on() {
    const PEERS: usize = 12;
    let totals = with(Pool::builder().shards(3), async |pool| {
        let (server, client) = pair();
        let (near, mut far) = (Probe::new().partial(), Probe::new());
        let listen = Listen::tcp(ANY).lines().tls(server);
        let address = pool
            .listen(listen, far.full_session())
            .await
            .unwrap()
            .local_addr();
        let mut shards = std::collections::HashSet::new();
        let mut ends = Vec::new();
        for _ in 0..PEERS {
            let connect = Connect::tcp(address).lines().tls(client.clone());
            ends.push(pool.connect(connect, near.full_session()).await.unwrap());
            let accepted = expect!(far, Accepted);
            shards.insert(accepted.client.shard());
            expect!(far, TlsStarted);
            ends.last().unwrap().send_line("hello").unwrap();
            assert_eq!(&*expect!(far, LineReceived).line, b"hello");
        }
        assert_eq!(shards.len(), 3);
        for end in &ends {
            end.close();
            expect!(far, PeerFinished);
            assert_eq!(expect!(far, Closed).detail.cause, Cause::PeerFinished);
        }
    });
    assert_eq!(totals.accepted, PEERS as u64);
}
