//! A map by id. Ids are counted up by us: nobody else can choose ones that collide, so that they need no hash
//! that withstands it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use switchboard_core::ClientId;

pub(super) type ById<T> = HashMap<ClientId, T, BuildHasherDefault<IdHasher>>;

/// Spreads a number over all bits.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 by the golden ratio, as Knuth has it; the map looks at both ends of the result.
        let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = spread ^ (spread >> 32);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    use switchboard_core::IdSource;

    use super::*;

    /// Of ids in a row, both what chooses the place and what tells neighbours apart there.
    #[test]
    fn ids_in_a_row_are_spread_over_the_map() {
        let hasher = BuildHasherDefault::<IdHasher>::default();
        for shard in [0, 1, 65_535] {
            let ids = IdSource::new(shard);
            let hashes: Vec<_> = (0..1024).map(|_| hasher.hash_one(ids.client())).collect();
            let low: HashSet<_> = hashes.iter().map(|hash| hash & 1023).collect();
            let high: HashSet<_> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(low.len() > 512, "{} of 1024 places", low.len());
            assert_eq!(high.len(), 128);
        }
    }
}
