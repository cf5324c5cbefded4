use super::*;

/// XAS-59, T-22.
#[test]
fn xas_59_empty_and_cut_datagrams_are_delivered_in_order() {
    let mut bench = Bench::open(|_| {});
    bench.arrive("one");
    bench.arrive("");
    let mut now = bench.now();
    bench
        .machine
        .handle_datagram(address(9), Bytes::from_static(b"long"), true, &mut now);
    assert_eq!(
        bench.events(),
        ["received one", "received ", "received long cut"]
    );
    assert!(bench.machine.is_open());
    let counts = bench.machine.counts();
    assert_eq!((counts.received, counts.truncated), (3, 1));
}

#[test]
fn reading_stops_when_as_many_wait_or_are_with_the_session_as_may() {
    let mut bench = Bench::open(|config| config.recv_datagrams = 2);
    assert_eq!(bench.machine.read_wish(), 2);
    bench.arrive("a");
    bench.arrive("b");
    assert_eq!(bench.machine.read_wish(), 0);
    let mut now = bench.now();
    let (_, permit) = bench.machine.poll_event(&mut now).unwrap();
    let (_, other) = bench.machine.poll_event(&mut now).unwrap();
    assert_eq!(bench.machine.read_wish(), 0, "they are with the session");
    bench.machine.give_back(permit, &mut now);
    assert_eq!(bench.machine.read_wish(), 1);
    bench.machine.give_back(other, &mut now);
    assert_eq!(bench.machine.read_wish(), 2);
}

#[test]
fn what_is_handed_over_has_a_place_whether_it_is_wanted_just_now_or_not() {
    let mut bench = Bench::open(|config| config.recv_datagrams = 2);
    bench.machine.pause_reading();
    assert!(bench.machine.has_room());
    bench.arrive("a");
    bench.arrive("b");
    assert!(!bench.machine.has_room());
    bench.machine.resume_reading();
    assert_eq!(bench.events(), ["received a", "received b"]);
    assert!(bench.machine.has_room());
    let mut now = bench.now();
    bench.machine.close(Cause::LocalClose, true, None, &mut now);
    assert!(!bench.machine.has_room());
}

#[test]
fn bytes_that_wait_are_bounded_and_one_datagram_always_fits() {
    let mut bench = Bench::open(|config| {
        config.recv_size = 1000;
        config.recv_bytes = 300;
    });
    assert_eq!(bench.machine.read_wish(), 1);
    bench.arrive("a");
    assert_eq!(bench.machine.read_wish(), 0);
    bench.events();
    assert_eq!(bench.machine.read_wish(), 1);
}

/// AIO-03.
#[test]
fn aio_03_while_reading_is_paused_nothing_is_read_or_delivered() {
    let mut bench = Bench::open(|_| {});
    bench.arrive("a");
    bench.machine.pause_reading();
    assert_eq!(bench.machine.read_wish(), 0);
    assert!(!bench.machine.has_event());
    bench.machine.resume_reading();
    assert!(bench.machine.read_wish() > 0);
    assert_eq!(bench.events(), ["received a"]);
}

#[test]
fn nothing_is_read_that_nobody_takes() {
    let bench = Bench::vacant(|_| {});
    assert_eq!(bench.machine.read_wish(), 0, "there is no session");
    let bench = Bench::with(Interests::SENT, |_| {});
    assert_eq!(bench.machine.read_wish(), 0);
}

/// UA-26.
#[test]
fn ua_26_a_one_shot_receiver_gets_the_oldest_whatever_the_session_does() {
    let mut bench = Bench::open(|_| {});
    bench.arrive("a");
    bench.arrive("b");
    bench.machine.pause_reading();
    assert_eq!(bench.machine.take_datagram().unwrap().data, "a");
    bench.machine.expect_one(2);
    assert_eq!(bench.machine.read_wish(), 1, "one of the two is there");
    bench.arrive("c");
    bench.arrive("d");
    bench.machine.resume_reading();
    assert_eq!(bench.events(), ["received d"], "two are spoken for");
    assert_eq!(bench.machine.take_datagram().unwrap().data, "b");
    assert_eq!(bench.machine.take_datagram().unwrap().data, "c");
    assert!(bench.machine.take_datagram().is_none());

    let mut bench = Bench::with(Interests::NONE, |_| {});
    bench.machine.expect_one(1);
    assert_eq!(bench.machine.read_wish(), 1, "without a session's interest");
}

#[test]
fn a_one_shot_receiver_does_not_wait_for_a_session_that_is_behind() {
    let mut bench = Bench::open(|config| config.recv_datagrams = 1);
    bench.arrive("a");
    let mut now = bench.now();
    let (_, _permit) = bench.machine.poll_event(&mut now).unwrap();
    assert_eq!(bench.machine.read_wish(), 0);
    bench.machine.expect_one(3);
    assert_eq!(bench.machine.read_wish(), 1);
    bench.arrive("b");
    assert_eq!(bench.machine.read_wish(), 0, "one beyond the bound");
    assert_eq!(bench.machine.take_datagram().unwrap().data, "b");
}

/// T-22.
#[test]
fn t_22_each_wake_moves_its_budget_and_looks_again() {
    let mut bench = Bench::open(|config| config.budget = 2);
    assert_eq!(bench.machine.read_wish(), 2);
    bench.arrive("a");
    bench.arrive("b");
    assert_eq!(bench.machine.read_wish(), 0);
    assert!(bench.machine.wants_round());
    bench.machine.begin_round();
    assert_eq!(bench.machine.read_wish(), 2);
    for token in 0..3 {
        bench.send("x", A, token);
    }
    assert_eq!(bench.transmit().len(), 2);
    assert!(bench.machine.wants_round());
    assert_eq!(bench.transmit().len(), 1);
    assert!(!bench.machine.wants_round());
}

/// AIO-38, T-22; akka #26903.
#[test]
fn aio_38_errors_are_told_joined_and_bounded_and_end_nothing() {
    let mut bench = Bench::open(|config| config.budget = 1000);
    for _ in 0..100 {
        bench.machine.handle_error(IoOperation::Read, &refused());
    }
    bench.machine.handle_error(IoOperation::Write, &refused());
    for errno in 0..100 {
        let error = io::Error::from_raw_os_error(errno % 2 + 1);
        bench.machine.handle_error(IoOperation::Read, &error);
    }
    let events = bench.events();
    assert_eq!(
        events[..2],
        ["error ConnectionRefused 100", "error ConnectionRefused 1"]
    );
    assert_eq!(events.len(), 16);
    assert_eq!(bench.machine.counts().errors, 201);
    assert!(bench.machine.is_open());
    bench.send("x", A, 1);
    assert_eq!(bench.transmit(), ["x 127.0.0.1:1"]);
}

/// Else a socket that only reports errors would never let go of its thread.
#[test]
fn errors_take_from_the_budget() {
    let mut bench = Bench::open(|config| config.budget = 2);
    bench.send("x", A, 1);
    for operation in [IoOperation::Read, IoOperation::Write] {
        bench.machine.handle_error(operation, &refused());
        bench.machine.handle_error(operation, &refused());
    }
    assert_eq!(bench.machine.read_wish(), 0);
    assert!(bench.machine.poll_send().is_none());
    assert!(bench.machine.wants_round());
}

#[test]
fn a_session_that_does_not_hear_of_errors_has_them_counted() {
    let mut bench = Bench::with(Interests::DATAGRAM, |_| {});
    bench.machine.handle_error(IoOperation::Read, &refused());
    assert_eq!(bench.events(), NOTHING);
    assert_eq!(bench.machine.counts().errors, 1);
}
