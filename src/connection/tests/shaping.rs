//! What holds input back: credit, the window, pauses, an outbox that is full; and readiness mode.

use super::*;
use crate::error::SendRefusal;

/// A session that keeps its credit, with lines armed for ever.
fn stingy(settings: ConnectionConfig) -> Wire {
    let mut wire = Wire::open(settings);
    wire.generous = false;
    wire.receive(&Receive::always(LINE));
    wire
}

#[test]
fn delivery_stops_when_the_frames_of_the_credit_are_used_up() {
    let mut wire = stingy(config(|config| config.read_credit = 2));
    wire.peer_sends("1\n2\n3\n4\n5\n");
    assert_eq!(wire.told(), ["line 1", "line 2"]);
    assert_eq!(wire.machine.frames_out(), 2);
    assert!(wire.give_back(), "delivery had stopped");
    assert_eq!(wire.told(), ["line 3", "line 4"]);
    assert!(wire.give_back());
    assert_eq!(wire.told(), ["line 5"]);
    assert!(!wire.give_back(), "delivery had not stopped");
    let mut now = wire.now();
    assert!(!wire.machine.give_back(Permit::NONE, &mut now));
    assert_eq!(wire.machine.frames_out(), 0);
}

/// XAS-49: who is still at a frame may yet want to answer it.
#[test]
fn xas_49_the_peers_end_waits_until_the_session_is_done_with_what_came_before() {
    for interests in [Interests::ALL, Interests::LINE.with(Interests::CLOSED)] {
        let mut wire = stingy(config(|_| {}));
        wire.machine.set_interests(interests);
        wire.peer_sends("last\n");
        wire.machine.handle_eof(&mut wire.now());
        wire.drive();
        assert_eq!(wire.told(), ["line last"]);
        wire.send("answer");
        wire.give_back();
        let told = wire.told();
        if interests == Interests::ALL {
            assert_eq!(told, ["peer finished"]);
        } else {
            assert_eq!(told, ["closed: peer finished"]);
            assert_eq!(wire.closed().unsent, 0, "the answer was sent");
        }
    }
}

#[test]
fn delivery_stops_when_the_bytes_of_the_window_are_with_the_session() {
    let mut wire = stingy(config(|config| config.read_window = 8));
    wire.peer_sends("1234567\nab\n");
    assert_eq!(wire.told(), ["line 1234567"]);
    wire.give_back();
    assert_eq!(wire.told(), ["line ab"]);
}

#[test]
fn one_frame_may_be_longer_than_the_window() {
    let mut wire = stingy(config(|config| config.read_window = 8));
    wire.peer_sends("0123456");
    wire.peer_sends("789\n");
    assert_eq!(wire.told(), ["line 0123456789"]);
}

#[test]
fn reading_stops_at_the_window_and_goes_on_with_the_credit() {
    let mut wire = stingy(config(|config| {
        config.read_credit = 1;
        config.read_window = 6;
    }));
    for _ in 0..10 {
        wire.peer_sends("ab\n");
    }
    assert_eq!(wire.told(), ["line ab"]);
    assert_eq!(wire.machine.snapshot().unread, 6);
    assert_eq!(wire.incoming.len(), 7, "the kernel holds the rest");
    for _ in 0..9 {
        wire.give_back();
        assert_eq!(wire.told(), ["line ab"]);
        assert!(wire.machine.snapshot().unread <= 6);
    }
    assert!(wire.incoming.is_empty());
}

/// AIO-03.
#[test]
fn aio_03_nothing_is_delivered_or_read_while_reading_is_paused() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.machine.pause_reading();
    wire.machine.pause_reading();
    wire.peer_sends("a\n");
    assert_eq!(wire.told(), NOTHING);
    assert_eq!(wire.incoming.len(), 1);
    assert!(wire.machine.snapshot().reading_paused);
    wire.machine.resume_reading(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["line a"]);
    wire.machine.resume_reading(&mut wire.now());
    wire.peer_sends("b\n");
    assert_eq!(wire.told(), ["line b"]);
}

