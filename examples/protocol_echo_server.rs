//! Echoes and prints what comes, and closes each connection 2 s after it opened.
//!
//! Shows the events of an asyncio protocol as handlers, `connection_made`, `data_received` and
//! `connection_lost`, and a timer of the session's own. The counterpart is `protocol_echo_client`
//! (AIO-44).
//!
//! ```sh
//! cargo run --release --example protocol_echo_server -- 127.0.0.1:7000
//! ```

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;

const LIFETIME: Duration = Duration::from_secs(2);

struct EchoProtocol {
    client: Client,
}

impl Actor for EchoProtocol {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for EchoProtocol {
    type Result = ();

    fn handle(&mut self, msg: Accepted, ctx: &mut Self::Context) {
        println!("{}: connection made", msg.client);
        ctx.run_later(LIFETIME, |session, _| {
            session.client.close();
        });
    }
}

impl Handler<DataReceived> for EchoProtocol {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        let text = String::from_utf8_lossy(&msg.data);
        println!("{}: data received: {text:?}", msg.client);
        // Refused only when the connection is closing, of which `Closed` tells.
        let _ = self.client.send(msg.data);
    }
}

impl Handler<Closed> for EchoProtocol {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        println!("{}: connection lost: {}", msg.client, msg.reason);
    }
}

session!(EchoProtocol);

fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let served = Pool::builder().run(|pool| async move {
        let listen = Listen::tcp(address).data();
        let server = pool
            .listen(listen, |client| EchoProtocol { client })
            .await?;
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
