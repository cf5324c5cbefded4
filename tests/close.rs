//! How connections end: `Closed` comes once and last, with the right reason, and nothing that was
//! accepted for sending is lost silently.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{
    Cause, ClosePhase, Connecting, ConnectionState, IdleAction, IdleRule, IoOperation, TimeoutKind,
};
use switchboard_tests::*;
use tokio::sync::mpsc as tokio_mpsc;

const MIB: usize = 1024 * 1024;

/// Tests that measure time or need much of the machine run one after the other.
fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn local() -> Listen {
    Listen::tcp("127.0.0.1:0")
}

/// Opens a listener for one peer, whose session records.
async fn opened(pool: &Pool, listen: Listen) -> (TcpStream, Client, Trace) {
    let (events, mut trace) = trace();
    let events = Mutex::new(Some(events));
    let make = move |client| Recorder {
        client,
        events: events.lock().unwrap().take().expect("one peer only"),
    };
    let server = pool.listen(listen, make).await.unwrap();
    let stream = dial(server.local_addr());
    let client = expect!(trace, Accepted).handle;
    (stream, client, trace)
}

/// The same, with a session that decides for itself what a finished peer means.
async fn opened_fully(pool: &Pool, listen: Listen) -> (TcpStream, Client, Trace) {
    let (events, mut trace) = trace();
    let events = Mutex::new(Some(events));
    let make = move |client| FullRecorder {
        client,
        events: events.lock().unwrap().take().expect("one peer only"),
    };
    let server = pool.listen(listen, make).await.unwrap();
    let stream = dial(server.local_addr());
    let client = expect!(trace, Accepted).handle;
    (stream, client, trace)
}

/// Opens an outbound connection whose session records, and its peer.
async fn opened_outbound(pool: &Pool) -> (TcpStream, Client, Trace) {
    let (events, mut trace) = trace();
    let (listener, address) = listener();
    let connecting: Connecting = pool.connect(Connect::tcp(address).lines(), move |client| {
        Recorder { client, events }
    });
    let (stream, _) = peer(move || listener.accept().unwrap()).await;
    let client = connecting.await.unwrap();
    expect!(trace, Connected);
    (stream, client, trace)
}

/// Reads until the peer's end, whichever it is; says how many bytes came and how it ended.
fn drain(stream: &mut TcpStream) -> (usize, Result<(), ErrorKind>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, Ok(())),
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (count, Err(error.kind())),
        }
    }
}

/// A stretch of a stream in which a byte that is missing, doubled or out of place shows.
fn stretch(range: std::ops::Range<usize>) -> Vec<u8> {
    let block: Vec<u8> = (0..=u16::MAX).map(|n| (n ^ (n >> 8)) as u8).collect();
    let start = range.start % block.len();
    let mut bytes = block.repeat((start + range.len()).div_ceil(block.len()));
    bytes.truncate(start + range.len());
    bytes.split_off(start)
}

/// XAS-14: a peer that finishes.
#[test]
fn xas_14_a_fin_is_closed_by_peer() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = opened(&pool, local().lines()).await;
        drop(stream);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 2);
        assert_eq!(closed.detail.cause, Cause::PeerFinished);
        assert_eq!(closed.detail.cut_short, None);
    });
}

/// XAS-14: a peer that resets; the system's error is kept beside the reason.
#[test]
fn xas_14_a_reset_is_an_error() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = opened(&pool, local().lines()).await;
        reset_on_close(&stream);
        drop(stream);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 0);
        let Cause::Io {
            operation, kind, ..
        } = closed.detail.cause
        else {
            panic!("{:?}", closed.detail);
        };
        assert_eq!(
            (operation, kind),
            (IoOperation::Read, ErrorKind::ConnectionReset)
        );
        let error = closed.detail.cause.io_error().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// XAS-14, AMB-11: a close of our own is told too.
#[test]
fn xas_14_a_close_of_our_own_is_closed_by_host() {
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
        assert!(client.close());
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 1);
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        assert_eq!(peer(move || drain(&mut stream)).await, (0, Ok(())));
    });
}

/// XAS-14: time that is up.
#[test]
fn xas_14_an_expired_receive_is_a_timeout() {
    with_pool(|pool| async move {
        let timeout = Duration::from_millis(20);
        let listen = local().receive(RecvLine::once().timeout(timeout));
        let (_stream, _, mut trace) = opened(&pool, listen).await;
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 3);
        let (kind, after) = (TimeoutKind::Receive, timeout);
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
    });
}

