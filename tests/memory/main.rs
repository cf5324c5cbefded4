//! The network in memory: what TCP does it does too, without a socket and without real time.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchboard::message::Accepted;
use switchboard::testkit::{
    LeakCheck, Link, MemoryNet, MemoryStream, MismatchKind, Script, Simulation, World,
};
use switchboard::{Cause, ClosedReason, Connect, ConnectPhase, ConnectionOptions, Listen, Pool};
use switchboard_tests::{Echo, Probe, expect, pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

mod like_tcp;
mod many;

const HOST: &str = "10.0.0.1:7000";

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A recorder behind a listener in memory, and a peer that has connected to it.
async fn served(world: &World, listen: Listen) -> (Pool, MemoryStream, switchboard::Client, Probe) {
    let pool = world.pool();
    let mut trace = Probe::new();
    let server = pool.listen(listen, trace.full_session()).await.unwrap();
    let peer = world.net().connect(server.local_addr()).await.unwrap();
    let handle = expect!(trace, Accepted).handle;
    (pool, peer, handle, trace)
}

#[test]
fn the_same_listen_and_connect_work_over_it() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let listen = Listen::tcp("10.0.0.1:0").lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        assert_ne!(server.local_addr().port(), 0);
        let mut trace = Probe::new();
        let connect = Connect::tcp(server.local_addr()).lines();
        let client = pool.connect(connect, trace.session()).await.unwrap();
        let told = expect!(trace, Connected);
        assert_eq!(told.peer_addr, Some(server.local_addr()));
        assert_eq!(client.local_addr(), told.local_addr);
        client.send_line("over and back").unwrap();
        assert_eq!(&*expect!(trace, LineReceived).line, b"over and back");
        assert!(client.close());
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByHost);
        let totals = pool.stop().await;
        assert_eq!((totals.accepted, totals.connected, totals.live), (1, 1, 0));
    });
}

#[test]
fn a_full_window_holds_the_sender_back_and_tells_when_there_is_room() {
    Simulation::seeded(1)
        .link(Link::default().window(1000))
        .run(|world| async move {
            let listen = Listen::tcp(HOST).write_limits(4000, 1000);
            let (pool, mut peer, client, mut trace) = served(&world, listen).await;
            let sent = pattern(10_000);
            client.send(sent.clone()).unwrap();
            expect!(trace, WritePaused);
            // Virtual time: the actors have their turn.
            sleep(millis(1)).await;
            assert_eq!(client.write_buffer_size(), 9000, "the window is full");
            let mut came = vec![0; 10_000];
            peer.read_exact(&mut came).await.unwrap();
            assert_eq!(came, sent);
            expect!(trace, WriteResumed);
            pool.stop().await;
        });
}

#[test]
fn latency_and_bandwidth_take_virtual_time() {
    let link = Link::default().latency(millis(40)).bandwidth(1000);
    Simulation::seeded(1).link(link).run(|world| async move {
        let begun = Instant::now();
        let (pool, mut peer, _, mut trace) = served(&world, Listen::tcp(HOST).lines()).await;
        assert_eq!(begun.elapsed(), millis(80), "there and back");
        // 100 bytes at 1,000 bytes per second.
        let sent = Instant::now();
        peer.write_all(&[&[b'x'; 99][..], b"\n"].concat())
            .await
            .unwrap();
        assert_eq!(expect!(trace, LineReceived).line.len(), 99);
        assert_eq!(sent.elapsed(), millis(140));
        drop(peer);
        expect!(trace, PeerFinished);
        pool.stop().await;
    });
}

#[test]
fn what_comes_in_chunks_is_whole_again() {
    for chunk in 1..9 {
        Simulation::seeded(1)
            .link(Link::default().chunk(chunk))
            .run(|world| async move {
                let (pool, mut peer, client, mut trace) =
                    served(&world, Listen::tcp(HOST).lines()).await;
                peer.write_all(b"one\r\ntwo\nthree\r\n").await.unwrap();
                for line in ["one", "two", "three"] {
                    assert_eq!(&*expect!(trace, LineReceived).line, line.as_bytes());
                }
                client.send("answer").unwrap();
                let mut piece = [0; 99];
                let first = peer.read(&mut piece).await.unwrap();
                assert_eq!(first, chunk.min(6));
                pool.stop().await;
            });
    }
}

/// AIO-30: bytes and an end are fed to a session by hand.
#[test]
fn aio_30_a_half_closed_connection_still_sends() {
    Simulation::seeded(1).run(|world| async move {
        let (pool, mut peer, client, mut trace) = served(&world, Listen::tcp(HOST).lines()).await;
        peer.write_all(b"question\n").await.unwrap();
        peer.shutdown().await.unwrap();
        assert_eq!(&*expect!(trace, LineReceived).line, b"question");
        expect!(trace, PeerFinished).keep_open();
        client.send("answer").unwrap();
        client.close();
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        expect!(trace, Closed);
        pool.stop().await;
    });
}

