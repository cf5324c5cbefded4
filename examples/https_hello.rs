//! A small HTTPS server: `GET` and `HEAD` of `/`, HTTP/1.1 with connections that are kept.
//!
//! Shows requests one after the other over one TLS connection (RFC 9112), and limits of the request line
//! (414) and of the header (431) that are answered instead of cutting the connection. One that is silent
//! for 30 s is closed.
//!
//! ```sh
//! cargo run --release --example https_hello -- 127.0.0.1:7443 --ca /tmp/ca.pem
//! curl --cacert /tmp/ca.pem https://localhost:7443/     # elsewhere
//! ```

mod localhost;
mod tls_options;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::tls::TlsServer;
use switchboard::{LineRule, Totals};

use tls_options::Options;

/// The longest request line, in bytes.
const LONGEST_REQUEST: usize = 8 * 1024;
/// The longest header, in bytes of all its lines.
const LONGEST_HEADER: usize = 16 * 1024;
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Code and reason.
type Status = (u16, &'static str);

const BAD_REQUEST: Status = (400, "Bad Request");

/// What the header has told so far.
struct Request {
    is_head: bool,
    path: String,
    is_1_1: bool,
    hosts: usize,
    /// Whether another request may follow, as far as the peer is concerned.
    keep: bool,
    header: usize,
}

impl Request {
    fn parse(line: &str) -> Result<Self, Status> {
        let parts: Vec<_> = line.split(' ').collect();
        let [method, target, version] = parts[..] else {
            return Err(BAD_REQUEST);
        };
        let is_1_1 = match version {
            "HTTP/1.1" => true,
            "HTTP/1.0" => false,
            _ if version.starts_with("HTTP/") => return Err((505, "HTTP Version Not Supported")),
            _ => return Err(BAD_REQUEST),
        };
        let is_head = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err((501, "Not Implemented")),
        };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        Ok(Self {
            is_head,
            path,
            is_1_1,
            hosts: 0,
            keep: is_1_1,
            header: 0,
        })
    }

    fn field(&mut self, line: &str) -> Result<(), Status> {
        let (name, value) = line.split_once(':').ok_or(BAD_REQUEST)?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return Err(BAD_REQUEST);
        }
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" => self.hosts += 1,
            "connection" if value.eq_ignore_ascii_case("close") => self.keep = false,
            "connection" if value.eq_ignore_ascii_case("keep-alive") => self.keep = true,
            // No request that is served here has a body.
            "content-length" if value == "0" => {}
            "content-length" | "transfer-encoding" => return Err((413, "Content Too Large")),
            _ => {}
        }
        Ok(())
    }

    fn status(&self) -> Result<(), Status> {
        match self.path.as_str() {
            _ if self.hosts > 1 || (self.is_1_1 && self.hosts == 0) => Err(BAD_REQUEST),
            "/" => Ok(()),
            _ => Err((404, "Not Found")),
        }
    }
}

struct Hello {
    client: Client,
    /// The request whose header is under way.
    request: Option<Request>,
}

impl Hello {
    /// Takes a line; answers when it ends a request. `Err`: nothing can be understood from here on.
    fn take(&mut self, line: &[u8]) -> Result<(), Status> {
        // Who ends lines in any other way may be read differently by somebody else (RFC 9112 2.2).
        let line = line.strip_suffix(b"\r").ok_or(BAD_REQUEST)?;
        let Some(request) = &mut self.request else {
            if line.len() > LONGEST_REQUEST {
                return Err((414, "URI Too Long"));
            }
            // An empty line before a request is to be overlooked.
            if !line.is_empty() {
                self.request = Some(Request::parse(text(line)?)?);
            }
            return Ok(());
        };
        request.header += line.len() + 2;
        if request.header > LONGEST_HEADER {
            return Err((431, "Request Header Fields Too Large"));
        }
        if !line.is_empty() {
            return request.field(text(line)?);
        }
        if let Some(request) = self.request.take() {
            self.answer(request.status(), Some(&request));
        }
        Ok(())
    }

    /// Answers a request, or what is none; nothing is served behind the latter.
    fn answer(&self, outcome: Result<(), Status>, request: Option<&Request>) {
        let ((code, reason), body) = match outcome {
            Ok(()) => ((200, "OK"), "hello\n".to_owned()),
            Err(status) => (status, format!("{} {}\n", status.0, status.1)),
        };
        let keep = request.is_some_and(|request| request.keep);
        let connection = if keep { "keep-alive" } else { "close" };
        let mut answer = format!(
            "HTTP/1.1 {code} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: {connection}\r\n\r\n",
            body.len()
        );
        if !request.is_some_and(|request| request.is_head) {
            answer += &body;
        }
        // Refused only when the connection is closing.
        let _ = self.client.send(answer);
        if !keep {
            self.client.close();
        }
    }
}

fn text(line: &[u8]) -> Result<&str, Status> {
    match std::str::from_utf8(line) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\t') => Ok(text),
        _ => Err(BAD_REQUEST),
    }
}

impl Actor for Hello {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Hello {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        if let Err(status) = self.take(&msg.line) {
            self.answer(Err(status), None);
        }
    }
}

session!(Hello);

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
        let listen = Listen::tcp(options.address)
            .tls(tls)
            .idle_timeout(SILENCE)
            .line_rule(LineRule::Lf)
            .lines();
        let session = |client| Hello {
            client,
            request: None,
        };
        let server = pool.listen(listen, session).await?;
        made.publish(options.ca.as_deref())?;
        println!("listening on {}", server.local_addr());
        Ok(io::stdout().flush()?)
    };
    Ok(Pool::builder().run(serve)?)
}
