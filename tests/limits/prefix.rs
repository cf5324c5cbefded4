//! Limits by address.

use std::net::IpAddr;

use switchboard::prelude::*;
use switchboard::testkit::{MemoryStream, Simulation};
use switchboard::{ListenPhase, RejectReason};
use switchboard_tests::watch;

use super::{END, HERE, Seen, adds_up, dial_from, greet, next_rejected, sees, simulate, visit};

#[test]
fn each_address_has_its_own_places_and_others_notice_nothing() {
    simulate(async |world| {
        let (pool, net) = (world.pool(), world.net());
        let mut events = watch(&pool);
        // Waiting is for those who are let in one day: here it is turned into a rejection.
        let listen = Listen::tcp(HERE).max_per_ip(2).at_limit(AtLimit::Wait);
        let server = greet(&pool, listen).await;
        let (first, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, Seen::LetIn);
        let (_second, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, Seen::LetIn);
        let (third, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, END);
        let told = next_rejected(&mut events).await;
        assert_eq!(told, (Some(third.local_addr()), RejectReason::Prefix));
        let (_other, seen) = visit(net, "10.1.0.2").await;
        assert_eq!(seen, Seen::LetIn);
        drop(first);
        super::settle().await;
        let (_fourth, seen) = visit(net, "10.1.0.1").await;
        assert_eq!(seen, Seen::LetIn);
        let info = server.info();
        assert_eq!(
            (info.live, info.rejected, info.rejections.prefix),
            (3, 1, 1)
        );
        assert!(adds_up(&info));
    });
}

#[test]
fn prefixes_have_the_lengths_that_were_chosen() {
    simulate(async |world| {
        let (pool, net) = (world.pool(), world.net());
        greet(&pool, Listen::tcp(HERE).max_per_prefix(1, 24, 48)).await;
        let mut kept = Vec::new();
        for (from, let_in) in [
            ("10.1.0.1", true),
            ("10.1.0.200", false),
            ("10.1.1.1", true),
            ("2001:db8:1::1", true),
            ("2001:db8:1:ffff::1", false),
            ("2001:db8:2::1", true),
            // The first address again, as an IPv6 socket shows it.
            ("::ffff:10.1.0.1", false),
            ("::ffff:10.1.2.1", true),
            ("10.1.2.1", false),
        ] {
            let (peer, seen) = visit(net, from).await;
            assert_eq!(seen == Seen::LetIn, let_in, "{from}");
            kept.push(peer);
        }
    });
}

#[test]
fn limits_that_cannot_work_are_refused_by_name() {
    simulate(async |world| {
        let pool = world.pool();
        let listen = || Listen::tcp(HERE);
        let cases = [
            (listen().max_per_ip(0), "max_per_ip is 0"),
            (listen().max_per_prefix(1, 33, 64), "33 bits is too long"),
            (listen().max_per_prefix(1, 32, 129), "129 bits is too long"),
            (
                listen().alarm(switchboard::Alarm { high: 3, low: 3 }),
                "low mark of 3",
            ),
            (
                listen().at_limit(AtLimit::Answer(vec![0; 1025].into())),
                "1025 bytes",
            ),
        ];
        for (listen, why) in cases {
            let made = pool.listen(listen, |_| Handlers::new()).await;
            let error = made.unwrap_err();
            assert_eq!(error.phase, ListenPhase::Options);
            assert!(error.to_string().contains(why), "{error}");
        }
    });
}

#[derive(Debug, Clone)]
enum Step {
    Come(u8),
    Leave(usize),
    PerIp(usize),
    InAll(usize),
}

/// The model is the list of peers that are in.
#[test]
fn whatever_comes_and_goes_the_limits_are_exact() {
    for seed in 0..8 {
        Simulation::seeded(seed).check(
            |rng| {
                let steps = (0..60).map(|_| match rng.u8(0..12) {
                    0..7 => Step::Come(rng.u8(1..4)),
                    7..10 => Step::Leave(rng.usize(..)),
                    10 => Step::PerIp(rng.usize(1..4)),
                    _ => Step::InAll(rng.usize(1..7)),
                });
                steps.collect()
            },
            |world, script| async move {
                let pool = world.pool();
                let (mut per_ip, mut in_all) = (2, 5);
                let listen = Listen::tcp(HERE)
                    .max_per_ip(per_ip)
                    .max_connections(in_all)
                    .at_limit(AtLimit::Reject);
                let server = greet(&pool, listen).await;
                let mut inside: Vec<(u8, MemoryStream)> = Vec::new();
                for step in script {
                    match step {
                        Step::Come(last) => {
                            let from = IpAddr::from([10, 2, 0, last]).to_string();
                            let mut peer = dial_from(world.net(), &from).await;
                            let same = inside.iter().filter(|(other, _)| *other == last).count();
                            let room = same < per_ip && inside.len() < in_all;
                            let seen = sees(&mut peer).await;
                            if (seen == Seen::LetIn) != room {
                                return Err(format!("{from} saw {seen:?}, {same} of it are in"));
                            }
                            if room {
                                inside.push((last, peer));
                            }
                        }
                        Step::Leave(_) if inside.is_empty() => {}
                        Step::Leave(index) => {
                            drop(inside.swap_remove(index % inside.len()));
                            super::settle().await;
                        }
                        Step::PerIp(limit) => {
                            per_ip = limit;
                            let limits = switchboard::ServerLimits::new().max_per_ip(limit);
                            server.set_limits(limits).unwrap();
                        }
                        Step::InAll(limit) => {
                            in_all = limit;
                            server.set_max_connections(limit);
                        }
                    }
                }
                Ok(())
            },
        );
    }
}
