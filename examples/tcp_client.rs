//! Opens 100 connections at once; each says "Hello World", reads one answer and closes.
//!
//! Shows many outbound connections and their timeouts: 2 s to connect, 1 s for the answer. Prints each
//! answer, each close reason and a summary. The counterpart is `tcp_server` (XAS-71).
//!
//! ```sh
//! cargo run --release --example tcp_client -- 127.0.0.1:7000 100
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use switchboard::Totals;
use switchboard::prelude::*;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

struct Greeter {
    client: Client,
}

impl Actor for Greeter {
    type Context = SessionContext<Self>;
}

impl Handler<Connected> for Greeter {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        // Refused only when the connection is closing, of which `Closed` tells.
        let _ = self.client.send_line("Hello World");
    }
}

impl Handler<LineReceived> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let answer = String::from_utf8_lossy(&msg.line);
        println!("{}: {answer}", msg.client);
        self.client.close();
    }
}

impl Handler<Closed> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        println!("{}: {} ({})", msg.client, msg.reason, msg.detail);
    }
}

session!(Greeter);

#[actix::main]
async fn main() -> ExitCode {
    match greet().await {
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

async fn greet() -> Result<Totals, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:7000".into());
    let count = arguments.next().unwrap_or("100".into());
    let count: usize = count
        .parse()
        .map_err(|_| format!("{count} is not a number of connections"))?;
    let pool = Pool::builder().start()?;
    let open = |_| {
        let connect = Connect::tcp(&address)
            .timeout(CONNECT_TIMEOUT)
            .receive(RecvLine::once().timeout(ANSWER_TIMEOUT));
        pool.connect(connect, |client| Greeter { client })
    };
    // All of them are on their way before the first is awaited.
    let all: Vec<_> = (0..count).map(open).collect();
    for connecting in all {
        connecting.await?;
    }
    pool.run_until_idle().await?;
    Ok(pool.stop().await)
}
