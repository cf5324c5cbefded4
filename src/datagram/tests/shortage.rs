use super::super::shortage::PATIENCE;
use super::*;

/// cpython #156698.
#[test]
fn without_room_the_head_waits_and_is_tried_again() {
    let mut bench = Bench::open(|_| {});
    bench.send("a", A, 1);
    let mut now = bench.now();
    bench.machine.handle_no_room(&mut now);
    assert!(bench.machine.poll_send().is_none(), "nothing spins");
    assert!(!bench.machine.wants_round());
    bench.wait(9 * MILLI);
    assert!(bench.machine.poll_send().is_none());
    bench.wait(MILLI);
    assert!(bench.machine.poll_send().is_some());
    let mut now = bench.now();
    bench.machine.handle_no_room(&mut now);
    bench.wait(19 * MILLI);
    assert!(bench.machine.poll_send().is_none(), "twice as long");
    bench.wait(MILLI);
    assert_eq!(bench.transmit().len(), 1);
    bench.send("b", A, 2);
    let mut now = bench.now();
    bench.machine.handle_no_room(&mut now);
    bench.wait(10 * MILLI);
    assert_eq!(bench.transmit().len(), 1, "a success begins anew");
    assert_eq!(bench.machine.poll_timeout(), None);
}

/// cpython #156698: the pause ends by itself, and what waits behind has its own time.
#[test]
fn what_never_finds_room_fails_and_writing_resumes() {
    let mut bench = Bench::open(|config| {
        config.write_high = 1;
        config.write_low = 0;
    });
    bench.send("a", A, 1);
    bench.send("b", A, 2);
    assert_eq!(bench.events(), ["paused"]);
    let start = bench.at;
    let (mut tries, mut failed) = (0, Vec::new());
    while bench.machine.queued() > 0 {
        assert!(bench.machine.poll_send().is_some());
        let mut now = bench.now();
        bench.machine.handle_no_room(&mut now);
        tries += 1;
        if let Some(event) = bench.event() {
            failed.push((event, bench.at - start));
        }
        if let Some(at) = bench.machine.poll_timeout() {
            let pause = at - bench.at;
            assert!(pause >= 10 * MILLI && pause <= 500 * MILLI);
            bench.wait(pause);
        }
    }
    assert!(tries < 60, "{tries}");
    assert!(failed[0].0.starts_with("failed 1 127.0.0.1:1"));
    assert!(failed[0].1 >= PATIENCE && failed[0].1 < PATIENCE + 500 * MILLI);
    assert!(failed[1].0.starts_with("failed 2 "));
    assert!(failed[1].1 - failed[0].1 >= PATIENCE);
    assert_eq!(bench.events(), ["resumed"]);
    #[cfg(target_os = "linux")]
    assert!(failed[0].0.contains("105"), "{}", failed[0].0);
}

#[test]
fn a_shortage_does_not_outlast_the_deadline_of_a_close() {
    let mut bench = Bench::open(|_| {});
    bench.send("abc", A, 1);
    let mut now = bench.now();
    bench
        .machine
        .close(Cause::LocalClose, true, Some(50 * MILLI), &mut now);
    while !bench.machine.is_over() {
        if bench.machine.poll_send().is_some() {
            let mut now = bench.now();
            bench.machine.handle_no_room(&mut now);
        }
        bench.wait(MILLI);
    }
    let (events, detail) = bench.closed();
    assert_eq!(events.len(), 1);
    assert_eq!((detail.unsent, detail.unsent_tokens), (3, vec![Token(1)]));
    assert_eq!(detail.phase, ClosePhase::Flushing);
    assert!(matches!(
        detail.cut_short,
        Some(Cause::Timeout {
            kind: TimeoutKind::Flush,
            ..
        })
    ));
    assert_eq!(detail.cause.reason(), ClosedReason::ClosedByHost);
}
