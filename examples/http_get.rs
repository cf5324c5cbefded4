//! Gets a path over HTTP/1.0 and prints the body until the server closes.
//!
//! Shows two receives after each other on one connection, everything up to an empty line and then
//! whatever comes, and how a session tells the awaiting program that it is done (AC-24). The body goes
//! to stdout as it is, the status line to stderr; 10 s of silence are an error.
//!
//! ```sh
//! cargo run --release --example http_get -- 127.0.0.1:8000 /path
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;
use tokio::sync::oneshot;

const SILENCE: Duration = Duration::from_secs(10);

struct Get {
    client: Client,
    request: String,
    in_body: bool,
    ended: Option<oneshot::Sender<Result<(), String>>>,
}

impl Actor for Get {
    type Context = SessionContext<Self>;
}

impl Handler<Connected> for Get {
    type Result = ();

    fn handle(&mut self, _: Connected, _: &mut Self::Context) {
        // Refused only when the connection is closing, of which `Closed` tells.
        let _ = self.client.send(&self.request);
    }
}

impl Handler<DataReceived> for Get {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        if self.in_body {
            if io::stdout().write_all(&msg.data).is_err() {
                // Nobody reads our output any more.
                self.client.abort();
            }
            return;
        }
        let head = String::from_utf8_lossy(&msg.data);
        eprintln!("{}", head.lines().next().unwrap_or_default());
        self.in_body = true;
        // Refused when the body is empty and the server has finished already.
        let _ = self.client.arm(RecvData::available().always());
    }
}

impl Handler<Closed> for Get {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        let outcome = match msg.reason {
            ClosedReason::ClosedByPeer if self.in_body => Ok(()),
            ClosedReason::ClosedByPeer => Err("the server closed before its header ended".into()),
            _ => Err(msg.detail.to_string()),
        };
        if let Some(ended) = self.ended.take() {
            // Nobody waits only when the program is ending anyway.
            let _ = ended.send(outcome);
        }
    }
}

session!(Get);

#[actix::main]
async fn main() -> ExitCode {
    match get().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn get() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8000".into());
    let path = arguments.next().unwrap_or("/".into());
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let pool = Pool::builder().shards(1).start()?;
    let connect = Connect::tcp(&address)
        .receive(RecvUntil::delimiter("\r\n\r\n"))
        .idle_timeout(SILENCE);
    let (ended, end) = oneshot::channel();
    let session = |client| Get {
        client,
        request,
        in_body: false,
        ended: Some(ended),
    };
    pool.connect(connect, session).await?;
    end.await?
        .map_err(|error| format!("cannot get {path} from {address}: {error}"))?;
    pool.stop().await;
    Ok(io::stdout().flush()?)
}
