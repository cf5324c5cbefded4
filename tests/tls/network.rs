//! TLS under a whole pool, of which its listeners and sessions say nothing.

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use switchboard::testkit::{Faults, FaultyNet, Simulation};
use switchboard::tls::{HANDSHAKES, TlsNetwork};
use switchboard::transport::{Network, TcpNetwork};
use switchboard::{
    Cause, ClosedReason, Connect, ConnectPhase, ConnectTarget, ConnectionOptions, Listen, Pool,
    SendRefusal, StartTlsError, TimeoutKind, TlsError,
};
use switchboard_tests::talking::Sides;
use switchboard_tests::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pair;

fn over_tcp() -> TlsNetwork {
    let (server, client) = pair();
    TlsNetwork::new(TcpNetwork, server, client)
}

#[test]
fn sessions_speak_tls_without_a_word_and_know_its_facts() {
    let builder = Pool::builder().shards(1).network(over_tcp());
    with(builder, async |pool| {
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let server = pool.listen(listen, far.full_session()).await.unwrap();
        let connect = Connect::tcp(server.local_addr()).lines();
        let client = pool.connect(connect, near.full_session()).await.unwrap();
        expect!(near, Connected);
        let tls = expect!(near, TlsStarted).tls;
        assert_eq!(tls.server_name.as_deref(), Some("127.0.0.1"));
        let peer = expect!(far, Accepted).handle;
        assert_eq!(expect!(far, TlsStarted).tls.version, tls.version);
        client.send_line("over").unwrap();
        assert_eq!(&*expect!(far, LineReceived).line, b"over");
        // As on every connection that speaks TLS.
        assert_eq!(peer.write_eof(), Err(SendRefusal::Unsupported));
        peer.cancel_recv();
        let (server, _) = pair();
        let again = peer.start_tls(switchboard::message::StartTls::server(server));
        assert_eq!(again, Err(StartTlsError::AlreadyTls));
        client.close();
        let closed = expect!(near, Closed);
        assert_eq!(
            (closed.reason, closed.detail.tls),
            (ClosedReason::ClosedByHost, Some(tls))
        );
        expect!(far, PeerFinished);
        assert_eq!(expect!(far, Closed).detail.cause, Cause::PeerFinished);
    });
}

/// A connection whose handshake is done can move: the listener's thread does the handshake, the session
/// lives wherever there is room.
#[test]
fn accepted_connections_move_to_other_threads_with_their_tls() {
    let builder = Pool::builder().shards(3).network(over_tcp());
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let totals = with(builder, async |pool| {
        let mut near = Probe::new();
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let session = move |client| {
            seen.lock().unwrap().insert(thread::current().id());
            Echo { client }
        };
        let server = pool.listen(listen, session).await.unwrap();
        for number in 0..30 {
            let connect = Connect::tcp(server.local_addr()).lines();
            let client = pool.connect(connect, near.session()).await.unwrap();
            expect!(near, Connected);
            expect!(near, TlsStarted);
            let line = format!("{number} {}", "x".repeat(1000));
            client.send_line(&line).unwrap();
            assert_eq!(&*expect!(near, LineReceived).line, line.as_bytes());
            client.close();
            assert_eq!(expect!(near, Closed).reason, ClosedReason::ClosedByHost);
        }
    });
    assert!(threads.lock().unwrap().len() > 1, "none has moved");
    assert_eq!((totals.accepted, totals.connected), (30, 30));
}

/// Trap 4: peers that connect and say nothing, or no TLS, harm nobody and become no connection.
#[test]
fn stalled_and_failed_handshakes_become_no_connection_and_hold_up_nobody() {
    let builder = Pool::builder().shards(1).network(over_tcp());
    let totals = with(builder, async |pool| {
        let mut near = Probe::new();
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let address = server.local_addr();
        let silent: Vec<_> = (0..50).map(|_| dial(address)).collect();
        let answer = peer(move || {
            let mut plain = dial(address);
            plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            read_all(&mut plain)
        })
        .await;
        // A fatal alert, and an end in order.
        assert_eq!(answer.first(), Some(&21));
        let connect = Connect::tcp(address).lines();
        let client = pool.connect(connect, near.session()).await.unwrap();
        client.send_line("served").unwrap();
        expect!(near, Connected);
        expect!(near, TlsStarted);
        assert_eq!(&*expect!(near, LineReceived).line, b"served");
        client.close();
        expect!(near, Closed);
        drop(silent);
    });
    assert_eq!(totals.accepted, 1);
}

#[test]
fn a_host_that_is_not_trusted_is_a_failure_to_connect() {
    let builder = Pool::builder().shards(1).network(over_tcp());
    with(builder, async |pool| {
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let (server, _) = pair();
        let stranger = Pool::builder().shards(0).start().unwrap();
        let listen = Listen::tcp("127.0.0.1:0").tls(server);
        let listening = stranger.listen(listen, far.session()).await.unwrap();
        let connect = Connect::tcp(listening.local_addr());
        let error = pool.connect(connect, near.session()).await.unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Tls);
        let fault = error.tls.as_deref();
        assert!(matches!(fault, Some(TlsError::Certificate(_))), "{error}");
        expect!(near, ConnectFailed);
        expect!(far, Closed);
        stranger.stop().await;
    });
}

