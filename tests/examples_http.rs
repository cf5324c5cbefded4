//! `http_get` against a server of plain sockets.

use std::io::{Read, Write};
use std::thread::{self, JoinHandle};

use switchboard_tests::{PATIENCE, listener};

use crate::examples_support::{Ended, Example};

/// Serves one request with this response in pieces of `piece` bytes; returns the request.
fn serve_once(response: Vec<u8>, piece: usize) -> (String, JoinHandle<String>) {
    let (listener, address) = listener();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        response
            .chunks(piece)
            .for_each(|piece| stream.write_all(piece).unwrap());
        String::from_utf8(request).unwrap()
    });
    (address.to_string(), server)
}

fn get(response: Vec<u8>, piece: usize) -> (Ended, String) {
    let (address, server) = serve_once(response, piece);
    let ended = Example::start("http_get", &[&address, "/some/path"]).wait();
    let request = server.join().unwrap();
    assert!(
        request.starts_with("GET /some/path HTTP/1.0\r\n"),
        "{request}"
    );
    assert!(
        request.contains(&format!("\r\nHost: {address}\r\n")),
        "{request}"
    );
    (ended, request)
}

/// AC-24.
#[test]
fn ac_24_http_get_prints_the_body_byte_for_byte() {
    let body: Vec<u8> = (0..1_000_000_u32)
        .map(|n| n.to_le_bytes()[(n % 3) as usize])
        .collect();
    let head = b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n";
    let (ended, _) = get([&head[..], &body].concat(), 65_536);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "HTTP/1.0 200 OK\n");
    assert!(ended.stdout == body, "{} bytes came", ended.stdout.len());
}

/// AC-24: the end of the header and the body arrive one byte at a time.
#[test]
fn ac_24_the_header_may_come_in_any_pieces() {
    let (ended, _) = get(
        b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n\r\n\r\nbody".to_vec(),
        1,
    );
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "HTTP/1.0 404 Not Found\n");
    assert_eq!(ended.stdout, b"\r\n\r\nbody");
}

/// AC-24.
#[test]
fn ac_24_an_empty_body_is_a_body() {
    let (ended, _) = get(b"HTTP/1.0 204 No Content\r\n\r\n".to_vec(), 64);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, b"");
}

/// AC-24.
#[test]
fn ac_24_a_cut_header_is_an_error() {
    let (ended, _) = get(b"HTTP/1.0 200 OK\r\nContent".to_vec(), 64);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.contains("before its header ended"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout, b"");
}
