//! What is queued: its limits, and what a close and an abort make of it.

use std::time::Instant;

use switchboard::message::*;
use switchboard::{Cause, DatagramError, DatagramRefusal};
use switchboard_tests::{Probe, Recorder, expect, with, with_pool};

use super::*;

/// Sends so many numbered datagrams in the turn in which it is told something, then maybe ends.
struct Volley {
    udp: Udp,
    to: std::net::SocketAddr,
    count: u64,
    then: Then,
    recorder: Recorder,
}

#[derive(Clone, Copy)]
enum Then {
    Close,
    Abort,
}

impl Actor for Volley {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Volley {
    type Result = ();

    fn handle(&mut self, _: DatagramReceived, _: &mut Self::Context) {
        for number in 0..self.count {
            let data = number.to_be_bytes().to_vec();
            self.udp.send_to_with(data, self.to, number).unwrap();
        }
        match self.then {
            Then::Close => self.udp.close(),
            Then::Abort => self.udp.abort(),
        };
    }
}

macro_rules! records {
    ($session:ty: $($event:ident),*) => {
        $(impl Handler<$event> for $session {
            type Result = ();

            fn handle(&mut self, event: $event, _: &mut Self::Context) {
                self.recorder.record(event);
            }
        })*
    };
}

records!(Volley: Sent, DatagramFailed, Closed);
session!(Volley);

async fn volley(pool: &Pool, probe: &Probe, count: u64, then: Then) -> (Udp, UdpSocket) {
    let peer = peer();
    let to = peer.local_addr().unwrap();
    let recorder = probe.recorder();
    let make = move |udp| Volley {
        udp,
        to,
        count,
        then,
        recorder: recorder.clone(),
    };
    let udp = pool.bind_udp(local(), make).await.unwrap();
    peer.send_to(b"go", address(&udp)).unwrap();
    (udp, peer)
}

/// XAS-64: a close sends what is queued first.
#[test]
fn a_close_sends_the_hundred_that_are_queued() {
    with_pool(async |pool| {
        let mut probe = Probe::new().partial();
        let (_udp, peer) = volley(&pool, &probe, 100, Then::Close).await;
        for number in 0..100 {
            probe.expect_sent(number).await;
        }
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert_eq!(closed.detail.unsent, 0);
        for number in 0..100_u64 {
            assert_eq!(received(&peer), number.to_be_bytes());
        }
    });
}

/// AIO-16: an abort drops the queue: nothing of it is sent, and the end is told at once.
#[test]
fn an_abort_drops_the_thousand_that_are_queued() {
    with_pool(async |pool| {
        let mut probe = Probe::new().partial();
        let began = Instant::now();
        let (udp, peer) = volley(&pool, &probe, 1_000, Then::Abort).await;
        for number in 0..1_000_u64 {
            let failed = expect!(probe, DatagramFailed);
            assert_eq!(failed.token, Some(number.into()));
            assert_eq!(failed.error, DatagramError::Closed);
        }
        let closed = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert!(began.elapsed() < Duration::from_millis(500));
        assert_eq!(closed.detail.cause, Cause::LocalAbort);
        assert_eq!(closed.detail.unsent, 8_000);
        assert_eq!(closed.detail.unsent_tokens.len(), 1_000);
        peer.set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        peer.recv_from(&mut [0; 8]).unwrap_err();
        assert_eq!(udp.counts().sent, 0);
        assert_eq!(udp.counts().failed, 1_000);
    });
}

/// On one thread, on which no look-up ends while it sends: names that are being looked up are queued too: an abort ends them, a close waits for them.
#[test]
fn what_waits_for_its_name_is_queued() {
    with(Pool::builder().shards(0), async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        for number in 0..100_u64 {
            udp.send_to_with("x", "localhost:9", number).unwrap();
        }
        assert_eq!(udp.write_buffer_size(), 100);
        let began = Instant::now();
        assert!(udp.abort());
        for number in 0..100_u64 {
            let failed = expect!(probe, DatagramFailed);
            assert_eq!(
                (failed.token, failed.error),
                (Some(number.into()), DatagramError::Closed)
            );
        }
        probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert!(began.elapsed() < Duration::from_millis(500));

        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let to = format!("localhost:{}", peer.local_addr().unwrap().port());
        udp.send_to("named", to).unwrap();
        udp.close();
        let named = switchboard_tests::peer(move || received(&peer)).await;
        assert_eq!(named, b"named");
        probe.expect_closed(ClosedReason::ClosedByHost).await;
    });
}

/// A queue that is full hands back what it does not take, and the write marks are told.
#[test]
fn a_full_queue_hands_the_datagram_back_and_tells_its_marks() {
    with(Pool::builder().shards(0), async |pool| {
        let mut probe = Probe::new();
        let bind = local().send_limits(10, 1_000).write_limits(500, 100);
        let udp = pool.bind_udp(bind, probe.full_session_for()).await.unwrap();
        let peer = peer();
        // Names keep them in the queue for as long as this thread does not let the look-up end.
        let to = format!("localhost:{}", peer.local_addr().unwrap().port());
        for _ in 0..5 {
            udp.send_to(vec![0; 180], to.as_str()).unwrap();
        }
        let refused = udp.send_to(vec![7; 180], to.as_str()).unwrap_err();
        let full = DatagramRefusal::Full {
            queued: 900,
            capacity: 1_000,
            asked: 180,
        };
        assert_eq!((refused.refusal, refused.data.len()), (full, 180));
        for _ in 0..5 {
            udp.send_to("x", to.as_str()).unwrap();
        }
        let refused = udp.send_to("y", to.as_str()).unwrap_err();
        assert_eq!(refused.refusal, DatagramRefusal::TooMany { limit: 10 });
        assert_eq!(&*refused.data, b"y");
        assert!(udp.info().activity.write_paused);
        expect!(probe, WritePaused);
        expect!(probe, WriteResumed);
        switchboard_tests::until(|| udp.write_buffer_size() == 0).await;
        assert_eq!(udp.counts().sent, 10);
        probe.no_more(Duration::from_millis(10)).await;
        let refused = udp.send_to(vec![0; 1_001], to.as_str()).unwrap_err();
        assert!(matches!(
            refused.refusal,
            DatagramRefusal::Full { queued: 0, .. }
        ));
    });
}