/// As many as may be in their handshake stall; who comes then waits for their timeout and no longer.
#[test]
fn handshakes_under_way_are_bounded_and_the_next_peer_is_served() {
    Simulation::seeded(1).run(|world| async move {
        let Sides { server, client } = Sides::new();
        let network = TlsNetwork::new(world.net().clone(), server, client);
        let pool = Pool::builder().shards(0).network(network).start().unwrap();
        let listen = Listen::tcp("10.0.0.1:7000").lines().backlog(1000);
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let mut silent = Vec::new();
        for _ in 0..HANDSHAKES {
            silent.push(world.net().connect(server.local_addr()).await.unwrap());
        }
        // The listener takes them.
        tokio::time::sleep(Duration::from_millis(10)).await;
        let near = Probe::new();
        let connect = Connect::tcp(server.local_addr()).lines();
        let early = pool.connect(connect.clone(), near.session());
        let late = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            pool.connect(connect, near.session()).await
        };
        let (early, late) = tokio::join!(early, late);
        let waited = world.elapsed();
        assert!(
            waited > Duration::from_secs(4) && waited < Duration::from_secs(6),
            "{waited:?}"
        );
        early.unwrap().send_line("served").unwrap();
        late.unwrap().send_line("served").unwrap();
        drop(silent);
        assert_eq!(pool.stop().await.accepted, 2);
    });
}

/// What a pool sees whose network stands still as soon as handshakes are done.
fn stall_after_handshake(faults: Faults) -> FaultyNet {
    FaultyNet::new(over_tcp(), faults)
}

#[test]
fn reads_that_stall_after_the_handshake_are_an_idle_timeout() {
    let network = stall_after_handshake(Faults::none().stall_reads_after(0));
    with(Pool::builder().shards(1).network(network), async |pool| {
        let (near, mut far) = (Probe::new(), Probe::new());
        let idle = Duration::from_millis(150);
        let listen = Listen::tcp("127.0.0.1:0").lines().idle_read_timeout(idle);
        let server = pool.listen(listen, far.full_session()).await.unwrap();
        let connect = Connect::tcp(server.local_addr()).lines();
        let client = pool.connect(connect, near.session()).await.unwrap();
        client.send_line("never read").unwrap();
        expect!(far, Accepted);
        expect!(far, TlsStarted);
        let closed = expect!(far, Closed);
        assert_eq!(closed.reason, ClosedReason::Timeout);
        assert!(closed.detail.unread.is_empty());
    });
}

#[test]
fn writes_that_stall_after_the_handshake_are_a_flush_timeout() {
    let network = stall_after_handshake(Faults::none().stall_writes_after(0));
    with(Pool::builder().shards(1).network(network), async |pool| {
        let (near, mut far) = (Probe::new(), Probe::new());
        let flush = Duration::from_millis(150);
        let listen = Listen::tcp("127.0.0.1:0").lines().flush_timeout(flush);
        let server = pool.listen(listen, far.full_session()).await.unwrap();
        let connect = Connect::tcp(server.local_addr()).lines();
        pool.connect(connect, near.session()).await.unwrap();
        let peer = expect!(far, Accepted).handle;
        expect!(far, TlsStarted);
        peer.send(Bytes::from_static(b"never written")).unwrap();
        peer.close();
        let closed = expect!(far, Closed);
        let Some(Cause::Timeout { kind, .. }) = closed.detail.cut_short else {
            panic!("{:?}", closed.detail);
        };
        assert_eq!((kind, closed.detail.unsent), (TimeoutKind::Flush, 13));
    });
}

/// RFC 8446 6.1: who answers to an end in order ends in order too, though it has nothing to send.
#[test]
fn close_notify_is_answered_with_close_notify() {
    Simulation::seeded(1).run(|world| async move {
        let Sides { server, client } = Sides::new();
        let network = TlsNetwork::new(world.net().clone(), server, client);
        let builder = Pool::builder().shards(0).network(network.clone());
        let pool = builder.start().unwrap();
        let mut far = Probe::new();
        for session in [true, false] {
            let listen = Listen::tcp("10.0.0.1:7000").lines();
            let server = if session {
                pool.listen(listen, far.full_session()).await.unwrap()
            } else {
                pool.listen(listen, |client| Echo { client }).await.unwrap()
            };
            let target = ConnectTarget::new(server.local_addr().to_string());
            let mut near = network.connect(target).await.unwrap().transport;
            near.shutdown().await.unwrap();
            if session {
                expect!(far, Accepted);
                expect!(far, TlsStarted);
                expect!(far, PeerFinished);
            }
            let mut rest = Vec::new();
            // An end without a word would be an error.
            near.read_to_end(&mut rest).await.unwrap();
            assert!(rest.is_empty());
            server.close().await;
        }
        pool.stop().await;
    });
}
