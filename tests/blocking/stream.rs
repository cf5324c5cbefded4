//! A connection as a stream of bytes of the standard library.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write, copy};
use std::net::Shutdown;
use std::thread;

use switchboard_tests::{pattern, read_all};

use super::{accepted, pair};

#[test]
fn whatever_reads_and_writes_works_on_a_connection() {
    let (client, mut peer) = pair();
    let bytes = pattern(3_000_001);
    let expected = bytes.clone();
    let echo = thread::spawn(move || {
        let mut reader = peer.try_clone().unwrap();
        copy(&mut reader, &mut peer).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
    });
    let writing = thread::spawn({
        let mut client = client.clone();
        move || {
            for chunk in bytes.chunks(7919) {
                client.write_all(chunk).unwrap();
            }
            client.flush().unwrap();
            assert_eq!(client.handle().write_buffer_size(), 0);
            client.write_eof().unwrap();
        }
    });
    let mut read = Vec::new();
    (&client).read_to_end(&mut read).unwrap();
    assert!(read == expected);
    writing.join().unwrap();
    echo.join().unwrap();
    assert_eq!((&client).read(&mut [0; 1]).unwrap(), 0, "the end stays");
}

#[test]
fn lines_come_by_a_buffered_reader() {
    let (client, mut peer) = accepted();
    peer.write_all(b"one\ntwo\nrest").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let lines: Vec<_> = BufReader::new(&client)
        .lines()
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines, ["one", "two", "rest"]);
    assert_eq!((&client).write(b"").unwrap(), 0);
    writeln!(&client, "{} lines", lines.len()).unwrap();
    client.close();
    assert_eq!(read_all(&mut peer), b"3 lines\n");
}

#[test]
fn no_bytes_are_read_at_once_into_no_room() {
    let (client, _peer) = pair();
    assert_eq!((&client).read(&mut []).unwrap(), 0);
}

#[test]
fn a_closed_connection_is_no_end_but_an_error() {
    let (client, peer) = pair();
    client.close();
    drop(peer);
    client.closed().unwrap();
    let error = (&client).read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    let error = (&client).write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