/// XAS-14: a peer that breaks a rule.
#[test]
fn xas_14_a_broken_rule_is_an_error() {
    with_pool(|pool| async move {
        let (mut stream, _, mut trace) = opened(&pool, local().lines().max_line(4)).await;
        stream.write_all(b"fine\nwrong\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"fine");
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason as u8, 0);
        assert!(matches!(closed.detail.cause, Cause::Frame(_)));
        assert_eq!(closed.detail.unread, "wrong\n");
    });
}

/// AC-08: the same three ends for a connection that we opened.
#[test]
fn ac_08_fin_reset_and_own_close_are_each_told_once_outbound() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = opened_outbound(&pool).await;
        drop(stream);
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
        trace.ended().await;

        let (stream, _, mut trace) = opened_outbound(&pool).await;
        reset_on_close(&stream);
        drop(stream);
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::Error);
        trace.ended().await;

        let (stream, client, mut trace) = opened_outbound(&pool).await;
        assert!(client.close());
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByHost);
        assert!(!client.close(), "it was closed already");
        drop(stream);
        trace.ended().await;
    });
}

/// XAS-19: 1,000 times three calls of `close` race the peer's FIN.
#[test]
fn xas_19_closing_thrice_while_the_peer_finishes_gives_one_closed_and_it_is_last() {
    const ROUNDS: usize = 1000;
    let _turn = in_turn();
    let (events, mut trace) = trace();
    let seen = &mut trace;
    with_pool(|pool| async move {
        let make = move |client| Recorder {
            client,
            events: events.clone(),
        };
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
        let (mut stream, client, mut trace) = opened(&pool, listen).await;
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
        let (mut stream, client, mut trace) = opened(&pool, local().data()).await;
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
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
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
        let size = 8 * MIB;
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
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
        assert!(took < Duration::from_millis(100), "{took:?}");
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
    });
}

/// An abort cuts a close short that waits for a peer.
#[test]
fn an_abort_ends_a_close_that_is_under_way() {
    with_pool(|pool| async move {
        let size = 8 * MIB;
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
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

/// T-15: a peer that never reads cannot hold a close up for ever.
#[test]
fn t_15_a_close_to_a_peer_that_never_reads_ends_at_its_deadline() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let size = 12 * MIB;
        let deadline = Duration::from_millis(200);
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
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
        let (_stream, client, mut trace) = opened(&pool, listen).await;
        client.send(vec![0; 12 * MIB]).unwrap();
        let start = Instant::now();
        client.close();
        let closed = expect!(trace, Closed);
        let took = start.elapsed();
        assert!(took >= flush, "{took:?}");
        assert!(took < flush + Duration::from_millis(200), "{took:?}");
        assert!(closed.detail.unsent > 0);

        let (_stream, client, mut trace) = opened(&pool, local().lines()).await;
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

/// XAS-48.
#[test]
fn xas_48_an_unfinished_line_is_no_line_but_is_handed_back() {
    with_pool(|pool| async move {
        let (mut stream, _, mut trace) = opened(&pool, local().receive(RecvLine::once())).await;
        stream.write_all(b"abc").unwrap();
        drop(stream);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.unread, "abc");
        assert_eq!(closed.detail.bytes_in, 3);
        trace.ended().await;
    });
}

/// XAS-48: so is what an exact receive had not got in full.
#[test]
fn xas_48_unfinished_data_is_handed_back_too() {
    with_pool(|pool| async move {
        let five = std::num::NonZeroUsize::new(5).unwrap();
        let (mut stream, _, mut trace) =
            opened(&pool, local().receive(RecvData::exact(five).always())).await;
        stream.write_all(b"12345678").unwrap();
        drop(stream);
        assert_eq!(expect!(trace, DataReceived).data, "12345");
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.unread, "678");
    });
}

/// A peer that goes on sending after we have finished still gets our last bytes: what we no longer
/// want must not make the system send a reset, which would destroy them.
#[test]
fn a_peer_that_sends_on_after_our_close_still_gets_our_last_bytes() {
    with_pool(|pool| async move {
        let size = 64 * 1024;
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
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
        let (mut stream, client, mut trace) = opened(&pool, listen).await;
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
        let (mut stream, client, mut trace) = opened(&pool, listen).await;
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

/// A peer of which no byte comes any more.
#[test]
fn an_idle_timeout_closes_a_connection_on_which_no_byte_moves() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(150);
        let listen = local().data().idle_timeout(after);
        let (mut stream, client, mut trace) = opened(&pool, listen).await;
        // Each of these gaps is shorter than the timeout, and all of them together are longer.
        for round in 0..3 {
            tokio::time::sleep(after * 2 / 3).await;
            if round == 1 {
                client.send("out").unwrap();
            } else {
                stream.write_all(b"in").unwrap();
                assert_eq!(expect!(trace, DataReceived).data, "in");
            }
        }
        let start = Instant::now();
        let closed = expect!(trace, Closed);
        let took = start.elapsed();
        assert!(took >= after - Duration::from_millis(20), "{took:?}");
        assert!(took < after + Duration::from_millis(200), "{took:?}");
        assert_eq!(closed.reason, ClosedReason::Timeout);
        let kind = TimeoutKind::Idle;
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got, b"out", "a timeout closes in order");
    });
}

