//! Talks to a server in sequence: sends a line, waits for a line, sends a message, waits for a message.
//!
//! Shows a connection without any actor of one's own: each call waits for its answer, as `yield` does in
//! asyncoro (ACO-14). Whatever sends back what it gets is a server for it, such as
//! `protocol_echo_server`.
//!
//! ```sh
//! cargo run --example sequential_client -- 127.0.0.1:7000
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

async fn talk(address: &str) -> Result<(), Box<dyn Error>> {
    // One connection needs no threads beside this one.
    let pool = Pool::builder().shards(0).start()?;
    let server = pool.open(Connect::tcp(address)).await?;
    server.sent_line("hello").await?;
    let line = server.recv_line().timeout(PATIENCE).await?;
    println!("line: {}", line.text()?);
    server.sent_msg("how are you?").await?;
    let message = server.recv_msg().timeout(PATIENCE).await?;
    println!("message: {}", String::from_utf8_lossy(&message));
    server.close();
    println!("{}", server.closed().await?);
    pool.stop().await;
    Ok(())
}

#[actix::main]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    match talk(&address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