/// AIO-30: an error is fed to a session by hand.
#[test]
fn aio_30_a_reset_in_mid_line_ends_with_what_came_before() {
    Simulation::seeded(1).run(|world| async move {
        let (pool, mut peer, client, mut trace) = served(&world, Listen::tcp(HOST).lines()).await;
        peer.write_all(b"whole\nhal").await.unwrap();
        assert_eq!(&*expect!(trace, LineReceived).line, b"whole");
        peer.reset();
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::Error);
        assert!(matches!(&closed.detail.cause, Cause::Io { kind, .. } if *kind == ErrorKind::ConnectionReset));
        assert_eq!(&closed.detail.unread[..], b"hal");
        assert!(client.is_closed());
        pool.stop().await;
    });
}

#[test]
fn an_abort_resets_the_peer() {
    Simulation::seeded(1).run(|world| async move {
        let (pool, mut peer, client, mut trace) = served(&world, Listen::tcp(HOST).lines()).await;
        client.abort();
        expect!(trace, Closed);
        let error = peer.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = peer.write(b"too late").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        pool.stop().await;
    });
}

/// As TCP does: unread bytes at the close make it a reset.
#[test]
fn dropping_an_end_with_unread_bytes_resets() {
    Simulation::seeded(1).run(|world| async move {
        let net = world.net();
        let mut listener = net.listen("10.0.0.1:0").unwrap();
        let mut near = net.connect(listener.local_addr()).await.unwrap();
        let far = listener.accept().await;
        near.write_all(b"never read").await.unwrap();
        assert_eq!(near.unread_by_peer(), 10);
        drop(far);
        let error = near.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn whoever_writes_to_a_peer_that_is_gone_is_refused() {
    Simulation::seeded(1).run(|world| async move {
        let net = world.net();
        let mut listener = net.listen("10.0.0.1:0").unwrap();
        let mut near = net.connect(listener.local_addr()).await.unwrap();
        drop(listener.accept().await);
        assert_eq!(near.read(&mut [0; 9]).await.unwrap(), 0);
        assert_eq!(near.write(b"lost").await.unwrap(), 4);
        let error = near.write(b"refused").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn refused_unreachable_silent_and_unknown_are_told_apart() {
    Simulation::seeded(1).run(|world| async move {
        let net = world.net();
        let (far, quiet): (IpAddr, IpAddr) = ([10, 0, 0, 7].into(), [10, 0, 0, 8].into());
        net.set_unreachable(far, true);
        net.set_silent(quiet, true);
        net.name("two.example", [far, Ipv4Addr::new(10, 0, 0, 1).into()]);
        let pool = world.pool();
        let cases = [
            (
                "10.0.0.1:1",
                ConnectPhase::Connect,
                ErrorKind::ConnectionRefused,
                1,
            ),
            (
                "10.0.0.7:1",
                ConnectPhase::Connect,
                ErrorKind::HostUnreachable,
                1,
            ),
            ("10.0.0.8:1", ConnectPhase::Connect, ErrorKind::TimedOut, 0),
            (
                "two.example:1",
                ConnectPhase::Connect,
                ErrorKind::ConnectionRefused,
                2,
            ),
            (
                "nobody.example:1",
                ConnectPhase::Resolve,
                ErrorKind::NotFound,
                0,
            ),
            (
                "10.0.0.1",
                ConnectPhase::Resolve,
                ErrorKind::InvalidInput,
                0,
            ),
        ];
        for (target, phase, kind, attempts) in cases {
            let begun = Instant::now();
            let failed = pool
                .connect(Connect::tcp(target).timeout(millis(300)), |client| Echo {
                    client,
                })
                .await
                .unwrap_err();
            assert_eq!((failed.phase, failed.kind), (phase, kind), "{failed}");
            assert_eq!(failed.attempts.len(), attempts, "{failed}");
            assert!(failed.to_string().contains(target));
            let waited = if kind == ErrorKind::TimedOut {
                millis(300)
            } else {
                millis(0)
            };
            assert_eq!(begun.elapsed(), waited, "{failed}");
        }
        let mut listener = net.listen("10.0.0.1:80").unwrap();
        assert_eq!(
            net.listen("0.0.0.0:80").unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        let connected = net.connect("two.example:80").await.unwrap();
        assert_eq!(connected.peer_addr().ip().to_string(), "10.0.0.1");
        assert_eq!(listener.accept().await.peer_addr(), connected.local_addr());
        pool.stop().await;
    });
}

#[test]
fn a_busy_address_is_refused_and_free_again_later() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let echo = |client| Echo { client };
        let first = pool.listen(Listen::tcp(HOST), echo).await.unwrap();
        let error = pool.listen(Listen::tcp(HOST), echo).await.unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(HOST), "{error}");
        first.close().await;
        pool.listen(Listen::tcp(HOST), echo).await.unwrap();
        pool.stop().await;
    });
}

#[test]
fn the_backlog_holds_connects_back() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let listen = Listen::tcp(HOST).backlog(2).max_connections(1).lines();
        pool.listen(listen, |client| Echo { client }).await.unwrap();
        let net = world.net();
        let mut peers = Vec::new();
        for _ in 0..3 {
            peers.push(net.connect(HOST).await.unwrap());
        }
        let fourth = timeout(millis(100), net.connect(HOST)).await;
        assert!(
            fourth.is_err(),
            "one is served, two wait, the backlog is full"
        );
        // Each that ends lets the next one in.
        for mut peer in peers {
            peer.write_all(b"served\n").await.unwrap();
            let mut answer = [0; 7];
            peer.read_exact(&mut answer).await.unwrap();
        }
        pool.stop().await;
    });
}

