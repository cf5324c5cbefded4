//! `peer-tokio-chunks ADDR`: a line echo in bare tokio, chunk by chunk.
//!
//! One task per connection, reads of up to 8 KiB, and one `write_all` for all the complete lines of
//! a chunk. An unfinished line waits in the buffer, which grows as far as the line does.

use std::io::{self, Write as _};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The most that one read asks for.
const CHUNK_BYTES: usize = 8 * 1024;

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

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut tail = 0;
    loop {
        if buffer.len() < tail + CHUNK_BYTES {
            buffer.resize(tail + CHUNK_BYTES, 0);
        }
        let fresh = stream.read(&mut buffer[tail..tail + CHUNK_BYTES]).await?;
        if fresh == 0 {
            return Ok(());
        }
        let filled = tail + fresh;
        tail = match memchr::memrchr(b'\n', &buffer[tail..filled]) {
            Some(last) => {
                let complete = tail + last + 1;
                stream.write_all(&buffer[..complete]).await?;
                buffer.copy_within(complete..filled, 0);
                filled - complete
            }
            None => filled,
        };
    }
}
