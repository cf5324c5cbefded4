//! How a protected connection ends: in order, cut short, reset, and while its session is made.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{Cause, ClosePhase, CrashPolicy, ReconnectConfig, TlsError};
use switchboard_tests::*;

use super::pair;

const ANY: &str = "127.0.0.1:0";

/// Carries bytes between a client and a server, so that a test can end the stream behind the back of the
/// TLS that it carries.
struct Relay {
    address: SocketAddr,
    upstream: std::sync::mpsc::Receiver<TcpStream>,
}

impl Relay {
    fn to(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(ANY).unwrap();
        let address = listener.local_addr().unwrap();
        let (told, upstream) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (down, _) = listener.accept().unwrap();
            let up = TcpStream::connect(server).unwrap();
            told.send(up.try_clone().unwrap()).unwrap();
            let (from, to) = (up.try_clone().unwrap(), down.try_clone().unwrap());
            std::thread::spawn(move || carry(from, to));
            carry(down, up);
        });
        Self { address, upstream }
    }

    /// The stream to the server.
    fn upstream(&self) -> TcpStream {
        self.upstream.recv_timeout(PATIENCE).unwrap()
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 4096];
    loop {
        match from.read(&mut piece) {
            Ok(count @ 1..) if to.write_all(&piece[..count]).is_ok() => {}
            _ => break,
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

struct Ends {
    near: Client,
    far: Client,
    /// Told of the accepted side.
    told: Probe,
    upstream: TcpStream,
    /// Told of the other one.
    _near: Probe,
}

/// A protected connection over a relay; nothing is armed at the accepted side.
async fn relayed(pool: &Pool, listen: Listen) -> Ends {
    let (server, client) = pair();
    let (mut near, mut far) = (Probe::new(), Probe::new());
    let server = pool
        .listen(listen.tls(server), far.full_session())
        .await
        .unwrap();
    let relay = Relay::to(server.local_addr());
    let connect = Connect::tcp(relay.address).tls(client);
    let client = pool.connect(connect, near.full_session()).await.unwrap();
    expect!(near, Connected);
    let handle = expect!(far, Accepted).handle;
    expect!(far, TlsStarted);
    Ends {
        near: client,
        far: handle,
        told: far,
        upstream: relay.upstream(),
        _near: near,
    }
}

/// A peer that says goodbye is noticed while nobody reads, on a real socket.
#[test]
fn a_peer_that_finishes_is_noticed_while_nothing_is_armed() {
    with_pool(async |pool| {
        let mut ends = relayed(&pool, Listen::tcp(ANY)).await;
        ends.near.close();
        expect!(ends.told, PeerFinished).keep_open();
        let closed = expect!(ends.told, Closed);
        assert_eq!(closed.detail.cause, Cause::PeerFinished);
        assert_eq!(closed.detail.phase, ClosePhase::Open);
    });
}

/// A stream that ends without a goodbye is a truncation, whether anybody reads or not.
#[test]
fn a_stream_without_goodbye_is_a_truncation_armed_or_not() {
    with_pool(async |pool| {
        for armed in [false, true] {
            let mut ends = relayed(&pool, Listen::tcp(ANY)).await;
            if armed {
                ends.far.arm(RecvLine::once().always()).unwrap();
            }
            ends.upstream.shutdown(Shutdown::Write).unwrap();
            let closed = expect!(ends.told, Closed);
            assert_eq!(closed.detail.cause, Cause::Tls(TlsError::Truncated));
            assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
            assert!(closed.detail.tls.is_some());
        }
    });
}

/// What is unread comes first; then the end is noticed, though nothing is armed any more.
#[test]
fn the_end_behind_unread_lines_is_noticed_when_they_were_read() {
    with_pool(async |pool| {
        for cut in [false, true] {
            let mut ends = relayed(&pool, Listen::tcp(ANY)).await;
            ends.near.send("one\ntwo\n").unwrap();
            if cut {
                // What was sent is under way when the stream is cut.
                until(|| ends.near.write_buffer_size() == 0).await;
                let upstream = ends.upstream.try_clone().unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
                upstream.shutdown(Shutdown::Write).unwrap();
            } else {
                ends.near.close();
            }
            // Long enough for the end to come; nobody may be told of it.
            ends.told.no_more(Duration::from_millis(100)).await;
            ends.far
                .arm(RecvLine::once().times(2.try_into().unwrap()))
                .unwrap();
            assert_eq!(&*expect!(ends.told, LineReceived).line, b"one");
            assert_eq!(&*expect!(ends.told, LineReceived).line, b"two");
            if cut {
                let closed = expect!(ends.told, Closed);
                assert_eq!(closed.detail.cause, Cause::Tls(TlsError::Truncated));
            } else {
                expect!(ends.told, PeerFinished);
                let closed = expect!(ends.told, Closed);
                assert_eq!(closed.detail.cause, Cause::PeerFinished);
            }
        }
    });
}

#[test]
fn a_reset_is_told_as_one_and_hands_back_what_was_unread() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (near, mut far) = (Probe::new().partial(), Probe::new());
        let listen = Listen::tcp(ANY).tls(server);
        let address = pool
            .listen(listen, far.full_session())
            .await
            .unwrap()
            .local_addr();
        for armed in [false, true] {
            let connect = Connect::tcp(address).tls(client.clone());
            let one = pool.connect(connect, near.full_session()).await.unwrap();
            let other = expect!(far, Accepted).handle;
            expect!(far, TlsStarted);
            one.send("unfinished").unwrap();
            if armed {
                other.arm(RecvLine::once()).unwrap();
                until(|| other.info().activity.unread == 10).await;
            } else {
                // So that it has come before the reset does.
                until(|| one.write_buffer_size() == 0).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            one.abort();
            let closed = expect!(far, Closed);
            let cause = &closed.detail.cause;
            assert!(
                matches!(
                    cause,
                    Cause::Io {
                        kind: ErrorKind::ConnectionReset,
                        ..
                    }
                ),
                "{cause}"
            );
            assert_eq!(closed.detail.unread, "unfinished", "armed: {armed}");
        }
    });
}

