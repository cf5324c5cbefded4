use super::*;

/// XAS-60, AMB-07.
#[test]
fn xas_60_a_thousand_datagrams_go_in_order_and_each_is_told() {
    let mut bench = Bench::open(|config| config.budget = 1000);
    for token in 0..1000 {
        bench.send(if token == 500 { "" } else { "abc" }, A, token);
    }
    assert_eq!(bench.transmit().len(), 1000);
    let told: Vec<_> = (0..1000)
        .map(|token| format!("sent {token} {}", if token == 500 { 0 } else { 3 }))
        .collect();
    assert_eq!(bench.events(), told);
    assert!(!bench.machine.is_busy());
}

/// XAS-61.
#[test]
fn xas_61_a_refused_datagram_fails_instead_and_the_next_goes() {
    let mut bench = Bench::open(|_| {});
    bench.send("large", A, 1);
    bench.send("next", A, 2);
    let mut now = bench.now();
    assert_eq!(bench.machine.poll_send().unwrap().data, "large");
    let error = DatagramError::io(&io::Error::from_raw_os_error(90));
    bench.machine.handle_send_failed(error, &mut now);
    assert_eq!(bench.transmit(), ["next 127.0.0.1:1"]);
    let events = bench.events();
    assert_eq!(events[0], format!("failed 1 127.0.0.1:1: {error}"));
    assert_eq!(events[1..], ["sent 2 4"]);
    assert_eq!(bench.machine.counts().failed, 1);
}

#[test]
fn a_failure_without_a_token_is_told_too_and_without_interest_only_counted() {
    for (interests, told) in [(Interests::ALL, 1), (Interests::SENT, 0)] {
        let mut bench = Bench::with(interests, |_| {});
        let mut now = bench.now();
        let data = Bytes::from_static(b"x");
        bench
            .machine
            .send(data, Some(A.into()), None, &mut now)
            .unwrap();
        bench
            .machine
            .handle_send_failed(DatagramError::Closed, &mut now);
        assert_eq!(bench.events().len(), told);
        assert_eq!(bench.machine.counts().failed, 1);
        assert_eq!(bench.machine.held(), 0);
    }
}

/// AIO-15.
#[test]
fn aio_15_a_destination_is_needed_unless_connected_and_then_must_be_the_peer() {
    let mut bench = Bench::open(|_| {});
    let mut now = bench.now();
    let data = Bytes::from_static(b"x");
    let refusal = |outcome: Result<(), (DatagramRefusal, Bytes)>| outcome.unwrap_err().0;
    let machine = &mut bench.machine;
    let outcome = machine.send(data.clone(), None, None, &mut now);
    assert_eq!(refusal(outcome), DatagramRefusal::NoDestination);
    machine.set_connected(Some(address(1)));
    for to in [B, "localhost:1"] {
        let outcome = machine.send(data.clone(), Some(to.into()), None, &mut now);
        assert_eq!(refusal(outcome), DatagramRefusal::OtherPeer);
    }
    machine.send(data.clone(), None, None, &mut now).unwrap();
    machine
        .send(data.clone(), Some(A.into()), None, &mut now)
        .unwrap();
    assert_eq!(bench.transmit(), ["x peer", "x peer"]);
    bench.machine.set_connected(None);
    let outcome = bench.machine.send(data, None, None, &mut now);
    assert_eq!(refusal(outcome), DatagramRefusal::NoDestination);
}

#[test]
fn a_socket_that_is_connected_from_the_start_needs_no_destination() {
    let config = Arc::new(DatagramConfig::default());
    let mut now = Now::at(Instant::now());
    let mut machine = Datagrams::new(config, true, &mut now);
    let data = Bytes::from_static(b"x");
    machine.send(data.clone(), None, None, &mut now).unwrap();
    let (refusal, _) = machine
        .send(data, Some(A.into()), None, &mut now)
        .unwrap_err();
    assert_eq!(refusal, DatagramRefusal::OtherPeer);
    assert!(machine.poll_send().is_none(), "it waits for its session");
    machine.adopt(Interests::ALL, &mut now);
    assert!(machine.poll_send().is_some_and(|out| out.to.is_none()));
}

