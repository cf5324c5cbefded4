//! Why a peer was turned away.

use std::fmt;

/// Why a peer was turned away at the door of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// The connections of the listener, of the pool or of the limit that pools share are at their limit.
    Limit,
    /// The connections of the peer's prefix are at their limit.
    Prefix,
    /// No two slots are free (XAS-25).
    Slots,
    /// The access list keeps its address out.
    Denied,
}

impl RejectReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Limit, Self::Prefix, Self::Slots, Self::Denied];
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Limit => "limit",
            Self::Prefix => "prefix",
            Self::Slots => "slots",
            Self::Denied => "denied",
        })
    }
}
