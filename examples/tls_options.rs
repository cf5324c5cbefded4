//! What the command lines of `tls_echo` and `https_hello` ask for.

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: EXAMPLE [ADDRESS] [--ca FILE]    (default: 127.0.0.1:7443; port 0 takes a free one)
  --ca FILE  write the certificate that is made at start, as PEM, so that clients can trust it
  --help     print this";

#[derive(Debug)]
pub struct Options {
    pub address: String,
    pub ca: Option<PathBuf>,
}

impl Options {
    /// The error is how the program is to end at once: help was wanted, or something is wrong.
    pub fn from_args() -> Result<Self, ExitCode> {
        match Self::parse(std::env::args().skip(1)) {
            Ok(Some(options)) => Ok(options),
            Ok(None) => {
                println!("{USAGE}");
                Err(ExitCode::SUCCESS)
            }
            Err(what) => {
                eprintln!("error: {what}\n{USAGE}");
                Err(ExitCode::from(2))
            }
        }
    }

    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut address, mut ca) = (None, None);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--ca" => ca = Some(arguments.next().ok_or("--ca needs a file")?.into()),
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}"));
                }
                _ if address.is_some() => return Err(format!("{argument} is one too many")),
                _ => address = Some(argument),
            }
        }
        let address = address.unwrap_or("127.0.0.1:7443".into());
        Ok(Some(Self { address, ca }))
    }
}