/// A factory that panics behind the handshake: the peer is told in order that it is over.
#[test]
fn a_factory_that_panics_ends_a_protected_connection_in_order() {
    for workers in [0, 1] {
        with(Pool::builder().shards(1).workers(workers), async |pool| {
            let (server, client) = pair();
            let mut near = Probe::new();
            let make = |_| -> Echo { std::panic::resume_unwind(Box::new("no session")) };
            let listen = Listen::tcp(ANY).lines().tls(server);
            let address = pool.listen(listen, make).await.unwrap().local_addr();
            let connect = Connect::tcp(address).tls(client);
            pool.connect(connect, near.full_session()).await.unwrap();
            expect!(near, Connected);
            expect!(near, TlsStarted);
            expect!(near, PeerFinished);
            let closed = expect!(near, Closed);
            assert_eq!(closed.detail.cause, Cause::PeerFinished, "no truncation");
        });
    }
}

/// With a crash policy that says so, the next session is told of both.
#[test]
fn a_factory_that_panics_once_is_asked_again() {
    for workers in [0, 1] {
        with(Pool::builder().shards(1).workers(workers), async |pool| {
            let (server, client) = pair();
            let (mut near, mut far) = (Probe::new(), Probe::new());
            let tries = Arc::new(AtomicUsize::new(0));
            let inner = far.full_session();
            let make = move |client| {
                if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                    std::panic::resume_unwind(Box::new("not yet"));
                }
                inner(client)
            };
            let (max, within) = (3, Duration::from_secs(60));
            let listen = Listen::tcp(ANY).lines().tls(server);
            let listen = listen.on_crash(CrashPolicy::Restart { max, within });
            let address = pool.listen(listen, make).await.unwrap().local_addr();
            let connect = Connect::tcp(address).tls(client);
            let client = pool.connect(connect, near.full_session()).await.unwrap();
            expect!(far, Accepted);
            expect!(far, TlsStarted);
            client.send_line("hello").unwrap();
            assert_eq!(&*expect!(far, LineReceived).line, b"hello");
            client.close();
            expect!(far, PeerFinished);
            expect!(far, Closed);
            expect!(near, Connected);
        });
    }
}

/// A session that a worker makes hears of a failed handshake, and of nothing else; of one that succeeds in
/// the right order.
#[test]
fn a_session_on_a_worker_hears_how_the_handshake_went() {
    with(Pool::builder().shards(1).workers(2), async |pool| {
        let (server, client) = pair();
        let mut far = Probe::new();
        let listen = Listen::tcp(ANY).lines().tls(server);
        let address = pool
            .listen(listen, far.full_session())
            .await
            .unwrap()
            .local_addr();
        for round in 0..40 {
            if round % 2 == 0 {
                let answer = peer(move || {
                    let mut stream = dial(address);
                    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
                    read_all(&mut stream)
                })
                .await;
                assert_eq!(answer.first(), Some(&21), "an alert");
                let closed = expect!(far, Closed);
                assert_eq!(closed.detail.cause, Cause::Tls(TlsError::NotTls));
            } else {
                let mut near = Probe::new();
                let connect = Connect::tcp(address).tls(client.clone());
                let client = pool.connect(connect, near.full_session()).await.unwrap();
                expect!(near, Connected);
                let accepted = expect!(far, Accepted).handle;
                assert!(accepted.info().tls.is_some());
                expect!(far, TlsStarted);
                client.close();
                expect!(far, PeerFinished);
                expect!(far, Closed);
                expect!(near, TlsStarted);
                expect!(near, Closed);
                near.finish();
            }
        }
    });
}

/// Every link of a connection that reconnects begins in plain, and is upgraded anew.
#[test]
fn every_link_is_upgraded_anew() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let address = pool
            .listen(Listen::tcp(ANY), far.full_session())
            .await
            .unwrap()
            .local_addr();
        let connect = Connect::tcp(address).reconnect(ReconnectConfig::default());
        let one = pool.connect(connect, near.full_session()).await.unwrap();
        for _ in 0..3 {
            expect!(near, Connected);
            assert_eq!(one.info().tls, None, "the link before is forgotten");
            assert!(one.extra_info("sslcontext").is_none());
            assert!(one.can_write_eof());
            let other = expect!(far, Accepted).handle;
            other.start_tls(StartTls::server(server.clone())).unwrap();
            one.start_tls(StartTls::client(client.clone(), "localhost"))
                .unwrap();
            expect!(near, TlsStarted);
            expect!(far, TlsStarted);
            other.abort();
            expect!(far, Closed);
            assert!(expect!(near, Disconnected).detail.tls.is_some());
            expect!(near, Reconnecting);
        }
        expect!(near, Connected);
        // A link that is lost in its handshake is tried again, too.
        let other = expect!(far, Accepted).handle;
        one.start_tls(StartTls::client(client, "localhost"))
            .unwrap();
        other.abort();
        expect!(far, Closed);
        let lost = expect!(near, Disconnected).detail;
        assert_eq!((lost.phase, lost.tls), (ClosePhase::Securing, None));
        expect!(near, Reconnecting);
        expect!(near, Connected);
        one.close();
        expect!(near, Closed);
    });
}
