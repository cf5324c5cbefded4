//! Sockets are bound, or not, and say so.

use std::io::ErrorKind;
use std::net::UdpSocket;

use switchboard::ListenPhase;
use switchboard_tests::{Probe, expect, with_pool};

use super::*;

/// XAS-58, XAS-63, UA-25: port 0 becomes a real one, and nobody else can have it.
#[test]
fn a_bound_socket_knows_its_real_port() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let address = address(&udp);
        assert_ne!(address.port(), 0);
        assert_eq!(udp.info().local_addr, Some(address));
        assert_eq!(
            UdpSocket::bind(address).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
    });
}

/// XAS-58: without the reuse of addresses, a busy one is an error that names it.
#[test]
fn a_busy_address_is_an_error_that_names_it() {
    with_pool(async |pool| {
        let busy = peer();
        let target = busy.local_addr().unwrap();
        for bind in [BindUdp::new(target), BindUdp::new(target).reuse_addr(false)] {
            let error = pool.open_udp(bind).await.unwrap_err();
            assert_eq!(error.phase, ListenPhase::Bind);
            assert_eq!(error.source.kind(), ErrorKind::AddrInUse);
            assert_eq!(error.target, target.to_string());
        }
        let ours = pool.open_udp(local()).await.unwrap();
        let again = pool.open_udp(BindUdp::new(address(&ours))).await;
        assert_eq!(again.unwrap_err().source.kind(), ErrorKind::AddrInUse);
        ours.close();
        ours.wait_closed().await;
        let error = pool
            .open_udp(BindUdp::new("192.0.2.1:0"))
            .await
            .unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::AddrNotAvailable);
        let error = pool.open_udp(BindUdp::new("name.invalid:1")).await;
        assert_eq!(error.unwrap_err().phase, ListenPhase::Resolve);
        let error = pool.open_udp(BindUdp::new("no port")).await.unwrap_err();
        assert_eq!(error.phase, ListenPhase::Resolve);
        assert_eq!(pool.status().await.unwrap().totals.opened, 1);
    });
}

/// XAS-58: the least receive size is 256; sizes that no memory has are refused too.
#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    with_pool(async |pool| {
        for (bind, setting) in [
            (local().recv_size(255), "recv_size"),
            (local().recv_size(usize::MAX), "recv_size"),
            (local().recv_limits(0, 1), "recv_datagrams"),
            (local().recv_limits(1, 0), "recv_bytes"),
            (local().send_limits(0, 1), "send_datagrams"),
            (local().budget(0), "budget"),
            (local().write_limits(1, 2), "high"),
            (local().flush_timeout(Duration::ZERO), "flush_timeout"),
            (local().idle_timeout(Duration::ZERO), "idle_timeout"),
            (local().permissions(0o600), "permissions"),
        ] {
            let error = pool.open_udp(bind).await.unwrap_err();
            assert_eq!(error.source.kind(), ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(setting), "{error}");
        }
        pool.open_udp(local().recv_size(256)).await.unwrap();
    });
}

/// XAS-58, XAS-63: a socket for sending only has no address before it sends, and reads nothing.
#[test]
fn a_socket_for_sending_only_is_bound_by_its_first_send_and_reads_nothing() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(BindUdp::send_only(), probe.full_session_for())
            .await
            .unwrap();
        assert_eq!(udp.local_addr(), None);
        assert_eq!(udp.info().local_addr, None);
        let peer = peer();
        udp.send_to_with("hello", peer.local_addr().unwrap(), 1)
            .unwrap();
        probe.expect_sent(1).await;
        let mut buffer = [0; 16];
        let (count, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"hello");
        assert_eq!(
            udp.local_addr().unwrap().inet().unwrap().port(),
            from.port()
        );
        peer.send_to(b"answer", ("127.0.0.1", from.port())).unwrap();
        probe.no_more(Duration::from_millis(50)).await;
        // Who asks gets it.
        let answer = udp.recv_from(100, Some(PATIENCE)).await.unwrap().unwrap();
        assert_eq!(&*answer.0, b"answer");
        assert_eq!(
            udp.bind("127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap())
                .unwrap_err()
                .kind(),
            ErrorKind::AlreadyExists
        );
        udp.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(udp.local_addr(), None);
    });
}

/// UA-25: what is not bound can be, once, and receives from then on.
#[test]
fn an_unbound_socket_is_bound_once_and_receives_then() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(BindUdp::send_only(), probe.full_session_for())
            .await
            .unwrap();
        let free = "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap();
        let bound = udp.bind(free).unwrap().inet().unwrap();
        assert_ne!(bound.port(), 0);
        assert_eq!(address(&udp), bound);
        assert_eq!(udp.bind(free).unwrap_err().kind(), ErrorKind::AlreadyExists);
        peer().send_to(b"to the new address", bound).unwrap();
        assert_eq!(
            &*expect!(probe, DatagramReceived).data,
            b"to the new address"
        );
        udp.abort();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(udp.bind(free).unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

/// XAS-58: IPv6 too.
#[test]
fn a_socket_of_ipv6_talks_and_says_so() {
    with_pool(async |pool| {
        let Ok(peer) = UdpSocket::bind("[::1]:0") else {
            eprintln!("SKIPPED: no IPv6 here");
            return;
        };
        let mut probe = Probe::new();
        let bind = BindUdp::new("[::1]:0").only_v6(true).ttl(3);
        let udp = pool.bind_udp(bind, probe.full_session_for()).await.unwrap();
        let address = address(&udp);
        assert!(address.is_ipv6());
        peer.send_to(b"six", address).unwrap();
        let got = expect!(probe, DatagramReceived);
        assert_eq!(got.from.inet(), Some(peer.local_addr().unwrap()));
        udp.send_to_with("back", got.from, 1).unwrap();
        probe.expect_sent(1).await;
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(received(&peer), b"back");
        assert_eq!(
            udp.with_socket(|socket| socket.unicast_hops_v6().unwrap()),
            Some(3)
        );
        assert_eq!(
            udp.with_socket(|socket| socket.only_v6().unwrap()),
            Some(true)
        );
    });
}

/// UA-25: the socket's options can be read and set through the handle.
#[test]
fn options_are_set_and_can_be_read_back() {
    with_pool(async |pool| {
        let bind = local()
            .reuse_addr(true)
            .reuse_port(true)
            .ttl(7)
            .recv_buffer_size(100_000);
        let udp = pool.open_udp(bind).await.unwrap();
        let read = udp.with_socket(|socket| {
            (
                socket.reuse_address().unwrap(),
                socket.reuse_port().unwrap(),
                socket.ttl_v4().unwrap(),
                socket.recv_buffer_size().unwrap() >= 100_000,
                socket.broadcast().unwrap(),
            )
        });
        assert_eq!(read, Some((true, true, 7, true, false)));
        udp.set_broadcast(true).unwrap();
        assert_eq!(
            udp.with_socket(|socket| socket.broadcast().unwrap()),
            Some(true)
        );
        udp.abort();
        udp.wait_closed().await;
        assert_eq!(udp.with_socket(|_| ()), None);
        assert_eq!(udp.kernel_drops(), None);
    });
}
