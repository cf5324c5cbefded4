//! Each call, against plain sockets and Python.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;

use switchboard::blocking::{self, OpenError};
use switchboard::{Connect, ConnectPhase, Listen, RecvError, SendRefusal, SentError};
use switchboard_tests::{PATIENCE, Reaped, dial, pattern, read_all, read_exact, reset_on_close};

use super::{accepted, pair, python};

/// ACO-02.
#[test]
fn aco_02_every_call_works_from_a_plain_thread() {
    for (client, mut peer) in [pair(), accepted()] {
        peer.write_all(b"a line\r\nexactupto, until|\0\0\0\x07message")
            .unwrap();
        assert_eq!(client.recv_line().unwrap().as_bytes(), b"a line");
        assert_eq!(client.recv_exact(5).unwrap(), "exact");
        assert_eq!(client.recv_up_to(4).unwrap(), "upto");
        assert_eq!(client.recv_until(",").unwrap(), "");
        assert_eq!(client.recv_until("|").unwrap(), " until");
        assert_eq!(client.recv_msg().unwrap(), "message");
        peer.write_all(b"rest").unwrap();
        assert_eq!(client.recv_exact(1).unwrap(), "r");
        assert_eq!(client.recv_available().unwrap(), "est");
        client.sent("bytes ").unwrap();
        client.sent_line("a line").unwrap();
        client.sent_msg("hi").unwrap();
        client.flushed().unwrap();
        client.drained().unwrap();
        assert_eq!(read_exact(&mut peer, 19), b"bytes a line\n\0\0\0\x02hi");
        client.write_eof().unwrap();
        assert_eq!(read_all(&mut peer), b"");
        peer.write_all(b"after").unwrap();
        assert_eq!(client.recv_exact(5).unwrap(), "after");
        assert!(client.close());
        drop(peer);
        let detail = client.closed().unwrap();
        assert_eq!((detail.unsent, detail.bytes_out), (0, 19));
    }
}

/// ACO-02, with a program that nobody here wrote at the other end, both ways round.
#[test]
fn aco_02_python_talks_to_blocking_handles_in_both_directions() {
    const CLIENT: &str = r#"
import socket, struct, sys
def exactly(s, n):
    got = b""
    while len(got) < n:
        part = s.recv(n - len(got))
        assert part, "early end"
        got += part
    return got
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20)
for size in (0, 1, 5000, 300000):
    body = bytes(i % 251 for i in range(size))
    message = struct.pack(">I", size) + body
    for at in range(0, len(message), 7001):
        s.sendall(message[at:at + 7001])
    assert exactly(s, 4) == struct.pack(">I", size)
    assert exactly(s, size) == body