#[test]
fn what_is_queued_is_bounded_in_bytes_datagrams_and_notices() {
    let mut bench = Bench::open(|config| {
        config.send_bytes = 10;
        config.send_datagrams = 3;
    });
    assert_eq!(
        bench.try_send("twelve bytes", A, 0),
        Err(DatagramRefusal::Full {
            queued: 0,
            capacity: 10,
            asked: 12
        }),
        "not even the first"
    );
    bench.send("0123456789", A, 0);
    assert!(matches!(
        bench.try_send("x", A, 1),
        Err(DatagramRefusal::Full { queued: 10, .. })
    ));
    bench.send("", A, 1);
    bench.send("", "name:1", 2);
    let many = Err(DatagramRefusal::TooMany { limit: 3 });
    assert_eq!(bench.try_send("", A, 3), many);

    let mut bench = Bench::open(|config| config.max_notices = 2);
    bench.send("x", A, 1);
    bench.transmit();
    bench.send("x", A, 2);
    let many = Err(DatagramRefusal::TooManyNotices { limit: 2 });
    assert_eq!(bench.try_send("x", A, 3), many);
    bench.events();
    bench.send("x", A, 3);
}

/// A session that does not handle its failures cannot make them pile up.
#[test]
fn failed_datagrams_count_until_they_are_told() {
    let mut bench = Bench::open(|config| {
        config.send_bytes = 10;
        config.send_datagrams = 2;
    });
    let mut now = bench.now();
    for token in 0..2 {
        bench.send("12345", A, token);
        bench
            .machine
            .handle_send_failed(DatagramError::Closed, &mut now);
    }
    assert_eq!(bench.machine.held(), 10);
    assert!(matches!(
        bench.try_send("1", A, 9),
        Err(DatagramRefusal::Full { .. })
    ));
    assert_eq!(
        bench.try_send("", A, 9),
        Err(DatagramRefusal::TooMany { limit: 2 })
    );
    assert_eq!(bench.events().len(), 2);
    bench.send("12345", A, 9);
}

/// T-17, AIO-07.
#[test]
fn t_17_writing_pauses_above_the_high_mark_and_resumes_at_the_low_one() {
    let mut bench = Bench::open(|config| {
        config.write_high = 4;
        config.write_low = 2;
    });
    bench.send("1234", A, 1);
    assert_eq!(bench.events(), NOTHING, "at the mark is not above it");
    bench.send("5", "name:1", 2);
    bench.send("6", A, 3);
    assert_eq!(bench.events(), ["paused"], "once");
    assert_eq!(bench.machine.write_buffer_size(), 6);
    let mut now = bench.now();
    bench.machine.handle_sent(&mut now);
    assert_eq!(bench.events(), ["sent 1 4", "resumed"]);
    bench.machine.set_write_limits(Some(1), Some(0)).unwrap();
    assert_eq!(bench.events(), ["paused"], "at once");
    bench.machine.set_write_limits(Some(9), Some(2)).unwrap();
    assert_eq!(bench.events(), ["resumed"]);
    assert!(bench.machine.set_write_limits(Some(1), Some(2)).is_err());
}

#[test]
fn sends_before_the_session_wait_and_it_is_told_that_writing_is_paused() {
    let mut bench = Bench::vacant(|config| config.write_high = 16 * 1024);
    let mut now = bench.now();
    let data = Bytes::from(vec![0; 20_000]);
    bench
        .machine
        .send(data, Some(A.into()), None, &mut now)
        .unwrap();
    assert!(bench.machine.poll_send().is_none());
    bench.machine.adopt(Interests::ALL, &mut now);
    assert_eq!(bench.events(), ["paused"]);
    assert_eq!(bench.transmit().len(), 1);
}

#[test]
fn the_machine_is_modest_in_size() {
    assert!(size_of::<Datagrams>() <= 640, "{}", size_of::<Datagrams>());
}

/// AIO-15.
#[test]
fn what_is_queued_for_a_peer_goes_there_though_another_one_follows() {
    let mut bench = Bench::open(|_| {});
    let mut now = bench.now();
    for (port, data) in [(1, "first"), (2, "second")] {
        bench.machine.set_connected(Some(address(port)));
        let sent = bench.machine.send(data.into(), None, None, &mut now);
        assert!(sent.is_ok());
    }
    assert_eq!(bench.transmit(), ["first 127.0.0.1:1", "second peer"]);
}
