//! `work-echo --shards N ADDR`: an echo whose session does a fixed amount of work for each line, on so many
//! shards. Connections go to them in turn.

mod work;

use std::env;
use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write as _};

use switchboard::prelude::*;
use tracing_subscriber::EnvFilter;

use work::{options, work};

struct Echo {
    client: Client,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        black_box(work(&msg.line));
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
    let arguments: Vec<_> = env::args().collect();
    let (shards, address) = options(&arguments)?;
    let listen = Listen::tcp(address).lines();
    let pool = Pool::builder().name("work-echo").shards(shards);
    pool.run(|pool| async move {
        let server = pool.listen(listen, |client| Echo { client }).await?;
        writeln!(io::stdout(), "listening on {}", server.local_addr())?;
        Ok(())
    })?;
    Ok(())
}
