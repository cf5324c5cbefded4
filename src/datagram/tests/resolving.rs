use super::*;

/// AMB-06: a name waits alone.
#[test]
fn a_datagram_to_a_name_holds_up_nobody_and_goes_when_it_is_resolved() {
    let mut bench = Bench::open(|_| {});
    bench.send("named", "name:1", 1);
    bench.send("plain", A, 2);
    let (lookup, name) = bench.machine.poll_resolve().unwrap();
    assert_eq!(&*name, "name:1");
    assert!(bench.machine.poll_resolve().is_none(), "once");
    assert_eq!(bench.transmit(), ["plain 127.0.0.1:1"]);
    assert_eq!(bench.machine.write_buffer_size(), 5, "it is still counted");
    let mut now = bench.now();
    bench.send("behind", A, 3);
    bench
        .machine
        .handle_resolved(lookup, Ok(address(2)), &mut now);
    bench
        .machine
        .handle_resolved(lookup, Ok(address(2)), &mut now);
    assert_eq!(
        bench.transmit(),
        ["behind 127.0.0.1:1", "named 127.0.0.1:2"]
    );
}

/// Trap 10: akka #22076.
#[test]
fn trap_10_a_name_without_an_address_fails_its_datagram_and_nothing_else() {
    let mut bench = Bench::open(|_| {});
    bench.send("a", "bad:1", 1);
    bench.send("b", "good:1", 2);
    let (bad, _) = bench.machine.poll_resolve().unwrap();
    let (good, _) = bench.machine.poll_resolve().unwrap();
    let mut now = bench.now();
    bench
        .machine
        .handle_resolved(good, Ok(address(2)), &mut now);
    let error = DatagramError::Unresolved {
        kind: io::ErrorKind::NotFound,
    };
    bench.machine.handle_resolved(bad, Err(error), &mut now);
    assert_eq!(bench.transmit(), ["b 127.0.0.1:2"]);
    let events = bench.events();
    assert_eq!(
        events,
        [format!("failed 1 bad:1: {error}"), "sent 2 1".into()]
    );
    assert!(bench.machine.is_open());
    bench.send("c", "bad:1", 3);
    assert!(bench.machine.poll_resolve().is_some(), "looked up again");
}

/// XAS-64.
#[test]
fn xas_64_a_close_waits_for_names_too() {
    let mut bench = Bench::open(|_| {});
    bench.send("a", "name:1", 1);
    bench.send("b", A, 2);
    let mut now = bench.now();
    assert!(bench.machine.close(Cause::LocalClose, true, None, &mut now));
    assert_eq!(bench.transmit(), ["b 127.0.0.1:1"]);
    assert!(!bench.machine.is_over());
    let (lookup, _) = bench.machine.poll_resolve().unwrap();
    bench
        .machine
        .handle_resolved(lookup, Ok(address(2)), &mut now);
    assert_eq!(bench.transmit(), ["a 127.0.0.1:2"]);
    let (events, detail) = bench.closed();
    assert_eq!(events, ["sent 2 1", "sent 1 1"]);
    assert_eq!((detail.unsent, detail.cut_short), (0, None));
}

/// XAS-64.
#[test]
fn xas_64_a_close_waits_for_a_name_alone_but_not_for_ever() {
    let mut bench = Bench::open(|_| {});
    bench.send("a", "name:1", 1);
    let mut now = bench.now();
    bench.machine.close(Cause::LocalClose, true, None, &mut now);
    assert_eq!(bench.machine.state(), ConnectionState::Closing);
    bench.wait(bench.machine.config().flush_timeout);
    let (events, detail) = bench.closed();
    assert_eq!(
        events,
        ["failed 1 name:1: the socket was closed before it was sent"]
    );
    assert_eq!((detail.unsent, detail.unsent_tokens), (1, vec![Token(1)]));
}
