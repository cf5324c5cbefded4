//! Identities: small numbers that are never used twice in a pool's life.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many of an id's 64 bits count; the bits above them name the shard.
const SERIAL_BITS: u32 = 48;
const SERIAL_MASK: u64 = (1 << SERIAL_BITS) - 1;

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        ///
        /// It carries the shard that it lives on, so that a look-up goes straight there, and is
        /// never reused in a pool's life (XAS-18).
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// The id with this number, as [`as_u64`](Self::as_u64) gave it.
            #[must_use]
            pub const fn from_u64(number: u64) -> Self {
                Self(number)
            }

            /// The whole id as one number, for logs and maps.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// Index of the shard that this one lives on.
            #[must_use]
            pub const fn shard(self) -> usize {
                (self.0 >> SERIAL_BITS) as usize
            }

            /// Position in the order in which its shard gave out ids, from 1.
            #[must_use]
            pub const fn serial(self) -> u64 {
                self.0 & SERIAL_MASK
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}.{}"), self.shard(), self.serial())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

identity! {
    /// Names one connection.
    ClientId, "c"
}
identity! {
    /// Names one listener.
    ServerId, "s"
}

/// Gives out the ids of one shard.
#[derive(Debug)]
pub struct IdSource {
    shard: u64,
    given: AtomicU64,
}

impl IdSource {
    /// A source for the shard with this index (at most 65,535 shards).
    #[must_use]
    pub const fn new(shard: u16) -> Self {
        Self {
            shard: (shard as u64) << SERIAL_BITS,
            given: AtomicU64::new(0),
        }
    }

    /// The next connection id.
    #[must_use]
    pub fn client(&self) -> ClientId {
        ClientId(self.next())
    }

    /// The next listener id.
    #[must_use]
    pub fn server(&self) -> ServerId {
        ServerId(self.next())
    }

    /// At a million connections per second the 48 bits last for nine years.
    fn next(&self) -> u64 {
        self.shard | ((self.given.fetch_add(1, Ordering::Relaxed) + 1) & SERIAL_MASK)
    }
}

/// A number of the sender's choice that comes back in `Sent` (XAS-50: the `arg` of a send).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token(pub u64);

impl From<u64> for Token {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_never_reused_and_know_their_shard() {
        let source = IdSource::new(3);
        let ids: HashSet<_> = (0..10_000).map(|_| source.client()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.shard() == 3 && id.serial() > 0));
        assert_eq!(IdSource::new(2).client().to_string(), "c2.1");
    }
}
