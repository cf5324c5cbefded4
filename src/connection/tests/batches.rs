//! Several frames taken at once, and what follows from frames that are still with the session.

use super::*;

/// A session that takes what it can at once, and is then busy with so many of them.
fn busy_with(begun: usize, settings: ConnectionConfig) -> Wire {
    let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), settings);
    wire.generous = false;
    wire.at_once = begun;
    wire.busy = true;
    wire.receive(&Receive::always(LINE));
    wire
}

#[test]
fn frames_taken_at_once_are_those_taken_one_by_one() {
    let script = b"a\nb\r\n\nlast\nrest";
    for at_once in 0..6 {
        for split in 0..=script.len() {
            let mut wire = Wire::open(config(|_| {}));
            wire.at_once = at_once;
            wire.receive(&Receive::always(LINE));
            let (head, tail) = script.split_at(split);
            wire.peer_sends(head);
            wire.peer_sends(tail);
            assert_eq!(wire.told(), ["line a", "line b", "line ", "line last"]);
            let snapshot = wire.machine.snapshot();
            assert_eq!((snapshot.frames_in, snapshot.unread), (4, 4));
            assert_eq!(wire.machine.frames_out(), 0);
        }
    }
}

#[test]
fn what_was_not_begun_with_comes_back_in_front_of_what_came_since() {
    let mut wire = busy_with(1, config(|_| {}));
    wire.peer_sends("a\nb\nc\nde");
    assert_eq!(wire.told(), ["line a"]);
    assert_eq!(wire.machine.frames_out(), 3);
    wire.peer_sends("f\ng");
    wire.recall();
    assert_eq!(wire.machine.frames_out(), 1, "one was begun with");
    assert_eq!(wire.machine.snapshot().frames_in, 1);
    assert_eq!(wire.machine.snapshot().unread, 9);
    assert!(wire.machine.cancel_receive());
    wire.receive(&Receive::once(exact(2)));
    assert_eq!(wire.told(), ["data b\n"], "another receive gets them");
    wire.receive(&Receive::always(LINE));
    wire.go_on();
    assert_eq!(wire.told(), ["line c", "line def"]);
}

/// Another thread recalls what the session has not claimed; later the session gives up the rest.
#[test]
fn a_batch_may_be_recalled_in_parts() {
    let mut wire = busy_with(1, config(|_| {}));
    wire.peer_sends("a\nb\nc\nd\ne");
    assert_eq!(wire.told(), ["line a"]);
    for (position, frames_out, unread) in [(3, 3, 3), (9, 3, 3), (2, 2, 5), (3, 2, 5)] {
        wire.machine.recall(position, &mut wire.now());
        assert!(wire.machine.has_batch());
        assert_eq!(wire.machine.frames_out(), frames_out);
        assert_eq!(wire.machine.snapshot().unread, unread);
        assert_eq!(wire.machine.snapshot().frames_in, u64::from(frames_out));
    }
    wire.peer_sends("f\n");
    wire.recall();
    assert_eq!(wire.machine.frames_out(), 1);
    wire.at_once = 9;
    wire.drive();
    assert_eq!(wire.told(), ["line b", "line c", "line d", "line ef"]);
}

#[test]
fn the_credit_bounds_what_is_taken_at_once() {
    let mut wire = busy_with(9, config(|config| config.read_credit = 3));
    wire.peer_sends("1\n2\n3\n4\n5\n");
    assert_eq!(wire.told(), ["line 1", "line 2", "line 3"]);
    wire.go_on();
    assert_eq!(wire.told(), NOTHING);
    wire.give_back();
    assert_eq!(wire.told(), ["line 4", "line 5"]);
}

#[test]
fn what_is_counted_or_timed_is_taken_one_by_one_and_notices_come_first() {
    for receive in [times(3, LINE), within(seconds(1), Receive::always(LINE))] {
        let mut wire = Wire::open(config(|_| {}));
        wire.receive(&receive);
        wire.awake = false;
        wire.peer_sends("a\nb\n");
        assert!(wire.machine.poll_batch(&mut wire.now()).is_none());
    }
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.awake = false;
    wire.peer_sends("a\nb\n");
    wire.send_tracked("x", 1);
    let mut now = wire.now();
    assert!(wire.machine.poll_batch(&mut now).is_none());
    assert!(wire.machine.poll_notice().is_some());
    let batch = wire.machine.poll_batch(&mut now).unwrap();
    assert_eq!(batch.len(), 2);
    assert!(!batch.is_empty() && batch.line(2).is_none() && batch.body(2).is_none());
    assert!(wire.machine.poll_batch(&mut now).is_none(), "one at a time");
}

