//! `sequential_client`, with a peer that writes down what comes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use switchboard_tests::{PATIENCE, listener, read_all};

use crate::examples_support::Example;

const LINE: &[u8] = b"hello\n";
const MESSAGE: &[u8] = b"\0\0\0\x0chow are you?";

fn start() -> (Example, TcpStream) {
    let (listener, address) = listener();
    let example = Example::start("sequential_client", &[&address.to_string()]);
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (example, peer)
}

fn takes(peer: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    peer.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
}

/// ACO-14: nothing is sent before its turn, and the answers may come byte by byte.
#[test]
fn aco_14_the_sequential_client_takes_line_and_message_in_turn() {
    let (example, mut peer) = start();
    peer.set_nodelay(true).unwrap();
    for expected in [LINE, MESSAGE] {
        takes(&mut peer, expected);
        for byte in expected {
            peer.write_all(&[*byte]).unwrap();
        }
    }
    assert_eq!(read_all(&mut peer), b"");
    drop(peer);
    let printed = example.succeed();
    assert_eq!(printed, "line: hello\nmessage: how are you?\nclosed here\n");
}

/// ACO-09, ACO-14: an end in the middle is an error of the call that waited.
#[test]
fn aco_14_the_sequential_client_ends_with_an_error_when_its_server_leaves() {
    let (example, mut peer) = start();
    takes(&mut peer, LINE);
    peer.write_all(LINE).unwrap();
    takes(&mut peer, MESSAGE);
    peer.write_all(&MESSAGE[..7]).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let ended = example.wait();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stdout, b"line: hello\n");
    assert!(ended.stderr.contains("peer"), "{}", ended.stderr);
}
