use super::*;

fn panicked() -> Cause {
    Cause::SessionPanicked {
        event: None,
        text: "trap".into(),
    }
}

fn restarting(config: &mut DatagramConfig) {
    config.crash = CrashPolicy::Restart {
        max: 1,
        within: Duration::from_secs(5),
    };
}

#[test]
fn what_waits_when_a_session_crashes_is_for_the_next() {
    let mut bench = Bench::open(|config| {
        restarting(config);
        config.write_high = 1;
        config.write_low = 0;
    });
    bench.arrive("lost");
    bench.arrive("kept");
    let mut now = bench.now();
    let _ = bench.machine.poll_event(&mut now);
    bench.send("a", A, 1);
    bench.send("b", A, 2);
    assert!(bench.machine.handle_session_gone(panicked(), &mut now));
    assert!(bench.machine.is_vacant() && bench.machine.is_open());
    assert_eq!(bench.machine.read_wish(), 0);
    assert_eq!(bench.events(), NOTHING);
    let sent = bench.machine.poll_send().is_some();
    assert!(sent, "sending goes on");
    bench.machine.handle_sent(&mut now);
    bench.machine.adopt(Interests::ALL, &mut now);
    assert_eq!(bench.machine.poll_timeout(), None);
    assert_eq!(
        bench.events(),
        ["adopted 4 1", "paused", "sent 1 1", "received kept"]
    );
    // Once too often.
    assert!(!bench.machine.handle_session_gone(panicked(), &mut now));
    assert_eq!(bench.transmit().len(), 1, "it flushes");
    let (events, detail) = bench.closed();
    assert_eq!(events, NOTHING);
    assert_eq!(detail.cause.reason(), ClosedReason::Error);
}

#[test]
fn a_successor_is_told_that_writing_is_paused() {
    let mut bench = Bench::open(|config| {
        restarting(config);
        config.write_high = 1;
        config.write_low = 0;
    });
    bench.send("long", A, 1);
    let mut now = bench.now();
    bench.machine.handle_session_gone(panicked(), &mut now);
    bench.machine.handle_successor(Interests::ALL, &mut now);
    assert_eq!(bench.events(), ["adopted 0 1", "paused"]);
    bench.transmit();
    assert_eq!(bench.events(), ["sent 1 4", "resumed"]);
}

#[test]
fn a_socket_that_gets_no_other_session_closes() {
    let mut bench = Bench::open(restarting);
    let mut now = bench.now();
    bench.machine.handle_session_gone(panicked(), &mut now);
    bench.wait(bench.machine.config().adoption_timeout);
    let (_, detail) = bench.closed();
    assert!(matches!(
        detail.cause,
        Cause::Timeout {
            kind: TimeoutKind::Adoption,
            ..
        }
    ));
}

#[test]
fn a_crash_aborts_where_that_was_asked_for_and_a_stop_flushes() {
    let mut bench = Bench::open(|config| config.crash = CrashPolicy::Abort);
    bench.send("x", A, 1);
    let mut now = bench.now();
    assert!(!bench.machine.handle_session_gone(panicked(), &mut now));
    assert_eq!(bench.closed().1.unsent, 1);
    let mut bench = Bench::open(|config| config.crash = CrashPolicy::Abort);
    bench.send("x", A, 1);
    bench
        .machine
        .handle_session_gone(Cause::SessionStopped, &mut now);
    assert_eq!(bench.transmit().len(), 1);
    assert_eq!(bench.closed().1.unsent, 0);
}

#[test]
fn a_successor_of_a_closing_socket_hears_of_its_end() {
    let mut bench = Bench::open(restarting);
    bench.send("x", A, 1);
    let mut now = bench.now();
    bench.machine.handle_session_gone(panicked(), &mut now);
    bench.machine.close(Cause::LocalClose, true, None, &mut now);
    bench.machine.handle_successor(Interests::ALL, &mut now);
    assert!(bench.machine.poll_timeout().is_some(), "its deadline stays");
    bench.transmit();
    assert_eq!(bench.events(), ["sent 1 1", "closed closed by host"]);
}
