//! Each datagram that was accepted has one outcome, in order, and is intact.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;

use switchboard::message::*;
use switchboard::{DatagramError, DatagramRefusal, Destination};
use switchboard_tests::{Probe, expect, with_pool};

use super::*;

/// A datagram that is unlike every other one.
fn numbered(number: u32) -> Vec<u8> {
    let mut data = vec![0; 4 + usize::try_from(number % 97).unwrap()];
    data[..4].copy_from_slice(&number.to_be_bytes());
    data
}

/// XAS-60: what a thousand sends become, with a peer that has room for all of them.
#[test]
fn a_thousand_sends_are_a_thousand_sent_in_order_and_intact() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        let reader = thread::spawn(move || (0..1_000).map(|_| received(&peer)).collect::<Vec<_>>());
        for number in 0..1_000 {
            udp.send_to_with(numbered(number), to, u64::from(number))
                .unwrap();
            if number % 50 == 0 {
                // The reader's kernel buffer is small: it gets time to read.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        for number in 0..1_000_u32 {
            let sent = expect!(probe, Sent);
            assert_eq!(
                (sent.token, sent.bytes),
                (u64::from(number).into(), numbered(number).len())
            );
        }
        let all = switchboard_tests::peer(move || reader.join().unwrap()).await;
        for (number, data) in (0..).zip(all) {
            assert_eq!(data, numbered(number));
        }
        assert_eq!(udp.counts().sent, 1_000);
        assert_eq!(udp.write_buffer_size(), 0);
    });
}

/// XAS-61: what the system refuses fails, with what was to be sent, and only that.
#[test]
fn a_datagram_that_is_too_long_fails_and_is_never_sent() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        udp.send_to_with(vec![1; 70_000], to, 1).unwrap();
        udp.send_to_with("good", to, 2).unwrap();
        let failed = expect!(probe, WritePaused);
        assert_eq!(failed.client, udp.id());
        let failed = expect!(probe, DatagramFailed);
        assert_eq!(failed.token, Some(1.into()));
        assert_eq!(failed.to, Some(to.into()));
        assert_eq!(failed.data.len(), 70_000);
        let DatagramError::Io { errno, .. } = failed.error else {
            panic!("{:?}", failed.error);
        };
        assert_eq!(errno, Some(90), "EMSGSIZE");
        expect!(probe, WriteResumed);
        probe.expect_sent(2).await;
        assert_eq!(received(&peer), b"good");
        probe.no_more(Duration::from_millis(20)).await;
        assert!(!udp.is_closed());
        assert_eq!((udp.counts().sent, udp.counts().failed), (1, 1));
    });
}

/// XAS-59, AMB-07: the longest and the shortest datagram there can be.
#[test]
fn the_longest_and_the_empty_datagram_go_out_whole() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        for length in [0, 1, 65_507] {
            udp.send_to_with(vec![3; length], to, 1).unwrap();
            assert_eq!(received(&peer), vec![3; length]);
        }
        udp.send_to_with(vec![3; 65_508], to, 2).unwrap();
        let lengths = [0, 1, 65_507];
        let mut told = Vec::new();
        loop {
            match probe.next().await {
                ClientEvent::Sent(sent) => told.push(sent.bytes),
                ClientEvent::DatagramFailed(failed) => {
                    assert_eq!(failed.data.len(), 65_508);
                    break;
                }
                _ => {}
            }
        }
        assert_eq!(told, lengths);
    });
}

/// XAS-62, XAS-61: broadcasting needs leave.
#[test]
fn a_broadcast_goes_out_with_the_option_only() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let everybody: SocketAddr = "127.255.255.255:9".parse().unwrap();
        let without = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        without.send_to_with("x", everybody, 1).unwrap();
        let failed = expect!(probe, DatagramFailed);
        let kind = ErrorKind::PermissionDenied;
        assert!(matches!(failed.error, DatagramError::Io { kind: told, .. } if told == kind));
        assert_eq!(
            without.with_socket(|socket| socket.broadcast().unwrap()),
            Some(false)
        );
        let with = pool
            .bind_udp(BindUdp::port(0).broadcast(true), probe.full_session_for())
            .await
            .unwrap();
        assert_eq!(
            with.with_socket(|socket| socket.broadcast().unwrap()),
            Some(true)
        );
        with.send_to_with("x", everybody, 2).unwrap();
        assert_eq!(probe.expect_sent(2).await.client, with.id());
    });
}

