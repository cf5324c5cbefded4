//! Plays both sides of `greeting.script`: the client's against a server, the server's against a client.
//!
//! Shows a conversation as data, and how it tests whoever speaks the protocol. Prints what happened;
//! on a mismatch it prints the difference and exits with 1. Everything is on the loopback interface,
//! and each step ends within 5 s. Another script of the same protocol may be named.
//!
//! ```sh
//! cargo run --release --features testkit --example scripted -- examples/greeting.script
//! ```

use std::error::Error;
use std::process::ExitCode;

use switchboard::prelude::*;
use switchboard::testkit::Script;
use tokio::net::{TcpListener, TcpStream};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/greeting.script");

/// The protocol as a server speaks it.
struct Greeter {
    client: Client,
}

impl Actor for Greeter {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Greeter {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        // Refused only when the connection is closing, here and below.
        let _ = self.client.send("220 ready\r\n");
    }
}

impl Handler<LineReceived> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let line = String::from_utf8_lossy(&msg.line);
        let _ = match line.split_once(' ') {
            Some(("HELO", name)) => self.client.send(format!("250 hello {name}\r\n")),
            None if line == "QUIT" => self.client.send("221 bye\r\n".to_owned()),
            _ => self.client.send("500 not known here\r\n".to_owned()),
        };
        if line == "QUIT" {
            self.client.close();
        }
    }
}

session!(Greeter);

/// The protocol as a client speaks it.
struct Guest {
    client: Client,
}

impl Actor for Guest {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Guest {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let _ = match msg.line.get(..3) {
            Some(b"220") => self.client.send("HELO there\r\n"),
            Some(b"250") => self.client.send("TIME\r\n"),
            Some(b"221") => return,
            _ => self.client.send("QUIT\r\n"),
        };
    }
}

session!(Guest);

#[actix::main]
async fn main() -> ExitCode {
    let path = std::env::args().nth(1).unwrap_or(SCRIPT.into());
    match play_both(&path).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn play_both(path: &str) -> Result<(), Box<dyn Error>> {
    let script = Script::load(path)?;
    let pool = Pool::builder().start()?;

    let listen = Listen::tcp("127.0.0.1:0").lines();
    let server = pool.listen(listen, |client| Greeter { client }).await?;
    let stream = TcpStream::connect(server.local_addr()).await?;
    let played = script.client().play_exactly(stream).await?;
    print!("as the client\n{played}");

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let connect = Connect::tcp(listener.local_addr()?).lines();
    pool.connect(connect, |client| Guest { client }).await?;
    // It is in the backlog, for it is connected.
    let (stream, _) = listener.accept().await?;
    let played = script.server().play_exactly(stream).await?;
    print!("as the server\n{played}");

    pool.stop().await;
    Ok(())
}
