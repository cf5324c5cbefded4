//! Other ends: failures of the socket and of the session; connections that never came to be.

use super::*;
use crate::connection::Ending;
use crate::error::SendRefusal;
use crate::reason::{ClosePhase, ClosedReason, IoOperation};

fn failed(operation: IoOperation, kind: io::ErrorKind) -> Cause {
    Cause::io(operation, &kind.into())
}

/// XAS-14, AIO-35.
#[test]
fn xas_14_after_a_reset_complete_frames_are_delivered_and_then_the_error() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.awake = false;
    wire.peer_sends("a\nb\nc");
    wire.peer_resets();
    assert_eq!(wire.machine.is_over(), None);
    wire.awake = true;
    wire.drive();
    assert_eq!(
        wire.told(),
        [
            "line a",
            "line b",
            "closed: read failed: connection reset, 1 bytes unread"
        ]
    );
    assert_eq!(wire.closed().cause.reason(), ClosedReason::Error);
    assert_eq!(wire.machine.is_over(), Some(false));
}

/// AMB-04: nothing waits for a receive that nobody has armed.
#[test]
fn amb_04_a_reset_with_nothing_armed_ends_at_once() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(exact(1)));
    wire.takes(0);
    wire.send_tracked("xyz", 3);
    wire.peer_sends("abc");
    let reset = io::ErrorKind::ConnectionReset;
    wire.machine
        .handle_read_error(&reset.into(), &mut wire.now());
    wire.drive();
    assert_eq!(
        wire.told(),
        [
            "data a",
            "closed: read failed: connection reset, 3 bytes unsent, 2 bytes unread"
        ]
    );
    assert_eq!(wire.closed().unsent_tokens, [Token(3)]);
}

#[test]
fn frames_that_nobody_takes_after_a_reset_do_not_keep_it_for_ever() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.awake = false;
    wire.peer_sends("a\n");
    wire.machine.pause_reading();
    let reset = io::ErrorKind::ConnectionReset;
    wire.machine
        .handle_read_error(&reset.into(), &mut wire.now());
    wire.wait(seconds(60));
    wire.awake = true;
    wire.drive();
    assert_eq!(
        wire.told(),
        ["closed: read failed: connection reset, 2 bytes unread"]
    );
}

/// XAS-52.
#[test]
fn xas_52_after_a_write_error_what_the_peer_had_sent_is_read_and_then_it_is_over() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.writing_breaks();
    for piece in ["why\nI h", "ung up\nand"] {
        wire.incoming.push_back(Incoming::Bytes(piece.into()));
    }
    wire.send_tracked("hello?", 1);
    assert_eq!(
        wire.told(),
        [
            "line why",
            "line I hung up",
            "closed: write failed: broken pipe, 6 bytes unsent, 3 bytes unread"
        ]
    );
    let cause = failed(IoOperation::Write, io::ErrorKind::BrokenPipe);
    assert_eq!(wire.closed().cause, cause);
    assert_eq!(wire.closed().unsent_tokens, [Token(1)]);
    assert_eq!(wire.closed().cause.reason(), ClosedReason::Error);
}

/// XAS-52: what the write error does not say, an end or an error of reading does.
#[test]
fn xas_52_after_a_write_error_the_peers_end_or_reset_ends_it() {
    for (incoming, operation, kind) in [
        (Incoming::Eof, IoOperation::Write, io::ErrorKind::BrokenPipe),
        (
            Incoming::Error(io::ErrorKind::ConnectionReset),
            IoOperation::Read,
            io::ErrorKind::ConnectionReset,
        ),
    ] {
        let mut wire = Wire::open(config(|_| {}));
        wire.receive(&Receive::always(LINE));
        wire.writing_breaks();
        wire.incoming.push_back(Incoming::Bytes(b"bye\n".to_vec()));
        wire.incoming.push_back(incoming);
        wire.send("hello?");
        assert_eq!(wire.told()[0], "line bye");
        assert_eq!(wire.closed().cause, failed(operation, kind));
    }
}

/// XAS-52: the outbox will never drain again, so input must not wait for it.
#[test]
fn xas_52_input_that_waited_for_a_full_outbox_is_delivered_when_writing_fails() {
    let settings = config(|config| {
        config.write_high = 2;
        config.write_low = 0;
    });
    let mut wire = Wire::open_for(all_but(Interests::WRITE_PAUSED), settings);
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send("abc");
    wire.peer_sends("held\n");
    assert_eq!(wire.told(), NOTHING);
    wire.writing_breaks();
    wire.drive();
    assert_eq!(
        wire.told(),
        [
            "line held",
            "closed: write failed: broken pipe, 3 bytes unsent"
        ]
    );
}

#[test]
fn a_write_error_with_nothing_armed_ends_at_once() {
    let mut wire = Wire::open(config(|_| {}));
    wire.writing_breaks();
    wire.send("hello?");
    assert_eq!(
        wire.told(),
        ["closed: write failed: broken pipe, 6 bytes unsent"]
    );
}

