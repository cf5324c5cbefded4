//! `peer-actix-io ADDR`: a line echo with an actix actor per connection, on `actix::io`.
//!
//! The lines come as a stream, the answers go to a `FramedWrite`, which writes once per wake-up. It has no
//! back-pressure, and what it has not written when the peer ends its side is lost: this is what `actix::io`
//! does, not what this program chose.

use std::io::{self, Write as _};

use actix::io::{FramedWrite, WriteHandler};
use actix::{Actor, ActorContext as _, AsyncContext as _, Context, StreamHandler};
use tokio::io::{WriteHalf, split};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

/// The actor of one connection.
struct Echo {
    writer: FramedWrite<String, WriteHalf<TcpStream>, LinesCodec>,
}

impl Actor for Echo {
    type Context = Context<Self>;
}

impl StreamHandler<Result<String, LinesCodecError>> for Echo {
    fn handle(&mut self, line: Result<String, LinesCodecError>, context: &mut Context<Self>) {
        match line {
            Ok(line) => self.writer.write(line),
            Err(_) => context.stop(),
        }
    }
}

impl WriteHandler<LinesCodecError> for Echo {}

#[actix::main]
async fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => start(stream)?,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

fn start(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, writer) = split(stream);
    Echo::create(|context| {
        context.add_stream(FramedRead::new(reader, LinesCodec::new()));
        Echo {
            writer: FramedWrite::new(writer, LinesCodec::new(), context),
        }
    });
    Ok(())
}
