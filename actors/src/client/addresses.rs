//! Where the link of a connection goes from and to.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{MutexGuard, PoisonError};

use switchboard_core::Address;

use crate::transport::{PeerCredentials, UnixEnds};

use super::{Client, Shared};

/// Both ends of the link, as far as they are known. A connection has this for its life, so what is large is
/// boxed.
#[derive(Debug)]
pub(crate) enum Addresses {
    V4 {
        local: SocketAddrV4,
        peer: SocketAddrV4,
    },
    Inet(Box<InetEnds>),
    Unix(Box<UnixEnds>),
    /// None is known, or there is no link.
    Unknown,
}

/// Ours, and the peer's.
type InetEnds = (Option<SocketAddr>, Option<SocketAddr>);

impl Addresses {
    /// These, or what a transport says that knows better.
    pub(crate) fn new(
        unix: Option<Box<UnixEnds>>,
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    ) -> Self {
        match (unix, local, peer) {
            (Some(ends), ..) => Self::Unix(ends),
            (None, Some(SocketAddr::V4(local)), Some(SocketAddr::V4(peer))) => {
                Self::V4 { local, peer }
            }
            (None, None, None) => Self::Unknown,
            (None, local, peer) => Self::Inet(Box::new((local, peer))),
        }
    }

    fn inet(&self) -> InetEnds {
        match self {
            Self::V4 { local, peer } => (Some((*local).into()), Some((*peer).into())),
            Self::Inet(ends) => **ends,
            Self::Unix(_) | Self::Unknown => (None, None),
        }
    }

    fn unix(&self) -> Option<&UnixEnds> {
        match self {
            Self::Unix(ends) => Some(ends),
            Self::V4 { .. } | Self::Inet(_) | Self::Unknown => None,
        }
    }
}

impl Default for Addresses {
    /// There is no link.
    fn default() -> Self {
        Self::Unknown
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
    fn the_ends_that_are_large_cost_a_connection_that_has_others_nothing() {
        assert_eq!(size_of::<Addresses>(), 16);
    }

    #[test]
    fn what_is_known_of_both_ends_comes_back() {
        let v4 = |last| Some(SocketAddr::from(([127, 0, 0, last], 7)));
        let v6 = Some(SocketAddr::from(([0_u16; 8], 9)));
        for (local, peer) in [
            (v4(1), v4(2)),
            (v6, v6),
            (None, v4(1)),
            (v6, None),
            (None, None),
        ] {
            assert_eq!(Addresses::new(None, local, peer).inet(), (local, peer));
        }
    }
}
