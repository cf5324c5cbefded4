use super::*;

/// XAS-64.
#[test]
fn xas_64_a_close_sends_what_is_queued_and_reads_no_more() {
    let mut bench = Bench::open(|config| config.budget = 100);
    for token in 0..100 {
        bench.send("x", A, token);
    }
    bench.arrive("unread");
    bench.arrive("too");
    let mut now = bench.now();
    assert!(bench.machine.close(Cause::LocalClose, true, None, &mut now));
    assert!(!bench.machine.close(Cause::LocalClose, true, None, &mut now));
    assert_eq!(bench.machine.state(), ConnectionState::Closing);
    assert_eq!(bench.machine.read_wish(), 0);
    assert_eq!(bench.events(), NOTHING);
    assert_eq!(bench.try_send("x", A, 9), Err(DatagramRefusal::Closed));
    assert_eq!(bench.transmit().len(), 100);
    let (events, detail) = bench.closed();
    assert_eq!(events.len(), 100);
    assert_eq!(detail.cause.reason(), ClosedReason::ClosedByHost);
    assert_eq!(detail.unread, "unreadtoo");
    assert_eq!(bench.machine.counts().unread, 2);
    assert_eq!(detail.unsent, 0);
}

#[test]
fn a_close_with_nothing_queued_is_over_at_once() {
    let mut bench = Bench::open(|_| {});
    let mut now = bench.now();
    bench.machine.close(Cause::LocalClose, true, None, &mut now);
    assert!(bench.machine.is_over() && !bench.machine.is_told());
    assert!(bench.machine.ending().is_some());
    assert_eq!(bench.machine.poll_timeout(), None);
    bench.closed();
}

/// AIO-16.
#[test]
fn aio_16_an_abort_drops_everything_and_sends_nothing_any_more() {
    let mut bench = Bench::open(|_| {});
    for token in 0..1000 {
        bench.send("x", if token % 2 == 0 { A } else { "name:1" }, token);
    }
    let (lookup, _) = bench.machine.poll_resolve().unwrap();
    assert!(bench.machine.abort(Cause::LocalAbort));
    assert!(!bench.machine.abort(Cause::LocalAbort));
    let mut now = bench.now();
    bench
        .machine
        .handle_resolved(lookup, Ok(address(1)), &mut now);
    assert_eq!(bench.transmit(), NOTHING);
    assert!(bench.machine.poll_resolve().is_none());
    let (events, detail) = bench.closed();
    assert_eq!(events.len(), 1000);
    assert!(events.iter().all(|event| event.starts_with("failed")));
    assert_eq!((detail.unsent, detail.unsent_tokens.len()), (1000, 1000));
    assert_eq!(bench.machine.held(), 0);
}

#[test]
fn what_was_sent_before_an_abort_is_still_told() {
    let mut bench = Bench::open(|_| {});
    bench.send("x", A, 1);
    bench.transmit();
    bench.machine.abort(Cause::LocalAbort);
    assert_eq!(bench.events(), ["sent 1 1", "closed closed by host"]);
}

#[test]
fn a_close_without_flush_drops_what_is_queued_also_later() {
    let mut bench = Bench::open(|_| {});
    bench.send("x", A, 1);
    let mut now = bench.now();
    bench.machine.close(Cause::LocalClose, true, None, &mut now);
    assert!(!bench.machine.is_over());
    bench
        .machine
        .close(Cause::LocalClose, false, None, &mut now);
    let (events, detail) = bench.closed();
    assert_eq!(
        events,
        ["failed 1 127.0.0.1:1: the socket was closed before it was sent"]
    );
    assert_eq!(detail.unsent_tokens, [Token(1)]);
    assert_eq!(detail.cut_short, None);
}

#[test]
fn a_useless_socket_closes_with_the_systems_error() {
    let mut bench = Bench::open(|_| {});
    bench.send("x", A, 1);
    let error = io::Error::from_raw_os_error(9);
    bench.machine.handle_fatal(IoOperation::Read, &error);
    let (events, detail) = bench.closed();
    assert_eq!(events.len(), 1);
    assert_eq!(detail.cause, Cause::io(IoOperation::Read, &error));
}

#[test]
fn a_socket_on_which_nothing_moves_closes() {
    let idle = Duration::from_secs(60);
    let mut bench = Bench::open(|config| config.idle_timeout = Some(idle));
    bench.wait(idle - MILLI);
    bench.arrive("");
    bench.wait(idle - MILLI);
    bench.send("", A, 1);
    bench.transmit();
    bench.machine.handle_error(IoOperation::Read, &refused());
    bench.wait(idle - MILLI);
    assert!(bench.machine.is_open());
    bench.wait(MILLI);
    let (_, detail) = bench.closed();
    assert_eq!(
        detail.cause,
        Cause::Timeout {
            kind: TimeoutKind::Idle,
            after: idle
        }
    );
}

#[test]
fn a_drain_is_told_and_shortens_what_is_under_way() {
    let mut bench = Bench::vacant(|_| {});
    let left = Duration::from_secs(9);
    assert_eq!(bench.machine.handle_draining(left), Standing::Unadopted);
    let mut bench = Bench::with(Interests::SENT, |_| {});
    assert_eq!(bench.machine.handle_draining(left), Standing::Untold);
    let mut bench = Bench::open(|_| {});
    assert_eq!(bench.machine.handle_draining(left), Standing::Told);
    assert_eq!(bench.events(), ["draining 9s"]);
    bench.send("x", A, 1);
    let mut now = bench.now();
    bench.machine.close_within(Cause::Drained, left, &mut now);
    assert_eq!(bench.machine.handle_draining(left), Standing::Ending);
    bench.machine.close_within(Cause::Drained, MILLI, &mut now);
    bench.machine.close_within(Cause::Drained, left, &mut now);
    bench.wait(MILLI);
    let (_, detail) = bench.closed();
    let flush = Cause::Timeout {
        kind: TimeoutKind::Flush,
        after: MILLI,
    };
    assert_eq!(detail.cut_short, Some(flush));
}
