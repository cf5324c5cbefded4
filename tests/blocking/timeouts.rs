//! Calls that take too long.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use switchboard::blocking::{self, AcceptError, Client, ClosedError};
use switchboard::{Listen, RecvError, SentError};
use switchboard_tests::{pattern, read_exact};

use super::pair;

const AFTER: Duration = Duration::from_millis(100);

/// Runs a call that must end in time, and not before.
fn late<T>(call: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = call();
    let took = began.elapsed();
    // The upper bound is for a machine that is busy with other tests.
    assert!(took >= AFTER && took < AFTER * 30, "it took {took:?}");
    outcome
}

/// ACO-12.
#[test]
fn aco_12_every_receive_ends_in_time_and_leaves_what_has_come() {
    let (client, mut peer) = pair();
    let limited = client.within(AFTER);
    let silent: [fn(&Client) -> Option<RecvError>; 6] = [
        |client| client.recv_line().err(),
        |client| client.recv_exact(9).err(),
        |client| client.recv_up_to(9).err(),
        |client| client.recv_available().err(),
        |client| client.recv_until("|").err(),
        |client| client.recv_msg().err(),
    ];
    for call in silent {
        let error = late(|| call(&limited)).unwrap();
        assert_eq!(error.io_kind(), ErrorKind::TimedOut);
        assert_eq!(error.partial(), b"");
    }
    peer.write_all(b"half a li").unwrap();
    let Err(RecvError::TimedOut { partial, after }) = late(|| limited.recv_line()) else {
        panic!("a line came");
    };
    assert_eq!((&partial[..], after), (&b"half a li"[..], AFTER));
    peer.write_all(b"ne\n").unwrap();
    assert_eq!(client.recv_line().unwrap().as_bytes(), b"half a line");
}

/// ACO-12.
#[test]
fn aco_12_every_send_to_a_peer_that_does_not_read_ends_in_time() {
    let (client, mut peer) = pair();
    let limited = client.within(AFTER);
    let bytes = pattern(12 << 20);
    let error = late(|| limited.sent(bytes.clone())).unwrap_err();
    let SentError::TimedOut { sent, .. } = error else {
        panic!("{error}");
    };
    assert!((1..bytes.len()).contains(&sent), "{sent}");
    let others: [fn(&Client) -> Option<SentError>; 4] = [
        |client| client.sent_line("line").err(),
        |client| client.sent_msg("message").err(),
        |client| client.drained().err(),
        |client| client.flushed().err(),
    ];
    for call in others {
        let error = late(|| call(&limited)).unwrap();
        assert_eq!(error.io_kind(), ErrorKind::TimedOut);
        assert_eq!(error.sent(), 0);
    }
    let refused = late(|| (&limited).write(b"more")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut);
    // What is queued stays queued.
    assert!(read_exact(&mut peer, bytes.len()) == bytes);
    assert_eq!(read_exact(&mut peer, 16), b"line\n\0\0\0\x07message"[..16]);
    client.flushed().unwrap();
}

/// ACO-12.
#[test]
fn aco_12_reading_waiting_for_the_end_and_accepting_end_in_time() {
    let (client, _peer) = pair();
    let limited = client.within(AFTER);
    let read = late(|| (&limited).read(&mut [0; 4])).unwrap_err();
    assert_eq!(read.kind(), ErrorKind::TimedOut);
    let closed = late(|| limited.closed());
    assert_eq!(closed, Err(ClosedError::TimedOut { after: AFTER }));
    let listener = blocking::listen(Listen::tcp("127.0.0.1:0")).unwrap();
    let nobody = late(|| listener.within(AFTER).accept()).unwrap_err();
    assert_eq!(nobody, AcceptError::TimedOut { after: AFTER });
    // The next call is not owed to the one before.
    let _peer = switchboard_tests::dial(listener.local_addr());
    listener.accept().unwrap();
}
