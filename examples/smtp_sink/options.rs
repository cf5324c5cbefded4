//! What the command line asks for.

use std::path::PathBuf;

pub const USAGE: &str = "\
usage: smtp_sink [ADDRESS] [OPTION...]    (default: 127.0.0.1:2525; port 0 takes a free one)
  --ca FILE          write the certificate that is made at start, as PEM, so that clients can trust it
  --cert FILE        take this certificate chain (PEM) instead of making one ...
  --key FILE         ... and this key of it
  --no-tls           do not offer STARTTLS
  --max-size OCTETS  the largest mail that is taken (default: 10485760)
  --help             print this";

/// The largest mail unless something else is asked for, in octets.
const MAX_SIZE: usize = 10 * 1024 * 1024;
/// Every server must take mails of this size (RFC 5321 4.5.3.1.7).
const LEAST_MAX_SIZE: usize = 64 * 1024;

#[derive(Debug)]
pub struct Options {
    pub address: String,
    pub certificate: Certificate,
    pub max_size: usize,
}

/// What STARTTLS shows.
#[derive(Debug)]
pub enum Certificate {
    /// Nothing: it is not offered.
    None,
    /// One that is made at start, and perhaps written to this file.
    Own { ca: Option<PathBuf> },
    /// This one.
    Given { cert: PathBuf, key: PathBuf },
}

impl Options {
    /// `None`: help is wanted. The error says what is wrong.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut address = None;
        let (mut ca, mut cert, mut key) = (None, None, None);
        let mut no_tls = false;
        let mut max_size = MAX_SIZE;
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--no-tls" => no_tls = true,
                "--ca" => ca = Some(PathBuf::from(value()?)),
                "--cert" => cert = Some(PathBuf::from(value()?)),
                "--key" => key = Some(PathBuf::from(value()?)),
                "--max-size" => max_size = size(&value()?)?,
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}"));
                }
                _ if address.is_some() => return Err(format!("{argument} is one too many")),
                _ => address = Some(argument),
            }
        }
        let certificate = match (no_tls, ca, cert, key) {
            (true, None, None, None) => Certificate::None,
            (true, ..) => return Err("--no-tls needs no certificate".into()),
            (false, None, Some(cert), Some(key)) => Certificate::Given { cert, key },
            (false, ca, None, None) => Certificate::Own { ca },
            (false, Some(_), ..) => return Err("--ca is for a certificate made at start".into()),
            _ => return Err("--cert and --key go together".into()),
        };
        Ok(Some(Self {
            address: address.unwrap_or("127.0.0.1:2525".into()),
            certificate,
            max_size,
        }))
    }
}

fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if size >= LEAST_MAX_SIZE => Ok(size),
        Ok(_) => Err(format!(
            "--max-size is {text}, the least is {LEAST_MAX_SIZE}"
        )),
        Err(_) => Err(format!(
            "--max-size is {text}, which is not a size in octets"
        )),
    }
}