/// The connection may end under a session that is still busy with what it took.
#[test]
fn frames_that_come_back_after_the_end_are_unread() {
    type End = fn(&mut Wire);
    let ends: [End; 3] = [
        |wire| {
            wire.abort();
        },
        |wire| {
            wire.close();
        },
        |wire| {
            wire.takes(0);
            wire.send("stuck");
            wire.close();
        },
    ];
    for end in ends {
        let mut wire = busy_with(1, config(|_| {}));
        wire.peer_sends("a\nb\nc\nrest");
        end(&mut wire);
        wire.recall();
        wire.wait(seconds(100));
        assert_eq!(wire.told().len(), 2, "a line, closed");
        assert_eq!(&wire.closed().unread[..], b"b\nc\nrest");
    }
}

#[test]
fn frames_that_were_begun_with_before_the_end_are_not_unread() {
    let mut wire = busy_with(1, config(|_| {}));
    wire.peer_sends("a\nb\nrest");
    wire.abort();
    wire.go_on();
    assert_eq!(
        wire.told(),
        ["line a", "line b", "closed: aborted here, 4 bytes unread"]
    );
}

/// Whoever asks gets his answer: `printf 'question\n' | nc`.
#[test]
fn the_peers_end_waits_until_what_came_before_it_was_handled() {
    for at_once in [0, 9] {
        let mut wire = busy_with(at_once, config(|_| {}));
        wire.peer_sends("question\nanother\n");
        wire.peer_finishes();
        assert_eq!(wire.told(), ["line question", "line another"]);
        wire.wait(seconds(10));
        assert_eq!(wire.told(), NOTHING);
        wire.send("answers");
        wire.recall();
        wire.give_back();
        assert_eq!(wire.told(), ["closed: peer finished"]);
        assert_eq!(wire.taken, b"answers");
    }
}

#[test]
fn a_one_shot_receive_that_is_armed_again_in_time_gets_the_next_frame_after_a_reset() {
    let mut wire = Wire::open(config(|_| {}));
    wire.generous = false;
    wire.receive(&Receive::once(LINE));
    wire.peer_sends("a\nb\nc");
    wire.machine
        .handle_read_error(&io::ErrorKind::ConnectionReset.into(), &mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["line a"]);
    wire.receive(&Receive::once(LINE));
    assert_eq!(wire.told(), ["line b"]);
    wire.give_back();
    assert_eq!(
        wire.told(),
        ["closed: read failed: connection reset, 1 bytes unread"]
    );
}

/// XAS-38.
#[test]
fn xas_38_a_broken_rule_closes_when_the_frames_before_it_were_handled() {
    for at_once in [0, 1, 9] {
        let mut wire = busy_with(at_once, config(|config| config.max_line = 4));
        wire.busy = false;
        wire.peer_sends("a\nb\ntoo long");
        assert_eq!(wire.told(), ["line a", "line b"]);
        assert_eq!(wire.machine.read_wish(), ReadWish::Nothing);
        wire.send("answer");
        wire.give_back();
        assert_eq!(
            wire.told(),
            ["closed: line is longer than 4 bytes, 8 bytes unread"]
        );
        assert_eq!(wire.taken, b"answer");
    }
}

/// XAS-38.
#[test]
fn xas_38_a_broken_rule_waits_for_frames_that_came_back() {
    let mut wire = busy_with(1, config(|config| config.max_line = 4));
    wire.peer_sends("a\nb\ntoo long");
    wire.awake = false;
    wire.recall();
    wire.give_back();
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.told(), ["line a", "line b"]);
    wire.go_on();
    wire.give_back();
    assert_eq!(
        wire.told(),
        ["closed: line is longer than 4 bytes, 8 bytes unread"]
    );
}

/// What breaks the rule of a receive need not break that of the next one: a body behind a header.
#[test]
fn a_rule_that_is_no_longer_in_force_cannot_be_broken() {
    let mut wire = busy_with(0, config(|config| config.max_line = 8));
    wire.peer_sends("header\na body without any line in it");
    assert_eq!(wire.told(), ["line header"]);
    assert!(wire.machine.cancel_receive());
    wire.receive(&Receive::once(exact(29)));
    assert_eq!(wire.told(), ["data a body without any line in it"]);
    wire.give_back();
    assert_eq!(wire.told(), NOTHING);
}

#[test]
fn a_broken_rule_is_no_timeout_however_long_the_frames_before_it_take() {
    let mut wire = busy_with(0, config(|config| config.max_line = 4));
    wire.machine.cancel_receive();
    wire.receive(&within(seconds(1), Receive::always(LINE)));
    wire.peer_sends("a\ntoo long");
    wire.wait(seconds(10));
    wire.give_back();
    assert_eq!(
        wire.told(),
        [
            "line a",
            "closed: line is longer than 4 bytes, 8 bytes unread"
        ]
    );
}