/// XAS-52, AC-15.
#[test]
fn xas_52_a_write_error_leaves_readiness_mode_what_the_peer_had_sent() {
    let mut wire = Wire::open(config(|_| {}));
    wire.machine
        .set_readiness(true, false, &mut wire.now())
        .unwrap();
    wire.writing_breaks();
    wire.peer_sends("abc");
    wire.incoming.push_back(Incoming::Bytes(b"def".to_vec()));
    wire.send("hello?");
    wire.told();
    for expected in [b"abc", b"def"] {
        let taken = wire.machine.try_receive(9, &mut wire.now()).unwrap();
        assert_eq!(taken.as_deref(), Some(&expected[..]));
        wire.drive();
    }
    let closed = "closed: write failed: broken pipe, 6 bytes unsent";
    assert_eq!(wire.told().pop().unwrap(), closed);
}

#[test]
fn an_error_cuts_a_close_short() {
    let closing = || {
        let mut wire = Wire::open(config(|_| {}));
        wire.takes(0);
        wire.send("abc");
        wire.close();
        wire
    };
    let mut wire = closing();
    wire.peer_resets();
    assert_eq!(
        wire.told(),
        ["closed: closed here, cut short by read failed: connection reset, 3 bytes unsent"]
    );
    let mut wire = closing();
    wire.writing_breaks();
    wire.takes(1);
    assert_eq!(
        wire.told(),
        ["closed: closed here, cut short by write failed: broken pipe, 3 bytes unsent"]
    );
    assert_eq!(wire.machine.is_over(), Some(false));
}

#[test]
fn closing_what_can_no_longer_be_written_ends_at_once() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.awake = false;
    wire.writing_breaks();
    wire.incoming.push_back(Incoming::Bytes(b"a\n".to_vec()));
    wire.send("abc");
    assert_eq!(wire.machine.is_over(), None, "a line waits");
    assert!(wire.close());
    wire.awake = true;
    wire.drive();
    assert_eq!(
        wire.told(),
        ["closed: closed here, 3 bytes unsent, 2 bytes unread"]
    );
}

#[test]
fn a_session_that_is_gone_hears_no_more_but_what_it_queued_is_sent() {
    let mut wire = Wire::open(config(|_| {}));
    wire.generous = false;
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("a\n");
    wire.takes(0);
    wire.send_tracked("last words", 1);
    wire.awake = false;
    wire.peer_sends("b\n");
    wire.told();
    let stopped = Cause::SessionStopped;
    wire.machine.handle_session_gone(stopped, &mut wire.now());
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.machine.state(), ConnectionState::Closing);
    assert_eq!(wire.machine.frames_out(), 0, "its credit is void");
    wire.takes(usize::MAX);
    assert_eq!(wire.taken, b"last words");
    assert_eq!(
        wire.told(),
        ["closed: session stopped, 2 bytes unread"],
        "no notice of the send"
    );
    assert!(!wire.give_back(), "credit that comes late does no harm");
    assert_eq!(wire.machine.frames_out(), 0);
}

#[test]
fn a_panic_of_the_session_is_an_error_that_names_the_event() {
    let mut wire = Wire::open(config(|_| {}));
    let cause = Cause::SessionPanicked {
        event: Some("LineReceived"),
        text: "boom".into(),
    };
    wire.machine.handle_session_gone(cause, &mut wire.now());
    wire.drive();
    assert_eq!(
        wire.told(),
        ["closed: session panicked while handling LineReceived: boom"]
    );
    assert_eq!(wire.closed().cause.reason(), ClosedReason::Error);
}

/// XAS-35, AC-20.
#[test]
fn xas_35_what_was_sent_while_connecting_is_flushed_in_order() {
    let mut wire = Wire::connecting(config(|_| {}));
    wire.send_tracked("first ", 1);
    wire.send_tracked("second", 2);
    wire.receive(&Receive::once(LINE));
    assert_eq!(wire.machine.state(), ConnectionState::Connecting);
    assert!(wire.taken.is_empty());
    wire.machine.handle_connected(None);
    wire.peer_sends("hello\n");
    assert_eq!(wire.machine.state(), ConnectionState::Adopting);
    assert!(wire.taken.is_empty(), "nobody has adopted it");
    wire.adopt();
    assert_eq!(wire.taken, b"first second");
    assert_eq!(
        wire.told(),
        ["opened", "sent 1: 6 bytes", "sent 2: 6 bytes", "line hello"]
    );
}

