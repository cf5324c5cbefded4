//! Prints mails, whole and one at a time, on a thread that may block.

use std::io::{self, Write};
use std::net::SocketAddr;

use actix::prelude::*;

use super::dialogue::Envelope;

/// Writes to standard output, which may be a pipe that nobody reads for a while. So it lives on a
/// thread of its own, where nobody's connection waits for it but that of the mail.
#[derive(Debug, Default)]
pub struct Printer {
    printed: u64,
}

impl Actor for Printer {
    type Context = SyncContext<Self>;
}

/// A mail to be printed; answered with its number when standard output has taken it.
#[derive(Debug, Message)]
#[rtype(result = "io::Result<u64>")]
pub struct Print {
    pub peer: Option<SocketAddr>,
    /// The version and cipher of TLS, if it came over that.
    pub tls: Option<String>,
    pub envelope: Envelope,
    /// As it was sent: lines that end with CR LF, without the dots that were stuffed into them.
    pub text: Vec<u8>,
}

impl Handler<Print> for Printer {
    type Result = io::Result<u64>;

    fn handle(&mut self, mail: Print, _: &mut Self::Context) -> io::Result<u64> {
        let number = self.printed + 1;
        let mut out = io::stdout().lock();
        out.write_all(mail.head(number).as_bytes())?;
        out.write_all(&mail.text)?;
        writeln!(out, "===== end of mail {number}")?;
        out.flush()?;
        self.printed = number;
        Ok(number)
    }
}

impl Print {
    /// What stands above the text, which may have lines that look like its own frame: hence the count of
    /// its octets.
    fn head(&self, number: u64) -> String {
        let Envelope {
            hello,
            sender,
            recipients,
            eight_bit,
        } = &self.envelope;
        let peer = self.peer.map_or("nowhere".into(), |peer| peer.to_string());
        let tls = self.tls.as_deref().unwrap_or("none");
        let mut head = format!("===== mail {number} from {hello} at {peer}, TLS: {tls}\n");
        head += &format!("MAIL FROM:{sender}\n");
        for recipient in recipients {
            head += &format!("RCPT TO:{recipient}\n");
        }
        let bits = if *eight_bit { "8BITMIME" } else { "7BIT" };
        head + &format!("----- {} octets, {bits}\n", self.text.len())
    }
}
