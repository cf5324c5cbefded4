//! Names that datagrams are for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use switchboard_core::Address;
use tokio::net::lookup_host;

use crate::transport::ChannelKind;

/// The same, for a task of its own.
pub(super) async fn one_of(name: Arc<str>, kind: ChannelKind, v6: bool) -> io::Result<Address> {
    one(&name, kind, v6).await
}

/// The first address of a name that a socket of this kind can reach.
pub(super) async fn one(name: &str, kind: ChannelKind, v6: bool) -> io::Result<Address> {
    match kind {
        ChannelKind::Udp => {
            let found = first(lookup_host(name).await?, v6)?;
            Ok(found.into())
        }
        ChannelKind::Raw => {
            let mut found = first(lookup_host((name, 0)).await?, v6)?;
            found.set_port(0);
            Ok(found.into())
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a Unix socket has no names to look up",
        )),
    }
}

/// The first address of `name:port`, of whichever family.
pub(super) async fn any(name: &str) -> io::Result<Address> {
    lookup_host(name)
        .await?
        .next()
        .map(Address::from)
        .ok_or_else(no_address)
}

/// The first of the socket's own family.
fn first(mut found: impl Iterator<Item = SocketAddr>, v6: bool) -> io::Result<SocketAddr> {
    found
        .find(|address| address.is_ipv6() == v6)
        .ok_or_else(no_address)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}