#[test]
fn a_pause_keeps_frames_that_are_complete_already() {
    let mut wire = Wire::open(config(|_| {}));
    wire.awake = false;
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("a\nb\n");
    wire.machine.pause_reading();
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.told(), NOTHING);
    wire.machine.resume_reading(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["line a", "line b"]);
}

/// What a session with these interests is told when a line comes while writing is paused.
fn told_while_paused(interests: Interests, while_paused: Option<bool>) -> Vec<String> {
    let settings = config(|config| {
        config.write_high = 4;
        config.write_low = 0;
        config.read_while_write_paused = while_paused;
    });
    let mut wire = Wire::open_for(interests, settings);
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send("12345");
    wire.peer_sends("held\n");
    wire.trace.retain(|told| told.starts_with("line"));
    let told = wire.told();
    wire.takes(usize::MAX);
    if told.is_empty() {
        assert_eq!(wire.told().pop().as_deref(), Some("line held"));
    }
    told
}

#[test]
fn input_waits_while_writing_is_paused_unless_the_session_minds_or_the_config_says_otherwise() {
    let minds = Interests::ALL;
    let minds_not = all_but(Interests::WRITE_PAUSED);
    assert_eq!(told_while_paused(minds, None), ["line held"]);
    assert_eq!(told_while_paused(minds_not, None), NOTHING);
    assert_eq!(told_while_paused(minds_not, Some(true)), ["line held"]);
    assert_eq!(told_while_paused(minds, Some(false)), NOTHING);
}

/// AC-15.
#[test]
fn ac_15_what_is_there_can_be_taken_without_a_receive() {
    let mut wire = Wire::open(config(|_| {}));
    let mut now = wire.now();
    assert_eq!(wire.machine.try_receive(4, &mut now), Ok(None));
    wire.receive(&Receive::once(exact(1)));
    wire.peer_sends("abcdef");
    assert_eq!(wire.machine.try_receive(0, &mut now), Ok(None));
    let mut take = |most| wire.machine.try_receive(most, &mut now).unwrap();
    assert_eq!(take(3).as_deref(), Some(&b"bcd"[..]));
    assert_eq!(take(3).as_deref(), Some(&b"ef"[..]));
    assert_eq!(take(3), None);
    wire.close();
    assert_eq!(wire.machine.try_receive(4, &mut now), Err(ArmError::Closed));
}

/// AC-04.
#[test]
fn ac_04_bytes_that_are_not_taken_are_told_again_in_every_round_and_once_per_round() {
    let mut wire = Wire::open(config(|_| {}));
    wire.machine
        .set_readiness(true, false, &mut wire.now())
        .unwrap();
    assert_eq!(wire.told(), NOTHING);
    wire.incoming.push_back(Incoming::Bytes(b"abcd".to_vec()));
    wire.incoming.push_back(Incoming::Bytes(b"ef".to_vec()));
    wire.round();
    assert_eq!(wire.told(), ["readable"]);
    assert!(wire.machine.wants_round());
    wire.round();
    assert_eq!(wire.told(), ["readable"]);
    assert_eq!(wire.incoming.len(), 1, "the rest waits in the kernel");
    let taken = wire.machine.try_receive(9, &mut wire.now());
    assert_eq!(taken.unwrap().as_deref(), Some(&b"abcd"[..]));
    assert!(!wire.machine.wants_round());
    wire.round();
    assert_eq!(wire.told(), ["readable"]);
    wire.machine
        .set_readiness(false, false, &mut wire.now())
        .unwrap();
    wire.round();
    assert_eq!(wire.told(), NOTHING);
}

