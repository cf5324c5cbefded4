use super::super::shortage::PATIENCE;
use super::*;

const FULL: DatagramError = DatagramError::Io {
    kind: std::io::ErrorKind::WouldBlock,
    errno: None,
};

/// The system takes all but what is for A; what it took.
fn transmit_but_a(bench: &mut Bench) -> Vec<String> {
    let mut taken = Vec::new();
    let mut now = bench.now();
    bench.machine.begin_round();
    while let Some(outgoing) = bench.machine.poll_send() {
        if outgoing.to.is_some_and(|to| to.to_string() == A) {
            bench.machine.handle_receiver_full(FULL, &mut now);
        } else {
            taken.push(String::from_utf8_lossy(outgoing.data).into_owned());
            bench.machine.handle_sent(&mut now);
        }
    }
    taken
}

#[test]
fn a_receiver_without_room_holds_up_nobody_else() {
    let mut bench = Bench::open(|_| {});
    for (data, to, token) in [("1", A, 1), ("2", B, 2), ("3", A, 3), ("4", B, 4)] {
        bench.send(data, to, token);
    }
    assert_eq!(transmit_but_a(&mut bench), ["2", "4"]);
    bench.send("5", A, 5);
    bench.send("6", B, 6);
    assert_eq!(transmit_but_a(&mut bench), ["6"]);
    assert_eq!(bench.machine.queued(), 3);
    assert_eq!(bench.machine.write_buffer_size(), 3);
    assert!(!bench.machine.wants_round(), "nothing spins");
    // It has room again: in order, and before what was queued since.
    bench.wait(10 * MILLI);
    bench.send("7", A, 7);
    assert_eq!(
        bench.transmit(),
        [
            "1 127.0.0.1:1",
            "3 127.0.0.1:1",
            "5 127.0.0.1:1",
            "7 127.0.0.1:1"
        ]
    );
    assert_eq!(bench.machine.poll_timeout(), None);
    let told = bench.events();
    assert_eq!(told.len(), 7, "{told:?}");
}

#[test]
fn what_is_for_a_receiver_that_never_has_room_fails_together() {
    let mut bench = Bench::open(|_| {});
    for token in 1..=50 {
        bench.send("a", A, token);
    }
    let start = bench.at;
    let mut tries = 0;
    while bench.machine.queued() > 0 {
        assert!(transmit_but_a(&mut bench).is_empty());
        tries += 1;
        if let Some(at) = bench.machine.poll_timeout() {
            bench.wait(at - bench.at);
        }
    }
    assert!(tries < 60, "{tries}");
    let took = bench.at - start;
    assert!(
        took >= PATIENCE && took < PATIENCE + 1000 * MILLI,
        "{took:?}"
    );
    let told = bench.events();
    assert_eq!(told.len(), 50);
    assert!(
        told.iter().all(|event| event.starts_with("failed ")),
        "{told:?}"
    );
    // The next one is given as much time.
    bench.send("b", A, 51);
    assert!(transmit_but_a(&mut bench).is_empty());
    assert_eq!(bench.machine.queued(), 1);
}

#[test]
fn a_close_waits_for_who_has_no_room_and_not_for_ever() {
    for aborts in [false, true] {
        let mut bench = Bench::open(|_| {});
        bench.send("abc", A, 1);
        bench.send("de", B, 2);
        assert_eq!(transmit_but_a(&mut bench), ["de"]);
        let mut now = bench.now();
        bench
            .machine
            .close(Cause::LocalClose, true, Some(500 * MILLI), &mut now);
        assert!(!bench.machine.is_over());
        if aborts {
            bench.machine.abort(Cause::LocalAbort);
        }
        while !bench.machine.is_over() {
            transmit_but_a(&mut bench);
            bench.wait(10 * MILLI);
        }
        let (events, detail) = bench.closed();
        assert_eq!((detail.unsent, detail.unsent_tokens), (3, vec![Token(1)]));
        assert!(
            events.iter().any(|event| event.starts_with("failed 1 ")),
            "{events:?}"
        );
    }
}
