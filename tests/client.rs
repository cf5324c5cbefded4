//! Promises about outbound connections; here the peers are plain listeners.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    Client, ClosedReason, Connect, ConnectPhase, Connecting, ConnectionOptions, ConnectionState,
    Listen, Pool, SendRefusal,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

fn connect(pool: &Pool, connect: Connect) -> (Connecting, Probe) {
    let trace = Probe::new();
    let connecting = pool.connect(connect, trace.session());
    (connecting, trace)
}

/// An address that nobody listens at.
fn closed_port() -> SocketAddr {
    listener().1
}

/// A listener whose backlog is full, so that it answers nobody any more, and what fills it.
struct Stalled {
    address: SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

fn stalled() -> Stalled {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    // Full is the first one that is not answered, and it is answered at once before.
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        filling.push(stream);
        assert!(filling.len() < 100, "the backlog does not fill");
    }
    Stalled {
        address,
        _listener: listener,
        _filling: filling,
    }
}

/// XAS-31, XAS-35, AC-03: Connected, data, Closed, in this order and once each.
#[test]
fn xas_31_ac_03_a_connection_tells_connected_then_data_then_closed() {
    let totals = with_pool(async |pool| {
        let (listener, address) = listener();
        let serving = actix_rt::spawn(peer(move || {
            let (mut peer, from) = listener.accept().unwrap();
            peer.write_all(b"one\ntwo\n").unwrap();
            drop(peer);
            from
        }));
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address).lines());
        let id = connecting.id();
        let connected = expect!(trace, Connected);
        assert_eq!((connected.client, connected.peer_addr), (id, Some(address)));
        assert_eq!(&*expect!(trace, LineReceived).line, b"one");
        assert_eq!(&*expect!(trace, LineReceived).line, b"two");
        let closed = expect!(trace, Closed);
        assert_eq!(
            (closed.client, closed.reason),
            (id, ClosedReason::ClosedByPeer)
        );
        assert_eq!(connecting.await.unwrap().id(), id);
        assert_eq!(connected.local_addr, Some(serving.await.unwrap()));
        trace.no_more(Duration::from_millis(10)).await;
    });
    assert_eq!((totals.connected, totals.connect_failed), (1, 0));
}

/// XAS-31: settings are checked before anything is tried.
#[test]
fn xas_31_a_setting_that_cannot_be_is_named() {
    with_pool(async |pool| {
        let (_listener, address) = listener();
        let base = || Connect::tcp(address);
        for (wrong, named) in [
            (base().recv_buffer(255), "recv_buffer"),
            (base().send_slot(255), "send_slot"),
            (base().timeout(Duration::ZERO), "timeout"),
            (base().keepalive(Duration::ZERO), "keepalive"),
        ] {
            let (connecting, mut trace) = connect(&pool, wrong);
            let error = connecting.await.unwrap_err();
            assert_eq!(error.phase, ConnectPhase::Options);
            assert_eq!(error.kind, ErrorKind::InvalidInput);
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(*expect!(trace, ConnectFailed).error, error);
        }
        let (connecting, _trace) = connect(&pool, base().recv_buffer(256).send_slot(256));
        connecting.await.unwrap();
    });
}

/// XAS-32, ACO-04.
#[test]
fn xas_32_the_outcome_can_be_awaited() {
    with_pool(async |pool| {
        let (_listener, address) = listener();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let client = connecting.await.unwrap();
        assert_eq!(client.peer_addr(), Some(address));
        assert_eq!(expect!(trace, Connected).handle, client);

        let (connecting, _trace) = connect(&pool, Connect::tcp(closed_port()));
        let error = connecting.await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ConnectionRefused);
    });
}

