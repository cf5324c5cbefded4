//! Line echo: every line comes back as the same bytes, its own ending included.
//!
//! Shows a whole server: one actor per connection, logs on stderr by `RUST_LOG` (default: info), and
//! an orderly end at Ctrl-C or TERM, when each peer still gets what was queued for it. A second signal
//! resets whoever is left.
//!
//! ```sh
//! cargo run --release --example echo -- 127.0.0.1:7000
//! ```

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use switchboard::prelude::*;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        // Refused only when the connection is closing: while a peer does not read, no line comes.
        let _ = self.client.send_line(&msg.line);
    }
}

session!(Echo);

fn main() -> ExitCode {
    log_to_stderr();
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let served = Pool::builder().name("echo").run(|pool| async move {
        let server = pool
            .listen(Listen::tcp(address).lines(), |client| Echo { client })
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

fn log_to_stderr() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