/// DESIGN rule 5: commands are not traffic, however many there are.
#[test]
fn commands_do_not_keep_an_idle_connection_open() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(150);
        let listen = local().idle_timeout(after);
        let (_stream, client, mut trace) = opened(&pool, listen).await;
        let start = Instant::now();
        let closed = loop {
            client.pause_reading();
            client.resume_reading();
            let _ = client.arm(RecvLine::once());
            client.cancel_recv();
            let _ = client.set_write_limits(None, None);
            if let Some(address) = client.addr() {
                address.do_send(GetInfo {});
            }
            match tokio::time::timeout(Duration::from_millis(5), trace.next()).await {
                Err(_) => assert!(start.elapsed() < 4 * after, "it is kept open"),
                Ok(ClientEvent::Closed(closed)) => break closed,
                Ok(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(closed.reason, ClosedReason::Timeout);
        assert!(start.elapsed() < after + Duration::from_millis(200));
    });
}

/// Each direction has a clock of its own, which the other one does not move.
#[test]
fn read_and_write_idleness_are_told_apart() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(150);
        for (listen, kind, we_send) in [
            (
                local().data().idle_read_timeout(after),
                TimeoutKind::IdleRead,
                true,
            ),
            (
                local().data().idle_write_timeout(after),
                TimeoutKind::IdleWrite,
                false,
            ),
        ] {
            let (mut stream, client, mut trace) = opened(&pool, listen).await;
            let start = Instant::now();
            let closed = loop {
                if we_send {
                    let _ = client.send("out");
                } else {
                    let _ = stream.write_all(b"in");
                }
                match tokio::time::timeout(Duration::from_millis(20), trace.next()).await {
                    Err(_) => assert!(start.elapsed() < 4 * after, "it is kept open"),
                    Ok(ClientEvent::DataReceived(_)) => {}
                    Ok(ClientEvent::Closed(closed)) => break closed,
                    Ok(other) => panic!("{other:?}"),
                }
            };
            let took = start.elapsed();
            assert!(took >= after - Duration::from_millis(20), "{took:?}");
            assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
        }
    });
}

/// An idle time that is only reported is told again and again, and the connection goes on.
#[test]
fn an_idle_report_comes_again_and_again_and_closes_nothing() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(50);
        let listen = local().lines().idle_report(after);
        let (mut stream, client, mut trace) = opened(&pool, listen).await;
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(expect!(trace, Idle).kind, TimeoutKind::Idle);
        }
        let took = start.elapsed();
        assert!(took >= after * 3 - Duration::from_millis(20), "{took:?}");
        assert!(took < after * 3 + Duration::from_millis(300), "{took:?}");
        stream.write_all(b"still here\n").unwrap();
        let line = loop {
            match trace.next().await {
                ClientEvent::Idle(_) => {}
                ClientEvent::LineReceived(event) => break event.line,
                other => panic!("{other:?}"),
            }
        };
        client.send_line(&line).unwrap();
        assert_eq!(read_exact(&mut stream, 11), b"still here\n");

        let mut listen = local().lines();
        let action = IdleAction::Report;
        listen.config_mut().idle_read = Some(IdleRule { after, action });
        let (_stream, _, mut trace) = opened(&pool, listen).await;
        assert_eq!(expect!(trace, Idle).kind, TimeoutKind::IdleRead);
    });
}