#[test]
fn connections_cross_threads_on_real_time_too() {
    let net = MemoryNet::new();
    let builder = Pool::builder().shards(2).network(net.clone());
    let totals = switchboard_tests::with(builder, |pool| async move {
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let mut peers = Vec::new();
        for _ in 0..20 {
            peers.push(net.connect(server.local_addr()).await.unwrap());
        }
        for peer in &mut peers {
            peer.write_all(b"hello\n").await.unwrap();
        }
        for peer in &mut peers {
            let mut answer = [0; 6];
            peer.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"hello\n");
        }
    });
    assert_eq!(totals.accepted, 20);
}

#[test]
fn nothing_is_left_over_when_all_are_gone() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let leaks = LeakCheck::begin().only_shown().pool(&pool).net(world.net());
        let listen = Listen::tcp(HOST).lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let mut peers = Vec::new();
        for _ in 0..10 {
            let mut peer = world.net().connect(server.local_addr()).await.unwrap();
            peer.write_all(b"hello\nrest").await.unwrap();
            peers.push(peer);
        }
        // Virtual time: the actors have their turn.
        sleep(millis(1)).await;
        let left: Vec<_> = leaks
            .leaks()
            .await
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            left,
            [
                "connections: 0 before, 10 now",
                "actors: 0 before, 20 now",
                "ends of connections in memory: 0 before, 20 now"
            ]
        );
        drop(peers);
        leaks.settle().await;
        server.close().await;
    });
}

#[test]
fn addresses_of_accepted_connections_are_the_peers() {
    Simulation::seeded(1).run(|world| async move {
        let (pool, peer, client, _trace) = served(&world, Listen::tcp("0.0.0.0:9")).await;
        assert_eq!(client.peer_addr(), Some(peer.local_addr()));
        assert_eq!(client.local_addr(), Some(peer.peer_addr()));
        assert_eq!(world.net().opened(), 1);
        let unspecified: SocketAddr = "0.0.0.0:9".parse().unwrap();
        assert!(world.net().connect(unspecified).await.is_ok());
        pool.stop().await;
    });
}

/// The same file as either side, over memory, with a reset at its end.
#[test]
fn a_script_is_played_over_it_too() {
    let script = Script::parse("C: hello\nS: hello\nC: agai\nC reset\n").unwrap();
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut probe = Probe::new();
        let listen = Listen::tcp(HOST).lines();
        pool.listen(listen, |client| Echo { client }).await.unwrap();
        let stream = world.net().connect(HOST).await.unwrap();
        script
            .client()
            .play_transport(Box::new(stream))
            .await
            .unwrap();
        let listen = Listen::tcp("10.0.0.1:8000").lines();
        pool.listen(listen, probe.session()).await.unwrap();
        let stream = world.net().connect("10.0.0.1:8000").await.unwrap();
        let mute = script.client().play_transport(Box::new(stream)).await;
        assert!(matches!(mute.unwrap_err().kind, MismatchKind::Timeout(_)));
        probe.expect::<Accepted>().await;
        probe.expect_line("hello").await;
        probe.expect_closed(ClosedReason::ClosedByPeer).await;
        pool.stop().await;
    });
}

/// One-way loss, then a partition; nothing is lost when it heals.
#[test]
fn a_cut_holds_everything_back_until_it_heals() {
    Simulation::seeded(1).run(|world| async move {
        let (server, peer_host): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [127, 0, 0, 1].into());
        let listen = Listen::tcp(HOST).lines();
        let (pool, mut peer, client, mut trace) = served(&world, listen).await;
        let net = world.net();
        net.set_cut(peer_host, server, true);
        peer.write_all(b"held back\n").await.unwrap();
        client.send("the other way\n").unwrap();
        let mut answer = [0; 14];
        peer.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"the other way\n");
        trace.no_more(millis(3000)).await;
        let attempt = timeout(millis(3000), net.connect(HOST)).await;
        assert!(attempt.is_err(), "no connection over a way that is cut");
        net.set_cut(peer_host, server, false);
        trace.expect_line("held back").await;

        net.set_cut(peer_host, server, true);
        net.set_cut(server, peer_host, true);
        peer.write_all(b"and again\n").await.unwrap();
        client.abort();
        trace.expect_closed(ClosedReason::ClosedByHost).await;
        let quiet = timeout(millis(3000), peer.read(&mut [0; 9])).await;
        assert!(quiet.is_err(), "the reset has not come");
        net.set_cut(server, peer_host, false);
        let error = peer.read(&mut [0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        pool.stop().await;
    });
}
