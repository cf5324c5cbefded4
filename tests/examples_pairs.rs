//! The examples that come in pairs, run against each other.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use switchboard_tests::{dial, exchange, read_all};

use crate::examples_support::{Example, summary};

/// How many of these lines contain this.
fn count<'a>(lines: impl IntoIterator<Item = &'a str>, part: &str) -> usize {
    lines.into_iter().filter(|line| line.contains(part)).count()
}

/// XAS-71.
#[test]
fn xas_71_a_hundred_clients_say_hello_and_both_sides_know_why_they_ended() {
    let (server, address) = Example::serve("tcp_server", &[]);
    let printed = Example::start("tcp_client", &[&address.to_string()]).succeed();
    assert_eq!(count(printed.lines(), ": Hello World"), 100, "{printed}");
    assert_eq!(
        count(printed.lines(), ": closed by host ("),
        100,
        "{printed}"
    );
    assert_eq!(
        printed.lines().last().unwrap(),
        summary("0 accepted, 100 connected", "closed by host", 100)
    );
    let ends: Vec<_> = (0..100).map(|_| server.line()).collect();
    let by_peer = ends
        .iter()
        .filter(|line| line.contains(": closed by peer ("));
    assert_eq!(by_peer.count(), 100, "{ends:?}");
    server.signal("INT");
    assert_eq!(
        server.succeed().trim_end(),
        summary("100 accepted, 0 connected", "closed by peer", 100)
    );
}

/// XAS-71: the server's 2 s per line.
#[test]
fn xas_71_a_silent_client_is_closed_by_timeout() {
    let (server, address) = Example::serve("tcp_server", &[]);
    let mut peer = dial(address);
    assert_eq!(exchange(&mut peer, b"Hello World\r\n"), b"Hello World\r\n");
    let answered = Instant::now();
    assert_eq!(read_all(&mut peer), b"");
    let silent = answered.elapsed();
    assert!(silent > Duration::from_millis(1900), "{silent:?}");
    drop(peer);
    let line = server.line();
    assert!(
        line.contains(": timeout (receive timeout after 2s"),
        "{line}"
    );
    server.signal("TERM");
    let last = summary("1 accepted, 0 connected", "timeout", 1);
    assert_eq!(server.succeed().trim_end(), last);
}

/// XAS-71: the client's 1 s for the answer.
#[test]
fn xas_71_a_silent_server_is_given_up_by_timeout() {
    // Accepts by its backlog alone and never answers.
    let (_listener, address) = switchboard_tests::listener();
    let printed = Example::start("tcp_client", &[&address.to_string(), "3"]).succeed();
    assert_eq!(
        count(printed.lines(), ": timeout (receive timeout after 1s"),
        3,
        "{printed}"
    );
    let last = summary("0 accepted, 3 connected", "timeout", 3);
    assert_eq!(printed.lines().last().unwrap(), last);
}

/// XAS-07.
#[test]
fn xas_07_an_interrupt_closes_every_connection_and_prints_each_reason_once() {
    let (server, address) = Example::serve("tcp_server", &[]);
    let mut peers: Vec<_> = (0..5).map(|_| dial(address)).collect();
    for peer in &mut peers {
        exchange(peer, b"here\n");
    }
    server.signal("INT");
    for mut peer in peers {
        assert_eq!(read_all(&mut peer), b"");
    }
    let printed = server.succeed();
    assert_eq!(
        count(printed.lines(), ": closed by host (drained)"),
        5,
        "{printed}"
    );
    assert_eq!(printed.lines().count(), 6, "{printed}");
    let last = summary("5 accepted, 0 connected", "closed by host", 5);
    assert_eq!(printed.lines().last().unwrap(), last);
}

/// XAS-71.
#[test]
fn xas_71_udp_start_and_next_go_back_and_forth() {
    let (receiver, address) = Example::serve("udp_receiver", &["500"]);
    let sent = Example::start("udp_sender", &[&address.to_string(), "500"]).succeed();
    let received = receiver.succeed();
    assert_eq!(
        received.trim_end(),
        "500 datagrams received, 500 answers sent"
    );
    let last = sent.lines().last().unwrap();
    assert_eq!(last, "500 datagrams sent, 500 answers received");
}

/// AC-25.
#[test]
fn ac_25_three_peers_get_a_mebibyte_each_back() {
    const SIZE: usize = 1024 * 1024;
    let (server, address) = Example::serve("echo_server", &[]);
    let peers = [1_u8, 3, 7].map(|step| {
        thread::spawn(move || {
            let mut counter = 0_u8;
            let data: Vec<u8> = (0..SIZE)
                .map(|_| {
                    counter = counter.wrapping_mul(31).wrapping_add(step);
                    counter
                })
                .collect();
            let mut stream = dial(address);
            let mut writer = stream.try_clone().unwrap();
            let script = data.clone();
            let writing = thread::spawn(move || {
                writer.write_all(&script).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let echoed = read_all(&mut stream);
            writing.join().unwrap();
            assert!(echoed == data, "{} bytes came back", echoed.len());
        })
    });
    for peer in peers {
        peer.join().unwrap();
    }
    server.signal("INT");
    let last = summary("3 accepted, 0 connected", "closed by peer", 3);
    assert_eq!(server.succeed().trim_end(), last);
}

/// AIO-44.
#[test]
fn aio_44_the_server_echoes_and_closes_after_two_seconds() {
    let (server, address) = Example::serve("protocol_echo_server", &[]);
    let dialled = Instant::now();
    let mut peer = dial(address);
    let accepted = server.line();
    let opened = Instant::now();
    assert!(accepted.ends_with(": connection made"), "{accepted}");
    assert_eq!(exchange(&mut peer, b"hello"), b"hello");
    let received = server.line();
    assert!(
        received.ends_with(r#": data received: "hello""#),
        "{received}"
    );
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    // Not before 2 s after it was asked for, not later than 2.2 s after it was seen to be open.
    assert!(
        dialled.elapsed() >= Duration::from_secs(2),
        "{:?}",
        dialled.elapsed()
    );
    assert!(
        opened.elapsed() <= Duration::from_millis(2200),
        "{:?}",
        opened.elapsed()
    );
    drop(peer);
    let lost = server.line();
    assert!(
        lost.ends_with(": connection lost: closed by host"),
        "{lost}"
    );
    server.signal("INT");
    let last = summary("1 accepted, 0 connected", "closed by host", 1);
    assert_eq!(server.succeed().trim_end(), last);
}

/// AIO-45.
#[test]
fn aio_45_the_client_prints_the_echo_and_ends_when_the_connection_is_lost() {
    let (server, address) = Example::serve("protocol_echo_server", &[]);
    let arguments = [&address.to_string(), "first line\nsecond line"];
    let printed = Example::start("protocol_echo_client", &arguments).succeed();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        lines,
        [
            r#"data sent: "first line\nsecond line""#,
            r#"data received: "first line\nsecond line""#,
            "connection lost: closed by peer",
        ]
    );
    server.signal("INT");
    let printed = server.succeed();
    assert_eq!(count(printed.lines(), "connection made"), 1, "{printed}");
    assert_eq!(
        count(printed.lines(), "connection lost: closed by host"),
        1,
        "{printed}"
    );
}
