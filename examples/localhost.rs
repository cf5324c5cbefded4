//! A certificate for `localhost`, made on the spot: what the TLS examples show to their peers.

use std::error::Error;
use std::path::Path;

use switchboard::tls::Identity;

/// Makes a certificate that has signed itself, with its key. A peer that is to accept it needs it as a
/// certificate authority: it is written to `ca` as PEM, if that is given. The key is not written.
pub fn identity(ca: Option<&Path>) -> Result<Identity, Box<dyn Error>> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let made = rcgen::generate_simple_self_signed(names)?;
    if let Some(ca) = ca {
        std::fs::write(ca, made.cert.pem())
            .map_err(|error| format!("cannot write {}: {error}", ca.display()))?;
    }
    let key = made.signing_key.serialize_pem();
    Ok(Identity::from_pem(made.cert.pem(), key)?)
}
