//! `tcp_proxy` between peers that we did not write: plain sockets, and curl with Python's HTTP server.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use switchboard_tests::{
    PATIENCE, Reaped, dial, exchange, listener, pattern, read_all, read_exact, reset_on_close,
    stuff,
};

use crate::examples_support::Example;

/// A proxy, a client of it, and the server's end of what it was connected to.
fn through() -> (Example, TcpStream, TcpStream) {
    let (listener, target) = listener();
    let (proxy, address) = Example::serve("tcp_proxy", &[&target.to_string()]);
    let client = dial(address);
    let (server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.set_write_timeout(Some(PATIENCE)).unwrap();
    (proxy, client, server)
}

/// Writes all of it and finishes, in a thread of its own.
fn write_and_finish(stream: &TcpStream, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || {
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    })
}

#[test]
fn a_proxy_moves_bytes_both_ways_at_once_and_in_order() {
    let (_proxy, mut client, mut server) = through();
    let (there, back) = (pattern(20_000_003), pattern(15_000_001));
    let writers = [
        write_and_finish(&client, there.clone()),
        write_and_finish(&server, back.clone()),
    ];
    let reading = thread::spawn(move || read_all(&mut server));
    assert!(read_all(&mut client) == back, "it came back otherwise");
    assert!(reading.join().unwrap() == there, "it got there otherwise");
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn a_proxy_passes_a_half_close_on_either_way() {
    for swapped in [false, true] {
        let (_proxy, client, server) = through();
        let (mut first, mut second) = if swapped {
            (server, client)
        } else {
            (client, server)
        };
        first.write_all(b"question").unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut second), b"question");
        // The other way is still open.
        second.write_all(b"answer").unwrap();
        assert_eq!(read_exact(&mut first, 6), b"answer");
        second.write_all(b", and more").unwrap();
        second.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut first), b", and more");
    }
}

#[test]
fn a_peer_that_does_not_read_stalls_the_sender_and_not_the_other_way() {
    let (_proxy, mut client, mut server) = through();
    let bytes = pattern(128 << 20);
    let taken = stuff(&client, &bytes);
    assert!(taken < bytes.len(), "all {taken} bytes were taken");
    let echoed = {
        server.write_all(b"the other way").unwrap();
        read_exact(&mut client, 13)
    };
    assert_eq!(echoed, b"the other way");
    client.shutdown(Shutdown::Write).unwrap();
    assert!(
        read_all(&mut server) == bytes[..taken],
        "something was lost"
    );
}

#[test]
fn a_reset_is_passed_on_behind_what_had_come() {
    let (_proxy, client, mut server) = through();
    (&client).write_all(b"last words").unwrap();
    assert_eq!(read_exact(&mut server, 10), b"last words");
    reset_on_close(&client);
    drop(client);
    assert_eq!(read_all(&mut server), b"");
    // The connection is gone for sending, too: that it is noticed takes a write that is refused.
    let refused = loop {
        if let Err(error) = server.write_all(b"anybody there?") {
            break error;
        }
    };
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ),
        "{refused}"
    );
}

#[test]
fn a_reset_of_a_client_that_had_finished_is_passed_on() {
    let (_proxy, client, mut server) = through();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut server), b"");
    reset_on_close(&client);
    drop(client);
    // Nobody is there for the answer any more; the proxy says so though nothing more is sent there.
    let ended = loop {
        if let Err(error) = server.write_all(b"answer") {
            break error.kind();
        }
    };
    assert!(
        matches!(ended, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{ended}"
    );
}

#[test]
fn a_target_that_refuses_closes_the_client_and_is_logged() {
    let (closed, target) = listener();
    drop(closed);
    let (proxy, address) = Example::serve("tcp_proxy", &[&target.to_string()]);
    let mut client = dial(address);
    assert_eq!(read_all(&mut client), b"");
    proxy.wait_for_log(&format!("cannot connect to {target}"));
}

#[test]
fn the_same_proxy_serves_many_at_once() {
    let (listener, target) = listener();
    let (_proxy, address) = Example::serve("tcp_proxy", &[&target.to_string()]);
    let mut pairs: Vec<_> = (0..32)
        .map(|_| {
            let client = dial(address);
            (client, listener.accept().unwrap().0)
        })
        .collect();
    for (_, server) in &mut pairs {
        let mut reader = server.try_clone().unwrap();
        let mut writer = server.try_clone().unwrap();
        thread::spawn(move || std::io::copy(&mut reader, &mut writer));
    }
    let clients: Vec<_> = pairs
        .into_iter()
        .enumerate()
        .map(|(at, (mut client, _))| {
            thread::spawn(move || {
                let bytes = pattern(1000 + at);
                assert_eq!(exchange(&mut client, &bytes), bytes);
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
}

/// A directory with a large file in it, served by Python; whatever is PUT there is sent back.
const HTTP_SERVER: &str = r#"
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Whether this program runs here. If not, that is said, and a failure where peers are required.
fn is_there(program: &str) -> bool {
    let version = Command::new(program).arg("--version").output();
    let there = version.is_ok_and(|output| output.status.success());
    let required = std::env::var("SWITCHBOARD_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(there || !required, "{program} is not installed");
    if !there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    there
}

/// A directory that is removed with all that is in it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is in the system's directory for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn serve_http(directory: &Directory) -> (Reaped, SocketAddr) {
    let mut server = Command::new("python3")
        .args(["-c", HTTP_SERVER])
        .current_dir(&directory.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut said = BufReader::new(server.stdout.take().unwrap());
    said.read_line(&mut port).unwrap();
    let port = port.trim().parse().unwrap();
    (Reaped(server), ([127, 0, 0, 1], port).into())
}

fn curl(arguments: &[&str]) -> Vec<u8> {
    let child: Child = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "20"])
        .args(["--noproxy", "*"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Reaped(child);
    let mut body = Vec::new();
    let mut stdout = child.0.stdout.take().unwrap();
    stdout.read_to_end(&mut body).unwrap();
    let status = child.wait();
    assert!(status.success(), "curl: {status}");
    body
}

#[test]
fn curl_gets_and_puts_a_large_file_through_the_proxy() {
    if !is_there("curl") || !is_there("python3") {
        return;
    }
    let name = format!("switchboard-proxy-{}", std::process::id());
    let directory = Directory(std::env::temp_dir().join(name));
    std::fs::create_dir(&directory.0).unwrap();
    let bytes = pattern(24_000_001);
    std::fs::write(directory.0.join("large"), &bytes).unwrap();
    let (_server, target) = serve_http(&directory);
    let (_proxy, address) = Example::serve("tcp_proxy", &[&target.to_string()]);
    let url = format!("http://{address}/large");
    assert!(curl(&[&url]) == bytes, "another file came");
    let file = directory.0.join("large");
    let put = ["--upload-file", file.to_str().unwrap(), &url];
    assert!(curl(&put) == bytes, "another file came back");
    // Two requests on one connection.
    assert_eq!(curl(&[&url, &url]).len(), 2 * bytes.len());
}
