//! Closes and aborts of our own: what they flush, drop and wait for.

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{Cause, ClosePhase, ConnectionState, TimeoutKind};
use switchboard_tests::*;

use super::{MIB, drain, in_turn, local, stretch};

/// XAS-19: 1,000 times three calls of `close` race the peer's FIN.
#[test]
fn xas_19_closing_thrice_while_the_peer_finishes_gives_one_closed_and_it_is_last() {
    const ROUNDS: usize = 1000;
    let _turn = in_turn();
    let mut trace = Probe::new();
    let make = trace.session();
    let seen = &mut trace;
    with_pool(|pool| async move {
        let server = pool.listen(local().lines(), make).await.unwrap();
        let address = server.local_addr();
        let (close, closing) = mpsc::channel::<Client>();
        let closer = std::thread::spawn(move || {
            let mut refused = 0;
            for client in closing {
                let answers = [client.close(), client.close(), client.close()];
                assert!(!answers[1] && !answers[2], "only the first may begin it");
                refused += usize::from(!answers[0]);
            }
            refused
        });
        let peers = std::thread::spawn(move || {
            for round in 0..ROUNDS {
                let stream = dial(address);
                // The closer needs about as long to hear of the connection.
                let until = Instant::now() + Duration::from_micros((round % 100) as u64);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
                drop(stream);
            }
        });
        let mut told: HashMap<ClientId, usize> = HashMap::new();
        let mut by_host = 0;
        for _ in 0..2 * ROUNDS {
            match seen.next().await {
                ClientEvent::Accepted(event) => {
                    assert_eq!(told.insert(event.client, 0), None);
                    close.send(event.handle).unwrap();
                }
                ClientEvent::Closed(event) => {
                    *told.get_mut(&event.client).expect("closed before accepted") += 1;
                    by_host += usize::from(event.reason == ClosedReason::ClosedByHost);
                    assert_ne!(event.reason, ClosedReason::Timeout);
                }
                other => panic!("{other:?}"),
            }
        }
        drop(close);
        peers.join().unwrap();
        let refused = closer.join().unwrap();
        assert_eq!(told.len(), ROUNDS);
        assert!(told.values().all(|&times| times == 1));
        assert!(by_host <= ROUNDS - refused, "{by_host} of {refused}");
    });
    assert!(trace.so_far().is_empty(), "something came after the end");
}

/// XAS-20, T-15: everything that was queued is sent before the end.
#[test]
fn xas_20_a_close_sends_20_mb_first_and_a_second_one_says_that_it_is_closing() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let size = 20_000_000;
        let listen = local().lines().write_capacity(size);
        let (mut stream, client, mut trace) = serve(&pool, listen).await;
        client.send(Bytes::from(stretch(0..size))).unwrap();
        assert!(client.close());
        assert!(!client.close(), "it is closing already");
        assert_eq!(client.info().activity.state, ConnectionState::Closing);
        assert!(client.send("more").is_err());
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got.len(), size);
        assert!(got == stretch(0..size));
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByHost);
        assert_eq!((closed.detail.unsent, closed.detail.cut_short), (0, None));
        assert_eq!(closed.detail.bytes_out, size as u64);
        assert!(!client.close(), "it is closed");
    });
}

/// AIO-01.
#[test]
fn aio_01_after_close_what_is_queued_arrives_and_what_comes_in_makes_no_event() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let size = 5 * MIB;
        let (mut stream, client, mut trace) = serve(&pool, local().data()).await;
        client
            .send_with(Bytes::from(stretch(0..size)), 7_u64)
            .unwrap();
        client.close();
        let got = peer(move || {
            stream.write_all(&[b'x'; 10_000]).unwrap();
            let got = read_all(&mut stream);
            stream.write_all(b"later still").unwrap();
            got
        })
        .await;
        assert!(got == stretch(0..size));
        let sent = expect!(trace, Sent);
        assert_eq!((sent.token, sent.bytes), (Token(7), size));
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.unread, "");
        trace.ended().await;
    });
}