s.shutdown(socket.SHUT_WR)
assert s.recv(10) == b"bye"
assert s.recv(10) == b""
"#;
    let listener = blocking::listen(Listen::tcp("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().port().to_string();
    let Some(child) = python(CLIENT, &[&port]) else {
        return;
    };
    let mut child = Reaped(child);
    let client = listener.within(PATIENCE).accept().unwrap().within(PATIENCE);
    let ended = loop {
        match client.recv_msg() {
            Ok(message) => client.sent_msg(message).unwrap(),
            Err(ended) => break ended,
        }
    };
    assert!(matches!(ended, RecvError::Finished { .. }), "{ended}");
    client.sent("bye").unwrap();
    client.close();
    assert!(child.wait().success());
}

/// ACO-04.
#[test]
fn aco_04_a_refused_connect_is_an_error_of_the_caller() {
    let (closed, address) = switchboard_tests::listener();
    drop(closed);
    let error = blocking::connect(Connect::tcp(address)).unwrap_err();
    assert_eq!(error.io_kind(), ErrorKind::ConnectionRefused);
    let OpenError::Connect(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.phase, ConnectPhase::Connect);
}

/// ACO-04.
#[test]
fn aco_04_a_name_that_does_not_resolve_says_so() {
    let connect = Connect::tcp("no-such-name.invalid:7");
    let Err(OpenError::Connect(error)) = blocking::connect(connect) else {
        panic!("it connected");
    };
    assert_eq!(error.phase, ConnectPhase::Resolve);
}

#[test]
fn a_busy_address_is_refused_to_a_listener() {
    let (_held, address) = switchboard_tests::listener();
    let error = blocking::listen(Listen::tcp(address)).unwrap_err();
    assert_eq!(error.io_kind(), ErrorKind::AddrInUse);
}

/// ACO-06.
#[test]
fn aco_06_a_send_ends_when_a_slow_reader_has_let_the_system_take_it_all() {
    let (client, mut peer) = pair();
    let bytes = pattern(8 << 20);
    let expected = bytes.clone();
    let reading = thread::spawn(move || {
        let mut read = Vec::new();
        let mut chunk = vec![0; 10_000];
        while let Ok(count @ 1..) = peer.read(&mut chunk) {
            read.extend_from_slice(&chunk[..count]);
        }
        read
    });
    client.sent(bytes).unwrap();
    assert_eq!(client.handle().write_buffer_size(), 0);
    client.close();
    assert!(reading.join().unwrap() == expected);
}

/// ACO-06.
#[test]
fn aco_06_a_reset_midway_says_how_much_was_sent() {
    let (client, mut peer) = pair();
    let bytes = pattern(8 << 20);
    let whole = bytes.len();
    let sending = thread::spawn({
        let client = client.clone();
        move || client.sent(bytes)
    });
    read_exact(&mut peer, 100_000);
    reset_on_close(&peer);
    drop(peer);
    let error = sending.join().unwrap().unwrap_err();
    assert!(
        (100_000..whole).contains(&error.sent()),
        "{} of {whole}",
        error.sent()
    );
    assert!(matches!(error, SentError::Closed { .. }), "{error}");
}

/// ACO-07.
#[test]
fn aco_07_an_end_in_the_middle_gives_what_had_come() {
    let (client, mut peer) = accepted();
    peer.write_all(b"four").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let error = client.recv_exact(5).unwrap_err();
    assert_eq!(error.partial(), b"four");
    assert_eq!(error.io_kind(), ErrorKind::UnexpectedEof);
    // It can still be answered.
    client.sent("too short").unwrap();
    assert_eq!(read_exact(&mut peer, 9), b"too short");
}

#[test]
fn a_reset_is_an_error_of_its_own_kind() {
    let (client, peer) = accepted();
    reset_on_close(&peer);
    drop(peer);
    let error = client.recv_line().unwrap_err();
    assert_eq!(error.io_kind(), ErrorKind::ConnectionReset, "{error}");
}

#[test]
fn use_after_close_is_refused_at_once() {
    let (client, peer) = pair();
    client.close();
    drop(peer);
    client.closed().unwrap();
    assert!(!client.close());
    assert!(matches!(client.recv_line(), Err(RecvError::Closed { .. })));
    let refused = client.sent("x");
    assert!(matches!(refused, Err(SentError::Closed { sent: 0, .. })));
    assert_eq!(client.write_eof(), Err(SendRefusal::Closed));
    assert!(client.flushed().is_ok(), "nothing is left to be sent");
}

#[test]
fn a_listener_that_is_closed_answers_who_waits_and_keeps_what_it_gave() {
    let listener = blocking::listen(Listen::tcp("127.0.0.1:0")).unwrap();
    let mut peer = dial(listener.local_addr());
    let client = listener.accept().unwrap();
    let waiting = thread::spawn({
        let listener = listener.clone();
        move || listener.accept().map(drop)
    });
    listener.close();
    let answered = waiting.join().unwrap();
    assert_eq!(answered, Err(blocking::AcceptError::Closed));
    assert_eq!(
        std::net::TcpStream::connect(listener.local_addr())
            .unwrap_err()
            .kind(),
        ErrorKind::ConnectionRefused
    );
    client.sent("still here").unwrap();
    assert_eq!(read_exact(&mut peer, 10), b"still here");
}
