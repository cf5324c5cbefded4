//! A certificate for `localhost`, made on the spot: what the TLS examples show to their peers.

use std::error::Error;
use std::io;
use std::path::Path;

use switchboard::tls::Identity;

/// A certificate that has signed itself, with its key.
pub struct Made {
    pub identity: Identity,
    certificate: String,
}

pub fn make() -> Result<Made, Box<dyn Error>> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let made = rcgen::generate_simple_self_signed(names)?;
    let certificate = made.cert.pem();
    let identity = Identity::from_pem(&certificate, made.signing_key.serialize_pem())?;
    Ok(Made {
        identity,
        certificate,
    })
}

impl Made {
    /// Writes the certificate to `ca` as PEM, if that is given: a peer that is to accept it needs it as a
    /// certificate authority. To be called when the port is ours, so that nobody else's file is
    /// overwritten for nothing. The key is not written.
    pub fn publish(&self, ca: Option<&Path>) -> io::Result<()> {
        let Some(ca) = ca else { return Ok(()) };
        std::fs::write(ca, &self.certificate).map_err(|error| {
            let what = format!("cannot write {}: {error}", ca.display());
            io::Error::new(error.kind(), what)
        })
    }
}
