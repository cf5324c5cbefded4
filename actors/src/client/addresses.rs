//! Where the link of a connection goes from and to.

use std::net::SocketAddr;
use std::sync::PoisonError;

use super::Shared;

/// Both ends of the link, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Addresses {
    pub(super) local: Option<SocketAddr>,
    pub(super) peer: Option<SocketAddr>,
}

impl Shared {
    pub(super) fn addresses(&self) -> Addresses {
        *self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_addresses(&self, addresses: Addresses) {
        *self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}
