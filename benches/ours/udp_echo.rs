//! `udp-echo ADDR`: an echo of datagrams, as a session.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};

use switchboard::prelude::*;
use switchboard::{BindUdp, Udp};
use tracing_subscriber::EnvFilter;

struct Echo {
    udp: Udp,
}

impl Actor for Echo {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
        // Refused when more answers wait than may: lost, as a datagram may be.
        let _ = self.udp.send_to(msg.data, msg.from);
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
    Pool::builder().name("udp-echo").run(|pool| async move {
        let udp = pool
            .bind_udp(BindUdp::new(address), |udp| Echo { udp })
            .await?;
        let address = udp.local_addr().expect("it is bound");
        writeln!(io::stdout(), "listening on {address}")?;
        Ok(())
    })?;
    Ok(())
}
