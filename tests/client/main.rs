//! Promises about outbound connections; here the peers are plain listeners.

mod addresses;
mod ending;
mod failing;
mod opening;

use std::net::SocketAddr;

use switchboard::{Connect, Connecting, Pool};
use switchboard_tests::*;

fn connect(pool: &Pool, connect: Connect) -> (Connecting, Probe) {
    let trace = Probe::new();
    let connecting = pool.connect(connect, trace.session());
    (connecting, trace)
}

/// An address that nobody listens at.
fn closed_port() -> SocketAddr {
    listener().1
}
