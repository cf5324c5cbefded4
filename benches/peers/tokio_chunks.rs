//! `peer-tokio-chunks ADDR`: a line echo in bare tokio, chunk by chunk.
//!
//! One task per connection, reads of up to 8 KiB. Each line of a chunk is found and answered by
//! itself, as a line protocol has to; the answers of a chunk go out with one `write_all`. An
//! unfinished line waits in the buffer, which grows as far as the line does.

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
    let mut answers = Vec::new();
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
        let mut start = 0;
        // The beginning of the first line was looked at before.
        let mut seen = tail;
        while let Some(end) = memchr::memchr(b'\n', &buffer[start + seen..filled]) {
            let next = start + seen + end + 1;
            answers.extend_from_slice(&buffer[start..next]);
            (start, seen) = (next, 0);
        }
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
            answers.clear();
        }
        buffer.copy_within(start..filled, 0);
        tail = filled - start;
    }
}
