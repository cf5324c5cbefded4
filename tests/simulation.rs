//! Runs that a seed decides.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use switchboard::testkit::{Link, Rates, Simulation, World};
use switchboard::{ClosedReason, Connect, ConnectionOptions, Listen, TimeoutKind};
use switchboard_tests::talking::Sides;
use switchboard_tests::{Echo, Probe, expect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

fn panic_of(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("it must panic");
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_default()
}

/// 4,500 idle reports of 19.2 s: a whole day.
#[test]
fn a_day_of_idle_timeouts_takes_no_time() {
    let begun = std::time::Instant::now();
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        let listen = Listen::tcp("10.0.0.1:1")
            .lines()
            .idle_report(Duration::from_millis(19_200));
        pool.listen(listen, trace.session()).await.unwrap();
        let peer = world.net().connect("10.0.0.1:1").await.unwrap();
        expect!(trace, Accepted);

        for _ in 0..4500 {
            assert_eq!(expect!(trace, Idle).kind, TimeoutKind::Idle);
        }
        let day = Duration::from_secs(86_400);
        assert!(world.elapsed() >= day && world.elapsed() < day + Duration::from_secs(2));
        drop(peer);
        pool.stop().await;
    });
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "time was not virtual"
    );
}

/// Echo by several peers at once, with delays and pieces drawn from the seed.
async fn chatter(world: World) -> String {
    let pool = world.pool();
    let listen = Listen::tcp("10.0.0.1:1")
        .lines()
        .idle_timeout(Duration::from_secs(60));
    let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
    let mut talks = Vec::new();
    for peer in 0..5_u32 {
        let (world, address) = (world.clone(), server.local_addr());
        talks.push(tokio::task::spawn_local(async move {
            let mut stream = world.net().connect(address).await.unwrap();
            for _ in 0..10 {
                let length = world.draw(|rng| rng.usize(1..2000));
                let mut line = vec![b'x'; length];
                line.push(b'\n');
                let pause = world.draw(|rng| rng.u64(0..500));
                sleep(Duration::from_millis(pause)).await;
                stream.write_all(&line).await.unwrap();
                let mut left = line.len();
                while left > 0 {
                    let mut piece = [0; 700];
                    let count = stream.read(&mut piece).await.unwrap();
                    left -= count;
                    world.note(format_args!("peer {peer}: {count} bytes, {left} left"));
                }
            }
        }));
    }
    for talk in talks {
        talk.await.unwrap();
    }
    let totals = pool.stop().await;
    world.note(totals);
    world.note(world.faults().counts());
    world.trace()
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    let link = Link::default()
        .latency(Duration::from_millis(7))
        .bandwidth(20_000)
        .chunk(300);
    let run = |seed| {
        let simulation = Simulation::seeded(seed).link(link.clone());
        simulation.faults(Rates::default()).run(chatter)
    };
    let first = run(42);
    assert!(first.lines().count() > 50, "{first}");
    for _ in 0..5 {
        assert_eq!(run(42), first);
    }
    assert_ne!(run(43), first);
}

/// Lines over TLS both ways, with lengths and pauses drawn from the seed.
async fn protected_chatter(world: World, sides: Sides) -> String {
    let pool = world.pool();
    let listen = Listen::tcp("10.0.0.1:1").lines().tls(sides.server);
    let server = pool.listen(listen, |client| Echo { client }).await.unwrap();
    let mut talks = Vec::new();
    for peer in 0..3_u32 {
        let (world, pool, tls) = (world.clone(), pool.clone(), sides.client.clone());
        let address = server.local_addr();
        talks.push(tokio::task::spawn_local(async move {
            let mut probe = Probe::new();
            let connect = Connect::tcp(address).lines().tls(tls);
            let client = pool.connect(connect, probe.session()).await.unwrap();
            world.note(format_args!("peer {peer} is connected"));
            expect!(probe, Connected);
            expect!(probe, TlsStarted);
            for _ in 0..5 {
                let length = world.draw(|rng| rng.usize(1..2000));
                let pause = world.draw(|rng| rng.u64(0..500));
                sleep(Duration::from_millis(pause)).await;
                client.send_line(&"x".repeat(length)).unwrap();
                let line = expect!(probe, LineReceived).line;
                world.note(format_args!("peer {peer}: {} bytes", line.as_bytes().len()));
            }
            client.close();
            world.note(expect!(probe, Closed).detail);
        }));
    }
    for talk in talks {
        talk.await.unwrap();
    }
    world.note(pool.stop().await);
    world.note(world.faults().counts());
    world.trace()
}

