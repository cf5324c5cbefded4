//! Promises about connections that are used from plain threads, without async (ACO-02).

mod calls;
mod life;
mod stream;
mod threads;
mod timeouts;
mod workers;

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use switchboard::{Connect, Listen, blocking};
use switchboard_tests::{PATIENCE, dial, listener};

/// A blocking connection, and its peer's end.
fn pair() -> (blocking::Client, TcpStream) {
    let (listener, address) = listener();
    let client = blocking::connect(Connect::tcp(address)).unwrap();
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.set_write_timeout(Some(PATIENCE)).unwrap();
    // Nothing that a test waits for takes longer.
    (client.within(PATIENCE), peer)
}

/// A blocking listener, its next connection, and the peer's end of that.
fn accepted() -> (blocking::Client, TcpStream) {
    let listener = blocking::listen(Listen::tcp("127.0.0.1:0")).unwrap();
    let peer = dial(listener.local_addr());
    let client = listener.within(PATIENCE).accept().unwrap();
    (client.within(PATIENCE), peer)
}

/// Python with this program, which is killed when the test ends. `None`: there is none, as was said.
fn python(program: &str, arguments: &[&str]) -> Option<Child> {
    let child = Command::new("python3")
        .args(["-c", program])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let required = std::env::var("SWITCHBOARD_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(child.is_ok() || !required, "python3 is required");
    if child.is_err() {
        eprintln!("SKIPPED: python3 is not installed");
    }
    child.ok()
}