/// A close with nothing queued finishes at once, and drops what is queued when told so.
#[test]
fn a_close_without_flush_drops_what_is_queued_and_counts_it() {
    with_pool(|pool| async move {
        let size = 8 * MIB;
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        client
            .send_with(Bytes::from(stretch(0..size)), 1_u64)
            .unwrap();
        client.send_with("behind", 2_u64).unwrap();
        assert!(client.close_with(false, None));
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByHost);
        assert!(closed.detail.unsent > 0);
        assert_eq!(
            closed.detail.unsent as u64 + closed.detail.bytes_out,
            size as u64 + 6
        );
        assert_eq!(closed.detail.unsent_tokens, [Token(1), Token(2)]);
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got.len() as u64, closed.detail.bytes_out);
        assert!(got == stretch(0..got.len()));
    });
}

/// AIO-04.
#[test]
fn aio_04_an_abort_is_told_within_100_ms_and_the_peer_sees_a_reset() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        for attempt in 1.. {
            let took = abort_in_the_middle(&pool).await;
            if took < Duration::from_millis(100) {
                break;
            }
            // A busy machine may need another try.
            assert!(attempt < 5, "{took:?}");
        }
    });
}

/// Aborts a connection that has sent a part of much, and checks what is told of it. How long that took.
async fn abort_in_the_middle(pool: &Pool) -> Duration {
    let size = 8 * MIB;
    let (mut stream, client, mut trace) = serve(pool, local().lines()).await;
    client
        .send_with(Bytes::from(stretch(0..size)), 1_u64)
        .unwrap();
    // Some of it is on its way.
    while client.info().activity.bytes_out == 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    assert!(client.abort());
    let closed = expect!(trace, Closed);
    let took = start.elapsed();
    assert!(!client.abort() && !client.close());
    assert_eq!(closed.reason, ClosedReason::ClosedByHost);
    assert_eq!(closed.detail.cause, Cause::LocalAbort);
    assert_eq!(closed.detail.unsent_tokens, [Token(1)]);
    assert_eq!(
        closed.detail.unsent as u64 + closed.detail.bytes_out,
        size as u64
    );
    let (count, end) = peer(move || drain(&mut stream)).await;
    assert!(count < size);
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    trace.ended().await;
    took
}

/// An abort cuts a close short that waits for a peer.
#[test]
fn an_abort_ends_a_close_that_is_under_way() {
    with_pool(|pool| async move {
        let size = 8 * MIB;
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        client.send(Bytes::from(stretch(0..size))).unwrap();
        assert!(client.close());
        assert!(client.abort());
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        assert_eq!(closed.detail.cut_short, Some(Cause::LocalAbort));
        assert_eq!(closed.detail.phase, ClosePhase::Flushing);
        let (count, end) = peer(move || drain(&mut stream)).await;
        assert!(count < size);
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
    });
}

/// T-15, trap 5: a peer that never reads cannot hold a close up for ever.
#[test]
fn trap_05_a_close_to_a_peer_that_never_reads_ends_at_its_deadline() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let size = 12 * MIB;
        let deadline = Duration::from_millis(200);
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        client
            .send_with(Bytes::from(stretch(0..size)), 9_u64)
            .unwrap();
        let start = Instant::now();
        assert!(client.close_with(true, Some(deadline)));
        let closed = expect!(trace, Closed);
        let took = start.elapsed();
        assert!(took >= deadline, "{took:?}");
        assert!(took < deadline + Duration::from_millis(200), "{took:?}");
        assert_eq!(closed.reason, ClosedReason::ClosedByHost);
        let detail = closed.detail;
        assert_eq!(detail.cause, Cause::LocalClose);
        let (kind, after) = (TimeoutKind::Flush, deadline);
        assert_eq!(detail.cut_short, Some(Cause::Timeout { kind, after }));
        assert_eq!(detail.phase, ClosePhase::Flushing);
        assert!(detail.unsent > 0);
        assert_eq!(detail.unsent as u64 + detail.bytes_out, size as u64);
        assert_eq!(detail.unsent_tokens, [Token(9)]);
        let (count, end) = peer(move || drain(&mut stream)).await;
        assert!(count < size);
        assert_eq!(end, Err(ErrorKind::ConnectionReset));
    });
}

