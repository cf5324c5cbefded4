//! Which shard a connection goes to, and how many each one has.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which shard a new connection goes to. It stays there for its life, so the order inside a connection
/// is the same whatever the policy (XAS-09).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// To one after the other.
    #[default]
    RoundRobin,
    /// To the one with the fewest connections; among equals to the next in turn. For connections whose
    /// lives differ in length.
    LeastConnections,
    /// All connections of one IP address, whatever their port, to the same shard for the life of the
    /// pool; for sessions of one peer that share something. Where there is no peer's address (outbound
    /// connections, networks without addresses) one after the other.
    SourceHash,
}

/// Decides for one listener, or for one pool's outbound connections.
#[derive(Debug)]
pub(crate) struct Placer {
    policy: Placement,
    turn: AtomicUsize,
    /// The pool's, so that a peer cannot choose its shard.
    keys: RandomState,
}

impl Placer {
    pub(crate) const fn new(policy: Placement, turn: usize, keys: RandomState) -> Self {
        Self {
            policy,
            turn: AtomicUsize::new(turn),
            keys,
        }
    }

    /// One with a turn of its own and perhaps another policy; it sends a peer to the same shard.
    pub(crate) fn another(&self, policy: Option<Placement>, turn: usize) -> Self {
        Self::new(policy.unwrap_or(self.policy), turn, self.keys.clone())
    }

    /// The next of so many shards, whatever the policy. One that is down has no load, and is passed over.
    pub(crate) fn in_turn(&self, shards: usize, load: impl Fn(usize) -> Option<usize>) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % shards;
        next_up(shards, turn, load)
    }

    /// The shard, out of so many, for a connection of this peer.
    pub(crate) fn place(
        &self,
        shards: usize,
        load: impl Fn(usize) -> Option<usize>,
        peer: Option<IpAddr>,
    ) -> usize {
        match (self.policy, peer) {
            (Placement::RoundRobin, _) | (Placement::SourceHash, None) => {
                self.in_turn(shards, load)
            }
            (Placement::LeastConnections, _) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % shards;
                least(shards, turn, load).unwrap_or(turn)
            }
            (Placement::SourceHash, Some(peer)) => {
                // A listener for both families sees an IPv4 peer as an IPv6 one.
                let hash = self.keys.hash_one(peer.to_canonical());
                let shards = u64::try_from(shards).unwrap_or(u64::MAX);
                let turn = usize::try_from(hash % shards).unwrap_or(0);
                next_up(usize::try_from(shards).unwrap_or(usize::MAX), turn, load)
            }
        }
    }
}

/// The first from `turn` on that is up; without any, that one.
fn next_up(shards: usize, turn: usize, load: impl Fn(usize) -> Option<usize>) -> usize {
    let mut turns = (turn..shards).chain(0..turn);
    turns.find(|shard| load(*shard).is_some()).unwrap_or(turn)
}

/// The one with the lowest load of those that have one; among equals the first from `turn` on.
pub(crate) fn least(
    count: usize,
    turn: usize,
    load: impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    (turn..count)
        .chain(0..turn.min(count))
        .filter_map(|index| Some((load(index)?, index)))
        .min_by_key(|(load, _)| *load)
        .map(|(_, index)| index)
}

/// How many connections a shard has, or how many sessions a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load(Arc<AtomicUsize>);

/// One of them. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Share(Load);

impl Load {
    pub(crate) fn add(&self) -> Share {
        self.0.fetch_add(1, Ordering::Relaxed);
        Share(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Self(Load(count)) = self;
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placer(policy: Placement) -> Placer {
        Placer::new(policy, 0, RandomState::new())
    }

    #[test]
    fn the_least_is_found_and_equals_take_turns() {
        let loads = [2, 1, 3, 1];
        let load = |index: usize| Some(loads[index]);
        assert_eq!(least(4, 0, load), Some(1));
        assert_eq!(least(4, 2, load), Some(3));
        assert_eq!(least(4, 0, |index| (index != 1).then_some(7)), Some(0));
        assert_eq!(least(4, 1, |index| (index != 1).then_some(7)), Some(2));
        assert_eq!(least(4, 0, |_| None), None);
    }

    #[test]
    fn who_is_down_is_passed_over() {
        for policy in [
            Placement::RoundRobin,
            Placement::LeastConnections,
            Placement::SourceHash,
        ] {
            let placer = placer(policy);
            let peer = Some(IpAddr::from([10, 0, 0, 1]));
            for _ in 0..9 {
                let up = |shard: usize| (shard == 2).then_some(7);
                assert_eq!(placer.place(4, up, peer), 2);
            }
            assert!(placer.place(4, |_| None, peer) < 4);
        }
    }

    #[test]
    fn a_load_counts_what_lives() {
        let load = Load::default();
        let shares = [load.add(), load.add()];
        assert_eq!(load.count(), 2);
        drop(shares);
        assert_eq!(load.count(), 0);
    }

    #[test]
    fn equal_loads_are_filled_in_turn() {
        for policy in [Placement::RoundRobin, Placement::LeastConnections] {
            let placer = placer(policy);
            let loads = [const { AtomicUsize::new(0) }; 3];
            for _ in 0..9 {
                let load = |index: usize| Some(loads[index].load(Ordering::Relaxed));
                let shard = placer.place(3, load, None);
                loads[shard].fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(loads.map(AtomicUsize::into_inner), [3, 3, 3], "{policy:?}");
        }
    }

    #[test]
    fn an_address_keeps_its_shard_with_every_listener_and_in_both_families() {
        let placer = placer(Placement::RoundRobin);
        let hashing = placer.another(Some(Placement::SourceHash), 0);
        let elsewhere = placer.another(Some(Placement::SourceHash), 3);
        let mut used = [false; 4];
        for last in 1..=64 {
            let four = std::net::Ipv4Addr::new(127, 0, 0, last);
            let shard = hashing.place(4, |_| Some(0), Some(four.into()));
            used[shard] = true;
            let mapped = four.to_ipv6_mapped().into();
            assert_eq!(elsewhere.place(4, |_| Some(0), Some(mapped)), shard);
        }
        assert_eq!(used, [true; 4]);
        let unknown: Vec<_> = (0..4)
            .map(|_| hashing.place(4, |_| Some(0), None))
            .collect();
        assert_eq!(unknown, [0, 1, 2, 3]);
    }
}
