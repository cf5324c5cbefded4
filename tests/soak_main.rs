//! Some worlds of the soak in every test run; `soak --minutes` lives through more.

use switchboard_tests::soak::{Seen, live_through, trace_of};

#[test]
fn in_random_worlds_every_byte_is_accounted_for() {
    let mut all = Seen::default();
    for seed in 1000..1040 {
        all.add(live_through(seed));
    }
    assert!(all.connections > 200, "{all}");
    assert!(all.received > 100_000 && all.sent > 100_000, "{all}");
    assert!(all.successors > 10 && all.links > 10, "{all}");
    assert!(all.faults > 1000, "{all}");
}

#[test]
fn the_same_seed_is_the_same_world_bit_for_bit() {
    for seed in 2000..2020 {
        let first = trace_of(seed);
        assert!(first.lines().count() > 10, "{first}");
        assert_eq!(trace_of(seed), first, "seed {seed}");
    }
}
