//! What networks and peers say ends nothing.

use std::io::ErrorKind;

use switchboard::message::*;
use switchboard_tests::{Probe, expect, until, with_pool};

use super::*;

/// AIO-38, T-22: a peer that is not there is an event; the socket lives, and the next send arrives.
#[test]
fn a_refusal_is_told_and_the_next_send_arrives() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let to = nobody();
        let udp = pool
            .bind_udp(local().connect(to), probe.full_session_for())
            .await
            .unwrap();
        udp.send_with("into the void", 1).unwrap();
        // The refusal may be there before the session is told that it was sent.
        for _ in 0..2 {
            match probe.next().await {
                ClientEvent::Sent(sent) => assert_eq!(sent.token, 1.into()),
                ClientEvent::UdpError(error) => {
                    assert_eq!((error.kind, error.count), (ErrorKind::ConnectionRefused, 1));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(!udp.is_closed());
        let peer = UdpSocket::bind(to).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        udp.send_with("hello", 2).unwrap();
        probe.expect_sent(2).await;
        assert_eq!(received(&peer), b"hello");
        peer.send_to(b"", address(&udp)).unwrap();
        peer.send_to(b"back", address(&udp)).unwrap();
        assert_eq!(expect!(probe, DatagramReceived).data.len(), 0);
        assert_eq!(&*expect!(probe, DatagramReceived).data, b"back");
        assert_eq!(udp.counts().errors, 1);
    });
}

/// AIO-38: the send that meets the refusal of an earlier one is itself sent, in sequence too.
#[test]
fn the_refusal_of_an_earlier_datagram_fails_no_later_one() {
    with_pool(async |pool| {
        let to = nobody();
        // Nobody reads, so that the refusal waits for the next send.
        let udp = pool.bind_udp(local().connect(to), |_| Deaf).await.unwrap();
        for sequence in [true, false] {
            let mut errors = udp.counts().errors;
            let sent = udp.counts().sent;
            udp.send("into the void").unwrap();
            until(|| udp.counts().sent > sent).await;
            let peer = UdpSocket::bind(to).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            if sequence {
                assert_eq!(udp.sent("hello", None).await, Ok(5));
            } else {
                udp.send("hello").unwrap();
            }
            assert_eq!(received(&peer), b"hello");
            errors += 1;
            assert_eq!(udp.counts().errors, errors);
        }
        assert_eq!(udp.counts().failed, 0);
        assert_eq!(udp.counts().sent, 4);
    });
}

/// Handles the end only, so that the socket does not read.
struct Deaf;

impl Actor for Deaf {
    type Context = SessionContext<Self>;
}

impl Handler<Closed> for Deaf {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {}
}

session!(Deaf);

/// AIO-38: a flood of refusals is a bounded number of events, which count all that was reported.
#[test]
fn a_flood_of_refusals_is_counted() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local().connect(nobody()), probe.full_session_for())
            .await
            .unwrap();
        for _ in 0..500 {
            udp.send("x").unwrap();
        }
        until(|| udp.write_buffer_size() == 0).await;
        assert!(udp.counts().errors > 0);
        let mut told = 0;
        while told < udp.counts().errors {
            match probe.next().await {
                ClientEvent::UdpError(error) => {
                    assert_eq!(error.kind, ErrorKind::ConnectionRefused);
                    told += error.count;
                }
                ClientEvent::DatagramFailed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(!udp.is_closed());
        let counts = udp.counts();
        assert_eq!(counts.sent + counts.failed, 500);
        udp.close();
        probe.expect_closed(ClosedReason::ClosedByHost).await;
    });
}
