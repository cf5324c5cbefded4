//! Python as the peer: its sockets know urgent bytes by `MSG_OOB`, its `select` by `handle_expt`.

use std::net::SocketAddr;
use std::process::Command;

use switchboard::{Client, ClosedReason, ConnectionOptions, Listen};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";

/// Sends two lines, each with an urgent byte in its middle, behind which it waits for a word.
const SENDER: &str = r#"
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20)
for _ in range(2):
    peer.sendall(b"ab")
    peer.send(b"!", socket.MSG_OOB)
    assert peer.recv(100) == b"heard", "it was not heard"
    peer.sendall(b"cd\n")
    assert peer.recv(100) == b"next", "the line was not heard"
"#;

/// A dispatcher in the way of asyncore, which Python has no more: `select` says what there is, and the
/// handlers do the rest.
const DISPATCHER: &str = r#"
import select, socket, sys

class Dispatcher:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        # With a timeout Python waits for ordinary bytes before it reads the urgent one.
        self.socket.settimeout(None)
        self.log, self.data, self.open = [], b"", True

    def handle_expt(self):
        self.log.append(self.socket.recv(1, socket.MSG_OOB))
        # The next urgent byte would put this one back into a stream that was not read up to it.
        if select.select([self.socket], [], [], 0)[0]:
            self.handle_read()
        self.socket.sendall(b"heard\n")

    def handle_read(self):
        data = self.socket.recv(4096)
        self.data += data
        self.open = bool(data)

    def loop(self):
        while self.open:
            readable, _, exceptional = select.select([self.socket], [], [self.socket], 20)
            assert readable or exceptional, "nothing comes"
            if exceptional:
                self.handle_expt()
            elif readable:
                self.handle_read()

dispatcher = Dispatcher(int(sys.argv[1]))
dispatcher.loop()
assert dispatcher.log == [b"!", b"?"], dispatcher.log
assert dispatcher.data == b"abcdef", dispatcher.data
"#;

/// Runs a script beside the test. `None`: it was said that the test is skipped.
fn python(script: &'static str, address: SocketAddr) -> Option<std::process::Child> {
    let port = address.port().to_string();
    let started = Command::new("python3").args(["-c", script, &port]).spawn();
    match started {
        Ok(child) => Some(child),
        Err(error) => {
            let required =
                std::env::var("SWITCHBOARD_REQUIRE_PEERS").is_ok_and(|value| value == "1");
            assert!(!required, "python3 is required: {error}");
            eprintln!("SKIPPED: python3 does not start: {error}");
            None
        }
    }
}

async fn serve_python(
    pool: &switchboard::Pool,
    script: &'static str,
    listen: Listen,
) -> Option<(Reaped, Client, Probe)> {
    let mut probe = Probe::new();
    let server = pool.listen(listen, probe.session()).await.unwrap();
    let child = Reaped(python(script, server.local_addr())?);
    let client = expect!(probe, Accepted).handle;
    Some((child, client, probe))
}

/// AC-06, XAS-70.
#[test]
fn ac_06_urgent_bytes_of_python_are_told_amid_its_lines() {
    with_pool(|pool| async move {
        let served = serve_python(&pool, SENDER, Listen::tcp(ANY).lines()).await;
        let Some((mut child, client, mut probe)) = served else {
            return;
        };
        for _ in 0..2 {
            assert_eq!(expect!(probe, UrgentReceived).byte, b'!');
            client.send("heard").unwrap();
            probe.expect_line("abcd").await;
            client.send("next").unwrap();
        }
        let closed = probe.expect_closed(ClosedReason::ClosedByPeer).await;
        assert_eq!(closed.detail.bytes_in, 12);
        assert!(peer(move || child.wait()).await.success());
    });
}

/// AC-06: `handle_expt` gets what we send, and its stream is whole.
#[test]
fn ac_06_a_dispatcher_in_python_gets_our_urgent_bytes_by_handle_expt() {
    with_pool(|pool| async move {
        let served = serve_python(&pool, DISPATCHER, Listen::tcp(ANY).lines()).await;
        let Some((mut child, client, mut probe)) = served else {
            return;
        };
        for (before, byte) in [("ab", b'!'), ("cd", b'?')] {
            client.send(before).unwrap();
            client.send_urgent(byte).unwrap();
            probe.expect_line("heard").await;
        }
        client.send("ef").unwrap();
        client.close();
        let _ = probe.expect_closed(ClosedReason::ClosedByHost).await;
        assert!(peer(move || child.wait()).await.success());
    });
}
