//! Datagrams come whole, in order, or are flagged.

use switchboard_tests::{Probe, expect, with_pool};

use super::*;

/// XAS-59, T-22: neither an empty datagram nor one that is too long ends anything.
#[test]
fn empty_and_cut_datagrams_come_in_their_order() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local().recv_size(256), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let to = address(&udp);
        for length in [10, 0, 256, 257, 300, 0, 5] {
            peer.send_to(&vec![1; length], to).unwrap();
        }
        for (length, truncated) in [
            (10, false),
            (0, false),
            (256, false),
            (256, true),
            (256, true),
            (0, false),
            (5, false),
        ] {
            let got = expect!(probe, DatagramReceived);
            assert_eq!((got.data.len(), got.truncated), (length, truncated));
            assert_eq!(got.from.inet(), Some(peer.local_addr().unwrap()));
        }
        assert_eq!(udp.counts().truncated, 2);
        assert!(!udp.is_closed());
    });
}

/// XAS-59: the default size takes the longest datagram there is.
#[test]
fn the_longest_datagram_comes_whole() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        peer().send_to(&vec![9; 65_507], address(&udp)).unwrap();
        let got = expect!(probe, DatagramReceived);
        assert_eq!((got.data.len(), got.truncated), (65_507, false));
    });
}

/// T-22: a wake takes more than one datagram, and all of a burst come in order.
#[test]
fn a_burst_comes_in_order() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local().recv_buffer_size(1 << 20), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        for number in 0..100_u32 {
            peer.send_to(&number.to_be_bytes(), address(&udp)).unwrap();
        }
        for number in 0..100_u32 {
            assert_eq!(*expect!(probe, DatagramReceived).data, number.to_be_bytes());
        }
    });
}

/// A socket that nobody uses for so long closes; moving datagrams in sequence is use.
#[test]
fn an_idle_socket_closes_and_one_in_use_does_not() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let bind = local().idle_timeout(Duration::from_millis(150));
        let udp = pool
            .bind_udp(bind.clone(), probe.full_session_for())
            .await
            .unwrap();
        probe.expect_closed(ClosedReason::Timeout).await;
        assert!(udp.is_closed());
        let used = pool.open_udp(bind).await.unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        for _ in 0..8 {
            // Half of the idle time: what keeps it open is that it is used.
            used.sent_to("x", to, None).await.unwrap();
            tokio::time::sleep(Duration::from_millis(75)).await;
        }
        assert!(!used.is_closed());
        assert_eq!((used.counts().sent, used.info().activity.bytes_out), (8, 8));
    });
}
