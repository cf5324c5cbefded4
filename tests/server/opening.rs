//! What is asked of the system when a listener opens, and what it says when it cannot.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use switchboard::{ConnectionOptions, Handlers, Listen, ListenPhase};
use switchboard_tests::*;

use super::{ANY, greet, is_let_in, refused};

/// XAS-24.
#[test]
fn xas_24_what_cannot_be_opened_names_the_address_and_the_phase() {
    with_pool(async |pool| {
        let (taken, address) = listener();
        let error = refused(&pool, Listen::tcp(address)).await;
        assert_eq!(error.phase, ListenPhase::Bind);
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        assert_eq!(error.target, address.to_string());
        let text = error.to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains("binding failed"), "{text}");
        drop(taken);

        for bad in ["127.0.0.1", "nowhere.invalid:0", "", "127.0.0.1:99999"] {
            let error = refused(&pool, Listen::tcp(bad)).await;
            assert_eq!(error.phase, ListenPhase::Resolve, "{bad:?}: {error}");
            assert_eq!(error.target, bad);
        }
        // An address of nobody here (TEST-NET-1).
        let error = refused(&pool, Listen::tcp("192.0.2.1:0")).await;
        assert_eq!(error.phase, ListenPhase::Bind, "{error}");

        let error = refused(&pool, Listen::tcp(ANY).recv_buffer(255)).await;
        assert_eq!(error.phase, ListenPhase::Options);
        assert!(error.to_string().contains("recv_buffer"), "{error}");
        let error = refused(&pool, Listen::tcp(ANY).messages()).await;
        assert_eq!(error.phase, ListenPhase::Options);
        assert!(error.to_string().contains("MessageReceived"), "{error}");
        assert_eq!(pool.status().await.unwrap().servers, 0);
    });
}

/// XAS-24: the listener can be named; XAS-29: both addresses are known.
#[test]
fn xas_24_xas_29_port_zero_is_asked_for_and_a_real_one_is_told() {
    with_pool(async |pool| {
        for requested in [ANY, "localhost:0"] {
            let server = greet(&pool, Listen::tcp(requested)).await;
            assert_eq!(server.requested(), requested);
            let info = server.info();
            assert_eq!(info.requested, requested);
            assert_eq!(info.local_addr, server.local_addr());
            assert_eq!(info.id, server.id());
            assert_ne!(info.local_addr.port(), 0);
            let address = server.local_addr();
            assert!(peer(move || is_let_in(&mut dial(address))).await);
        }
    });
}

/// The listening socket's backlog, as the system's own tool tells it.
fn backlog_of(address: SocketAddr) -> Option<u32> {
    let filter = format!("sport = :{}", address.port());
    let shown = Command::new("ss").args(["-ltnH", &filter]).output().ok()?;
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.split_whitespace().nth(2)?.parse().ok()
}

/// XAS-24, AC-16.
#[test]
fn xas_24_ac_16_the_backlog_is_the_one_asked_for_and_at_least_one() {
    with_pool(async |pool| {
        let error = refused(&pool, Listen::tcp(ANY).backlog(0)).await;
        assert_eq!(error.phase, ListenPhase::Options);
        assert!(error.to_string().contains("backlog"), "{error}");
        for (listen, backlog) in [
            (Listen::tcp(ANY), 256),
            (Listen::tcp(ANY).backlog(1), 1),
            (Listen::tcp(ANY).backlog(77), 77),
        ] {
            let server = greet(&pool, listen).await;
            let address = server.local_addr();
            match peer(move || backlog_of(address)).await {
                Some(shown) => assert_eq!(shown, backlog),
                None => eprintln!("SKIPPED: `ss` shows no backlog here"),
            }
        }
    });
}

/// AC-12, XAS-24.
#[test]
fn ac_12_ipv4_and_ipv6_peers_are_served() {
    with_pool(async |pool| {
        for address in [ANY, "[::1]:0"] {
            if TcpListener::bind(address).is_err() {
                eprintln!("SKIPPED: {address} cannot be had here");
                continue;
            }
            let server = greet(&pool, Listen::tcp(address)).await;
            let target = server.local_addr();
            assert_eq!(target.is_ipv6(), address.starts_with('['));
            peer(move || {
                let mut peer = dial(target);
                assert!(is_let_in(&mut peer));
                assert_eq!(exchange(&mut peer, b"echo\n"), b"echo\n");
            })
            .await;
        }
        if TcpListener::bind("[::]:0").is_ok() {
            for only_v6 in [true, false] {
                let server = greet(&pool, Listen::tcp("[::]:0").only_v6(only_v6)).await;
                let port = server.local_addr().port();
                let over_v4 = TcpStream::connect(("127.0.0.1", port));
                assert_eq!(over_v4.is_ok(), !only_v6);
                let over_v6 = peer(move || is_let_in(&mut dial(([0_u16; 8], port).into())));
                assert!(over_v6.await);
            }
        }
    });
}

/// AC-17: the address of a listener that left connections in TIME_WAIT behind.
#[test]
fn ac_17_an_address_in_time_wait_can_be_taken_unless_that_is_switched_off() {
    with_pool(async |pool| {
        // The side that finishes first keeps the port.
        let server = pool
            .listen(Listen::tcp(ANY), |_| Handlers::new())
            .await
            .unwrap();
        let address = server.local_addr();
        peer(move || assert_eq!(read_all(&mut dial(address)), b"")).await;
        until(|| server.info().live == 0).await;
        server.close().await;

        let strict = Listen::tcp(address).reuse_addr(false);
        let error = refused(&pool, strict).await;
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        let again = greet(&pool, Listen::tcp(address)).await;
        assert_eq!(again.local_addr(), address);
        assert!(peer(move || is_let_in(&mut dial(address))).await);
    });
}

/// AIO-46, on accepted connections; and the other options that they inherit.
#[test]
fn aio_46_accepted_connections_have_the_listeners_socket_options() {
    with_pool(async |pool| {
        let plain = Listen::tcp(ANY).lines();
        let tuned = Listen::tcp(ANY)
            .lines()
            .nodelay(false)
            .keepalive(Duration::from_secs(33))
            .recv_buffer_size(10_000)
            .send_buffer_size(12_000);
        let mut seen = Vec::new();
        for listen in [plain, tuned] {
            let mut trace = Probe::new();
            let session = trace.session();
            let server = pool.listen(listen, session).await.unwrap();
            let stream = dial(server.local_addr());
            let client = expect!(trace, Accepted).handle;
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
            drop(stream);
            expect!(trace, Closed);
        }
        assert_eq!((seen[0].0, seen[0].1), (true, false));
        let (nodelay, keepalive, idle, recv, send) = seen[1];
        assert_eq!((nodelay, keepalive), (false, true));
        assert_eq!(idle, Duration::from_secs(33));
        // The system doubles what it is asked for.
        assert!((10_000..=20_000).contains(&recv), "{recv}");
        assert!((12_000..=24_000).contains(&send), "{send}");
    });
}

/// ACO-01.
#[test]
fn aco_01_a_listener_that_exists_already_is_taken_over() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let mut early = dial(address);
        early.write_all(b"early\n").unwrap();
        let server = greet(&pool, Listen::adopt(listener)).await;
        assert_eq!(server.local_addr(), address);
        peer(move || {
            assert!(is_let_in(&mut early));
            assert_eq!(read_exact(&mut early, 6), b"early\n");
            assert!(is_let_in(&mut dial(address)));
        })
        .await;
        server.close().await;
        assert!(
            TcpStream::connect(address).is_err(),
            "nothing keeps it open"
        );
    });
}
