//! The `smtp_sink` example, and the mails that it prints.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::examples_support::Example;
use crate::programs::{Directory, as_str};

/// A running `smtp_sink` with a certificate of its own.
pub struct Sink {
    pub address: SocketAddr,
    /// What a client needs to trust it.
    pub ca: PathBuf,
    example: Example,
    _directory: Directory,
}

/// A mail as it was printed.
#[derive(Debug)]
pub struct Mail {
    /// The lines above the text.
    pub head: String,
    pub text: Vec<u8>,
}

impl Sink {
    pub fn start() -> Self {
        let directory = Directory::new();
        let ca = directory.path("ca.pem");
        let (example, address) = Example::serve("smtp_sink", &["--ca", as_str(&ca)]);
        Self {
            address,
            ca,
            example,
            _directory: directory,
        }
    }

    pub fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// Tells it to end, and gives the mails that it printed.
    pub fn end(self) -> Vec<Mail> {
        self.example.signal("TERM");
        let ended = self.example.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        let mut rest = &ended.stdout[..];
        let mut mails = Vec::new();
        while !rest.is_empty() {
            let (mail, behind) = Mail::read(rest, mails.len() + 1);
            mails.push(mail);
            rest = behind;
        }
        mails
    }
}

impl Mail {
    /// Reads a mail off the front of what was printed.
    fn read(printed: &[u8], number: usize) -> (Self, &[u8]) {
        let mark = b"\n----- ";
        let head_ends = printed
            .windows(mark.len())
            .position(|seen| seen == mark)
            .unwrap();
        let (head, rest) = printed.split_at(head_ends + 1);
        let head = String::from_utf8(head.to_vec()).unwrap();
        assert!(
            head.starts_with(&format!("===== mail {number} from ")),
            "{head}"
        );
        let line_ends = rest.iter().position(|&byte| byte == b'\n').unwrap();
        let (line, rest) = rest.split_at(line_ends + 1);
        let line = String::from_utf8(line.to_vec()).unwrap();
        let octets = line.split(' ').nth(1).unwrap().parse().unwrap();
        let (text, rest) = rest.split_at(octets);
        let foot = format!("===== end of mail {number}\n");
        let rest = rest
            .strip_prefix(foot.as_bytes())
            .expect("the foot of the mail");
        let text = text.to_vec();
        (Self { head, text }, rest)
    }
}
