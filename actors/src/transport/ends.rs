//! Both ends of a Unix connection.

use switchboard_core::UnixName;

/// Both ends of a Unix connection, and who is at the other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixEnds {
    /// Our own name.
    pub local: UnixName,
    /// The peer's name; whoever connects rarely has one.
    pub peer: UnixName,
    /// Who the peer is, as far as the system tells.
    pub credentials: Option<PeerCredentials>,
}

/// Who the process at the other end of a Unix connection is, as the kernel says: for an accepted
/// connection as it was when it connected, for an outbound one as it was when it began to listen
/// (SO_PEERCRED in unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PeerCredentials {
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its process, where the system tells; it may have ended, and the number may be another's by now.
    pub pid: Option<i32>,
}

impl PeerCredentials {
    /// These, for transports of one's own.
    #[must_use]
    pub const fn new(uid: u32, gid: u32, pid: Option<i32>) -> Self {
        Self { uid, gid, pid }
    }
}
