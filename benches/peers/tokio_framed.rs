//! `peer-tokio-framed ADDR`: a line echo in bare tokio, with `Framed` and `LinesCodec`.
//!
//! One task per connection; a line is a `String` that was checked for UTF-8, and `send` flushes it, so
//! that there is one write per line.

use std::io::{self, Write as _};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    loop {
        match listener.accept().await {
            // A connection ends with its peer; why it ended interests nobody here.
            Ok((stream, _)) => drop(tokio::spawn(echo(stream))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

async fn echo(stream: TcpStream) -> Result<(), LinesCodecError> {
    stream.set_nodelay(true)?;
    let mut lines = Framed::new(stream, LinesCodec::new());
    while let Some(line) = lines.next().await {
        lines.send(line?).await?;
    }
    Ok(())
}