/// AC-05, AC-11.
#[test]
fn ac_05_room_is_told_once_per_round_while_asked_for_and_while_there_is_some() {
    let mut wire = Wire::open(config(|config| {
        config.write_high = 4;
        config.write_low = 1;
    }));
    wire.machine
        .set_readiness(false, true, &mut wire.now())
        .unwrap();
    wire.round();
    assert_eq!(wire.told(), ["writable"]);
    wire.room = 0;
    wire.machine.send("12345", None).unwrap();
    wire.round();
    assert_eq!(wire.told(), ["write paused"]);
    wire.room = 4;
    wire.round();
    assert_eq!(wire.told(), ["write resumed", "writable"]);
    wire.machine.write_eof().unwrap();
    wire.round();
    assert_eq!(wire.told(), NOTHING, "nothing can be sent any more");
}

/// AC-11.
#[test]
fn ac_11_readiness_is_refused_to_a_session_that_would_not_hear_of_it_or_has_a_receive() {
    let interests = all_but(Interests::READABLE.with(Interests::WRITABLE));
    let mut wire = Wire::open_for(interests, config(|_| {}));
    let mut now = wire.now();
    for (readable, writable, event) in [(true, false, "Readable"), (false, true, "Writable")] {
        assert_eq!(
            wire.machine.set_readiness(readable, writable, &mut now),
            Err(ArmError::NoHandler { event })
        );
    }
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(LINE));
    assert_eq!(
        wire.machine.set_readiness(true, false, &mut now),
        Err(ArmError::AlreadyReceiving)
    );
    assert_eq!(wire.machine.set_readiness(false, true, &mut now), Ok(()));
}

/// AC-15, AMB-04.
#[test]
fn ac_15_in_readiness_mode_the_end_comes_after_the_last_byte_was_taken() {
    let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), config(|_| {}));
    wire.machine
        .set_readiness(true, false, &mut wire.now())
        .unwrap();
    wire.peer_sends("abc");
    wire.peer_finishes();
    wire.told();
    let taken = wire.machine.try_receive(9, &mut wire.now()).unwrap();
    assert_eq!(taken.as_deref(), Some(&b"abc"[..]));
    wire.drive();
    assert_eq!(wire.told(), ["closed: peer finished"]);
}

/// AC-14: nothing is queued while writing is paused.
#[test]
fn ac_14_try_send_takes_up_to_the_high_mark_and_nothing_while_writing_is_paused() {
    let mut wire = Wire::open(config(|config| {
        config.write_high = 10;
        config.write_low = 2;
    }));
    wire.takes(0);
    assert_eq!(wire.machine.try_send(b""), Ok((0, false)));
    assert_eq!(wire.machine.try_send(b"123456"), Ok((6, true)));
    assert_eq!(wire.machine.try_send(b"789abc"), Ok((4, false)));
    assert_eq!(wire.machine.try_send(b"bc"), Ok((0, false)));
    assert_eq!(wire.told(), NOTHING, "the high mark is reached, not passed");
    wire.send("!");
    assert_eq!(wire.told(), ["write paused"]);
    wire.takes(5);
    assert_eq!(wire.machine.try_send(b"x"), Ok((0, false)), "still paused");
    wire.takes(4);
    assert_eq!(wire.told(), ["write resumed"]);
    assert_eq!(wire.machine.try_send(b"x"), Ok((1, false)));
    wire.takes(usize::MAX);
    assert_eq!(wire.taken, b"123456789a!x");
    wire.close();
    assert_eq!(wire.machine.try_send(b"x"), Err(SendRefusal::Closed));
}

/// AC-14, AIO-11: a high mark of nothing still lets a byte through at a time.
#[test]
fn ac_14_try_send_makes_progress_with_a_high_mark_of_nothing() {
    let mut wire = Wire::open(config(|config| {
        config.write_high = 0;
        config.write_low = 0;
    }));
    for _ in 0..3 {
        assert_eq!(wire.machine.try_send(b"xy"), Ok((1, true)));
        assert_eq!(wire.machine.try_send(b"xy"), Ok((0, false)));
        wire.drive();
    }
    assert_eq!(wire.taken, b"xxx");
}
