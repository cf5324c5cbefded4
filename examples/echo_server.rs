//! Data echo: whatever comes goes back, without regard to lines (AC-25).
//!
//! Shows the shortest server there is. A peer that does not read is not read from either, so nothing
//! is lost and no queue grows, however much it sends.
//!
//! ```sh
//! cargo run --release --example echo_server -- 127.0.0.1:7000
//! ```

use std::io::{self, Write};
use std::process::ExitCode;

use switchboard::prelude::*;

struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<DataReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        // Refused only when the connection is closing: while a peer does not read, no data comes.
        let _ = self.client.send(msg.data);
    }
}

session!(Echo);

fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let served = Pool::builder().run(|pool| async move {
        let server = pool
            .listen(Listen::tcp(address).data(), |client| Echo { client })
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