/// AIO-37: a peer that has finished still receives.
#[test]
fn aio_37_a_half_closed_peer_gets_its_1_mb_reply_and_then_the_end() {
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = opened_fully(&pool, local().lines()).await;
        stream.write_all(b"question\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"question");
        expect!(trace, PeerFinished).keep_open();
        assert_eq!(
            client.info().activity.state,
            ConnectionState::HalfClosed,
            "it is open for sending"
        );
        trace.nothing_for(Duration::from_millis(50)).await;
        client
            .set_write_limits(Some(4 * MIB), None)
            .expect("no pauses in this test");
        client.send(Bytes::from(stretch(0..MIB))).unwrap();
        client.write_eof().unwrap();
        let got = peer(move || read_all(&mut stream)).await;
        assert!(got == stretch(0..MIB));
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.bytes_out, MIB as u64);
        trace.ended().await;
    });
}

/// AIO-37: not answered, the question closes; answered and then closed here, we have closed it.
#[test]
fn aio_37_a_half_closed_connection_ends_as_it_was_answered() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = opened_fully(&pool, local().lines()).await;
        stream.shutdown(Shutdown::Write).unwrap();
        drop(expect!(trace, PeerFinished));
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
        trace.ended().await;

        let (mut stream, client, mut trace) = opened_fully(&pool, local().lines()).await;
        stream.shutdown(Shutdown::Write).unwrap();
        expect!(trace, PeerFinished).keep_open();
        client.send("bye").unwrap();
        client.close();
        assert_eq!(read_all(&mut stream), b"bye");
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByHost);
        trace.ended().await;
    });
}

/// A connection that is kept open and then forgotten does not stay for ever.
#[test]
fn a_half_closed_connection_that_does_not_move_ends_at_its_timeout() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(100);
        let mut listen = local().lines();
        listen.config_mut().half_closed_timeout = after;
        let (stream, _, mut trace) = opened_fully(&pool, listen).await;
        stream.shutdown(Shutdown::Write).unwrap();
        expect!(trace, PeerFinished).keep_open();
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::Timeout);
        let kind = TimeoutKind::HalfClosed;
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
    });
}

/// A small generator, so that every run does the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % sides
    }
}

/// A session that does something at random with each event.
struct Whim {
    client: Client,
    dice: Dice,
    events: tokio_mpsc::UnboundedSender<Told>,
}

/// What a [`Whim`] has seen.
#[derive(Debug)]
enum Told {
    Opened(ClientId),
    Data(ClientId, Bytes),
    Finished(ClientId),
    Other(ClientId),
    /// The peer reset it before it was established.
    Failed(ClientId),
    /// The session itself was about to end the connection.
    Acted,
    Closed(ClientId),
}

impl Whim {
    fn tell(&self, told: Told) {
        let _ = self.events.send(told);
    }

    fn act(&mut self) {
        match self.dice.roll(40) {
            0 => {
                self.tell(Told::Acted);
                let _ = self.client.send_with("last words", 1_u64);
                self.client.close();
                self.client.close();
            }
            1 => {
                self.tell(Told::Acted);
                self.client.abort();
            }
            2 => {
                self.tell(Told::Acted);
                let _ = self.client.write_eof();
            }
            3 => {
                self.client.pause_reading();
                self.client.resume_reading();
            }
            4 => {
                self.tell(Told::Acted);
                self.client
                    .close_with(false, Some(Duration::from_millis(50)));
            }
            _ => {}
        }
    }
}

impl Actor for Whim {
    type Context = Context<Self>;
}

macro_rules! whims {
    ($($event:ident => |$this:ident, $message:ident| $told:expr;)*) => {$(
        impl Handler<$event> for Whim {
            type Result = ();

            fn handle(&mut self, $message: $event, _: &mut Self::Context) {
                let $this = self;
                let told = $told;
                $this.tell(told);
                $this.act();
            }
        }
    )*};
}

whims! {
    Accepted => |this, event| Told::Opened(event.client);
    Connected => |this, event| Told::Opened(event.client);
    ConnectFailed => |this, event| Told::Failed(event.client);
    DataReceived => |this, event| {
        let _ = this.client.send(event.data.clone());
        Told::Data(event.client, event.data)
    };
    PeerFinished => |this, event| {
        let id = event.client;
        if this.dice.roll(2) == 0 {
            event.keep_open();
            let _ = this.client.send_with("you have finished", 2_u64);
            let _ = this.client.write_eof();
        }
        Told::Finished(id)
    };
    Sent => |this, event| Told::Other(event.client);
    WritePaused => |this, event| Told::Other(event.client);
    WriteResumed => |this, event| Told::Other(event.client);
    Closed => |this, event| Told::Closed(event.client);
}

