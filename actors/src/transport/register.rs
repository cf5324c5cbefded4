//! Registers descriptors with the runtime's reactor.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What owns a descriptor: that is open, and always the same, until the owner is dropped.
pub(super) trait Owner: AsRawFd {}

impl Owner for OwnedFd {}
impl Owner for socket2::Socket {}

/// A descriptor whose readiness can be waited for on this thread. What owns it may only be borrowed from then
/// on.
///
/// # Errors
/// What the system says: it does not poll every kind of descriptor.
#[allow(
    unsafe_code,
    reason = "the reactor trusts that the descriptor stays open"
)]
pub(super) fn register<T>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>>
where
    T: Owner,
{
    // SAFETY: an `Owner`'s descriptor stays open, and the same, until the owner is dropped; `AsyncFd`
    // deregisters it before that.
    Ok(unsafe { AsyncFd::register_with_interest(owner, interest) }?)
}
