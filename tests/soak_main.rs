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

/// A finish that has to wait, while a session that shares its actor's task is read for.
#[test]
fn an_actor_and_its_session_do_not_call_each_other_without_end() {
    let seen = live_through(1157);
    assert!(seen.connections > 0, "{seen}");
}

#[test]
fn the_same_seed_is_the_same_world_bit_for_bit() {
    for seed in 2000..2020 {
        let first = trace_of(seed);
        assert!(first.lines().count() > 10, "{first}");
        assert_eq!(trace_of(seed), first, "seed {seed}");
    }
}
