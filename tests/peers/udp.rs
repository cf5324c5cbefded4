//! Datagrams with socat, netcat and Python.

use std::process::Command;

use switchboard::prelude::*;
use switchboard_tests::{PATIENCE, with_pool};

use crate::programs::{Program, peer};

/// Sends back what it gets.
struct Echo {
    udp: Udp,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
        self.udp.send_to(msg.data, msg.from).unwrap();
    }
}

session!(Echo);

/// An echo on the loopback interface, and its port.
async fn echo(pool: &Pool) -> (Udp, u16) {
    let bind = BindUdp::new("127.0.0.1:0");
    let udp = pool.bind_udp(bind, |udp| Echo { udp }).await.unwrap();
    let port = udp.local_addr().unwrap().inet().unwrap().port();
    (udp, port)
}

/// XAS-59: what socat sends comes back to it, line by line.
#[test]
fn socat_has_its_lines_back() {
    let Some(socat) = peer("socat") else { return };
    with_pool(async |pool| {
        let (udp, port) = echo(&pool).await;
        let talk = move || {
            let target = format!("UDP4:127.0.0.1:{port}");
            let mut socat = Program::start(Command::new(socat).args(["-t", "0.2", "-", &target]));
            for line in ["first line\n", "second line\n"] {
                socat.say(line);
                socat.wait_for(line);
            }
            socat.end().succeeded();
        };
        switchboard_tests::peer(talk).await;
        assert_eq!(udp.counts().received, 2);
    });
}

/// XAS-59: and so does netcat.
#[test]
fn netcat_has_its_lines_back() {
    let Some(nc) = peer("nc") else { return };
    with_pool(async |pool| {
        let (udp, port) = echo(&pool).await;
        let talk = move || {
            let port = port.to_string();
            let mut nc = Program::start(Command::new(nc).args(["-u", "127.0.0.1", &port]));
            for line in ["first line\n", "second line\n"] {
                nc.say(line);
                nc.wait_for(line);
            }
        };
        switchboard_tests::peer(talk).await;
        assert_eq!(udp.counts().received, 2);
    });
}

const ASK: &str = "
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.settimeout(10)
udp.connect(('127.0.0.1', int(sys.argv[1])))
for length in (0, 1, 300, 65507):
    sent = bytes(i % 251 for i in range(length))
    udp.send(sent)
    assert udp.recv(70000) == sent, length
print('all came back')
";

/// XAS-59, XAS-60: datagrams of every length come back to Python whole.
#[test]
fn python_has_datagrams_of_every_length_back() {
    let Some(python) = peer("python3") else {
        return;
    };
    with_pool(async |pool| {
        let (_udp, port) = echo(&pool).await;
        let talk = move || {
            let mut asks = Command::new(python);
            asks.args(["-c", ASK, &port.to_string()]);
            Program::start(&mut asks).wait_for("all came back");
        };
        switchboard_tests::peer(talk).await;
    });
}

const ANSWER: &str = "
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('127.0.0.1', 0))
print('port', udp.getsockname()[1], flush=True)
while True:
    data, sender = udp.recvfrom(70000)
    udp.sendto(data[::-1], sender)
";

/// UA-26, UA-27, AIO-15: we ask Python, connected.
#[test]
fn a_connected_socket_has_answers_of_python() {
    let Some(python) = peer("python3") else {
        return;
    };
    with_pool(async |pool| {
        let mut answers = Program::start(Command::new(python).args(["-c", ANSWER]));
        let port = answers.rest_of_line("port ");
        let bind = BindUdp::new("127.0.0.1:0").connect(format!("localhost:{port}").as_str());
        let udp = pool.open_udp(bind).await.unwrap();
        for (question, answer) in [("abc", "cba"), ("", ""), ("x", "x")] {
            assert_eq!(udp.sent(question, Some(PATIENCE)).await, Ok(question.len()));
            let got = udp.recv(100, Some(PATIENCE)).await.unwrap().unwrap();
            assert_eq!(&*got, answer.as_bytes());
        }
    });
}
