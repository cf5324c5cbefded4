//! `peer-ractor ADDR`: a line echo with a ractor actor per connection.
//!
//! A task reads lines and casts each one to the actor, which owns the writing side. The mailbox has no
//! limit: ractor has no other, so that a peer that does not read grows it.

use std::io::{self, Write as _};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// The actor of one connection; its state is the writing side.
struct Echo;

/// A line with its newline.
struct Line(Vec<u8>);

impl Actor for Echo {
    type Msg = Line;
    type State = OwnedWriteHalf;
    type Arguments = TcpStream;

    async fn pre_start(
        &self,
        myself: ActorRef<Line>,
        stream: TcpStream,
    ) -> Result<OwnedWriteHalf, ActorProcessingErr> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        tokio::spawn(read(reader, myself));
        Ok(writer)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Line>,
        Line(line): Line,
        writer: &mut OwnedWriteHalf,
    ) -> Result<(), ActorProcessingErr> {
        Ok(writer.write_all(&line).await?)
    }
}

async fn read(reader: OwnedReadHalf, actor: ActorRef<Line>) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line).await {
            Ok(1..) if actor.cast(Line(line)).is_ok() => {}
            // Lines before the end are answered first: a drained actor stops when its mailbox is empty.
            _ => return drop(actor.drain()),
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
            // What ends an actor, or keeps it from starting, is of its own connection.
            Ok((stream, _)) => drop(Actor::spawn(None, Echo, stream).await),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}