/// AMB-03.
#[test]
fn amb_03_what_never_connected_fails_once_and_is_never_closed() {
    let mut wire = Wire::connecting(config(|config| config.write_high = 4));
    wire.send_tracked("123456", 1);
    let refused = io::ErrorKind::ConnectionRefused.into();
    let error = ConnectError::new("peer:1", ConnectPhase::Connect, &refused);
    wire.machine.handle_connect_failed(error);
    assert!(matches!(
        wire.machine.ending(),
        Some(Ending::ConnectFailed(_))
    ));
    wire.drive();
    assert_eq!(wire.told(), ["connect failed: ConnectionRefused"]);
    let Some(Event::ConnectFailed(error)) = &wire.ended else {
        panic!("{:?}", wire.ended);
    };
    assert_eq!(error.unsent, 6);
    assert_eq!(wire.machine.is_over(), Some(false));
    assert!(wire.machine.is_told());
    assert!(!wire.close());
    assert!(!wire.abort());
    let refused = wire.machine.send("x", None).unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::Closed);
    wire.wait(seconds(1_000));
    assert_eq!(wire.told(), NOTHING);
}

/// AC-15: nothing is there, which is not the same as an end.
#[test]
fn ac_15_before_a_connection_is_in_use_there_is_nothing_to_take() {
    for mut wire in [
        Wire::connecting(config(|_| {})),
        Wire::accepted(config(|_| {})),
    ] {
        let try_receive = |wire: &mut Wire| wire.machine.try_receive(9, &mut wire.now());
        assert_eq!(try_receive(&mut wire), Ok(None));
        wire.receive(&Receive::once(LINE));
        assert_eq!(try_receive(&mut wire), Err(ArmError::AlreadyReceiving));
        wire.abort();
        assert_eq!(try_receive(&mut wire), Err(ArmError::Closed));
    }
}

/// AMB-03.
#[test]
fn amb_03_giving_up_an_attempt_is_told_as_its_failure() {
    type GiveUp = fn(&mut Connection, &mut Now) -> bool;
    let ways: [GiveUp; 3] = [
        |machine, now| machine.close(Cause::LocalClose, true, None, now),
        |machine, _| machine.abort(Cause::LocalAbort),
        |machine, now| {
            machine.handle_session_gone(Cause::SessionStopped, now);
            true
        },
    ];
    for give_up in ways {
        let mut wire = Wire::connecting(config(|_| {}));
        wire.send("abc");
        let mut now = wire.now();
        assert!(give_up(&mut wire.machine, &mut now));
        assert!(wire.machine.is_cancelled());
        let again = wire
            .machine
            .close(Cause::LocalClose, true, None, &mut wire.now());
        assert!(!again);
        assert!(!wire.machine.abort(Cause::LocalAbort));
        let refused = wire.machine.send("more", None).unwrap_err();
        assert_eq!(refused.refusal, SendRefusal::Closed);
        let refused = wire.machine.arm(&Receive::once(LINE), &mut wire.now());
        assert!(refused.is_err());
        wire.machine.handle_connected(None);
        assert!(wire.machine.is_cancelled(), "too late");
        wire.drive();
        assert_eq!(wire.told(), ["connect failed: Interrupted"]);
    }
}

#[test]
fn a_connection_that_is_closed_before_its_adoption_flushes_and_never_opens() {
    let mut wire = Wire::connecting(config(|_| {}));
    wire.send_tracked("abc", 1);
    wire.machine.handle_connected(None);
    assert!(wire.close());
    assert_eq!(wire.taken, b"abc");
    assert_eq!(wire.told(), ["sent 1: 3 bytes", "closed: closed here"]);
    assert_eq!(wire.closed().phase, ClosePhase::Adopting);
}

#[test]
fn a_connection_that_breaks_before_its_adoption_is_closed_with_the_error() {
    let mut wire = Wire::accepted(config(|_| {}));
    let reset = io::ErrorKind::ConnectionReset;
    wire.machine
        .handle_read_error(&reset.into(), &mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["closed: read failed: connection reset"]);
    assert_eq!(wire.closed().phase, ClosePhase::Adopting);
}

/// XAS-23.
#[test]
fn xas_23_after_the_end_every_command_says_so_and_does_nothing() {
    let mut wire = Wire::open(config(|config| config.idle_read = None));
    wire.takes(0);
    wire.send(&"x".repeat(100_000));
    wire.told();
    wire.abort();
    wire.told();
    let mut now = wire.now();
    let machine = &mut wire.machine;
    assert!(machine.ending().is_none(), "it was told");
    assert_eq!(machine.adopt(&mut now), Ok(()));
    assert_eq!(
        machine.arm(&Receive::once(LINE), &mut now),
        Err(ArmError::Closed)
    );
    assert!(!machine.cancel_receive());
    assert_eq!(machine.try_receive(1, &mut now), Err(ArmError::Closed));
    assert_eq!(machine.write_eof(), Err(SendRefusal::Closed));
    assert_eq!(machine.set_write_limits(Some(9), None), Ok(()));
    machine.pause_reading();
    machine.resume_reading(&mut now);
    machine.close_after_peer(&mut now);
    machine.handle_session_gone(Cause::SessionStopped, &mut now);
    wire.wait(seconds(1_000));
    assert_eq!(wire.told(), NOTHING);
    assert_eq!(wire.machine.state(), ConnectionState::Closed);
}