/// XAS-33, AMB-03, T-20.
#[test]
fn xas_33_a_peer_that_does_not_answer_fails_with_a_timeout() {
    with_pool(async |pool| {
        let stalled = stalled();
        for attempt in 1.. {
            let since = Instant::now();
            let after = Duration::from_millis(500);
            let (connecting, mut trace) =
                connect(&pool, Connect::tcp(stalled.address).timeout(after));
            let error = connecting.await.unwrap_err();
            let took = since.elapsed();
            assert_eq!(
                (error.kind, error.phase),
                (ErrorKind::TimedOut, ConnectPhase::Connect)
            );
            assert!(error.to_string().contains(&stalled.address.to_string()));
            assert_eq!(*expect!(trace, ConnectFailed).error, error);
            assert!(trace.so_far().is_empty(), "no Closed after it");
            assert!(took >= after, "{took:?}");
            if took <= Duration::from_millis(600) {
                break;
            }
            // A busy machine may need another try.
            assert!(attempt < 4, "{took:?}");
        }
    });
}

/// XAS-34.
#[test]
fn xas_34_a_refused_connection_tells_connect_failed_once_and_never_closed() {
    let totals = with(Pool::builder().shards(0), async |pool| {
        // All on this thread, so that nothing fails before there is something to lose.
        let address = closed_port();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let id = connecting.id();
        connecting.client().send("never sent").unwrap();
        let failed = expect!(trace, ConnectFailed);
        assert_eq!(failed.client, id);
        assert_eq!(failed.error.kind, ErrorKind::ConnectionRefused);
        assert_eq!(failed.error.target, address.to_string());
        assert_eq!(
            failed.error.attempts,
            [(address, ErrorKind::ConnectionRefused)]
        );
        assert_eq!(failed.error.unsent, 10);
        trace.no_more(Duration::from_millis(20)).await;
        let client = connecting.client();
        assert!(client.is_closed());
        assert_eq!(client.send("x").unwrap_err().refusal, SendRefusal::Closed);
        assert!(pool.connection(id).await.is_none());
    });
    assert_eq!((totals.connect_failed, totals.closed_in_all()), (1, 0));
}

/// XAS-35, AC-20: the original keeps it until the next send.
#[test]
fn xas_35_what_is_sent_before_the_connection_is_there_is_sent_in_order() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let client = connecting.client().clone();
        client.send("one ").unwrap();
        client.send_with("two ", 2).unwrap();
        client.send_line("three").unwrap();
        let (mut peer_end, text) = peer(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let text = read_exact(&mut peer, 14);
            (peer, text)
        })
        .await;
        assert_eq!(text, b"one two three\n");
        expect!(trace, Connected);
        assert_eq!(expect!(trace, Sent).token.0, 2);
        client.send("four").unwrap();
        client.close();
        let rest = peer(move || read_all(&mut peer_end)).await;
        assert_eq!(rest, b"four");
        expect!(trace, Closed);
    });
}

/// XAS-57.
#[test]
fn xas_57_addresses_are_those_that_the_other_side_sees() {
    // All on this thread, so that nothing is established before it is looked at.
    with(Pool::builder().shards(0), async |pool| {
        let (listener, address) = listener();
        let (connecting, mut out) = connect(&pool, Connect::tcp(address));
        let client = connecting.client().clone();
        assert_eq!((client.local_addr(), client.peer_addr()), (None, None));
        assert!(client.is_outbound());
        let client = connecting.await.unwrap();
        let (outside, seen) = peer(move || listener.accept().unwrap()).await;
        let info = client.info();
        assert_eq!(info.local_addr, Some(seen));
        assert_eq!(info.peer_addr, Some(address));
        assert!(info.outbound && info.server.is_none());
        assert_eq!(expect!(out, Connected).local_addr, Some(seen));

        let mut inward = Probe::new();
        let session = inward.session();
        // An address of all interfaces becomes a real one for each connection.
        let server = pool
            .listen(Listen::tcp("0.0.0.0:0"), session)
            .await
            .unwrap();
        let port = server.local_addr().port();
        let stream = dial(([127, 0, 0, 1], port).into());
        let info = expect!(inward, Accepted).handle.info();
        assert_eq!(info.peer_addr, Some(stream.local_addr().unwrap()));
        assert_eq!(info.local_addr, Some(stream.peer_addr().unwrap()));
        assert!(!info.outbound && info.server == Some(server.id()));
        drop((outside, stream));
    });
}

