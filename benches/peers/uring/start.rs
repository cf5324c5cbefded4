//! How both peers begin.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use crate::ring::Ring;

/// Listens where the last argument says; nothing if it was only asked whether that works.
///
/// # Errors
/// The argument is no address, the address cannot be listened on, or the kernel refuses.
pub(crate) fn start() -> io::Result<Option<Ring>> {
    let last = std::env::args().next_back();
    let last = last.unwrap_or_default();
    let is_check = last == "--check";
    let address = if is_check { "127.0.0.1:0" } else { &last };
    let address: SocketAddr = address
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "usage: ADDR or --check"))?;
    let ring = Ring::listen(address)?;
    if is_check {
        return Ok(None);
    }
    writeln!(io::stdout(), "listening on {}", ring.local_address()?)?;
    Ok(Some(ring))
}

/// Says in one line why a peer cannot serve, as the runner shows it.
pub(crate) fn report(served: io::Result<()>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
