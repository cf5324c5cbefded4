//! Answers questions for the addresses of a few names: DNS over UDP, from a table.
//!
//! Shows a socket without connections as a session: each datagram is an event with its sender, each
//! answer goes to an address. What is answered is in `answer.rs`, without sockets.
//!
//! ```sh
//! cargo run --release --example dns_static -- 127.0.0.1:5353 --log www.example.test=192.0.2.80
//! dig @127.0.0.1 -p 5353 www.example.test    # elsewhere
//! ```

mod answer;
mod options;
mod zone;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use switchboard::prelude::*;
use switchboard::{BindUdp, Error, Totals, Udp};

use answer::{answer, describe};
use options::{Options, USAGE};
use zone::Zone;

struct Responder {
    udp: Udp,
    zone: Arc<Zone>,
    log: bool,
}

impl Actor for Responder {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Responder {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
        let Some(answer) = answer(&self.zone, &msg.data) else {
            return;
        };
        if self.log {
            println!("{}: {}", msg.from, describe(&answer));
        }
        // Refused when more answers wait than may, or when we are closing: whoever gets none asks again.
        let _ = self.udp.send_to(answer, msg.from);
    }
}

session!(Responder);

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(what) => {
            eprintln!("error: {what}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(options) {
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

fn serve(options: Options) -> Result<Totals, Error> {
    let Options { address, zone, log } = options;
    let zone = Arc::new(zone);
    Pool::builder().run(|pool| async move {
        let session = move |udp| Responder { udp, zone, log };
        let udp = pool.bind_udp(BindUdp::new(address), session).await?;
        let address = udp.local_addr().expect("it is bound");
        println!("listening on {address}");
        Ok(io::stdout().flush()?)
    })
}
