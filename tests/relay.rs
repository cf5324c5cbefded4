//! Promises about two connections back to back, beside those of `tcp_proxy`.

use std::future::Future;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use switchboard::message::RecvLine;
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{
    Cause, Client, ClosedReason, Connect, ConnectionOptions, Listen, Pool, Relayed, relay,
};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

/// A connection without a session, and its peer's end.
async fn open(pool: &Pool, shape: impl FnOnce(Connect) -> Connect) -> (Client, TcpStream) {
    let (listener, address) = listener();
    let connect = shape(Connect::tcp(address));
    let client = pool.open(connect).await.unwrap();
    let peer = listener.accept().unwrap().0;
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    (client, peer)
}

/// A relay under way, with both peers.
async fn relaying(
    pool: &Pool,
    shape: fn(Connect) -> Connect,
) -> (
    [Client; 2],
    [TcpStream; 2],
    impl Future<Output = Relayed> + use<>,
) {
    let (a, a_peer) = open(pool, shape).await;
    let (b, b_peer) = open(pool, shape).await;
    let relaying = tokio::task::spawn_local({
        let (a, b) = (a.clone(), b.clone());
        async move { relay(&a, &b).await }
    });
    let relayed = async { relaying.await.unwrap() };
    ([a, b], [a_peer, b_peer], relayed)
}

#[test]
fn a_relay_says_what_it_has_moved_and_how_each_side_ended() {
    with_pool(|pool| async move {
        let (_, [mut a, mut b], relayed) = relaying(&pool, |connect| connect).await;
        let moving = peer(move || {
            a.write_all(b"question").unwrap();
            a.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&mut b), b"question");
            b.write_all(b"the answer").unwrap();
            drop(b);
            assert_eq!(read_all(&mut a), b"the answer");
        });
        let (relayed, ()) = tokio::join!(relayed, moving);
        assert_eq!((relayed.a_to_b, relayed.b_to_a), (8, 10));
        for end in [relayed.a, relayed.b] {
            assert_eq!(end.unwrap().cause, Cause::PeerFinished);
        }
    });
}

#[test]
fn a_relay_that_is_dropped_closes_both_behind_what_is_queued() {
    with_pool(|pool| async move {
        let (a, mut a_peer) = open(&pool, |connect| connect).await;
        let (b, mut b_peer) = open(&pool, |connect| connect).await;
        a_peer.write_all(b"last words").unwrap();
        let cut = async { until(|| b.info().activity.bytes_out == 10).await };
        tokio::select! {
            _ = relay(&a, &b) => panic!("nobody has ended"),
            () = cut => {}
        }
        let (a_said, b_said) = peer(move || (read_all(&mut a_peer), read_all(&mut b_peer))).await;
        assert_eq!((&a_said[..], &b_said[..]), (&b""[..], &b"last words"[..]));
        assert_eq!(a.closed().await.unwrap().cause, Cause::LocalClose);
        assert_eq!(b.closed().await.unwrap().cause, Cause::LocalClose);
    });
}

#[test]
fn no_more_than_the_high_mark_and_one_chunk_waits_for_a_slow_peer() {
    const HIGH: usize = 32 * 1024;
    // What one read may bring.
    const CHUNK: usize = 256 * 1024;
    with_pool(|pool| async move {
        let limits = |connect: Connect| connect.write_limits(HIGH, HIGH / 4);
        let ([_, b], [mut a_peer, mut b_peer], relayed) = relaying(&pool, limits).await;
        let bytes = pattern(64 << 20);
        let (a_peer, bytes, taken) = peer(move || {
            let taken = stuff(&a_peer, &bytes);
            a_peer.flush().unwrap();
            (a_peer, bytes, taken)
        })
        .await;
        assert!(taken < bytes.len(), "all was taken");
        let waiting = b.write_buffer_size();
        assert!(waiting <= HIGH + CHUNK, "{waiting} bytes wait");
        assert!(b.info().activity.write_paused);
        // Reset, with what has not been taken: all that had come goes on.
        let read = peer(move || {
            a_peer.shutdown(Shutdown::Both).unwrap();
            drop(a_peer);
            read_all(&mut b_peer)
        });
        let (relayed, read) = tokio::join!(relayed, read);
        assert!(read == bytes[..taken], "{} of {taken} came", read.len());
        assert_eq!(relayed.a_to_b, taken as u64);
    });
}

