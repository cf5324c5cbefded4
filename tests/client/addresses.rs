//! Names, addresses, and the options of the socket.

use std::io::ErrorKind;
use std::net::{TcpListener, ToSocketAddrs};
use std::time::Duration;

use switchboard::{Connect, ConnectPhase, ConnectionOptions, Pool};
use switchboard_tests::*;

use super::{closed_port, connect};

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
        let test = "addresses::a_name_is_resolved_on_a_thread_that_is_nobodys";
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
