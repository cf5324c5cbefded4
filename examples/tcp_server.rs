//! Answers each line with itself and prints why each connection ended.
//!
//! Shows deadlines and close reasons: a peer has 2 s for each line, then it is closed with reason
//! `timeout`. The counterpart is `tcp_client` (XAS-71).
//!
//! ```sh
//! cargo run --release --example tcp_server -- 127.0.0.1:7000
//! ```

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;

const LINE_TIMEOUT: Duration = Duration::from_secs(2);

struct Answerer {
    client: Client,
}

impl Actor for Answerer {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Answerer {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        // Refused only when the connection is closing, of which `Closed` tells.
        let _ = self.client.send_line(&msg.line);
    }
}

impl Handler<Closed> for Answerer {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        println!("{}: {} ({})", msg.client, msg.reason, msg.detail);
    }
}

session!(Answerer);

fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let served = Pool::builder().run(|pool| async move {
        let each_line = RecvLine::once().always().timeout(LINE_TIMEOUT);
        let listen = Listen::tcp(address).receive(each_line);
        let server = pool.listen(listen, |client| Answerer { client }).await?;
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