#[test]
fn a_reset_ends_the_other_side_though_it_neither_reads_nor_sends() {
    with_pool(|pool| async move {
        let ([_, b], [a_peer, b_peer], relayed) = relaying(&pool, |connect| {
            connect.flush_timeout(Duration::from_millis(200))
        })
        .await;
        // So much that what is for B stands still.
        let a_peer = peer(move || {
            stuff(&a_peer, &pattern(64 << 20));
            a_peer
        })
        .await;
        reset_on_close(&a_peer);
        drop(a_peer);
        let relayed = relayed.await;
        let a = relayed.a.unwrap();
        assert_eq!(a.cause.reason(), ClosedReason::Error, "{a}");
        assert!(
            relayed.b.unwrap().cut_short.is_some(),
            "it cannot be flushed"
        );
        assert!(b.is_closed());
        drop(b_peer);
    });
}

#[test]
fn idle_timeouts_of_one_side_end_both() {
    with_pool(|pool| async move {
        let (_, [mut a_peer, mut b_peer], relayed) = relaying(&pool, |connect| {
            connect.idle_timeout(Duration::from_millis(100))
        })
        .await;
        let silent = peer(move || (read_all(&mut a_peer), read_all(&mut b_peer)));
        let (relayed, said) = tokio::join!(relayed, silent);
        assert_eq!(said, (vec![], vec![]));
        let ends = [relayed.a.unwrap(), relayed.b.unwrap()];
        let timed_out = |cause: &Cause| matches!(cause, Cause::Timeout { .. });
        assert!(ends.iter().any(|end| timed_out(&end.cause)), "{ends:?}");
    });
}

#[test]
fn a_connection_whose_session_receives_is_refused_and_both_are_closed() {
    with_pool(|pool| async move {
        let (mut a_peer, a, _probe) = serve(&pool, Listen::tcp("127.0.0.1:0")).await;
        a.arm(RecvLine::once()).unwrap();
        let (b, mut b_peer) = open(&pool, |connect| connect).await;
        let silent = peer(move || (read_all(&mut a_peer), read_all(&mut b_peer)));
        let (relayed, said) = tokio::join!(relay(&a, &b), silent);
        assert_eq!(said, (vec![], vec![]));
        assert_eq!((relayed.a_to_b, relayed.b_to_a), (0, 0));
    });
}

/// AMB-12: TLS has no half-close here.
#[test]
fn a_side_that_speaks_tls_is_closed_when_the_other_one_finishes_and_the_other_way_round() {
    with_pool(|pool| async move {
        let authority = Authority::new("test authority");
        let identity = authority.issue(&["localhost", "127.0.0.1"]).identity();
        let secured = Listen::tcp("127.0.0.1:0").tls(TlsServer::builder(identity).build().unwrap());
        let trusting = TlsClient::builder(authority.roots()).build().unwrap();
        let acceptor = pool.open_listener(secured).await.unwrap();
        let connect = Connect::tcp(acceptor.server().local_addr()).tls(trusting);

        for plain_finishes in [true, false] {
            let (a, mut a_peer) = open(&pool, |connect| connect).await;
            let opening = pool.open(connect.clone());
            let (b, far) = tokio::join!(opening, acceptor.accept());
            let (b, far) = (b.unwrap(), far.unwrap());
            let talking = async {
                far.sent("greeting").await.unwrap();
                let mut a_peer = peer(move || {
                    assert_eq!(read_exact(&mut a_peer, 8), b"greeting");
                    a_peer.write_all(b"last words").unwrap();
                    a_peer
                })
                .await;
                assert_eq!(far.recv_exact(10).await.unwrap(), "last words");
                if plain_finishes {
                    a_peer.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(far.recv_line().await.unwrap_err().partial(), b"");
                } else {
                    far.close();
                }
                assert_eq!(peer(move || read_all(&mut a_peer)).await, b"");
            };
            let (relayed, ()) = tokio::join!(relay(&a, &b), talking);
            assert_eq!((relayed.a_to_b, relayed.b_to_a), (10, 8));
            let tls = relayed.b.unwrap();
            let cause = if plain_finishes {
                Cause::LocalClose
            } else {
                Cause::PeerFinished
            };
            assert_eq!((&tls.cause, &tls.cut_short, tls.unsent), (&cause, &None, 0));
        }
    });
}
