//! Where the link of a connection goes from and to.

use std::net::SocketAddr;
use std::sync::{MutexGuard, PoisonError};

use switchboard_core::Address;

use crate::transport::{PeerCredentials, UnixEnds};

use super::{Client, Shared};

/// Both ends of the link, as far as they are known. A connection has this for its life, so what is large is
/// boxed.
#[derive(Debug)]
pub(crate) enum Addresses {
    Inet {
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    },
    Unix(Box<UnixEnds>),
}

impl Addresses {
    /// These, or what a transport says that knows better.
    pub(crate) fn new(
        unix: Option<Box<UnixEnds>>,
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    ) -> Self {
        unix.map_or(Self::Inet { local, peer }, Self::Unix)
    }

    const fn inet(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        match self {
            Self::Inet { local, peer } => (*local, *peer),
            Self::Unix(_) => (None, None),
        }
    }

    fn unix(&self) -> Option<&UnixEnds> {
        match self {
            Self::Inet { .. } => None,
            Self::Unix(ends) => Some(ends),
        }
    }
}

impl Default for Addresses {
    /// There is no link.
    fn default() -> Self {
        Self::new(None, None, None)
    }
}

impl Shared {
    pub(super) fn addresses(&self) -> MutexGuard<'_, Addresses> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_addresses(&self, addresses: Addresses) {
        *self.addresses() = addresses;
    }
}

/// Both ends. All of this is `None` before an outbound connection is established.
impl Client {
    /// Our own IP address; `None` on a Unix socket (XAS-57).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.addresses().inet().0
    }

    /// The peer's IP address; `None` on a Unix socket (XAS-57).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.addresses().inet().1
    }

    /// Our own address, of whatever kind.
    #[must_use]
    pub fn local(&self) -> Option<Address> {
        let addresses = self.shared.addresses();
        match addresses.unix() {
            Some(ends) => Some(ends.local.clone().into()),
            None => addresses.inet().0.map(Address::Inet),
        }
    }

    /// The peer's address, of whatever kind. On a Unix socket it is unnamed for most that connect:
    /// [`peer_credentials`](Self::peer_credentials) tells more.
    #[must_use]
    pub fn peer(&self) -> Option<Address> {
        let addresses = self.shared.addresses();
        match addresses.unix() {
            Some(ends) => Some(ends.peer.clone().into()),
            None => addresses.inet().1.map(Address::Inet),
        }
    }

    /// Who the process at the other end of a Unix socket is; `None` on sockets of other kinds.
    #[must_use]
    pub fn peer_credentials(&self) -> Option<PeerCredentials> {
        self.shared.addresses().unix()?.credentials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million idle connections have this.
    #[test]
    fn the_ends_of_a_unix_socket_cost_a_tcp_connection_nothing() {
        let inet = size_of::<(Option<SocketAddr>, Option<SocketAddr>)>();
        assert_eq!(size_of::<Addresses>(), inet);
    }
}
