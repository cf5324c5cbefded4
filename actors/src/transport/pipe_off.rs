//! Systems without descriptors have nothing to be watched.

use std::sync::Arc;

use switchboard_core::{Access, ConnectError};

use super::{Connected, LocalFuture};

/// There is none.
#[derive(Debug)]
pub(crate) enum Watched {}

impl Watched {
    pub(crate) const fn access(&self) -> Access {
        match *self {}
    }

    pub(crate) const fn lingers(&self) -> bool {
        match *self {}
    }

    pub(crate) fn establish(
        self: Arc<Self>,
        _: String,
    ) -> LocalFuture<Result<Connected, ConnectError>> {
        match *self {}
    }
}
