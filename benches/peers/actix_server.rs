//! `peer-actix-server ADDR`: a line echo on the server of actix-net.
//!
//! One worker; a thread of the server's own accepts for it. The service of a connection reads line by
//! line and writes each one, as `peer-tokio-lines` does.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::TcpListener;

use actix_server::Server;
use actix_service::fn_service;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

#[actix::main]
async fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let server = Server::build()
        .workers(1)
        .listen("echo", listener, || {
            fn_service(|stream: TcpStream| async {
                // A connection ends with its peer; why it ended interests nobody here.
                drop(echo(stream).await);
                Ok::<_, Infallible>(())
            })
        })?
        .run();
    writeln!(io::stdout(), "listening on {address}")?;
    server.await
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        writer.write_all(&line).await?;
        line.clear();
    }
    Ok(())
}