/// AC-07: also when the peer speaks first, in the same moment.
#[test]
fn ac_07_connected_comes_once_and_before_the_peers_greeting() {
    const TIMES: usize = 100;
    with(Pool::builder().shards(2), async |pool| {
        let (listener, address) = listener();
        let greeting = actix_rt::spawn(peer(move || {
            for _ in 0..TIMES {
                let (mut peer, _) = listener.accept().unwrap();
                peer.write_all(b"welcome\n").unwrap();
            }
        }));
        for _ in 0..TIMES {
            let (_, mut trace) = connect(&pool, Connect::tcp(address).lines());
            expect!(trace, Connected);
            assert_eq!(&*expect!(trace, LineReceived).line, b"welcome");
            expect!(trace, Closed);
        }
        greeting.await.unwrap();
    });
}

/// AC-13: the call only begins it. Then it can be given up: ConnectFailed once, and no Closed.
#[test]
fn ac_13_connecting_is_under_way_when_the_call_returns_and_can_be_given_up() {
    let ways: [fn(&Client) -> bool; 3] = [Client::close, Client::abort, |client| {
        client.close_with(false, None)
    }];
    let totals = with_pool(async |pool| {
        let stalled = stalled();
        for give_up in ways {
            let since = Instant::now();
            let (connecting, mut trace) = connect(&pool, Connect::tcp(stalled.address));
            let took = since.elapsed();
            assert!(took < Duration::from_millis(250), "{took:?}");
            let client = connecting.client().clone();
            assert_eq!(client.info().activity.state, ConnectionState::Connecting);
            client.send("queued").unwrap();
            trace.no_more(Duration::from_millis(20)).await;
            let status = pool.status().await.unwrap();
            assert_eq!((status.totals.connecting, status.totals.live), (1, 0));

            let since = Instant::now();
            assert!(give_up(&client));
            assert!(!give_up(&client), "it is given up already");
            let failed = expect!(trace, ConnectFailed);
            assert_eq!(failed.error.kind, ErrorKind::Interrupted);
            assert_eq!(failed.error.unsent, 6);
            assert_eq!(connecting.await.unwrap_err().kind, ErrorKind::Interrupted);
            let took = since.elapsed();
            assert!(took < Duration::from_secs(1), "{took:?}");
            trace.no_more(Duration::from_millis(20)).await;
            assert!(client.is_closed());
        }
    });
    assert_eq!((totals.connect_failed, totals.closed_in_all()), (3, 0));
}

/// A stop does not wait for peers that do not answer.
#[test]
fn a_stop_gives_up_what_is_still_connecting() {
    let stalled = stalled();
    let mut trace = Probe::new();
    with_pool(async |pool| {
        let target = Connect::tcp(stalled.address).timeout(PATIENCE * 2);
        let connecting = pool.connect(target, trace.session());
        let since = Instant::now();
        let totals = pool.stop().await;
        let took = since.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!((totals.connect_failed, totals.connecting), (1, 0));
        assert!(connecting.await.is_err());
        expect!(trace, ConnectFailed);
        assert!(trace.so_far().is_empty());
    });
}

/// AC-19.
#[test]
fn ac_19_a_close_sends_what_is_queued_and_then_finishes() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let client = connecting.await.unwrap();
        let bytes: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
        client.send(bytes.clone()).unwrap();
        assert!(client.close());
        let read = peer(move || read_all(&mut listener.accept().unwrap().0)).await;
        assert!(read == bytes, "{} of {} bytes", read.len(), bytes.len());
        expect!(trace, Connected);
        assert_eq!(expect!(trace, Closed).detail.unsent, 0);
    });
}

/// Passes lines on and holds no handle.
struct Handleless {
    lines: mpsc::UnboundedSender<LineReceived>,
}

impl Actor for Handleless {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Handleless {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.lines.send(msg).unwrap();
    }
}

switchboard::session!(Handleless);

/// AC-19: asyncore closes what is garbage.
#[test]
fn ac_19_dropping_every_handle_leaves_the_connection_open() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let (lines, mut seen) = mpsc::unbounded_channel();
        let client = pool
            .connect(Connect::tcp(address).lines(), |_| Handleless { lines })
            .await
            .unwrap();
        drop(client);
        let mut stream = peer(move || listener.accept().unwrap().0).await;
        for round in 0..3 {
            writeln!(stream, "line {round}").unwrap();
            let line = tokio::time::timeout(PATIENCE, seen.recv());
            let line = line.await.unwrap().unwrap();
            // The one handle that there is now is gone at the end of this statement.
            let found = pool.connection(line.client).await.unwrap();
            found.send_line(&line.line).unwrap();
            drop(found);
            assert_eq!(
                read_exact(&mut stream, 7),
                format!("line {round}\n").as_bytes()
            );
        }
    });
}

