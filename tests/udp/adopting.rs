//! Sockets that exist already are taken over.

use std::io::ErrorKind;

use switchboard_tests::{Probe, expect, with_pool};

use super::*;

/// ACO-01: with its address, its options and what has come already; ours is a descriptor of its own.
#[test]
fn an_adopted_socket_goes_on_where_it_was() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let (socket, peer) = (peer(), peer());
        let at = socket.local_addr().unwrap();
        peer.send_to(b"before", at).unwrap();
        let udp = pool
            .bind_udp(
                BindUdp::adopt(socket.try_clone().unwrap()),
                probe.full_session_for(),
            )
            .await
            .unwrap();
        assert_eq!(address(&udp), at);
        assert_eq!(&*expect!(probe, DatagramReceived).data, b"before");
        udp.send_to_with("after", peer.local_addr().unwrap(), 1)
            .unwrap();
        probe.expect_sent(1).await;
        assert_eq!(received(&peer), b"after");
        udp.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        udp.wait_closed().await;
        // The other descriptor holds the port still.
        assert_eq!(
            UdpSocket::bind(at).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        drop(socket);
        UdpSocket::bind(at).unwrap();
    });
}

/// AIO-15: one that is connected stays so.
#[test]
fn an_adopted_socket_that_is_connected_knows_its_peer() {
    with_pool(async |pool| {
        let (socket, peer) = (peer(), peer());
        let to = peer.local_addr().unwrap();
        socket.connect(to).unwrap();
        let udp = pool.open_udp(BindUdp::adopt(socket)).await.unwrap();
        assert_eq!(udp.peer_addr(), Some(to.into()));
        udp.send("hello").unwrap();
        assert_eq!(received(&peer), b"hello");
        assert_eq!(
            udp.sent_to("x", nobody(), None)
                .await
                .unwrap_err()
                .to_string(),
            "the socket is connected to another address"
        );
    });
}
