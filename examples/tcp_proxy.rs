//! A TCP proxy: whatever comes goes on to the target, and back, byte for byte.
//!
//! Shows a task per connection, and two connections back to back: a side that finishes is passed on as a half-close,
//! one that does not read stops the other, and one that breaks ends the other. When the target cannot be reached, the
//! client is closed, and the reason is on stderr.
//!
//! ```sh
//! cargo run --release --example tcp_proxy -- 127.0.0.1:8080 127.0.0.1:8000
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use switchboard::prelude::*;
use switchboard::relay;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8080".into());
    let target = arguments.next().unwrap_or("127.0.0.1:8000".into());
    let served = Pool::builder().run(|pool| async move {
        let serve = move |client| pass_on(client, target.clone());
        let server = pool.serve(Listen::tcp(address), serve).await?;
        println!("listening on {}", server.local_addr());
        Ok(io::stdout().flush()?)
    });
    match served {
        Ok(totals) => {
            println!("{totals}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn pass_on(client: Client, target: String) {
    // The client is closed when this ends.
    match client.pool().open(Connect::tcp(target)).await {
        Ok(server) => {
            let relayed = relay(&client, &server).await;
            let (there, back) = (relayed.a_to_b, relayed.b_to_a);
            eprintln!("{}: {there} bytes there, {back} back", client.id());
        }
        Err(error) => eprintln!("{}: {error}", client.id()),
    }
}