/// AIO-46; XAS-17 with the options that have names of their own.
#[test]
fn aio_46_socket_options_are_set_on_outbound_connections() {
    with_pool(async |pool| {
        let (_listener, address) = listener();
        let plain = Connect::tcp(address);
        let tuned = Connect::tcp(address)
            .nodelay(false)
            .keepalive(Duration::from_secs(44))
            .recv_buffer_size(10_000)
            .send_buffer_size(12_000);
        let mut seen = Vec::new();
        for target in [plain, tuned] {
            let (connecting, _trace) = connect(&pool, target);
            let client = connecting.await.unwrap();
            let options = client.with_socket(|socket| {
                (
                    socket.tcp_nodelay().unwrap(),
                    socket.keepalive().unwrap(),
                    socket.tcp_keepalive_time().unwrap(),
                    socket.recv_buffer_size().unwrap(),
                    socket.send_buffer_size().unwrap(),
                )
            });
            seen.push(options.await.unwrap());
        }
        assert_eq!((seen[0].0, seen[0].1), (true, false));
        let (nodelay, keepalive, idle, recv, send) = seen[1];
        assert_eq!((nodelay, keepalive), (false, true));
        assert_eq!(idle, Duration::from_secs(44));
        // The system doubles what it is asked for.
        assert!((10_000..=20_000).contains(&recv), "{recv}");
        assert!((12_000..=24_000).contains(&send), "{send}");
    });
}

/// ACO-01: what has arrived before is not lost.
#[test]
fn aco_01_a_stream_that_exists_already_is_taken_over() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let stream = dial(address);
        let local = stream.local_addr().unwrap();
        let (mut other, _) = listener.accept().unwrap();
        other.write_all(b"before\n").unwrap();
        let (connecting, mut trace) = connect(&pool, Connect::adopt(stream).lines());
        let connected = expect!(trace, Connected);
        assert_eq!(connected.local_addr, Some(local));
        assert_eq!(connected.peer_addr, Some(address));
        assert_eq!(&*expect!(trace, LineReceived).line, b"before");
        let client = connecting.await.unwrap();
        client.send("after\n").unwrap();
        assert_eq!(read_exact(&mut other, 6), b"after\n");
        // A reset needs the last descriptor to be closed: none may be left over.
        client.abort();
        expect!(trace, Closed);
        let error = peer(move || std::io::Read::read(&mut other, &mut [0]).unwrap_err()).await;
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// ACO-01.
#[test]
fn aco_01_a_stream_that_is_dead_already_fails_to_connect() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let stream = dial(address);
        let (other, _) = listener.accept().unwrap();
        reset_on_close(&other);
        drop(other);
        // The reset has arrived when a read tells it.
        let mut look = stream.try_clone().unwrap();
        std::io::Read::read(&mut look, &mut [0]).unwrap_err();
        drop(look);
        let (connecting, mut trace) = connect(&pool, Connect::adopt(stream));
        let error = connecting.await.unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Local, "{error}");
        expect!(trace, ConnectFailed);
        assert!(trace.so_far().is_empty());
    });
}