/// AIO-15: a connected socket has one peer, an unconnected one needs a destination.
#[test]
fn a_connected_socket_sends_to_its_peer_and_to_nobody_else() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let (peer, stranger) = (peer(), peer());
        let to = peer.local_addr().unwrap();
        let udp = pool
            .bind_udp(local().connect(to), probe.full_session_for())
            .await
            .unwrap();
        assert_eq!(udp.peer_addr(), Some(to.into()));
        assert_eq!(udp.info().peer_addr, Some(to));
        udp.send_with("one", 1).unwrap();
        udp.send_to_with("two", to, 2).unwrap();
        let refused = udp
            .send_to("three", stranger.local_addr().unwrap())
            .unwrap_err();
        assert_eq!(refused.refusal, DatagramRefusal::OtherPeer);
        assert_eq!(&*refused.data, b"three");
        probe.expect_sent(1).await;
        probe.expect_sent(2).await;
        assert_eq!(received(&peer), b"one");
        assert_eq!(received(&peer), b"two");
        // A stranger's datagram is kept off by the system.
        stranger.send_to(b"no", address(&udp)).unwrap();
        peer.send_to(b"yes", address(&udp)).unwrap();
        assert_eq!(&*expect!(probe, DatagramReceived).data, b"yes");

        let free = pool.open_udp(local()).await.unwrap();
        assert_eq!(free.peer_addr(), None);
        let refused = free.send("lost").unwrap_err();
        assert_eq!(refused.refusal, DatagramRefusal::NoDestination);
        assert_eq!(&*refused.data, b"lost");
        free.connect(to).await.unwrap();
        free.send("found").unwrap();
        assert_eq!(received(&peer), b"found");
    });
}

/// A name is looked up for its own datagram alone.
#[test]
fn a_bad_name_fails_its_own_datagram_and_delays_no_other() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        udp.send_to_with("lost", "no-such-host.invalid:9", 1)
            .unwrap();
        udp.send_to_with("good", to, 2).unwrap();
        udp.send_to_with("named", format!("localhost:{}", to.port()), 3)
            .unwrap();
        assert_eq!(received(&peer), b"good");
        assert_eq!(received(&peer), b"named");
        let (mut failed, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            match probe.next().await {
                ClientEvent::DatagramFailed(event) => failed.push(event),
                ClientEvent::Sent(event) => sent.push(event.token),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(sent, [2.into(), 3.into()]);
        assert!(matches!(failed[0].error, DatagramError::Unresolved { .. }));
        assert_eq!(
            failed[0].to,
            Some(Destination::from("no-such-host.invalid:9"))
        );
        assert_eq!(&*failed[0].data, b"lost");
        udp.send_to_with("no port", "localhost", 4).unwrap();
        let failed = expect!(probe, DatagramFailed);
        assert!(matches!(failed.error, DatagramError::Unresolved { .. }));
    });
}

/// Sends from many threads through one handle each have their outcome, and those of one thread stay in
/// their order.
#[test]
fn eight_threads_send_through_one_handle() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let bind = local().send_limits(4_096, 1 << 20);
        let udp = pool.bind_udp(bind, probe.full_session_for()).await.unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        let senders: Vec<_> = (0..8_u64)
            .map(|thread| {
                let udp = udp.clone();
                thread::spawn(move || {
                    for number in 0..250 {
                        let token = thread * 1_000 + number;
                        udp.send_to_with(token.to_be_bytes().to_vec(), to, token)
                            .unwrap();
                    }
                })
            })
            .collect();
        let mut last = [None::<u64>; 8];
        for _ in 0..2_000 {
            let token = expect!(probe, Sent).token.0;
            let last = &mut last[usize::try_from(token / 1_000).unwrap()];
            assert!(last.is_none_or(|last| last < token));
            *last = Some(token);
        }
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!(udp.counts().sent, 2_000);
    });
}

/// Commands are messages too.
#[test]
fn the_socket_obeys_messages() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        let actor = udp.addr().unwrap();
        let send = SendTo {
            data: "by message".into(),
            to: Some(to.into()),
            token: Some(1.into()),
        };
        actor.send(send.clone()).await.unwrap().unwrap();
        probe.expect_sent(1).await;
        assert_eq!(received(&peer), b"by message");
        assert_eq!(actor.send(GetInfo {}).await.unwrap().id, udp.id());
        actor.send(PauseReading {}).await.unwrap();
        peer.send_to(b"wait", address(&udp)).unwrap();
        probe.no_more(Duration::from_millis(30)).await;
        actor.send(ResumeReading {}).await.unwrap();
        assert_eq!(&*expect!(probe, DatagramReceived).data, b"wait");
        let limits = SetWriteLimits {
            high: Some(1),
            low: Some(2),
        };
        assert!(actor.send(limits).await.unwrap().is_err());
        assert!(actor.send(Close::default()).await.unwrap());
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        udp.wait_closed().await;
        // After the end: refused, with the data; nothing else happens.
        let refused = udp.send_to("late", to).unwrap_err();
        assert_eq!(
            (refused.refusal, &*refused.data),
            (DatagramRefusal::Closed, &b"late"[..])
        );
        assert!(!udp.close() && !udp.abort() && udp.is_closed());
        udp.pause_reading();
        udp.resume_reading();
        assert!(udp.connect(to).await.is_err());
        assert!(udp.set_broadcast(true).is_err());
        switchboard_tests::until(|| udp.addr().is_none()).await;
    });
}
