//! Registers descriptors with the runtime's reactor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor whose readiness can be waited for on this thread. What owns it may only be borrowed from then
/// on.
///
/// # Errors
/// What the system says: it does not poll every kind of descriptor.
#[allow(
    unsafe_code,
    reason = "the reactor trusts that the descriptor stays open"
)]
pub(crate) fn register<T>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>>
where
    T: AsRawFd + Into<OwnedFd>,
{
    // SAFETY: what can be turned into an `OwnedFd` owns its descriptor, which so stays open, and the same,
    // until the owner is dropped; `AsyncFd` deregisters it before that.
    Ok(unsafe { AsyncFd::register_with_interest(owner, interest) }?)
}
