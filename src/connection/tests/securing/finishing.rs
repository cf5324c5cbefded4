//! Both sides end with close_notify, whoever is the first.

use super::*;

/// A connection in use that speaks TLS, for a session that closes when its peer finishes.
fn protected() -> Wire {
    let mut wire = Wire::accepted(config(|_| {}));
    let mut now = wire.now();
    wire.machine.handle_secured(facts(), &mut now);
    wire.machine
        .set_interests(all_but(Interests::PEER_FINISHED));
    wire.adopt();
    wire.receive(&Receive::always(LINE));
    wire.told();
    wire
}

/// ACO-13, RFC 8446 6.1: without it the peer would take our end for a truncation. In plain the end of the
/// transport is enough.
#[test]
fn over_tls_the_end_is_said_though_the_peer_has_finished_and_nothing_is_queued() {
    let mut wire = protected();
    wire.peer_finishes();
    assert!(wire.finished, "it leaves without a word");
    assert_eq!(wire.machine.is_over(), Some(false));
    assert_eq!(wire.told(), ["closed: peer finished"]);

    let mut wire = protected();
    wire.takes(0);
    wire.send("queued");
    wire.peer_finishes();
    assert!(!wire.finished);
    wire.takes(usize::MAX);
    assert!(wire.finished);
    assert_eq!(wire.told(), ["closed: peer finished"]);
}

#[test]
fn a_peer_that_has_finished_and_gone_needs_no_word() {
    let mut wire = protected();
    let mut now = wire.now();
    wire.machine.handle_eof(&mut now);
    assert!(wire.machine.wants_finish());
    assert_eq!(wire.machine.read_wish(), ReadWish::Nothing);
    let gone = io::ErrorKind::BrokenPipe.into();
    wire.machine.handle_write_error(&gone, &mut now);
    wire.drive();
    let detail = wire.closed();
    assert_eq!(
        (&detail.cause, &detail.cut_short),
        (&Cause::PeerFinished, &None)
    );
}
