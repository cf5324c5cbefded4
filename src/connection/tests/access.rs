//! Channels that go one way only, and those that do not linger.

use super::*;
use crate::connection::Access;
use crate::error::SendRefusal;
use crate::reason::IoOperation;

fn one_way(access: Access) -> Wire {
    on(Connection::accepted(Arc::new(config(|_| {})))
        .with_access(access)
        .without_lingering())
}

/// A machine in use.
fn on(machine: Connection) -> Wire {
    let mut wire = Wire::new(machine);
    wire.machine.set_interests(Interests::ALL);
    wire.adopt();
    wire.told();
    wire
}

/// AC-21.
#[test]
fn ac_21_a_read_only_channel_is_open_and_refuses_sends() {
    let mut wire = one_way(Access::ReadOnly);
    assert_eq!(wire.machine.state(), ConnectionState::Open);
    let refused = wire.machine.send("x", None).unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::ReadOnly);
    assert_eq!(wire.machine.write_eof(), Err(SendRefusal::ReadOnly));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("one\ntwo");
    wire.peer_finishes();
    assert_eq!(wire.closed().unread, "two");
    assert_eq!(wire.closed().cause, Cause::PeerFinished);
    let refused = wire.machine.send("x", None).unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::Closed);
}

/// AC-21: what is left belongs to whoever reads there next.
#[test]
fn ac_21_a_read_only_channel_reads_nothing_once_it_closes() {
    let mut wire = one_way(Access::ReadOnly);
    wire.close();
    wire.peer_sends("for others");
    assert_eq!(wire.machine.read_wish(), ReadWish::Nothing);
    assert_eq!(wire.machine.is_over(), Some(false));
    assert_eq!(wire.closed().bytes_in, 0);
}

/// AC-21.
#[test]
fn ac_21_a_write_only_channel_is_open_and_refuses_receives() {
    let mut wire = one_way(Access::WriteOnly);
    assert_eq!(wire.machine.state(), ConnectionState::Open);
    assert_eq!(wire.arm(&Receive::once(LINE)), Err(ArmError::WriteOnly));
    wire.send("last words");
    wire.machine.write_eof().unwrap();
    wire.drive();
    assert!(wire.finished);
    assert_eq!(wire.taken, b"last words");
    assert_eq!(wire.closed().cause, Cause::LocalClose);
    assert_eq!(wire.arm(&Receive::once(LINE)), Err(ArmError::Closed));
}

/// AC-21: nobody reads there any more.
#[test]
fn ac_21_a_write_only_channel_ends_by_a_failed_write() {
    let mut wire = one_way(Access::WriteOnly);
    assert!(wire.machine.wants_watch());
    wire.writing_breaks();
    wire.send("to nobody");
    let detail = wire.closed();
    assert_eq!(detail.unsent, 9);
    assert!(matches!(
        detail.cause,
        Cause::Io {
            operation: IoOperation::Write,
            ..
        }
    ));
}

/// AIO-01: it flushes all the same, and nobody can make it linger.
#[test]
fn a_channel_that_does_not_linger_is_over_when_all_is_sent() {
    let mut wire = on(Connection::accepted(Arc::new(config(|_| {}))).without_lingering());
    wire.takes(0);
    wire.send("words");
    wire.close();
    assert_eq!(wire.machine.is_over(), None);
    wire.machine
        .hurry(Duration::from_secs(1), &mut Now::at(wire.time));
    wire.takes(usize::MAX);
    assert_eq!(wire.machine.is_over(), Some(false));
    assert_eq!(wire.closed().unsent, 0);
}
