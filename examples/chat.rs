//! A chat of length-prefixed messages: the server relays each message to everybody but its sender, the
//! client sends each line of its input under a name and prints what the others say.
//!
//! Shows one actor as the session of all connections, by `Handlers`, and a program whose input and
//! connection are two sessions of one pool. A message is its length, 4 bytes, big-endian, and then so many
//! bytes of text, as by asyncoro's `send_msg` and `recv_msg` (ACO-15). `supervised_chat` is a relative
//! that speaks lines and survives crashes.
//!
//! ```sh
//! cargo run --example chat -- server 127.0.0.1:7000
//! cargo run --example chat -- client 127.0.0.1:7000 Ada
//! ```

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;

use switchboard::prelude::*;

/// What a shell's own programs give back when they are used in a wrong way.
const MISUSED: u8 = 2;

/// The longest message in bytes: who announces a longer one is thrown out.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// The session of all members.
#[derive(Default)]
struct Room {
    members: BTreeMap<ClientId, Client>,
}

impl Actor for Room {
    type Context = Context<Self>;
}

impl Handler<Accepted> for Room {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        self.members.insert(msg.client, msg.handle);
        println!("{} is here", msg.client);
    }
}

impl Handler<MessageReceived> for Room {
    type Result = ();

    fn handle(&mut self, msg: MessageReceived, _: &mut Self::Context) {
        for (id, member) in &self.members {
            if *id == msg.client {
                continue;
            }
            // Who takes nothing for so long that its queue is full is thrown out.
            if member.send_msg(msg.message.clone(), None).is_err() && !member.is_closed() {
                member.abort();
            }
        }
    }
}

impl Handler<Closed> for Room {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.members.remove(&msg.client);
        println!("{} has left: {}", msg.client, msg.detail);
    }
}

async fn serve(pool: Pool, address: String) -> Result<(), switchboard::Error> {
    let room = Room::default().start();
    let listen = Listen::tcp(address).messages().max_message(LONGEST_MESSAGE);
    let member = move |_| {
        Handlers::new()
            .accepted(room.clone().recipient())
            .message(room.clone().recipient())
            .closed(room.clone().recipient())
    };
    let server = pool.listen(listen, member).await?;
    println!("listening on {}", server.local_addr());
    Ok(io::stdout().flush()?)
}

/// The client's session of its connection: what the others say is printed.
struct Screen {
    pool: Pool,
}

impl Actor for Screen {
    type Context = SessionContext<Self>;
}

impl Handler<MessageReceived> for Screen {
    type Result = ();

    fn handle(&mut self, msg: MessageReceived, _: &mut Self::Context) {
        println!("{}", String::from_utf8_lossy(&msg.message));
    }
}

impl Handler<Closed> for Screen {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        if msg.reason != ClosedReason::ClosedByHost {
            eprintln!("{}", msg.detail);
        }
        drop(self.pool.stop());
    }
}

session!(Screen);

/// The client's session of its input: each line is said, and its end is the end.
struct Keyboard {
    name: String,
    server: Client,
}

impl Actor for Keyboard {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Keyboard {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let text = String::from_utf8_lossy(&msg.line);
        if let Err(error) = self.server.send_msg(format!("{}: {text}", self.name), None) {
            eprintln!("not sent: {error}");
        }
    }
}

impl Handler<Closed> for Keyboard {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        // What was said is sent first.
        self.server.close();
    }
}

session!(Keyboard);

#[cfg(unix)]
async fn talk(pool: Pool, address: String, name: String) -> Result<(), switchboard::Error> {
    let input = switchboard::WatchFd::stdin()
        .map_err(|error| io::Error::other(format!("standard input: {error}")))?;
    let screen = Screen { pool: pool.clone() };
    let connect = Connect::tcp(address)
        .messages()
        .max_message(LONGEST_MESSAGE);
    let server = pool.connect(connect, |_| screen).await?;
    let keyboard = Keyboard { name, server };
    pool.watch_fd(input.lines(), |_| keyboard).await?;
    Ok(())
}

#[cfg(not(unix))]
async fn talk(_: Pool, _: String, _: String) -> Result<(), switchboard::Error> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let ended = match words[..] {
        ["server", address] => Pool::builder()
            .name("chat")
            .run(|pool| serve(pool, address.into())),
        // One connection needs no threads beside this one.
        ["client", address, name] => Pool::builder()
            .shards(0)
            .run(|pool| talk(pool, address.into(), name.into())),
        _ => {
            eprintln!("usage: chat server ADDRESS | chat client ADDRESS NAME");
            return MISUSED.into();
        }
    };
    match ended {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
