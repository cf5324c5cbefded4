//! Faults of the network, as sessions and peers see them.

mod opening;
mod random;
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::faults::{Action, FaultCounts, Operation, Party};
use switchboard::testkit::{Faults, FaultyNet};
use switchboard::transport::TcpNetwork;
use switchboard::{Cause, IoOperation, PoolBuilder, TimeoutKind};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn faulty(faults: &Faults) -> PoolBuilder {
    let network = FaultyNet::new(TcpNetwork, faults.clone());
    Pool::builder().shards(1).network(network)
}

/// A cause that is a system's error of this operation and kind.
#[track_caller]
fn assert_io(closed: &Closed, expected: IoOperation, expected_kind: ErrorKind) {
    let Cause::Io {
        operation, kind, ..
    } = closed.detail.cause
    else {
        panic!("{:?}", closed.detail);
    };
    assert_eq!((operation, kind), (expected, expected_kind));
    assert_eq!(closed.reason, ClosedReason::Error);
}

/// Reads until the peer's end or error.
fn drain(stream: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).err();
    (bytes, error.map(|error| error.kind()))
}

#[test]
fn a_reset_while_reading_closes_once_and_the_peer_sees_it() {
    let faults = Faults::none().reset_at_read(8);
    with(faulty(&faults), |pool| async move {
        let (mut stream, _client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        stream.write_all(b"before\nafter\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"before");
        let closed = expect!(trace, Closed);
        assert_io(&closed, IoOperation::Read, ErrorKind::ConnectionReset);
        assert_eq!(closed.detail.unread, "a");
        assert_eq!(drain(&mut stream).1, Some(ErrorKind::ConnectionReset));
        trace.no_more(ms(50)).await;
    });
    assert_eq!(faults.counts().resets, 1, "{}", faults.counts());
}

#[test]
fn a_reset_while_writing_closes_once_and_the_peer_sees_it() {
    let faults = Faults::none().reset_at_write(1000);
    with(faulty(&faults), |pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        client.send(pattern(5000)).unwrap();
        let closed = expect!(trace, Closed);
        // The session waits for lines, so either direction may be the first to see it.
        assert_eq!(closed.reason, ClosedReason::Error);
        assert!(matches!(
            closed.detail.cause,
            Cause::Io {
                kind: ErrorKind::ConnectionReset,
                ..
            }
        ));
        let (bytes, error) = drain(&mut stream);
        assert!(pattern(1000).starts_with(&bytes), "not what was written");
        assert_eq!(error, Some(ErrorKind::ConnectionReset));
        trace.no_more(ms(50)).await;
    });
    assert_eq!(faults.counts().resets, 1);
}

#[test]
fn a_false_end_is_an_end_and_what_is_sent_still_arrives() {
    let faults = Faults::none().eof_at(5);
    with(faulty(&faults), |pool| async move {
        let (mut stream, client, mut trace) = serve_full(&pool, Listen::tcp(ANY).lines()).await;
        stream.write_all(b"line\nlost\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"line");
        expect!(trace, PeerFinished).keep_open();
        client.send("answer").unwrap();
        assert_eq!(read_exact(&mut stream, 6), b"answer");
        client.close();
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByHost);
    });
    assert!(faults.counts().eofs >= 1);
}

#[test]
fn stalled_writes_end_in_a_flush_timeout_and_reading_goes_on() {
    let faults = Faults::none().stall_writes_after(100);
    with(faulty(&faults), |pool| async move {
        let listen = Listen::tcp(ANY).lines().flush_timeout(ms(100));
        let (mut stream, client, mut trace) = serve(&pool, listen).await;
        client.send(pattern(300)).unwrap();
        assert_eq!(read_exact(&mut stream, 100), pattern(100));
        stream.write_all(b"still read\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"still read");
        client.close();
        let closed = expect!(trace, Closed);
        let Some(Cause::Timeout { kind, .. }) = closed.detail.cut_short else {
            panic!("{:?}", closed.detail);
        };
        assert_eq!(kind, TimeoutKind::Flush);
        assert_eq!(closed.detail.unsent, 200);
        trace.no_more(ms(50)).await;
    });
    assert_eq!(faults.counts().stalls, 1);
}

#[test]
fn stalled_reads_are_an_idle_timeout_and_writing_goes_on() {
    let faults = Faults::none().stall_reads_after(4);
    with(faulty(&faults), |pool| async move {
        let listen = Listen::tcp(ANY).lines().idle_read_timeout(ms(150));
        let (mut stream, client, mut trace) = serve(&pool, listen).await;
        stream.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"one");
        client.send("writing").unwrap();
        assert_eq!(read_exact(&mut stream, 7), b"writing");
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::Timeout);
        trace.no_more(ms(50)).await;
    });
    assert_eq!(faults.counts().stalls, 1);
}

#[test]
fn lost_writes_are_sent_for_us_and_never_come() {
    let faults = Faults::none().lose_writes_after(4);
    with(faulty(&faults), |pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        client.send_with("kept, and this is lost", 1).unwrap();
        assert_eq!(expect!(trace, Sent).bytes, 22);
        assert_eq!(read_exact(&mut stream, 4), b"kept");
        stream.write_all(b"heard\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"heard");
        client.abort();
        assert!(drain(&mut stream).0.is_empty());
    });
    assert_eq!(faults.counts().lost_bytes, 18);
}

