//! Trap 14: commands in callbacks, and descriptors whose numbers come again: a system gives the lowest free
//! one, so in a process of its own each test gets the same few.

use std::io::{Read, Write};
use std::net::SocketAddr;

use switchboard::ConnectionOptions;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::local;

/// Does with its connection what each line says, and tells of every line and of its end.
struct Obeys {
    client: Client,
    told: UnboundedSender<(ClientId, String)>,
}

impl Actor for Obeys {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Obeys {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let client = &self.client;
        match &*msg.line {
            b"close" => {
                client.send("bye\n").unwrap();
                client.close();
            }
            b"abort" => drop(client.abort()),
            b"finish" => client.write_eof().unwrap(),
            b"pause" => {
                client.pause_reading();
                client.resume_reading();
            }
            b"again" => {
                client.cancel_recv();
                client.arm(RecvLine::once().always()).unwrap();
            }
            // Refused where the line came behind `finish`.
            _ => drop(client.send_line(&msg.line)),
        }
        let line = String::from_utf8_lossy(&msg.line).into_owned();
        self.told.send((msg.client, line)).unwrap();
    }
}

impl Handler<Closed> for Obeys {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.told.send((msg.client, "closed".into())).unwrap();
    }
}

session!(Obeys);

/// A peer gives this command with a line right behind it; whoever gets the descriptors next is heard.
fn command(address: SocketAddr, way: &str, round: usize) {
    let mut stream = dial(address);
    // In one piece: some commands leave no time for a second one.
    let lines = format!("{way}\nbehind {way}\n");
    stream.write_all(lines.as_bytes()).unwrap();
    let mut rest = Vec::new();
    match way {
        "close" => assert_eq!(read_all(&mut stream), b"bye\n"),
        "abort" => assert!(stream.read_to_end(&mut rest).is_err(), "no reset"),
        "finish" => {
            assert_eq!(read_all(&mut stream), b"");
            stream.write_all(b"later finish\n").unwrap();
        }
        _ => {
            let behind = format!("behind {way}\n");
            assert_eq!(read_exact(&mut stream, behind.len()), behind.as_bytes());
            let later = format!("later {way}\n");
            assert_eq!(exchange(&mut stream, later.as_bytes()), later.as_bytes());
        }
    }
    drop(stream);
    let mut next = [dial(address), dial(address)];
    for (number, stream) in next.iter_mut().enumerate() {
        let line = format!("{way} {round} {number}\n");
        assert_eq!(exchange(stream, line.as_bytes()), line.as_bytes());
    }
}

/// Trap 14 (lori #294, PR #307): a command that a session gives while it handles an event, with more
/// input waiting. What is not ended still hears, what is ended hears no more, and both end.
#[test]
fn trap_14_no_command_in_a_callback_leaves_anyone_deaf() {
    const ROUNDS: usize = 60;
    const WAYS: [&str; 5] = ["close", "abort", "finish", "pause", "again"];
    if !alone("callbacks::trap_14_no_command_in_a_callback_leaves_anyone_deaf") {
        return;
    }
    with_pool(|pool| async move {
        let (told, mut lines) = unbounded_channel();
        let make = move |client| Obeys {
            client,
            told: told.clone(),
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            for round in 0..ROUNDS {
                WAYS.iter().for_each(|way| command(address, way, round));
            }
        })
        .await;
        until(|| server.info().live == 0).await;
        let mut all = Vec::new();
        while let Ok((_, line)) = lines.try_recv() {
            all.push(line);
        }
        let count = |line: &str| all.iter().filter(|seen| *seen == line).count();
        for way in WAYS {
            assert_eq!(count(way), ROUNDS);
            let goes_on = !["close", "abort"].contains(&way);
            let expected = if goes_on { ROUNDS } else { 0 };
            assert_eq!(count(&format!("behind {way}")), expected);
            assert_eq!(count(&format!("later {way}")), expected);
        }
        assert_eq!(count("closed"), ROUNDS * WAYS.len() * 3);
    });
}

/// Opens another connection while it is told of the end of its own, so that the descriptor that is
/// given back in this moment is taken again.
struct Phoenix {
    client: Client,
    lives: usize,
    to: SocketAddr,
    told: UnboundedSender<String>,
}

impl Phoenix {
    fn words(&self) -> String {
        format!("life {}", self.lives)
    }
}

impl Actor for Phoenix {
    type Context = SessionContext<Self>;
}

impl Handler<Connected> for Phoenix {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        self.client
            .send(format!("{}\nnot for the next\n", self.words()))
            .unwrap();
    }
}

impl Handler<LineReceived> for Phoenix {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        assert_eq!(&*msg.line, self.words().as_bytes(), "another one's line");
        match self.lives % 2 {
            0 => self.client.close(),
            _ => self.client.abort(),
        };
    }
}

impl Handler<Closed> for Phoenix {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        self.told.send(self.words()).unwrap();
        let (to, told) = (self.to, self.told.clone());
        if let Some(lives) = self.lives.checked_sub(1) {
            let connect = Connect::tcp(to).lines();
            drop(self.client.pool().connect(connect, move |client| Self {
                client,
                lives,
                to,
                told,
            }));
        }
    }
}

session!(Phoenix);

/// Trap 14: no event of a connection that has ended reaches the one that has its descriptor now.
#[test]
fn trap_14_a_connection_opened_while_another_ends_is_only_itself() {
    const LIVES: usize = 100;
    const AT_ONCE: usize = 4;
    if !alone("callbacks::trap_14_a_connection_opened_while_another_ends_is_only_itself") {
        return;
    }
    with_pool(|pool| async move {
        let server = pool.listen(local().lines(), |client| Echo { client });
        let server = server.await.unwrap();
        let (told, mut ends) = unbounded_channel();
        for _ in 0..AT_ONCE {
            let (to, told) = (server.local_addr(), told.clone());
            let connect = Connect::tcp(to).lines();
            drop(pool.connect(connect, move |client| Phoenix {
                client,
                lives: LIVES - 1,
                to,
                told,
            }));
        }
        drop(told);
        let mut heard = 0;
        let mut next = async || tokio::time::timeout(PATIENCE, ends.recv()).await;
        while next().await.expect("it hangs").is_some() {
            heard += 1;
        }
        assert_eq!(heard, LIVES * AT_ONCE);
        until(|| server.info().live == 0).await;
    });
}
