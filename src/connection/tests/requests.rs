//! Receives whose frame is fetched by whoever asked for it.

use super::*;
use crate::connection::Requested;

fn ask(wire: &mut Wire, kind: ReceiveKind) -> Result<(), ArmError> {
    let mut now = wire.now();
    let asked = wire.machine.request(&Receive::once(kind), &mut now);
    wire.drive();
    asked
}

/// What is preset is the session's, whoever asks before it is there.
#[test]
fn what_is_preset_is_armed_though_somebody_asks_before_the_session_is_there() {
    let preset = config(|config| config.first_receive = Some(Receive::always(LINE)));
    for mut wire in [Wire::accepted(preset.clone()), Wire::connecting(preset)] {
        assert_eq!(ask(&mut wire, LINE), Err(ArmError::AlreadyReceiving));
    }
    let mut wire = Wire::connecting(config(|_| {}));
    assert_eq!(ask(&mut wire, LINE), Ok(()));
}

/// A message must not stay unfinished, also while a frame before it is still with the session.
#[test]
fn the_end_in_the_middle_of_a_message_waits_for_what_the_session_is_at() {
    let mut wire = Wire::open(config(|_| {}));
    wire.generous = false;
    wire.receive(&Receive::once(exact(1)));
    wire.peer_sends("a");
    assert_eq!(wire.machine.frames_out(), 1);
    ask(&mut wire, MESSAGE).unwrap();
    wire.peer_sends("\0\0\0\x05bc");
    wire.peer_finishes();
    let mut now = wire.now();
    assert!(wire.machine.poll_request(&mut now).is_none());
    wire.give_back();
    wire.drive();
    assert_eq!(wire.closed().cause, Cause::TruncatedMessage { received: 6 });
}

#[test]
fn the_end_in_the_middle_of_anything_else_is_fetched() {
    let mut wire = Wire::open(config(|_| {}));
    ask(&mut wire, exact(5)).unwrap();
    wire.peer_sends("abc");
    wire.peer_finishes();
    let mut now = wire.now();
    match wire.machine.poll_request(&mut now) {
        Some(Requested::Finished(rest)) => assert_eq!(rest, "abc"),
        other => panic!("{other:?}"),
    }
}