/// Keys and ciphertext are others in each run. What is sent, in what pieces, when, and what comes of it is
/// the same, as long as handshakes are of the same length: with signatures of a fixed one.
#[test]
fn the_same_seed_gives_the_same_trace_over_tls() {
    let sides = Sides::new();
    let link = Link::default()
        .latency(Duration::from_millis(7))
        .bandwidth(20_000)
        .chunk(300);
    let run = |seed, sides: Sides| {
        let simulation = Simulation::seeded(seed).link(link.clone());
        let simulation = simulation.faults(Rates::default());
        simulation.run(|world| protected_chatter(world, sides))
    };
    let first = run(42, sides.clone());
    assert!(first.lines().count() > 20, "{first}");
    for _ in 0..5 {
        assert_eq!(run(42, sides.clone()), first);
    }
    // Other keys and certificates, as in another process.
    assert_eq!(run(42, Sides::new()), first);
    assert_ne!(run(43, sides), first);
}

#[test]
fn a_failure_names_its_seed_and_shows_the_trace() {
    let text = panic_of(|| {
        Simulation::seeded(77).run(|world| async move {
            sleep(Duration::from_millis(1500)).await;
            world.note("half way");
            assert_eq!(1, 2, "as expected");
        });
    });
    assert!(text.contains("seed 77 failed"), "{text}");
    assert!(text.contains("as expected"), "{text}");
    assert!(text.contains("1.500000  half way"), "{text}");
}

#[test]
fn what_never_ends_is_stopped_at_the_limit() {
    let text = panic_of(|| {
        let simulation = Simulation::seeded(3).limit(Duration::from_secs(600));
        simulation.run(|_| std::future::pending::<()>());
    });
    assert!(
        text.contains("seed 3 failed: it was not done after 600s"),
        "{text}"
    );
}

/// A fault that needs two certain steps in order, among many that do not matter.
#[test]
fn a_failing_script_is_shrunk_to_what_it_takes() {
    let check = |seed| {
        Simulation::seeded(seed).check(
            |rng| (0..200).map(|_| rng.u8(0..20)).collect(),
            |world, script: Vec<u8>| async move {
                let armed = script.iter().position(|&step| step == 3);
                for (position, step) in script.iter().enumerate() {
                    sleep(Duration::from_millis(1)).await;
                    world.note(format_args!("step {step}"));
                    if *step == 17 && armed.is_some_and(|armed| armed < position) {
                        return Err("17 after 3".to_owned());
                    }
                }
                Ok(())
            },
        );
    };
    let text = panic_of(|| check(5));
    assert!(text.contains("seed 5 failed: 17 after 3"), "{text}");
    assert!(
        text.ends_with("shrunk from 200 steps to 2:\n  3\n  17"),
        "{text}"
    );
    assert_eq!(
        panic_of(|| check(5)),
        text,
        "the same seed, the same failure"
    );
}

#[test]
fn a_script_that_holds_is_played_once() {
    let plays = std::cell::Cell::new(0);
    Simulation::seeded(5).check(
        |rng| vec![rng.u8(..)],
        |_, _| {
            plays.set(plays.get() + 1);
            async { Ok(()) }
        },
    );
    assert_eq!(plays.get(), 1);
}

/// A stop closes connections in the order in which they were opened, each time.
#[test]
fn a_stop_ends_connections_in_the_same_order_each_time() {
    let run = || {
        Simulation::seeded(9).run(|world| async move {
            let pool = world.pool();
            let mut trace = Probe::new();
            pool.listen(Listen::tcp("10.0.0.1:1").lines(), trace.session())
                .await
                .unwrap();
            let mut peers = Vec::new();
            for _ in 0..30 {
                peers.push(world.net().connect("10.0.0.1:1").await.unwrap());
                expect!(trace, Accepted);
            }
            let _ = pool.stop().await;
            let mut order = Vec::new();
            for _ in 0..30 {
                let closed = expect!(trace, Closed);
                assert_eq!(closed.reason, ClosedReason::ClosedByHost);
                order.push(closed.client);
            }
            order
        })
    };
    let first = run();
    assert!(first.is_sorted());
    assert_eq!(run(), first);
}