session!(Whim);

/// Sends random pieces, reads now and then, and ends in one of several ways.
fn whimsical_peer(mut stream: TcpStream, mut dice: Dice) {
    let mut sent = 0;
    for _ in 0..dice.roll(6) {
        let size = dice.roll(20_000) as usize + 1;
        // A connection that is closed on the other side takes no more; the rest is not sent.
        let Ok(()) = stream.write_all(&stretch(sent..sent + size)) else {
            break;
        };
        sent += size;
        if dice.roll(2) == 0 {
            stream.set_nonblocking(true).unwrap();
            let _ = stream.read(&mut [0; 10_000]);
            stream.set_nonblocking(false).unwrap();
        }
    }
    match dice.roll(3) {
        0 => {
            // The other side may be gone already.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = drain(&mut stream);
        }
        // Bytes that are unread make it a reset.
        1 => drop(stream),
        _ => reset_on_close(&stream),
    }
}

/// AIO-35, T-04: whatever peers and sessions do, the opening event comes first and once, `Closed` last
/// and once, and the bytes between them in order and without a gap.
#[test]
fn aio_35_opened_first_closed_last_and_once_whatever_happens() {
    const PEERS: u64 = 400;
    let _turn = in_turn();
    let (events, mut told) = tokio_mpsc::unbounded_channel();
    let seen = &mut told;
    with(Pool::builder().shards(2), |pool| async move {
        let inbound = events.clone();
        let make = move |client: Client| Whim {
            dice: Dice(client.id().as_u64() * 2 + 0x9E37_79B9),
            client,
            events: inbound.clone(),
        };
        let listen = local().data().linger_timeout(Duration::from_millis(200));
        let server = pool.listen(listen, make).await.unwrap();
        let address = server.local_addr();
        let (listener, outbound) = listener();
        let threads: Vec<_> = (0..4_u64)
            .map(|thread| {
                let listener = listener.try_clone().unwrap();
                std::thread::spawn(move || {
                    for round in 0..PEERS / 4 {
                        let dice = Dice((thread << 32) + round * 7919 + 0x2545_F491);
                        let stream = if round % 4 == 0 {
                            listener.accept().unwrap().0
                        } else {
                            dial(address)
                        };
                        stream.set_read_timeout(Some(PATIENCE)).unwrap();
                        stream.set_write_timeout(Some(PATIENCE)).unwrap();
                        whimsical_peer(stream, dice);
                    }
                })
            })
            .collect();
        for seed in 0..PEERS / 4 {
            let events = events.clone();
            let connect = Connect::tcp(outbound)
                .data()
                .linger_timeout(Duration::from_millis(200));
            drop(pool.connect(connect, move |client| Whim {
                client,
                dice: Dice(seed * 31 + 0x1234_5678),
                events,
            }));
        }
        peer(|| {
            for thread in threads {
                thread.join().unwrap();
            }
        })
        .await;

        let mut open: HashMap<ClientId, usize> = HashMap::new();
        let mut over = HashSet::new();
        while (over.len() as u64) < PEERS {
            let next = tokio::time::timeout(PATIENCE, seen.recv());
            match next.await.expect("no event in time").unwrap() {
                Told::Opened(id) => assert_eq!(open.insert(id, 0), None, "opened twice"),
                Told::Data(id, data) => {
                    let got = open.get_mut(&id).expect("data outside of a connection");
                    assert!(!data.is_empty());
                    assert!(data == stretch(*got..*got + data.len()), "a gap");
                    *got += data.len();
                }
                Told::Finished(id) | Told::Other(id) => {
                    assert!(open.contains_key(&id), "an event outside of a connection");
                }
                // Also from within `Closed`, where it must do nothing.
                Told::Acted => {}
                Told::Failed(id) => {
                    assert!(!open.contains_key(&id), "failed, but opened");
                    assert!(over.insert(id), "failed twice");
                }
                Told::Closed(id) => {
                    assert!(open.remove(&id).is_some(), "closed, but not open");
                    assert!(over.insert(id), "closed twice");
                }
            }
        }
        assert!(open.is_empty());
    });
    // What a session does with its last event may still be told of itself, nothing else.
    while let Ok(late) = told.try_recv() {
        assert!(matches!(late, Told::Acted), "{late:?} after the end");
    }
}

