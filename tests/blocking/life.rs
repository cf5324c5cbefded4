//! The pool in the background: when it is there, and when it is not.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use switchboard::blocking::{self, AcceptError, ClosedError, OpenError};
use switchboard::{Cause, Connect, Listen, RecvError, SentError};
use switchboard_tests::{PATIENCE, alone, dial, listener, pattern, read_all, stuff};

use super::{accepted, pair};

/// Threads and descriptors.
type Held = (BTreeSet<String>, usize);

/// Those of this process.
fn held() -> Held {
    let names = |directory: &str| {
        std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<BTreeSet<_>>()
    };
    (names("/proc/self/task"), names("/proc/self/fd").len())
}

/// Checks that no more is held. The system lists a thread for a moment after it was joined.
fn assert_held(only: &Held) {
    let since = Instant::now();
    while held() != *only && since.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert_eq!(held(), *only);
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// ACO-02.
#[cfg(target_os = "linux")]
#[test]
fn aco_02_nothing_is_left_when_the_last_handle_is_gone_and_it_starts_again() {
    if !alone("life::aco_02_nothing_is_left_when_the_last_handle_is_gone_and_it_starts_again") {
        return;
    }
    // Once started, tokio keeps a pair of sockets for signals, for the whole process.
    let none = held();
    drop(pair());
    let before = (none.0, none.1 + 2);
    assert_held(&before);
    for _ in 0..3 {
        let (client, mut peer) = pair();
        let (other, mut other_peer) = accepted();
        let limited = other.within(PATIENCE);
        client.handle().send("last words").unwrap();
        assert!(held().0.len() > before.0.len());
        drop(client);
        assert_eq!(read_all(&mut peer), b"last words");
        // There is still a handle: the pool runs on.
        limited.sent("here").unwrap();
        drop((limited, peer));
        let waiting = std::thread::spawn(move || read_all(&mut other_peer));
        drop(other);
        assert_eq!(waiting.join().unwrap(), b"here");
        assert_held(&before);
    }
    let listener = blocking::listen(Listen::tcp("127.0.0.1:0")).unwrap();
    let address = listener.local_addr();
    drop(listener);
    assert_held(&before);
    assert!(std::net::TcpStream::connect(address).is_err());
    // A connect that fails leaves nothing either.
    assert!(blocking::connect(Connect::tcp(address)).is_err());
    assert_held(&before);
}

#[test]
fn the_last_handle_has_what_is_queued_sent_before_it_is_gone() {
    let (client, mut peer) = pair();
    let bytes = pattern(300_000);
    client.handle().send(bytes.clone()).unwrap();
    let reading = std::thread::spawn(move || read_all(&mut peer));
    drop(client);
    assert!(reading.join().unwrap() == bytes);
}

#[test]
fn a_pool_that_was_stopped_is_an_error_and_the_next_connect_starts_another() {
    if !alone("life::a_pool_that_was_stopped_is_an_error_and_the_next_connect_starts_another") {
        return;
    }
    let (client, mut peer) = pair();
    let waiting = std::thread::spawn({
        let client = client.clone();
        move || client.recv_line()
    });
    drop(client.handle().pool().stop());
    let answered = waiting.join().unwrap();
    assert!(
        matches!(answered, Err(RecvError::Closed { .. })),
        "{answered:?}"
    );
    assert_eq!(read_all(&mut peer), b"");
    let (again, _peer) = pair();
    again.sent("works").unwrap();
    assert!(matches!(client.sent("x"), Err(SentError::Closed { .. })));
}

#[test]
fn a_panic_in_the_background_is_an_error_and_never_a_hang() {
    if !alone("life::a_panic_in_the_background_is_an_error_and_never_a_hang") {
        return;
    }
    let (client, _peer) = pair();
    let waiting = std::thread::spawn({
        let client = client.clone();
        move || client.recv_line()
    });
    let lent = client
        .handle()
        .with_socket(|_| -> () { panic!("in the pool's thread") });
    assert_eq!(block_on(lent), None);
    let Err(RecvError::Closed { cause, .. }) = waiting.join().unwrap() else {
        panic!("a line came");
    };
    assert_eq!(cause, Cause::RuntimeFailed);
    assert!(matches!(client.sent("x"), Err(SentError::Closed { .. })));
    let (again, _peer) = pair();
    again.sent("works").unwrap();
}

#[test]
fn where_async_code_runs_every_call_is_refused_at_once() {
    let (client, mut peer) = pair();
    let listener = blocking::listen(Listen::tcp("127.0.0.1:0")).unwrap();
    let refuse = || {
        let opened = blocking::connect(Connect::tcp(listener.local_addr()));
        assert!(matches!(opened, Err(OpenError::InsideAsync)));
        let opened = blocking::listen(Listen::tcp("127.0.0.1:0"));
        assert!(matches!(opened, Err(OpenError::InsideAsync)));
        assert_eq!(listener.accept().unwrap_err(), AcceptError::InsideAsync);
        assert_eq!(client.recv_line().unwrap_err(), RecvError::InsideAsync);
        assert_eq!(client.sent("x").unwrap_err(), SentError::InsideAsync);
        assert_eq!(client.flushed().unwrap_err(), SentError::InsideAsync);
        assert_eq!(client.closed().unwrap_err(), ClosedError::InsideAsync);
        let read = (&client).read(&mut [0]).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::WouldBlock);
    };
    block_on(async { refuse() });
    actix::System::new().block_on(async { refuse() });
    // Where blocking work belongs it is done.
    let used = client.clone();
    block_on(async move {
        let working = tokio::task::spawn_blocking(move || used.sent("worked"));
        working.await.unwrap().unwrap();
    });
    client.close();
    assert_eq!(read_all(&mut peer), b"worked");
}

#[test]
fn dropped_where_async_code_runs_the_last_handle_does_not_wait() {
    if !alone("life::dropped_where_async_code_runs_the_last_handle_does_not_wait") {
        return;
    }
    let before = held().0;
    let (listener, address) = listener();
    let client = blocking::connect(Connect::tcp(address)).unwrap();
    let (peer, _) = listener.accept().unwrap();
    // The peer does not read: to send this takes until somebody gives up.
    client.handle().send(pattern(16 << 20)).unwrap();
    let began = Instant::now();
    block_on(async move { drop(client) });
    assert!(began.elapsed() < Duration::from_secs(5));
    drop(peer);
    let until = Instant::now() + PATIENCE;
    while held().0 != before {
        assert!(Instant::now() < until, "its thread does not end");
        // Asks again shortly whether the thread has ended.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Nobody is accepted before it is asked for, and nothing is read.
#[test]
fn a_peer_that_nobody_receives_from_is_stalled() {
    let listener = blocking::listen(Listen::tcp("127.0.0.1:0")).unwrap();
    let peer = dial(listener.local_addr());
    let client = listener.accept().unwrap();
    let bytes = pattern(64 << 20);
    let taken = stuff(&peer, &bytes);
    assert!(taken < bytes.len(), "all was taken");
    assert_eq!(client.handle().info().activity.bytes_in, 0);
}
