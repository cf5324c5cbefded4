//! A mail server that takes every mail and prints it: envelope, then text.
//!
//! Shows a real protocol on lines: EHLO, STARTTLS, pipelined commands, replies in order, text that ends
//! with a dot, and limits and timeouts as RFC 5321 wants them. The upgrade in mid-stream forgets what
//! was said before it, and refuses what was sent behind it. A mail is acknowledged when it is printed.
//!
//! | file | is |
//! |---|---|
//! | `session.rs` | the actor: one peer |
//! | `dialogue.rs` | what a command means |
//! | `message.rs` | the text of a mail, line by line |
//! | `path.rs`, `reply.rs` | addresses, replies |
//! | `printer.rs` | standard output |
//!
//! ```sh
//! cargo run --release --example smtp_sink -- 127.0.0.1:2525
//! swaks --server 127.0.0.1:2525 --tls --from ada@example.org --to bob@example.org   # elsewhere
//! ```

mod dialogue;
#[path = "../localhost.rs"]
mod localhost;
mod message;
mod options;
mod path;
mod printer;
mod reply;
mod session;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use actix::SyncArbiter;
use switchboard::prelude::*;
use switchboard::tls::{Identity, TlsServer};

use localhost::Made;
use options::{Certificate, Options, USAGE};
use printer::Printer;
use session::{Service, Session};

/// With the largest mail this bounds the memory: each peer has at most one mail under way, and one that
/// goes before its mail is printed keeps its place until then.
const MOST_PEERS: usize = 100;
const TOO_MANY: &str = "421 4.3.2 too many connections, try later\r\n";

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
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let own = match &options.certificate {
        Certificate::Own { .. } => Some(localhost::make()?),
        _ => None,
    };
    let tls = tls_of(&options.certificate, own.as_ref())?;
    let totals = Pool::builder()
        .name("smtp_sink")
        .run(|pool| serve(pool, options, tls, own))?;
    eprintln!("{totals}");
    Ok(())
}

fn tls_of(
    certificate: &Certificate,
    own: Option<&Made>,
) -> Result<Option<TlsServer>, Box<dyn Error>> {
    let identity = match (certificate, own) {
        (Certificate::Given { cert, key }, _) => Identity::from_pem_files(cert, key)?,
        (_, Some(made)) => made.identity.clone(),
        (_, None) => return Ok(None),
    };
    Ok(Some(TlsServer::builder(identity).build()?))
}

async fn serve(
    pool: Pool,
    options: Options,
    tls: Option<TlsServer>,
    own: Option<Made>,
) -> Result<(), switchboard::Error> {
    let service = Service {
        printer: SyncArbiter::start(1, Printer::default),
        tls,
        max_size: options.max_size,
    };
    let listen = session::listen(&options.address)
        .max_connections(MOST_PEERS)
        .at_limit(AtLimit::Answer(Bytes::from_static(TOO_MANY.as_bytes())));
    let session = move |client| Session::new(client, service.clone());
    let server = pool.listen(listen, session).await?;
    if let (Some(made), Certificate::Own { ca }) = (own, &options.certificate) {
        made.publish(ca.as_deref())?;
    }
    let mut out = io::stdout();
    writeln!(out, "listening on {}", server.local_addr())?;
    Ok(out.flush()?)
}
