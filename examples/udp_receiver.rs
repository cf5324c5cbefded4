//! Answers each datagram with NEXT until so many were exchanged, then prints the counts.
//!
//! Shows a UDP socket as a session: each datagram is an event that says who sent it. It gives up when
//! nothing comes for 10 s. The counterpart is `udp_sender` (XAS-71).
//!
//! ```sh
//! cargo run --release --example udp_receiver -- 127.0.0.1:7000 1000
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::{BindUdp, Udp};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(10);

struct Receiver {
    udp: Udp,
    left: u32,
    ended: Option<oneshot::Sender<Result<(), String>>>,
}

impl Receiver {
    fn end(&mut self, outcome: Result<(), String>) {
        if let Some(ended) = self.ended.take() {
            // Nobody waits only when the program is ending anyway.
            let _ = ended.send(outcome);
        }
    }
}

impl Actor for Receiver {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Receiver {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        if let Err(error) = self.udp.send_to("NEXT", msg.from) {
            self.end(Err(error.to_string()));
            self.udp.abort();
        } else if self.left == 0 {
            // What was accepted is sent before it closes.
            self.udp.close();
        }
    }
}

impl Handler<DatagramFailed> for Receiver {
    type Result = ();

    fn handle(&mut self, msg: DatagramFailed, _: &mut Self::Context) {
        self.end(Err(msg.error.to_string()));
        self.udp.abort();
    }
}

impl Handler<Closed> for Receiver {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        let outcome = match msg.reason {
            _ if self.left == 0 => Ok(()),
            ClosedReason::Timeout => Err(format!("no datagram came for {PATIENCE:?}")),
            _ => Err(msg.detail.to_string()),
        };
        self.end(outcome);
    }
}

session!(Receiver);

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
    let pool = Pool::builder().shards(1).start()?;
    let (ended, end) = oneshot::channel();
    if count > 0 {
        let bind = BindUdp::new(&address).idle_timeout(PATIENCE);
        let session = move |udp| Receiver {
            udp,
            left: count,
            ended: Some(ended),
        };
        let udp = pool.bind_udp(bind, session).await?;
        println!("listening on {}", udp.local_addr().expect("it is bound"));
        io::stdout().flush()?;
        end.await?
            .map_err(|error| format!("cannot receive at {address}: {error}"))?;
    }
    pool.stop().await;
    Ok(count)
}
