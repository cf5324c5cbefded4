//! Readiness mode.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use bytes::Bytes;
use switchboard::message::*;
use switchboard::{ArmError, Client, ClosedReason, Listen, Pool, SessionContext};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, MIB, first_of, ms, peer_stuffs};

/// Takes what is readable, so many bytes at a time.
struct Taker {
    client: Client,
    most: usize,
    taken: mpsc::UnboundedSender<Bytes>,
}

impl Actor for Taker {
    type Context = SessionContext<Self>;
}

impl Handler<Readable> for Taker {
    type Result = ();

    fn handle(&mut self, _: Readable, _: &mut Self::Context) {
        if let Some(bytes) = self.client.try_recv(self.most).unwrap() {
            self.taken.send(bytes).unwrap();
        }
    }
}

switchboard::session!(Taker);

async fn taker(pool: &Pool, most: usize) -> (TcpStream, Client, mpsc::UnboundedReceiver<Bytes>) {
    let (taken, seen) = mpsc::unbounded_channel();
    let peer = serve_with(pool, Listen::tcp(ANY), move |client| Taker {
        client,
        most,
        taken: taken.clone(),
    })
    .await;
    let client = first_of(pool).await;
    (peer, client, seen)
}

/// AC-04.
#[test]
fn ac_04_readable_is_told_again_while_bytes_are_left() {
    with_pool(|pool| async move {
        let (mut peer, client, mut taken) = taker(&pool, 4).await;
        client.set_interest(true, false).unwrap();
        peer.write_all(b"0123456789").unwrap();
        for expected in ["0123", "4567", "89"] {
            assert_eq!(taken.recv().await.unwrap(), expected);
        }
        peer.write_all(b"ab").unwrap();
        assert_eq!(taken.recv().await.unwrap(), "ab");
    });
}

/// AC-11.
#[test]
fn ac_11_without_interest_the_peers_bytes_stay_in_the_kernel() {
    with_pool(|pool| async move {
        let (peer, client, mut taken) = taker(&pool, usize::MAX).await;
        let script = pattern(64 * MIB);
        let (peer, sent, script) = peer_stuffs(peer, script).await;
        assert!(sent < script.len(), "the window closes");
        assert_eq!(client.info().activity.bytes_in, 0);
        client.set_interest(true, false).unwrap();
        let mut got = Vec::new();
        while got.len() < sent {
            got.extend_from_slice(&taken.recv().await.unwrap());
        }
        assert!(got == script[..sent], "not the bytes that were sent");
        // Off again: nothing is told any more.
        client.set_interest(false, false).unwrap();
        (&peer).write_all(b"later").unwrap();
        tokio::time::timeout(ms(100), taken.recv())
            .await
            .unwrap_err();
    });
}

/// AC-15.
#[test]
fn ac_15_taking_when_nothing_is_there_is_none_and_no_end() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        assert_eq!(client.try_recv(10), Ok(None));
        assert!(!client.is_closed());
        client.set_interest(true, false).unwrap();
        peer.write_all(b"abc").unwrap();
        expect!(trace, Readable);
        assert_eq!(client.try_recv(0), Ok(None));
        assert_eq!(client.try_recv(2).unwrap().unwrap(), "ab");
        assert_eq!(client.try_recv(10).unwrap().unwrap(), "c");
        assert_eq!(client.try_recv(10), Ok(None));
        drop(peer);
        let closed = loop {
            match trace.next().await {
                ClientEvent::Readable(_) => {}
                ClientEvent::Closed(closed) => break closed,
                other => panic!("unexpected {other:?}"),
            }
        };
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(client.try_recv(10), Err(ArmError::Closed));
    });
}

/// Sends a byte whenever there is room, so many times; then it has no interest any more.
struct Pump {
    client: Client,
    left: usize,
    told: Arc<AtomicUsize>,
}

impl Actor for Pump {
    type Context = SessionContext<Self>;
}

impl Handler<Writable> for Pump {
    type Result = ();

    fn handle(&mut self, _: Writable, _: &mut Self::Context) {
        self.told.fetch_add(1, Ordering::Relaxed);
        self.client.send(b"x").unwrap();
        self.left -= 1;
        if self.left == 0 {
            self.client.set_interest(false, false).unwrap();
        }
    }
}

switchboard::session!(Pump);

/// AC-05.
#[test]
fn ac_05_writable_is_told_while_the_interest_is_on_and_costs_nothing_when_off() {
    if !alone(
        "readiness::ac_05_writable_is_told_while_the_interest_is_on_and_costs_nothing_when_off",
    ) {
        return;
    }
    with_pool(|pool| async move {
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let mut peer = serve_with(&pool, Listen::tcp(ANY), move |client| Pump {
            client,
            left: 100,
            told: Arc::clone(&count),
        })
        .await;
        let client = first_of(&pool).await;
        // A level that is told by mistake would be told many times meanwhile.
        tokio::time::sleep(ms(50)).await;
        assert_eq!(told.load(Ordering::Relaxed), 0, "nobody is interested yet");
        client.set_interest(false, true).unwrap();
        assert_eq!(read_exact(&mut peer, 100), [b'x'; 100]);
        let before = processor_time();
        // A busy loop would use all of this time.
        tokio::time::sleep(ms(300)).await;
        let spent = processor_time() - before;
        assert_eq!(told.load(Ordering::Relaxed), 100);
        assert!(spent < ms(30), "{spent:?} of 300 ms were spent on nothing");
    });
}
