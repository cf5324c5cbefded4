//! Echoes over TLS, and prints who speaks what.
//!
//! Shows TLS from the first byte: one option of the listener, the same session as without it, and one
//! event more (AIO-40). The certificate is made at start and written to a file, for peers to trust it.
//!
//! ```sh
//! cargo run --release --example tls_echo -- 127.0.0.1:7443 --ca /tmp/ca.pem
//! openssl s_client -connect 127.0.0.1:7443 -CAfile /tmp/ca.pem -verify_hostname localhost   # elsewhere
//! ```

mod localhost;
mod tls_options;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use switchboard::Totals;
use switchboard::prelude::*;
use switchboard::tls::TlsServer;

use tls_options::Options;

struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<TlsStarted> for Echo {
    type Result = ();

    fn handle(&mut self, msg: TlsStarted, _: &mut Self::Context) {
        println!("{}: {}", msg.client, msg.tls);
    }
}

impl Handler<DataReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        // Refused only when the connection is closing, of which `Closed` tells.
        let _ = self.client.send(msg.data);
    }
}

impl Handler<Closed> for Echo {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        println!("{}: {} ({})", msg.client, msg.reason, msg.detail);
    }
}

session!(Echo);

fn main() -> ExitCode {
    let options = match Options::from_args() {
        Ok(options) => options,
        Err(code) => return code,
    };
    match run(options) {
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

fn run(options: Options) -> Result<Totals, Box<dyn Error>> {
    let made = localhost::make()?;
    let tls = TlsServer::builder(made.identity.clone()).build()?;
    let serve = |pool: Pool| async move {
        let listen = Listen::tcp(options.address).tls(tls).data();
        let server = pool.listen(listen, |client| Echo { client }).await?;
        made.publish(options.ca.as_deref())?;
        println!("listening on {}", server.local_addr());
        Ok(io::stdout().flush()?)
    };
    Ok(Pool::builder().run(serve)?)
}