#[test]
fn lost_reads_never_come_and_writing_goes_on() {
    let faults = Faults::none().lose_reads_after(4);
    with(faulty(&faults), |pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        stream.write_all(b"one\ntwo\nthree\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"one");
        client.send("writing").unwrap();
        assert_eq!(read_exact(&mut stream, 7), b"writing");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        trace.no_more(ms(100)).await;
        client.abort();
        expect!(trace, Closed);
    });
    assert_eq!(faults.counts().lost_bytes, 10);
}

/// Sends lines through an echo server and compares what comes back.
async fn echoes(pool: &Pool, lines: usize) {
    let server = pool
        .listen(Listen::tcp(ANY).lines(), |client| Echo { client })
        .await
        .unwrap();
    let stream = dial(server.local_addr());
    let sent: String = (0..lines)
        .map(|number| format!("{number:06} {}\n", "x".repeat(number % 200)))
        .collect();
    let (writing, expected) = (sent.clone(), sent.len());
    let writer = stream.try_clone().unwrap();
    let got = peer(move || {
        let mut writer = writer;
        let writes = std::thread::spawn(move || writer.write_all(writing.as_bytes()).unwrap());
        let mut stream = stream;
        let got = read_exact(&mut stream, expected);
        writes.join().unwrap();
        got
    })
    .await;
    assert!(got == sent.as_bytes(), "not what was sent");
}

#[test]
fn short_reads_and_writes_lose_nothing() {
    let faults = Faults::none().short_reads(17).short_writes(13);
    with(
        faulty(&faults),
        |pool| async move { echoes(&pool, 300).await },
    );
    let counts = faults.counts();
    assert!(counts.short_reads > 1000, "{counts}");
    assert!(counts.short_writes > 1000, "{counts}");
}

#[test]
fn a_storm_of_would_block_loses_nothing() {
    let faults = Faults::none().block_storm(5).short_reads(500);
    with(
        faulty(&faults),
        |pool| async move { echoes(&pool, 300).await },
    );
    assert!(faults.counts().blocks > 100, "{}", faults.counts());
}

#[test]
fn delays_come_in_each_direction() {
    const DELAY: Duration = Duration::from_millis(60);
    let faults = Faults::none()
        .delay_reads(DELAY)
        .delay_writes(DELAY)
        .delay_accepts(DELAY);
    with(faulty(&faults), |pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let began = Instant::now();
        let mut stream = dial(server.local_addr());
        let mut stream = peer(move || {
            assert_eq!(exchange(&mut stream, b"first\n"), b"first\n");
            stream
        })
        .await;
        assert!(began.elapsed() >= DELAY * 3, "{:?}", began.elapsed());
        let began = Instant::now();
        peer(move || assert_eq!(exchange(&mut stream, b"second\n"), b"second\n")).await;
        assert!(began.elapsed() >= DELAY * 2, "{:?}", began.elapsed());
    });
    assert!(faults.counts().delays >= 5);
}

#[test]
fn a_fault_for_one_connection_leaves_the_others_alone() {
    let faults = Faults::none()
        .on(Party::Accepted(1))
        .reset_at_read(0)
        .on_all()
        .short_reads(2);
    with(faulty(&faults), |pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
        let mut streams = Vec::new();
        for number in 0..3 {
            let stream = dial(server.local_addr());
            // The order in which they are accepted is that in which they are counted.
            until(|| server.info().accepted == number + 1).await;
            streams.push(stream);
        }
        assert_eq!(exchange(&mut streams[0], b"zero\n"), b"zero\n");
        assert_eq!(drain(&mut streams[1]).1, Some(ErrorKind::ConnectionReset));
        assert_eq!(exchange(&mut streams[2], b"two\n"), b"two\n");
    });
    assert_eq!(faults.counts().resets, 1);
}

#[test]
fn a_script_chooses_the_result_of_each_operation() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    let faults = Faults::none().script(move |party| {
        let seen = Arc::clone(&notes);
        let mut reads = vec![
            Action::Short(2),
            Action::Block,
            Action::Fail(ErrorKind::Interrupted.into()),
            Action::Delay(ms(10)),
            Action::Short(1),
        ]
        .into_iter();
        move |operation| {
            seen.lock().unwrap().push((party, operation));
            match operation {
                Operation::Read { .. } => reads.next().unwrap_or(Action::Go),
                _ => Action::Go,
            }
        }
    });
    with(faulty(&faults), |pool| async move {
        let listen = Listen::tcp(ANY).data();
        let (mut stream, _client, mut trace) = serve(&pool, listen).await;
        stream.write_all(b"abc").unwrap();
        let mut got = Vec::new();
        while got.len() < 3 {
            got.extend_from_slice(&expect!(trace, DataReceived).data);
        }
        assert_eq!(got, b"abc");
    });
    let seen = seen.lock().unwrap();
    let places = seen
        .iter()
        .filter_map(|(party, operation)| match operation {
            Operation::Read { at, .. } => {
                assert_eq!(*party, Party::Accepted(0));
                Some(*at)
            }
            _ => None,
        });
    assert_eq!(places.take(4).collect::<Vec<_>>(), [0, 2, 2, 2]);
    assert!(seen.contains(&(Party::Listener(0), Operation::Accept)));
    let counts = faults.counts();
    assert_eq!((counts.blocks, counts.io_errors), (1, 1), "{counts}");
}

#[test]
fn counts_are_shown_in_words() {
    assert_eq!(FaultCounts::default().to_string(), "no faults");
    let faults = Faults::none().on(Party::Accepted(2)).short_reads(3);
    let shown = format!("{faults:?}");
    assert!(
        shown.contains("short_reads(3) on accepted connection 2"),
        "{shown}"
    );
}
