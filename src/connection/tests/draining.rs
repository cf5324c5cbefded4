//! A drain: who is told, who is not, and closings that must end in time.

use super::*;
use crate::connection::Standing;
use crate::reason::ClosePhase;

#[test]
fn a_session_in_use_is_told_behind_notices_and_before_frames() {
    let mut wire = Wire::open(config(|_| {}));
    wire.awake = false;
    wire.receive(&Receive::always(LINE));
    wire.send_tracked("x", 1);
    wire.peer_sends("line\n");
    assert_eq!(wire.machine.handle_draining(seconds(7)), Standing::Told);
    wire.awake = true;
    wire.drive();
    assert_eq!(
        wire.told(),
        ["sent 1: 1 bytes", "draining: 7s", "line line"]
    );
    assert!(wire.machine.is_open());
}

#[test]
fn a_session_that_does_not_handle_it_hears_nothing() {
    let interests = all_but(Interests::DRAINING);
    let mut wire = Wire::open_for(interests, config(|_| {}));
    assert_eq!(wire.machine.handle_draining(seconds(7)), Standing::Untold);
    wire.drive();
    assert_eq!(wire.told(), NOTHING);
}

#[test]
fn what_no_session_has_yet_is_unadopted_and_ends() {
    let mut wire = Wire::accepted(config(|_| {}));
    wire.machine.handle_unadopted(&mut wire.now());
    assert_eq!(
        wire.machine.handle_draining(seconds(7)),
        Standing::Unadopted
    );
    let mut now = wire.now();
    wire.machine
        .close_within(Cause::Drained, seconds(1), &mut now);
    wire.drive();
    assert_eq!(wire.told(), ["closed: drained"]);
    assert_eq!(wire.closed().phase, ClosePhase::Adopting);

    let mut wire = Wire::connecting(config(|_| {}));
    assert_eq!(
        wire.machine.handle_draining(seconds(7)),
        Standing::Unadopted
    );
    let mut now = wire.now();
    wire.machine
        .close_within(Cause::Drained, seconds(1), &mut now);
    assert!(wire.machine.is_cancelled());
}

/// The deadline of a drain shortens what is under way, and lengthens nothing.
#[test]
fn a_closing_that_is_under_way_gets_the_shorter_time() {
    for (own, drain, ends) in [(30, 5, 5), (2, 5, 2)] {
        let mut wire = Wire::open(config(|_| {}));
        wire.takes(0);
        wire.send("stuck");
        let mut now = wire.now();
        let deadline = Some(seconds(own));
        wire.machine
            .close(Cause::LocalClose, true, deadline, &mut now);
        assert_eq!(wire.machine.handle_draining(seconds(7)), Standing::Ending);
        wire.machine
            .close_within(Cause::Drained, seconds(drain), &mut now);
        wire.wait(seconds(ends) - Duration::from_millis(1));
        assert_eq!(wire.machine.is_over(), None);
        wire.wait(Duration::from_millis(1));
        assert_eq!(wire.machine.is_over(), Some(true), "reset");
        assert_eq!(wire.closed().cause, Cause::LocalClose);
    }
}

#[test]
fn busy_is_who_has_something_queued_unread_or_with_the_session() {
    let mut wire = Wire::open(config(|_| {}));
    assert!(!wire.machine.is_busy());
    wire.takes(0);
    wire.send("x");
    assert!(wire.machine.is_busy(), "queued");
    wire.takes(1);
    assert!(!wire.machine.is_busy());
    assert_eq!(wire.machine.moved(), 1);
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("half a li");
    assert!(wire.machine.is_busy(), "unread");
    wire.generous = false;
    wire.peer_sends("ne\n");
    assert!(wire.machine.is_busy(), "with the session");
    assert_eq!(wire.machine.moved(), 13);
}
