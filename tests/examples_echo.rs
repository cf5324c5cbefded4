//! `echo`, signalled while peers are there.
#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use switchboard_tests::{dial, exchange, read_all};

use crate::examples_support::{Example, summary};

/// Peers that have each had a line echoed, so that the server knows them all.
fn peers(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|number| {
            let mut peer = dial(address);
            let line = format!("peer {number}\r\n");
            assert_eq!(exchange(&mut peer, line.as_bytes()), line.as_bytes());
            peer
        })
        .collect()
}

fn ends_in_order_by(signal: &str) {
    let (echo, address) = Example::serve("echo", &[]);
    let peers = peers(address, 20);
    echo.signal(signal);
    for mut peer in peers {
        assert_eq!(read_all(&mut peer), b"");
    }
    let last = summary("20 accepted, 0 connected", "closed by host", 20);
    assert_eq!(echo.succeed().trim_end(), last);
    TcpStream::connect(address).expect_err("the port must be closed");
}

/// XAS-07.
#[test]
fn xas_07_an_interrupt_ends_echo_in_order() {
    ends_in_order_by("INT");
}

/// XAS-07.
#[test]
fn xas_07_a_termination_ends_echo_in_order() {
    ends_in_order_by("TERM");
}

/// XAS-07: without any peer there is nothing to wait for.
#[test]
fn xas_07_an_idle_echo_ends_at_once() {
    let (echo, _) = Example::serve("echo", &[]);
    let signalled = Instant::now();
    echo.signal("INT");
    let last = summary("0 accepted, 0 connected", "closed by host", 0);
    assert_eq!(echo.succeed().trim_end(), last);
    assert!(
        signalled.elapsed() < Duration::from_secs(5),
        "{:?}",
        signalled.elapsed()
    );
}

/// XAS-36, XAS-37: line echo, byte for byte, by the program itself.
#[test]
fn xas_36_echo_gives_the_same_bytes_back() {
    let (echo, address) = Example::serve("echo", &[]);
    let script = b"one\r\ntwo\n\n\r\n\xFF\xFE\x00\nlast\r\n";
    let mut peer = dial(address);
    assert_eq!(exchange(&mut peer, script), script);
    echo.signal("INT");
    assert_eq!(read_all(&mut peer), b"");
    let last = summary("1 accepted, 0 connected", "closed by host", 1);
    assert_eq!(echo.succeed().trim_end(), last);
}

/// AIO-37: the peer has finished long before its last line is echoed.
#[test]
fn aio_37_a_peer_that_finished_still_gets_every_line_back() {
    let (echo, address) = Example::serve("echo", &[]);
    let mut peer = dial(address);
    let sent = fill(&mut peer);
    peer.shutdown(Shutdown::Write).unwrap();
    let echoed = read_all(&mut peer);
    assert_lines(&echoed);
    assert_eq!(echoed.len(), sent - sent % LINE.len(), "of {sent} bytes");
    echo.signal("INT");
    let last = summary("1 accepted, 0 connected", "closed by peer", 1);
    assert_eq!(echo.succeed().trim_end(), last);
}

/// XAS-07, XAS-11.
#[test]
fn xas_07_an_interrupt_still_sends_what_was_queued() {
    let (echo, address) = Example::serve("echo", &[]);
    let mut peer = dial(address);
    fill(&mut peer);
    echo.signal("INT");
    echo.wait_for_log("pool draining");
    let echoed = read_all(&mut peer);
    assert_lines(&echoed);
    drop(peer);
    let last = summary("1 accepted, 0 connected", "closed by host", 1);
    assert_eq!(echo.succeed().trim_end(), last);
}

/// XAS-07: the first interrupt would wait 10 s for a peer that does not read.
#[test]
fn xas_07_a_second_interrupt_resets_a_peer_that_stalls() {
    let (mut echo, address) = Example::serve("echo", &[]);
    let mut stalled = peers(address, 1).remove(0);
    fill(&mut stalled);
    echo.signal("INT");
    echo.wait_for_log("pool draining");
    let interrupted = Instant::now();
    // Long enough for an orderly stop to end, were it not for the stalled peer.
    std::thread::sleep(Duration::from_millis(500));
    assert!(echo.is_running(), "the stalled peer was not waited for");
    echo.signal("INT");
    let last = summary("1 accepted, 0 connected", "closed by host", 1);
    assert_eq!(echo.succeed().trim_end(), last);
    assert!(
        interrupted.elapsed() < Duration::from_secs(5),
        "{:?}",
        interrupted.elapsed()
    );
    let end = read_to_end(&mut stalled);
    assert_eq!(end, Some(ErrorKind::ConnectionReset));
}

const LINE: &[u8] = b"a line that comes back and is not read\n";

/// Sends lines without reading any until the server takes no more, when its queue and the system's
/// are full; returns how many bytes went out.
fn fill(peer: &mut TcpStream) -> usize {
    let lines = LINE.repeat(1000);
    // So long does nothing move once everything is full.
    let quiet = Duration::from_millis(500);
    peer.set_write_timeout(Some(quiet)).unwrap();
    let mut sent = 0;
    while let Ok(count) = peer.write(&lines[sent % lines.len()..]) {
        sent += count;
    }
    sent
}

/// Whole lines, in order, at least one.
fn assert_lines(echoed: &[u8]) {
    assert!(!echoed.is_empty());
    let mut lines = echoed.chunks(LINE.len());
    assert!(lines.all(|line| line == LINE), "{} bytes", echoed.len());
}

/// How reading ends: `None` for an orderly end, else the error.
fn read_to_end(peer: &mut TcpStream) -> Option<ErrorKind> {
    peer.read_to_end(&mut Vec::new())
        .err()
        .map(|error| error.kind())
}
