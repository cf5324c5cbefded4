//! Stopping a pool, and handles of what is closed.

use std::collections::HashSet;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchboard::Cause;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::sync::mpsc as tokio_mpsc;

use super::{Counted, MIB, drain, in_turn, local, stretch};

/// Talks until it cannot.
fn busy_peer(mut stream: TcpStream) {
    let lines = b"busy busy busy
"
    .repeat(100);
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || drain(&mut reader));
    while stream.write_all(&lines).is_ok() {}
    let _ = reading.join().unwrap();
}

/// XAS-11, T-25: a stop in the middle of everything.
#[test]
fn a_stop_while_everything_is_busy_tells_every_session_one_closed() {
    const TALKERS: usize = 24;
    const DEAF: usize = 8;
    let _turn = in_turn();
    let (ends, mut told) = tokio_mpsc::unbounded_channel();
    let seen = &mut told;
    let totals = with(Pool::builder().shards(2), |pool| async move {
        let inbound = ends.clone();
        let make = move |client| Counted {
            client,
            ends: inbound.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let address = server.local_addr();
        let (listener, there) = listener();
        let mut peers = Vec::new();
        for number in 0..TALKERS {
            let stream = if number % 3 == 0 {
                let ends = ends.clone();
                drop(
                    pool.connect(Connect::tcp(there).lines(), move |client| Counted {
                        client,
                        ends,
                    }),
                );
                listener.accept().unwrap().0
            } else {
                dial(address)
            };
            peers.push(std::thread::spawn(move || busy_peer(stream)));
        }
        // Peers that send and never read, so that answers are stuck.
        let deaf: Vec<_> = (0..DEAF).map(|_| dial(address)).collect();
        for stream in &deaf {
            stream.set_nonblocking(true).unwrap();
            let lines = vec![b'\n'; MIB];
            let mut stream = stream;
            while stream.write(&lines).is_ok() {}
        }
        let everyone = (TALKERS + DEAF) as u64;
        while pool.status().await.unwrap().totals.live < everyone {
            tokio::task::yield_now().await;
        }
        let start = Instant::now();
        let totals = pool.stop_within(Duration::from_millis(300)).await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}");
        assert_eq!((totals.live, totals.connecting), (0, 0));
        for peer in peers {
            tokio::task::spawn_blocking(|| peer.join().unwrap())
                .await
                .unwrap();
        }
        let mut closed = HashSet::new();
        while let Ok((id, _)) = seen.try_recv() {
            assert!(closed.insert(id), "{id} was closed twice");
        }
        assert_eq!(
            closed.len() as u64,
            everyone,
            "a stop waits for every Closed"
        );
        drop(deaf);
    });
    assert!(told.try_recv().is_err(), "a Closed after the stop");
    assert_eq!(totals.closed_in_all(), (TALKERS + DEAF) as u64);
}

/// A stop without grace resets what is left, at once.
#[test]
fn a_stop_without_grace_resets_every_connection() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        client.send(vec![0; 12 * MIB]).unwrap();
        let start = Instant::now();
        pool.stop_within(Duration::ZERO).await;
        let took = start.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.cause, Cause::PoolStopped);
        assert!(closed.detail.unsent > 0);
        let (_, end) = peer(move || drain(&mut stream)).await;
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
        trace.ended().await;
    });
}

/// A stop with grace sends what is queued.
#[test]
fn a_stop_sends_what_is_queued() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        client.send(Bytes::from(stretch(0..12 * MIB))).unwrap();
        let reader = std::thread::spawn(move || read_all(&mut stream));
        pool.stop().await;
        let got = peer(move || reader.join().unwrap()).await;
        assert!(got == stretch(0..12 * MIB));
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.cause, Cause::PoolStopped);
        assert_eq!(closed.detail.unsent, 0);
    });
}

/// XAS-23: handles of closed connections refuse, and do no harm to others.
#[test]
fn xas_23_a_broadcast_over_live_and_closed_handles_reaches_the_live_ones() {
    with_pool(|pool| async move {
        let (dead, dead_client, mut trace) = serve(&pool, local().lines()).await;
        let (mut live, live_client, _trace) = serve(&pool, local().lines()).await;
        drop(dead);
        expect!(trace, Closed);
        for client in [&dead_client, &live_client] {
            let _ = client.send("news");
        }
        assert_eq!(read_exact(&mut live, 4), b"news");
        assert!(dead_client.send("x").is_err());
        assert!(dead_client.arm(RecvLine::once()).is_err());
        assert!(dead_client.try_recv(1).is_err());
        assert!(dead_client.write_eof().is_err());
        assert!(dead_client.take_send_slot().is_err());
        assert!(!dead_client.close() && !dead_client.abort() && !dead_client.cancel_recv());
        assert!(dead_client.is_closed());
        assert_eq!(dead_client.write_buffer_size(), 0);
        dead_client.pause_reading();
        dead_client.resume_reading();
        trace.ended().await;
        assert_eq!(dead_client.addr(), None);
        assert_eq!(dead_client.with_socket(|_| ()).await, None);
    });
}
