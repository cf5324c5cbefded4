//! TLS from the first byte and in mid-stream, both sides ours.

mod boundary;
mod ending;
mod facts;
mod implicit;
mod network;
mod records;
mod stalled;
mod transport;
mod upgrade;
mod worlds;

use switchboard::tls::{TlsClient, TlsServer};
use switchboard_tests::certificates::Authority;

/// Both sides of a TLS that fit each other, for the name `localhost` and 127.0.0.1.
fn pair() -> (TlsServer, TlsClient) {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["localhost", "127.0.0.1"]).identity();
    (
        TlsServer::builder(identity).build().unwrap(),
        TlsClient::builder(authority.roots()).build().unwrap(),
    )
}
