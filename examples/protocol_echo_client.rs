//! Sends a text as soon as it is connected, prints what comes back, and ends when the server closes.
//!
//! Shows the client side of an asyncio protocol: the session stops the pool when its connection is
//! lost, and with it the program. A server that is silent for 5 s is given up. The counterpart is
//! `protocol_echo_server` (AIO-45).
//!
//! ```sh
//! cargo run --release --example protocol_echo_client -- 127.0.0.1:7000 "This will be echoed."
//! ```

use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;

const SILENCE: Duration = Duration::from_secs(5);

struct EchoProtocol {
    client: Client,
    text: String,
}

impl Actor for EchoProtocol {
    type Context = SessionContext<Self>;
}

impl Handler<Connected> for EchoProtocol {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        match self.client.send(&self.text) {
            Ok(()) => println!("data sent: {:?}", self.text),
            Err(error) => println!("data not sent: {error}"),
        }
    }
}

impl Handler<DataReceived> for EchoProtocol {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        println!("data received: {:?}", String::from_utf8_lossy(&msg.data));
    }
}

impl Handler<Closed> for EchoProtocol {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        println!("connection lost: {}", msg.reason);
        drop(self.client.pool().stop());
    }
}

session!(EchoProtocol);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:7000".into());
    let text = arguments.next().unwrap_or("This will be echoed.".into());
    // One connection needs no threads beside this one.
    let ended = Pool::builder().shards(0).run(|pool| async move {
        let connect = Connect::tcp(address).data().idle_timeout(SILENCE);
        let session = |client| EchoProtocol { client, text };
        pool.connect(connect, session).await?;
        Ok(())
    });
    match ended {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
