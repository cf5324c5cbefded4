//! What a session sends in its turn: nobody can tell how it is queued, wherever they look from.

mod aborting;
mod ending;
mod looking;
mod order;
mod shared;

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{Client, ConnectionOptions, Listen, Pool, Token, session};
use switchboard_tests::*;

use super::{ANY, KIB, ms};

/// Does this with every line, in its turn.
type Act = dyn Fn(&Client, &LineReceived, &mut Context<Acting>) + Send + Sync;

/// A session that does as the test says, and tells what it hears.
struct Acting {
    client: Client,
    act: Arc<Act>,
    hears: Sender<Heard>,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Paused,
    Resumed,
    Sent(Token, usize),
    /// Accepted and not sent, and sent.
    Closed(usize, u64),
}

impl Actor for Acting {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Acting {
    type Result = ();

    fn handle(&mut self, event: LineReceived, ctx: &mut Self::Context) {
        (self.act)(&self.client, &event, ctx);
    }
}

impl Handler<WritePaused> for Acting {
    type Result = ();

    fn handle(&mut self, _: WritePaused, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Paused);
    }
}

impl Handler<WriteResumed> for Acting {
    type Result = ();

    fn handle(&mut self, _: WriteResumed, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Resumed);
    }
}

impl Handler<Sent> for Acting {
    type Result = ();

    fn handle(&mut self, event: Sent, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Sent(event.token, event.bytes));
    }
}

impl Handler<Closed> for Acting {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        let detail = &event.detail;
        let _ = self
            .hears
            .send(Heard::Closed(detail.unsent, detail.bytes_out));
    }
}

session!(Acting);

/// A peer of a session that does this with every line, and what the session hears.
async fn acting(
    pool: &Pool,
    listen: Listen,
    act: impl Fn(&Client, &LineReceived, &mut Context<Acting>) + Send + Sync + 'static,
) -> (TcpStream, Receiver<Heard>) {
    let (hears, heard) = mpsc::channel();
    let act: Arc<Act> = Arc::new(act);
    let make = move |client| Acting {
        client,
        act: Arc::clone(&act),
        hears: hears.clone(),
    };
    (serve_with(pool, listen, make).await, heard)
}

fn lines() -> Listen {
    Listen::tcp(ANY).lines()
}

/// Says one line; then all that the session sends until it closes.
async fn say(mut stream: TcpStream, line: &'static str) -> Vec<u8> {
    peer(move || {
        stream.write_all(line.as_bytes()).unwrap();
        read_all(&mut stream)
    })
    .await
}

async fn hear(heard: Receiver<Heard>, count: usize) -> Vec<Heard> {
    peer(move || {
        (0..count)
            .map(|_| heard.recv_timeout(PATIENCE).unwrap())
            .collect()
    })
    .await
}

/// Another thread, to which the session gives its client with a number, and which says when it is done with it.
struct Other {
    jobs: Mutex<Sender<(Client, usize)>>,
    dones: Mutex<Receiver<()>>,
}

impl Other {
    fn new(does: impl Fn(Client, usize) + Send + 'static) -> Self {
        let (give, jobs) = mpsc::channel::<(Client, usize)>();
        let (done, dones) = mpsc::channel();
        thread::spawn(move || {
            for (client, number) in jobs {
                does(client, number);
                let _ = done.send(());
            }
        });
        Self {
            jobs: Mutex::new(give),
            dones: Mutex::new(dones),
        }
    }

    fn tell(&self, client: &Client, number: usize) {
        let jobs = self.jobs.lock().unwrap();
        jobs.send((client.clone(), number)).unwrap();
    }

    fn wait(&self) {
        let dones = self.dones.lock().unwrap();
        dones.recv_timeout(PATIENCE).unwrap();
    }
}
