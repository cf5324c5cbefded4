//! Sends START, and the next datagram at each NEXT, until so many were exchanged.
//!
//! Shows a UDP socket without a session: one future sends and waits for each answer. UDP promises
//! nothing: when no NEXT comes for 2 s, the program says so and ends. The counterpart is `udp_receiver`
//! (XAS-71).
//!
//! ```sh
//! cargo run --release --example udp_sender -- 127.0.0.1:7000 1000
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::{BindUdp, Udp};

const PATIENCE: Duration = Duration::from_secs(2);
/// Longer than any answer that is one.
const ANSWER_BYTES: usize = 64;

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
    let failed = |error: &dyn Error| format!("cannot exchange datagrams with {address}: {error}");
    let pool = Pool::builder().shards(1).start()?;
    let bind = BindUdp::send_only().connect(address.as_str());
    let udp = pool.open_udp(bind).await.map_err(|error| failed(&error))?;
    let own = udp.local_addr().expect("a connected socket has an address");
    println!("sending from {own} to {address}");
    for number in 0..count {
        let datagram = match number {
            0 => "START".into(),
            _ => format!("datagram {number}"),
        };
        let asked = ask(&udp, datagram).await;
        asked.map_err(|error| failed(error.as_ref()))?;
    }
    pool.stop().await;
    Ok(count)
}

/// Sends one datagram and waits for its NEXT.
async fn ask(udp: &Udp, datagram: String) -> Result<(), Box<dyn Error>> {
    udp.send(datagram)?;
    let answer = udp.recv(ANSWER_BYTES, Some(PATIENCE)).await?;
    match answer.as_deref() {
        Some(b"NEXT") => Ok(()),
        Some(_) => Err("the answer is not NEXT".into()),
        None => Err(format!("no answer came for {PATIENCE:?}").into()),
    }
}