/// AMB-06, UA-12.
#[test]
fn a_name_is_resolved_and_its_addresses_are_tried_in_order() {
    with(Pool::builder().shards(0), async |pool| {
        let (listener, address) = listener();
        let name = format!("localhost:{}", address.port());
        let (connecting, _trace) = connect(&pool, Connect::tcp(&name));
        let client = connecting.await.unwrap();
        assert_eq!(client.peer_addr(), Some(address));
        drop(listener);

        let name = format!("localhost:{}", closed_port().port());
        let expected: Vec<_> = name
            .to_socket_addrs()
            .unwrap()
            .map(|address| (address, ErrorKind::ConnectionRefused))
            .collect();
        let (connecting, _trace) = connect(&pool, Connect::tcp(&name));
        let error = connecting.await.unwrap_err();
        assert_eq!(
            (error.kind, &error.target),
            (ErrorKind::ConnectionRefused, &name)
        );
        assert_eq!(error.attempts, expected);

        for bad in ["nowhere.invalid:80", "localhost", "127.0.0.1:99999", ""] {
            let (connecting, mut trace) = connect(&pool, Connect::tcp(bad));
            let error = connecting.await.unwrap_err();
            assert_eq!(error.phase, ConnectPhase::Resolve, "{bad:?}: {error}");
            assert_eq!(error.target, bad);
            expect!(trace, ConnectFailed);
        }
    });
}

/// T-27: in a process of its own, whose threads can be counted.
#[test]
fn a_name_is_resolved_on_a_thread_that_is_nobodys() {
    if !is_rerun() {
        let test = "a_name_is_resolved_on_a_thread_that_is_nobodys";
        let mut child = Reaped(rerun(test, None).spawn().unwrap());
        assert!(child.wait().success());
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    // Everything runs on this one thread, unless it is given away.
    with(Pool::builder().shards(0), async |pool| {
        let (_listener, address) = listener();
        let (by_address, _trace) = connect(&pool, Connect::tcp(address));
        by_address.await.unwrap();
        let before = threads();
        let name = format!("localhost:{}", address.port());
        let (by_name, _trace) = connect(&pool, Connect::tcp(name));
        by_name.await.unwrap();
        assert_eq!(threads(), before + 1, "the thread that resolved");
    });
}

/// AIO-42: the local address is honoured.
#[test]
fn aio_42_a_connection_comes_from_the_local_address_asked_for() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        // A free port of another loopback address.
        let local = TcpListener::bind("127.0.0.2:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let (connecting, _trace) = connect(&pool, Connect::tcp(address).local_addr(local));
        assert_eq!(connecting.await.unwrap().local_addr(), Some(local));
        let seen = peer(move || listener.accept().unwrap().1).await;
        assert_eq!(seen, local);

        let other_family = Connect::tcp(address).local_addr(([0_u16; 8], 0).into());
        let (connecting, _trace) = connect(&pool, other_family);
        let error = connecting.await.unwrap_err();
        assert_eq!(
            (error.kind, error.phase),
            (ErrorKind::InvalidInput, ConnectPhase::Local)
        );
    });
}

/// AC-12.
#[test]
fn ac_12_outbound_connections_reach_ipv6_too() {
    with_pool(async |pool| {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            eprintln!("SKIPPED: there is no IPv6 here");
            return;
        };
        let address = listener.local_addr().unwrap();
        let connecting = pool.connect(Connect::tcp(address).lines(), |client| Echo { client });
        connecting.await.unwrap();
        peer(move || {
            let (mut peer, _) = listener.accept().unwrap();
            assert_eq!(exchange(&mut peer, b"echo\n"), b"echo\n");
        })
        .await;
    });
}

/// The pool's limit counts outbound connections, those on their way too.
#[test]
fn at_the_limit_of_the_pool_connecting_fails_until_one_ends() {
    with(Pool::builder().shards(1).max_connections(2), async |pool| {
        let (_listener, address) = listener();
        let (first, mut trace) = connect(&pool, Connect::tcp(address));
        let first = first.await.unwrap();
        expect!(trace, Connected);
        let stalled = stalled();
        let (second, _second) = connect(&pool, Connect::tcp(stalled.address));
        let (third, mut third_trace) = connect(&pool, Connect::tcp(address));
        let error = third.await.unwrap_err();
        assert_eq!(
            (error.kind, error.phase),
            (ErrorKind::QuotaExceeded, ConnectPhase::Options)
        );
        expect!(third_trace, ConnectFailed);
        second.client().abort();
        assert!(second.await.is_err());
        first.abort();
        expect!(trace, Closed);
        // A place is free when the connection's actor has ended, of which nobody is told.
        let since = Instant::now();
        while connect(&pool, Connect::tcp(address)).0.await.is_err() {
            assert!(since.elapsed() < PATIENCE, "the places never come back");
        }
    });
}