/// AIO-35: where neither side interferes, every byte of a peer that finishes is delivered first, and
/// a reset is an error.
#[test]
fn aio_35_a_fin_is_told_behind_every_byte_and_a_reset_is_never_taken_for_it() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        for round in 0..40_u64 {
            let finishes = round % 2 == 0;
            let (mut stream, client, mut trace) = opened(&pool, local().data()).await;
            let sent = peer(move || {
                let mut dice = Dice(round * 104_729 + 0x5DEE_CE66);
                let mut sent = 0;
                for _ in 0..dice.roll(5) {
                    let size = dice.roll(30_000) as usize + 1;
                    stream.write_all(&stretch(sent..sent + size)).unwrap();
                    sent += size;
                }
                if !finishes {
                    reset_on_close(&stream);
                }
                sent
            })
            .await;
            let mut got = 0;
            let closed = loop {
                match trace.next().await {
                    ClientEvent::DataReceived(event) => {
                        assert!(event.data == stretch(got..got + event.data.len()));
                        got += event.data.len();
                    }
                    ClientEvent::Closed(closed) => break closed,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(closed.detail.bytes_in, got as u64);
            assert_eq!(client.info().activity.bytes_in, got as u64);
            if finishes {
                assert_eq!(got, sent);
                assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
            } else {
                assert_eq!(closed.reason, ClosedReason::Error);
            }
            trace.ended().await;
        }
    });
}

/// Answers lines and counts how often it is told the end.
struct Counted {
    client: Client,
    ends: tokio_mpsc::UnboundedSender<(ClientId, ClosedReason)>,
}

impl Actor for Counted {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Counted {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        // A pool that is being stopped takes no more.
        let _ = self.client.send_line(&event.line);
    }
}

impl Handler<Closed> for Counted {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        self.ends.send((event.client, event.reason)).unwrap();
    }
}

session!(Counted);

/// How many files this process may have open.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(1024)
}

/// XAS-19, T-04: 10,000 connections, as many at a time as the system lets us have.
#[test]
fn ten_thousand_connections_are_each_closed_once() {
    const CONNECTIONS: usize = 10_000;
    let _turn = in_turn();
    // Both ends of a connection are files of this process.
    let wave = (open_files().saturating_sub(400) / 2).clamp(100, 2_500);
    let (ends, mut told) = tokio_mpsc::unbounded_channel();
    let seen = &mut told;
    let totals = with(Pool::builder().shards(2), |pool| async move {
        let make = move |client| Counted {
            client,
            ends: ends.clone(),
        };
        let listen = local().lines().backlog(4096);
        let server = pool.listen(listen, make).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            let mut left = CONNECTIONS;
            while left > 0 {
                let count = wave.min(left);
                left -= count;
                let mut streams: Vec<_> = (0..count).map(|_| dial(address)).collect();
                for (number, stream) in streams.iter_mut().enumerate() {
                    stream
                        .write_all(
                            format!(
                                "line {number}
"
                            )
                            .as_bytes(),
                        )
                        .unwrap();
                }
                for (number, stream) in streams.iter_mut().enumerate() {
                    let line = format!(
                        "line {number}
"
                    );
                    assert_eq!(read_exact(stream, line.len()), line.as_bytes());
                }
            }
        })
        .await;
        let mut closed = HashSet::new();
        for _ in 0..CONNECTIONS {
            let next = tokio::time::timeout(PATIENCE, seen.recv());
            let (id, reason) = next.await.expect("a Closed is missing").unwrap();
            assert!(closed.insert(id), "{id} was closed twice");
            assert_eq!(reason, ClosedReason::ClosedByPeer);
        }
        let info = server.info();
        assert_eq!(info.accepted, CONNECTIONS as u64);
        assert_eq!((info.live, info.rejected, info.faults), (0, 0, 0));
    });
    assert!(told.try_recv().is_err(), "a Closed too many");
    assert_eq!(totals.closed, [0, 0, CONNECTIONS as u64, 0]);
}

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
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
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
        let (mut stream, client, mut trace) = opened(&pool, local().lines()).await;
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
        let (dead, dead_client, mut trace) = opened(&pool, local().lines()).await;
        let (mut live, live_client, _trace) = opened(&pool, local().lines()).await;
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
