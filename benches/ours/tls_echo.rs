//! `tls-echo ADDR`: the echo example over TLS.
//!
//! The certificate and its key are in the PEM files that `TLS_CERTIFICATE` and `TLS_KEY` name.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};

use switchboard::prelude::*;
use switchboard::tls::{Identity, TlsServer};
use tracing_subscriber::EnvFilter;

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

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    let address = env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let identity = Identity::from_pem_files(env::var("TLS_CERTIFICATE")?, env::var("TLS_KEY")?)?;
    let tls = TlsServer::builder(identity).build()?;
    Pool::builder().name("tls-echo").run(|pool| async move {
        let server = pool
            .listen(Listen::tcp(address).lines().tls(tls), |client| Echo {
                client,
            })
            .await?;
        writeln!(io::stdout(), "listening on {}", server.local_addr())?;
        Ok(())
    })?;
    Ok(())
}
