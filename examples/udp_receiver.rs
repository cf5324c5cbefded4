//! Answers each datagram with NEXT until so many were exchanged, then prints the counts.
//!
//! switchboard has no actor for UDP yet, so this is a plain actix actor over tokio's `UdpSocket`: each
//! message to it is one datagram, replied to when that is answered. It gives up when nothing comes for
//! 10 s. The counterpart is `udp_sender` (XAS-71).
//!
//! ```sh
//! cargo run --release --example udp_receiver -- 127.0.0.1:7000 1000
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

struct Receiver {
    socket: Arc<UdpSocket>,
}

impl Actor for Receiver {
    type Context = Context<Self>;
}

/// Waits for one datagram and answers it.
#[derive(Message)]
#[rtype(result = "io::Result<()>")]
struct AnswerNext;

impl Handler<AnswerNext> for Receiver {
    type Result = ResponseFuture<io::Result<()>>;

    fn handle(&mut self, _: AnswerNext, _: &mut Self::Context) -> Self::Result {
        let socket = Arc::clone(&self.socket);
        Box::pin(async move {
            let (_, sender) = timeout(PATIENCE, socket.recv_from(&mut [0; 64]))
                .await
                .map_err(|_| io::Error::other(format!("no datagram came for {PATIENCE:?}")))??;
            socket.send_to(b"NEXT", sender).await?;
            Ok(())
        })
    }
}

#[actix::main]
async fn main() -> ExitCode {
    match exchange().await {
        Ok(count) => {
            println!("{count} datagrams received, {count} answers sent");
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
    let failed = |error| format!("cannot receive at {address}: {error}");
    let socket = UdpSocket::bind(&address).await.map_err(failed)?;
    println!("listening on {}", socket.local_addr()?);
    io::stdout().flush()?;
    let socket = Arc::new(socket);
    let receiver = Receiver { socket }.start();
    for _ in 0..count {
        receiver.send(AnswerNext).await?.map_err(failed)?;
    }
    Ok(count)
}
