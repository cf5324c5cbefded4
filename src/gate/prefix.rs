//! An exact limit of live connections for each prefix of addresses.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::IpAddr;
use std::sync::PoisonError;

use crate::sync::{Arc, Mutex, MutexGuard};

use super::cidr::{Cidr, CidrError};

/// Which peers are one and the same to a [`PrefixGate`]: those whose addresses have so many bits in
/// common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixLengths {
    v4: u8,
    v6: u8,
}

impl PrefixLengths {
    /// So many bits of an IPv4 address, and of an IPv6 address. 0 makes all of a family one.
    ///
    /// # Errors
    /// When there are more than 32 or 128.
    pub fn new(v4: u8, v6: u8) -> Result<Self, CidrError> {
        for (length, most) in [(v4, 32), (v6, 128)] {
            if length > most {
                let length = length.into();
                return Err(CidrError::TooLong { length, most });
            }
        }
        Ok(Self { v4, v6 })
    }

    fn prefix_of(self, address: IpAddr) -> Cidr {
        let address = address.to_canonical();
        let length = if address.is_ipv4() { self.v4 } else { self.v6 };
        Cidr::containing(address, length)
    }
}

impl Default for PrefixLengths {
    /// Whole addresses of IPv4, and of IPv6 the 64 bits that one site has to itself.
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

/// Lets in so many from each prefix and not one more, however many threads ask (shared by its clones).
///
/// A pass is taken before a connection is started and goes with it; dropping it is the only way to
/// leave, so the count is right on every path, panics included. A prefix from which nobody is inside
/// takes no memory. IPv4 addresses in IPv6 form count as IPv4.
#[derive(Clone)]
pub struct PrefixGate {
    shared: Arc<Shared>,
}

struct Shared {
    lengths: PrefixLengths,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    /// How many are inside, by prefix; never 0. A tree gives the memory of what is gone back.
    live: BTreeMap<Cidr, usize>,
}

impl PrefixGate {
    /// A gate for at most `limit` from each prefix of these lengths. `usize::MAX` only counts; zero
    /// lets nobody in.
    #[must_use]
    pub fn new(limit: usize, lengths: PrefixLengths) -> Self {
        let live = BTreeMap::new();
        Self {
            shared: Arc::new(Shared {
                lengths,
                state: Mutex::new(State { limit, live }),
            }),
        }
    }

    /// A pass for a peer with this address, or `None` when its prefix has no room.
    #[must_use]
    pub fn try_enter(&self, address: IpAddr) -> Option<PrefixPass> {
        let prefix = self.shared.lengths.prefix_of(address);
        let mut state = self.shared.lock();
        let State { limit, live } = &mut *state;
        match live.entry(prefix) {
            Entry::Occupied(mut inside) if *inside.get() < *limit => *inside.get_mut() += 1,
            Entry::Vacant(first) if *limit > 0 => {
                first.insert(1);
            }
            _ => return None,
        }
        drop(state);
        Some(PrefixPass {
            gate: self.clone(),
            prefix,
        })
    }

    /// How many passes are out to the prefix of this address.
    #[must_use]
    pub fn live(&self, address: IpAddr) -> usize {
        let prefix = self.shared.lengths.prefix_of(address);
        self.shared.lock().live.get(&prefix).copied().unwrap_or(0)
    }

    /// How many prefixes have passes out.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        self.shared.lock().live.len()
    }

    /// How many passes a prefix may have; `usize::MAX` when there is no limit.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.shared.lock().limit
    }

    /// Changes the limit of every prefix, at once. Lowering it puts nobody out.
    pub fn set_limit(&self, limit: usize) {
        self.shared.lock().limit = limit;
    }
}

impl Shared {
    /// Poisoning is no reason to stop: nothing in here can panic half-way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PrefixGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixGate")
            .field("lengths", &self.shared.lengths)
            .field("limit", &self.limit())
            .field("prefixes", &self.prefixes())
            .finish_non_exhaustive()
    }
}

/// The right to be inside a [`PrefixGate`]. Dropping it leaves, exactly once.
#[must_use = "a pass that is dropped is given back at once"]
#[derive(Debug)]
pub struct PrefixPass {
    gate: PrefixGate,
    prefix: Cidr,
}

impl PrefixPass {
    /// The prefix that it is counted with.
    #[must_use]
    pub const fn prefix(&self) -> Cidr {
        self.prefix
    }
}

