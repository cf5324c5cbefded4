//! `peer-kameo ADDR`: a line echo with a kameo actor per connection.
//!
//! A task reads lines and tells each one to the actor, which owns the writing side. The mailbox is the
//! usual bounded one, so that reading waits for an actor that cannot write.

use std::io::{self, Write as _};

use kameo::error::Infallible;
use kameo::prelude::{Actor, ActorRef, Context, Message, Spawn as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The actor of one connection.
struct Echo {
    writer: OwnedWriteHalf,
}

/// A line with its newline.
struct Line(Vec<u8>);

impl Actor for Echo {
    type Args = TcpStream;
    type Error = Infallible;

    async fn on_start(stream: TcpStream, myself: ActorRef<Self>) -> Result<Self, Infallible> {
        let (reader, writer) = stream.into_split();
        tokio::spawn(read(reader, myself));
        Ok(Self { writer })
    }
}

impl Message<Line> for Echo {
    type Reply = ();

    async fn handle(&mut self, Line(line): Line, context: &mut Context<Self, ()>) {
        if self.writer.write_all(&line).await.is_err() {
            context.stop();
        }
    }
}

async fn read(reader: OwnedReadHalf, actor: ActorRef<Echo>) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line).await {
            Ok(1..) if actor.tell(Line(line)).await.is_ok() => {}
            // Lines before the end are answered first; an actor that has gone already is stopped.
            _ => {
                let _ = actor.stop_gracefully().await;
                return;
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                stream.set_nodelay(true)?;
                drop(Echo::spawn(stream));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}
