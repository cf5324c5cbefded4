//! `peer-tokio-multi --shards N ADDR`: `peer-tokio-lines` on tokio's runtime of several threads, with a fixed
//! amount of work for each line.
//!
//! So many worker threads take tasks from each other; a thread more, which does nothing else, accepts.

#[path = "../ours/work.rs"]
mod work;

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write as _};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use work::{options, work};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let (threads, address) = options(&arguments)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_io()
        .build()?;
    Ok(runtime.block_on(serve(address))?)
}

async fn serve(address: &str) -> io::Result<()> {
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
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        black_box(work(&line));
        writer.write_all(&line).await?;
        line.clear();
    }
    Ok(())
}