impl Drop for PrefixPass {
    fn drop(&mut self) {
        let mut state = self.gate.shared.lock();
        if let Entry::Occupied(mut inside) = state.live.entry(self.prefix) {
            *inside.get_mut() -= 1;
            if *inside.get() == 0 {
                inside.remove();
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn lengths(v4: u8, v6: u8) -> PrefixLengths {
        PrefixLengths::new(v4, v6).unwrap()
    }

    #[test]
    fn each_prefix_has_its_own_places_and_takes_no_memory_without() {
        let gate = PrefixGate::new(2, PrefixLengths::default());
        let passes = ["10.0.0.1", "::ffff:10.0.0.1"].map(|text| gate.try_enter(address(text)));
        assert!(passes.iter().all(Option::is_some));
        assert!(gate.try_enter(address("10.0.0.1")).is_none());
        assert!(gate.try_enter(address("10.0.0.2")).is_some(), "left again");
        let six = gate.try_enter(address("2001:db8::1")).unwrap();
        assert_eq!(six.prefix().to_string(), "2001:db8::/64");
        assert_eq!(gate.live(address("2001:db8::ffff")), 1);
        assert_eq!((gate.prefixes(), gate.live(address("10.0.0.1"))), (2, 2));
        drop((passes, six));
        assert_eq!((gate.prefixes(), gate.live(address("10.0.0.1"))), (0, 0));
    }

    #[test]
    fn lengths_beyond_a_family_are_refused() {
        for (v4, v6) in [(33, 64), (32, 129), (255, 255)] {
            assert!(matches!(
                PrefixLengths::new(v4, v6),
                Err(CidrError::TooLong { .. })
            ));
        }
    }

    #[test]
    fn the_limit_moves_and_puts_nobody_out() {
        let gate = PrefixGate::new(usize::MAX, PrefixLengths::default());
        let who = address("10.0.0.1");
        let mut passes: Vec<_> = (0..3).map(|_| gate.try_enter(who).unwrap()).collect();
        gate.set_limit(2);
        assert_eq!((gate.live(who), gate.limit()), (3, 2));
        passes.pop();
        assert!(gate.try_enter(who).is_none());
        passes.pop();
        assert!(gate.try_enter(who).is_some());
        gate.set_limit(0);
        assert!(gate.try_enter(address("10.0.0.2")).is_none());
        assert_eq!(gate.prefixes(), 1);
    }

    #[test]
    fn a_panic_gives_the_pass_back() {
        let gate = PrefixGate::new(1, PrefixLengths::default());
        let inside = gate.clone();
        let crashed = thread::spawn(move || {
            let _pass = inside.try_enter(address("::1"));
            std::panic::resume_unwind(Box::new("crash"));
        });
        assert!(crashed.join().is_err());
        assert_eq!(gate.prefixes(), 0);
    }

    #[test]
    fn eight_threads_never_exceed_the_limit_of_a_prefix() {
        let gate = PrefixGate::new(3, lengths(24, 64));
        thread::scope(|scope| {
            for last in 0..8 {
                let gate = &gate;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let pass = gate.try_enter(IpAddr::from([10, 0, 0, last]));
                        assert!(gate.live(address("10.0.0.99")) <= 3);
                        drop(pass);
                    }
                });
            }
        });
        assert_eq!(gate.prefixes(), 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter(IpAddr),
        Leave(usize),
        Limit(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let any_host = prop_oneof![
            any::<[u8; 2]>().prop_map(|[a, b]| IpAddr::from([10, 0, a % 3, b % 3])),
            any::<[u8; 2]>().prop_map(|[a, b]| {
                let (a, b) = (u16::from(a % 3), u16::from(b % 3));
                IpAddr::from([0x2001, 0xdb8, 0, a, 0, 0, 0, b])
            }),
        ];
        let step = prop_oneof![
            4 => any_host.prop_map(Step::Enter),
            3 => any::<usize>().prop_map(Step::Leave),
            1 => (0_usize..4).prop_map(Step::Limit),
        ];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        /// The model keeps everybody who is inside and counts them anew each time.
        #[test]
        fn it_counts_as_a_list_of_all_who_are_inside(
            steps in steps(), v4 in prop::sample::select(vec![0_u8, 24, 32]),
            v6 in prop::sample::select(vec![0_u8, 48, 64, 128]), mut limit in 0_usize..4,
        ) {
            let lengths = lengths(v4, v6);
            let gate = PrefixGate::new(limit, lengths);
            let mut inside: Vec<(IpAddr, PrefixPass)> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter(who) => {
                        let from_there = inside
                            .iter()
                            .filter(|(other, _)| lengths.prefix_of(who).contains(*other))
                            .count();
                        let pass = gate.try_enter(who);
                        prop_assert_eq!(pass.is_some(), from_there < limit);
                        inside.extend(pass.map(|pass| (who, pass)));
                    }
                    Step::Leave(_) if inside.is_empty() => {}
                    Step::Leave(index) => drop(inside.swap_remove(index % inside.len())),
                    Step::Limit(new) => {
                        limit = new;
                        gate.set_limit(new);
                    }
                }
                let mut prefixes: Vec<_> =
                    inside.iter().map(|(who, _)| lengths.prefix_of(*who)).collect();
                prefixes.sort();
                prefixes.dedup();
                prop_assert_eq!(gate.prefixes(), prefixes.len());
            }
        }
    }
}
