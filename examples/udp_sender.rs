//! Sends START, and the next datagram at each NEXT, until so many were exchanged.
//!
//! switchboard has no actor for UDP yet, so this is a plain actix actor over tokio's `UdpSocket`: each
//! message to it is one datagram, replied to when the peer has answered. UDP promises nothing: when no
//! NEXT comes for 2 s, the program says so and ends. The counterpart is `udp_receiver` (XAS-71).
//!
//! ```sh
//! cargo run --release --example udp_sender -- 127.0.0.1:7000 1000
//! ```

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(2);

struct Sender {
    socket: Arc<UdpSocket>,
}

impl Actor for Sender {
    type Context = Context<Self>;
}

/// Sends one datagram and waits for its NEXT.
#[derive(Message)]
#[rtype(result = "io::Result<()>")]
struct Exchange(String);

impl Handler<Exchange> for Sender {
    type Result = ResponseFuture<io::Result<()>>;

    fn handle(&mut self, Exchange(datagram): Exchange, _: &mut Self::Context) -> Self::Result {
        let socket = Arc::clone(&self.socket);
        Box::pin(async move {
            socket.send(datagram.as_bytes()).await?;
            let mut answer = [0; 64];
            let length = timeout(PATIENCE, socket.recv(&mut answer))
                .await
                .map_err(|_| io::Error::other(format!("no answer came for {PATIENCE:?}")))??;
            match &answer[..length] {
                b"NEXT" => Ok(()),
                _ => Err(io::Error::other("the answer is not NEXT")),
            }
        })
    }
}

#[actix::main]
async fn main() -> ExitCode {
    match exchange().await {
        Ok(count) => {
            println!("{count} datagrams sent, {count} answers received");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn exchange() -> Result<u32, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:7000".into());
    let count = arguments.next().unwrap_or("1000".into());
    let count: u32 = count
        .parse()
        .map_err(|_| format!("{count} is not a number of datagrams"))?;
    let failed = |error| format!("cannot exchange datagrams with {address}: {error}");
    let socket = open(&address).await.map_err(failed)?;
    println!("sending from {} to {address}", socket.local_addr()?);
    let socket = Arc::new(socket);
    let sender = Sender { socket }.start();
    for number in 0..count {
        let datagram = match number {
            0 => "START".into(),
            _ => format!("datagram {number}"),
        };
        sender.send(Exchange(datagram)).await?.map_err(failed)?;
    }
    Ok(count)
}

/// A socket that talks to this address only, from an address of the same family.
async fn open(address: &str) -> io::Result<UdpSocket> {
    let peer = tokio::net::lookup_host(address)
        .await?
        .next()
        .ok_or_else(|| io::Error::other("the name has no address"))?;
    let own = if peer.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(peer).await?;
    Ok(socket)
}
