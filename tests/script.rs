//! Promises of scripts against real peers: a switchboard server, a switchboard client, plain sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{Mismatch, MismatchKind, Script};
use switchboard::{Client, Connect, ConnectionOptions, Listen, SessionContext};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";

/// Greets and says good bye as `greeting.script` says.
struct Greeter {
    client: Client,
}

impl Actor for Greeter {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Greeter {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.client.send("220 ready\r\n").unwrap();
    }
}

impl Handler<LineReceived> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let answer = match &msg.line[..] {
            b"HELO there" => "250 hello there\r\n",
            b"QUIT" => "221 bye\r\n",
            _ => "500 not known here\r\n",
        };
        self.client.send(answer).unwrap();
        if &msg.line[..] == b"QUIT" {
            self.client.close();
        }
    }
}

switchboard::session!(Greeter);

/// Asks what `greeting.script` says.
struct Guest {
    client: Client,
}

impl Actor for Guest {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Guest {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let next = match &msg.line[..3] {
            b"220" => "HELO there\r\n",
            b"250" => "TIME\r\n",
            b"500" => "QUIT\r\n",
            _ => return,
        };
        self.client.send(next).unwrap();
    }
}

switchboard::session!(Guest);

fn greeting() -> Script {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/greeting.script");
    Script::load(path).unwrap()
}

#[test]
fn the_client_side_plays_against_a_server() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, |client| Greeter { client });
        let address = server.await.unwrap().local_addr();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let played = greeting().client().play_exactly(stream).await.unwrap();
        let told = "\
came: 220 ready\\r\\n
sent: HELO there\\r\\n
came: 250 hello there\\r\\n
sent: TIME\\r\\n
came: 500 not known here\\r\\n
sent: QUIT\\r\\n
came: 221 bye\\r\\n
came: the end
closed
";
        assert_eq!(played.to_string(), told);
    });
}

#[test]
fn the_server_side_plays_against_a_client() {
    with_pool(|pool| async move {
        let listener = tokio::net::TcpListener::bind(ANY).await.unwrap();
        let connect = Connect::tcp(listener.local_addr().unwrap()).lines();
        let connecting = pool.connect(connect, |client| Guest { client });
        connecting.await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let played = greeting().server().play_exactly(stream).await.unwrap();
        assert_eq!(played.steps, 8);
        pool.run_until_idle().await.unwrap();
    });
}

#[test]
fn a_server_that_says_something_else_is_told_by_line_and_byte() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let server = pool.listen(listen, |client| Greeter { client });
        let address = server.await.unwrap().local_addr();
        let text = "ending crlf\nS: 220 ready\n# no such answer\nC: TIME\nS: 500 nought\n";
        let script = Script::parse(text).unwrap().client();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let mismatch = script.play(stream).await.unwrap_err();
        let told = "\
step 3 of the client (line 5): what came differs after 6 of 12 bytes
  expected: 500 nought\\r\\n
  came:     500 not known here\\r\\n
                  ^
before that:
  came: 220 ready\\r\\n
  sent: TIME\\r\\n
";
        assert_eq!(format!("{mismatch}\n"), told);
        pool.run_until_idle().await.unwrap();
    });
}

/// A plain peer that connects, and the play of a script with it.
fn play_with<R: Send + 'static>(
    script: &Script,
    peer: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> (Result<String, Mismatch>, R) {
    let (listener, address): (TcpListener, _) = listener();
    let peer = thread::spawn(move || peer(dial(address)));
    let (stream, _) = listener.accept().unwrap();
    let played = script.play_blocking(stream);
    let played = played.map(|played| played.to_string());
    (played, peer.join().unwrap())
}

#[test]
fn a_plain_peer_gets_exactly_the_bytes_of_the_script() {
    let (played, seen) = play_with(&greeting().server(), |mut peer| {
        for piece in [&b"HELO th"[..], b"ere\r", b"\nTIME\r\nQUIT\r\n"] {
            peer.write_all(piece).unwrap();
            // Long enough for the piece to travel alone.
            thread::sleep(Duration::from_millis(20));
        }
        read_all(&mut peer)
    });
    played.unwrap();
    let bytes = b"220 ready\r\n250 hello there\r\n500 not known here\r\n221 bye\r\n";
    assert_eq!(seen, bytes);
}

#[test]
fn the_text_form_means_these_bytes_on_the_wire() {
    let text = "S: a\\x00\\xFF\\\\\nending none\nS: >\\x20\nC: \\0\\x80\nC finish\nS finish\n";
    let (played, seen) = play_with(&Script::parse(text).unwrap(), |mut peer| {
        peer.write_all(&[0x00, 0x80]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        read_all(&mut peer)
    });
    played.unwrap();
    assert_eq!(
        seen,
        [0x61, 0x00, 0xFF, 0x5C, 0x0A, 0x3E, 0x20],
        "a NUL FF \\ LF > blank"
    );
}

#[test]
fn after_a_finish_the_other_side_may_still_talk() {
    let script = Script::new().send("done\n").finish().expect("late\n");
    let (played, seen) = play_with(&script, |mut peer| {
        let seen = read_all(&mut peer);
        peer.write_all(b"late\n").unwrap();
        seen
    });
    played.unwrap();
    assert_eq!(seen, b"done\n");
}

#[test]
fn a_plain_peer_that_leaves_early_is_told() {
    let script = Script::new().expect("HELO there\n");
    let (played, ()) = play_with(&script, |mut peer| peer.write_all(b"HELO").unwrap());
    let told = "\
step 1 of the server: the client finished, after 4 of 11 bytes
  expected: HELO there\\n
  came:     HELO
                ^
";
    assert_eq!(format!("{}\n", played.unwrap_err()), told);
}

#[test]
fn a_silent_peer_is_told_when_the_time_is_over() {
    let script = Script::new().expect("x").timeout(Duration::from_millis(30));
    let (played, seen) = play_with(&script, |mut peer| read_all(&mut peer));
    let mismatch = played.unwrap_err();
    let limit = Duration::from_millis(30);
    assert!(matches!(mismatch.kind, MismatchKind::Timeout(time) if time == limit));
    assert_eq!(seen, b"");
}

#[test]
fn a_reset_is_expected_and_told_when_it_is_not() {
    let reset = |mut peer: TcpStream| {
        assert_eq!(read_exact(&mut peer, 3), b"go\n");
        reset_on_close(&peer);
    };
    let (played, ()) = play_with(&Script::new().send("go\n").expect_reset(), reset);
    assert_eq!(played.unwrap(), "sent: go\\n\ncame: a reset\n");
    let (played, ()) = play_with(&Script::new().send("go\n").expect_close(), reset);
    let told = "\
step 2 of the server: the connection was lost while waiting
  expected: the end
  came:     (nothing)
before that:
  sent: go\\n
";
    assert_eq!(format!("{}\n", played.unwrap_err()), told);
}

#[test]
fn a_played_reset_reaches_a_plain_peer() {
    let script = Script::new().expect("go\n").reset();
    let (played, error) = play_with(&script, |mut peer| {
        peer.write_all(b"go\n").unwrap();
        peer.read_to_end(&mut Vec::new()).unwrap_err().kind()
    });
    assert_eq!(played.unwrap(), "came: go\\n\nreset\n");
    assert_eq!(error, ErrorKind::ConnectionReset);
}