/// T-15: the connection's own flush timeout bounds a close without a deadline, and a deadline given
/// later replaces it.
#[test]
fn t_15_a_close_without_a_deadline_has_the_flush_timeout_and_may_be_hurried() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let flush = Duration::from_millis(100);
        let listen = local().lines().flush_timeout(flush);
        let (_stream, client, mut trace) = serve(&pool, listen).await;
        client.send(vec![0; 12 * MIB]).unwrap();
        let start = Instant::now();
        client.close();
        let closed = expect!(trace, Closed);
        let took = start.elapsed();
        assert!(took >= flush, "{took:?}");
        assert!(took < flush + Duration::from_millis(200), "{took:?}");
        assert!(closed.detail.unsent > 0);

        let (_stream, client, mut trace) = serve(&pool, local().lines()).await;
        client.send(vec![0; 12 * MIB]).unwrap();
        let start = Instant::now();
        assert!(client.close());
        assert!(!client.close_with(true, Some(flush)));
        let closed = expect!(trace, Closed);
        let took = start.elapsed();
        assert!(took < flush + Duration::from_millis(200), "{took:?}");
        let (kind, after) = (TimeoutKind::Flush, flush);
        let cut = closed.detail.cut_short;
        assert_eq!(cut, Some(Cause::Timeout { kind, after }));
    });
}

/// Trap 6: a peer that goes on sending after we have finished still gets our last bytes: what we no longer
/// want must not make the system send a reset, which would destroy them.
#[test]
fn trap_06_a_peer_that_sends_on_after_our_close_still_gets_our_last_bytes() {
    with_pool(|pool| async move {
        let size = 64 * 1024;
        let (mut stream, client, mut trace) = serve(&pool, local().lines()).await;
        client.send(Bytes::from(stretch(0..size))).unwrap();
        client.close();
        let closed = expect!(trace, Closed);
        assert_eq!((closed.detail.unsent, closed.detail.cut_short), (0, None));
        trace.ended().await;
        // Told already, and nobody has read yet.
        let got = peer(move || {
            for _ in 0..100 {
                stream.write_all(&[b'x'; 10_000]).unwrap();
            }
            read_all(&mut stream)
        })
        .await;
        assert!(got == stretch(0..size));
    });
}

/// Lingering is bounded: in time, and in what it takes from a peer.
#[test]
fn lingering_ends_at_its_timeout_and_at_its_limit() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let linger = Duration::from_millis(100);
        let listen = local().lines().linger_timeout(linger);
        let (mut stream, client, mut trace) = serve(&pool, listen).await;
        let start = Instant::now();
        client.close();
        expect!(trace, Closed);
        let took = peer(move || {
            // A socket that is let go of answers with a reset.
            while stream.write_all(b"x").is_ok() {
                assert!(start.elapsed() < PATIENCE);
            }
            start.elapsed()
        })
        .await;
        assert!(took >= linger, "{took:?}");
        assert!(took < linger + Duration::from_millis(400), "{took:?}");

        let mut listen = local().lines().linger_timeout(PATIENCE);
        listen.config_mut().linger_bytes = 100_000;
        let (mut stream, client, mut trace) = serve(&pool, listen).await;
        client.close();
        expect!(trace, Closed);
        let wrote = peer(move || {
            let mut wrote = 0;
            while stream.write_all(&[b'x'; 1000]).is_ok() {
                wrote += 1000;
                assert!(wrote < 64 * MIB);
            }
            wrote
        })
        .await;
        assert!(wrote > 100_000, "{wrote}");
    });
}
