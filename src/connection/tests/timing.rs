//! Clocks: receive deadlines, idle rules, adoption, half-closed connections.

use super::*;
use crate::config::{IdleAction, IdleRule, RateRule};
use crate::reason::{ClosePhase, TimeoutKind};

const fn timed_out(kind: TimeoutKind, after: Duration) -> Cause {
    Cause::Timeout { kind, after }
}

/// XAS-46.
#[test]
fn xas_46_a_receive_deadline_is_absolute_however_the_bytes_trickle() {
    let mut wire = Wire::open(config(|_| {}));
    let start = wire.time;
    wire.receive(&within(seconds(3), Receive::once(LINE)));
    for _ in 0..5 {
        wire.wait(Duration::from_millis(500));
        wire.peer_sends("x");
    }
    assert_eq!(wire.machine.poll_timeout(), Some(start + seconds(3)));
    wire.wait(Duration::from_millis(499));
    assert_eq!(wire.told(), NOTHING);
    wire.wait(Duration::from_millis(1));
    assert_eq!(
        wire.told(),
        ["closed: receive timeout after 3s, 5 bytes unread"]
    );
    let cause = timed_out(TimeoutKind::Receive, seconds(3));
    assert_eq!(wire.closed().cause, cause);
}

/// XAS-47.
#[test]
fn xas_47_completion_clears_the_deadline() {
    let mut wire = Wire::open(config(|_| {}));
    for _ in 0..1_000 {
        wire.receive(&within(seconds(1), Receive::once(LINE)));
        wire.wait(Duration::from_millis(900));
        wire.peer_sends("x\n");
        assert_eq!(wire.told(), ["line x"]);
    }
    assert_eq!(wire.machine.poll_timeout(), None);
    wire.wait(seconds(1_000));
    assert_eq!(wire.told(), NOTHING);
}

#[test]
fn cancelling_a_receive_clears_its_deadline() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&within(seconds(1), Receive::once(LINE)));
    wire.machine.cancel_receive();
    assert_eq!(wire.machine.poll_timeout(), None);
}

/// XAS-46.
#[test]
fn xas_46_a_frame_that_is_complete_in_time_never_times_out_however_late_it_is_taken() {
    let mut wire = Wire::open(config(|_| {}));
    wire.awake = false;
    wire.receive(&within(seconds(1), Receive::once(LINE)));
    wire.wait(Duration::from_millis(999));
    wire.peer_sends("in time\n");
    wire.wait(seconds(100));
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.told(), ["line in time"]);
    wire.wait(seconds(100));
    assert_eq!(wire.told(), NOTHING);
}

/// XAS-46: each repetition has a deadline of its own, from the delivery of the one before it.
#[test]
fn xas_46_a_repetition_is_armed_when_the_one_before_it_was_delivered() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&within(seconds(2), Receive::always(LINE)));
    for _ in 0..3 {
        wire.wait(seconds(1));
        wire.peer_sends("x\n");
        assert_eq!(wire.told(), ["line x"]);
    }
    wire.awake = false;
    wire.peer_sends("late\n");
    wire.wait(seconds(10));
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.told(), ["line late"]);
    assert_eq!(wire.machine.poll_timeout(), Some(wire.time + seconds(2)));
    wire.wait(seconds(2));
    assert_eq!(wire.told(), ["closed: receive timeout after 2s"]);
}

/// AMB-05.
#[test]
fn amb_05_a_receive_that_only_reports_its_timeout_leaves_the_connection_open() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&report_after(seconds(1), Receive::always(LINE)));
    wire.peer_sends("part");
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["idle: receive"]);
    assert!(!wire.machine.snapshot().receiving, "the receive is over");
    wire.wait(seconds(100));
    assert_eq!(wire.told(), NOTHING);
    wire.receive(&Receive::once(LINE));
    wire.peer_sends("ial\n");
    assert_eq!(wire.told(), ["line partial"]);
}

/// A receive that was armed before there was a connection: its time runs all the same.
#[test]
fn xas_46_a_receive_that_is_armed_early_times_out_before_the_connection_is_there() {
    let mut wire = Wire::connecting(config(|_| {}));
    wire.receive(&within(seconds(1), Receive::once(LINE)));
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["connect failed: Interrupted"]);

    let mut wire = Wire::accepted(config(|_| {}));
    wire.receive(&within(seconds(1), Receive::once(LINE)));
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["closed: receive timeout after 1s"]);
}

#[test]
fn a_duration_without_end_is_no_deadline() {
    let rule = IdleRule {
        after: Duration::MAX,
        action: IdleAction::Report,
    };
    let mut wire = Wire::open(config(|config| {
        config.idle = Some(rule);
        config.idle_read = Some(rule);
        config.idle_write = Some(rule);
        config.read_rate = Some(RateRule::new(u64::MAX, Duration::MAX));
        config.write_rate = Some(RateRule::new(u64::MAX, Duration::MAX));
        config.frame_timeout = Some(Duration::MAX);
        config.max_lifetime = Some(Duration::MAX);
        config.flush_timeout = Duration::MAX;
        config.linger_timeout = Duration::MAX;
        config.half_closed_timeout = Duration::MAX;
    }));
    wire.receive(&within(Duration::MAX, Receive::once(exact(2))));
    wire.send("x");
    wire.peer_sends("x");
    assert_eq!(wire.machine.poll_timeout(), None);
    wire.peer_finishes();
    assert_eq!(wire.told(), ["peer finished"]);
    wire.takes(0);
    wire.send("x");
    let deadline = Some(Duration::MAX);
    wire.machine
        .close(Cause::LocalClose, true, deadline, &mut wire.now());
    assert_eq!(wire.machine.poll_timeout(), None);
    wire.takes(1);
    assert_eq!(wire.told(), ["closed: closed here, 1 bytes unread"]);
}

fn idle(after: Duration, action: IdleAction) -> Option<IdleRule> {
    Some(IdleRule { after, action })
}

#[test]
fn each_idle_rule_closes_when_its_direction_did_not_move() {
    type Set = fn(&mut ConnectionConfig);
    let table: [(TimeoutKind, Set, bool, bool); 3] = [
        (
            TimeoutKind::IdleRead,
            |config| config.idle_read = idle(seconds(10), IdleAction::Close),
            true,
            false,
        ),
        (
            TimeoutKind::IdleWrite,
            |config| config.idle_write = idle(seconds(10), IdleAction::Close),
            false,
            true,
        ),
        (
            TimeoutKind::Idle,
            |config| config.idle = idle(seconds(10), IdleAction::Close),
            true,
            true,
        ),
    ];
    for (kind, set, counts_reads, counts_writes) in table {
        for reads in [true, false] {
            let mut wire = Wire::open(config(set));
            wire.receive(&Receive::always(LINE));
            wire.wait(seconds(9));
            if reads {
                wire.peer_sends("x\n");
            } else {
                wire.send("x");
            }
            wire.told();
            let counts = if reads { counts_reads } else { counts_writes };
            let left = if counts { seconds(10) } else { seconds(1) };
            wire.wait(left - Duration::from_millis(1));
            assert_eq!(wire.told(), NOTHING, "{kind}, reads: {reads}");
            wire.wait(Duration::from_millis(1));
            let cause = timed_out(kind, seconds(10));
            assert_eq!(wire.closed().cause, cause, "{kind}, reads: {reads}");
        }
    }
}

#[test]
fn an_idle_rule_that_reports_counts_again_from_then() {
    let mut wire = Wire::open(config(|config| {
        config.idle_write = idle(seconds(10), IdleAction::Report);
    }));
    wire.wait(seconds(10));
    assert_eq!(wire.told(), ["idle: idle write"]);
    wire.wait(seconds(15));
    assert_eq!(wire.told(), ["idle: idle write"]);
    wire.send("x");
    wire.wait(Duration::from_millis(9_999));
    assert_eq!(wire.told(), NOTHING);
    wire.wait(Duration::from_millis(1));
    assert_eq!(wire.told(), ["idle: idle write"]);
}

/// Nothing that the session does is movement.
#[test]
fn only_moved_bytes_reset_an_idle_clock() {
    let mut wire = Wire::open(config(|config| {
        config.idle = idle(seconds(10), IdleAction::Close);
    }));
    let start = wire.time;
    wire.takes(0);
    for _ in 0..9 {
        wire.wait(seconds(1));
        wire.send("stuck");
        wire.receive(&Receive::once(LINE));
        wire.machine.cancel_receive();
        wire.machine.pause_reading();
        wire.machine.resume_reading(&mut wire.now());
        wire.machine.set_write_limits(Some(9), Some(9)).unwrap();
        assert_eq!(wire.machine.poll_timeout(), Some(start + seconds(10)));
    }
    wire.takes(1);
    let moved = wire.time;
    assert_eq!(wire.machine.poll_timeout(), Some(moved + seconds(10)));
}

/// No frame is complete and no send is through, but bytes move: nothing is idle.
#[test]
fn parts_of_a_frame_and_of_a_send_are_movement() {
    let mut wire = Wire::open(config(|config| {
        config.idle_read = idle(seconds(10), IdleAction::Close);
        config.idle_write = idle(seconds(10), IdleAction::Close);
        config.idle = idle(seconds(10), IdleAction::Close);
        config.read_rate = None;
        config.write_rate = None;
    }));
    wire.receive(&Receive::once(exact(1_000)));
    wire.takes(0);
    wire.send(&"x".repeat(1_000));
    for _ in 0..50 {
        wire.wait(seconds(9));
        wire.peer_sends("x");
        wire.takes(1);
    }
    assert_eq!(wire.machine.state(), ConnectionState::Open);
    wire.wait(seconds(10));
    assert_eq!(wire.machine.state(), ConnectionState::Closing);
}

/// Trap 7, for each clock of a connection in use: whatever is commanded, asked or handled, it
/// runs out when it would have.
#[test]
fn mailbox_traffic_moves_no_clock() {
    type Set = fn(&mut ConnectionConfig);
    const RULE: Option<IdleRule> = Some(IdleRule {
        after: seconds(10),
        action: IdleAction::Close,
    });
    const RATE: Option<RateRule> = Some(RateRule::new(1, seconds(10)));
    let table: [(TimeoutKind, Set); 7] = [
        (TimeoutKind::IdleRead, |config| config.idle_read = RULE),
        (TimeoutKind::IdleWrite, |config| config.idle_write = RULE),
        (TimeoutKind::Idle, |config| config.idle = RULE),
        (TimeoutKind::ReadRate, |config| config.read_rate = RATE),
        (TimeoutKind::WriteRate, |config| config.write_rate = RATE),
        (TimeoutKind::Frame, |config| {
            config.frame_timeout = Some(seconds(10));
        }),
        (TimeoutKind::Lifetime, |config| {
            config.max_lifetime = Some(seconds(10));
        }),
    ];
    for (kind, set) in table {
        let mut wire = Wire::open(config(|config| {
            config.read_rate = None;
            config.write_rate = None;
            config.frame_timeout = None;
            set(config);
        }));
        wire.takes(0);
        wire.receive(&Receive::always(LINE));
        wire.send("stuck");
        wire.peer_sends("begun");
        for _ in 0..99 {
            wire.wait(Duration::from_millis(100));
            wire.send("more");
            let _ = wire.arm(&Receive::once(LINE));
            wire.machine.resume_reading(&mut wire.now());
            wire.machine.set_write_limits(Some(9), Some(9)).unwrap();
            let _ = wire.machine.set_readiness(false, true, &mut wire.now());
            let _ = wire.machine.snapshot();
            wire.machine.handle_unadopted(&mut wire.now());
            wire.machine.handle_read_blocked(&mut wire.now());
            wire.machine.handle_write_blocked(&mut wire.now());
        }
        assert!(wire.ended.is_none(), "{kind} is early");
        wire.wait(Duration::from_millis(100));
        wire.takes(usize::MAX);
        let cause = timed_out(kind, seconds(10));
        assert_eq!(wire.closed().cause, cause, "{kind}");
    }
}

/// And for each clock of one that closes: neither commands nor what the peer still sends.
#[test]
fn nothing_puts_off_the_end_of_a_close() {
    let mut wire = Wire::open(config(|config| config.flush_timeout = seconds(10)));
    let busy = |wire: &mut Wire| {
        for _ in 0..9 {
            wire.wait(seconds(1));
            wire.close();
            wire.machine.resume_reading(&mut wire.now());
            wire.peer_sends("too late");
        }
    };
    wire.takes(0);
    wire.send("stuck");
    wire.close();
    busy(&mut wire);
    assert_eq!(wire.machine.state(), ConnectionState::Closing);
    wire.wait(seconds(1));
    let cut_short = timed_out(TimeoutKind::Flush, seconds(10));
    assert_eq!(wire.closed().cut_short, Some(cut_short));

    let mut wire = Wire::open(config(|config| config.linger_timeout = seconds(10)));
    wire.close();
    busy(&mut wire);
    assert_eq!(wire.machine.is_over(), None);
    wire.wait(seconds(1));
    assert_eq!(wire.machine.is_over(), Some(false));
}

#[test]
fn time_in_which_we_did_not_want_to_read_is_not_the_peers_silence() {
    let mut wire = Wire::open(config(|config| {
        config.idle_read = idle(seconds(10), IdleAction::Close);
    }));
    wire.wait(seconds(100));
    assert_eq!(wire.told(), NOTHING, "nothing was armed");
    wire.receive(&Receive::always(LINE));
    wire.machine.pause_reading();
    wire.wait(seconds(95));
    assert_eq!(wire.told(), NOTHING, "reading was paused");
    wire.machine.resume_reading(&mut wire.now());
    wire.wait(Duration::from_millis(9_999));
    assert_eq!(wire.told(), NOTHING, "the time counts from the resumption");
    wire.wait(Duration::from_millis(1));
    assert_eq!(wire.told(), ["closed: idle read timeout after 10s"]);
}

#[test]
fn resuming_what_was_not_paused_resets_no_clock() {
    let mut wire = Wire::open(config(|config| {
        config.idle_read = idle(seconds(10), IdleAction::Close);
    }));
    wire.receive(&Receive::always(LINE));
    wire.wait(seconds(9));
    wire.machine.resume_reading(&mut wire.now());
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["closed: idle read timeout after 10s"]);
}

#[test]
fn a_connection_that_no_session_adopts_in_time_is_closed() {
    let mut wire = Wire::accepted(config(|config| config.adoption_timeout = seconds(5)));
    assert_eq!(
        wire.machine.poll_timeout(),
        None,
        "adoption at once needs no clock"
    );
    wire.machine.handle_unadopted(&mut wire.now());
    wire.wait(seconds(4));
    wire.machine.handle_unadopted(&mut wire.now());
    wire.peer_sends("early");
    assert_eq!(wire.incoming.len(), 1, "no byte is read before adoption");
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["closed: adoption timeout after 5s"]);
    assert_eq!(wire.closed().phase, ClosePhase::Adopting);
    assert!(wire.finished, "the peer is told");
    let adopted = wire.machine.adopt(&mut wire.now());
    assert_eq!(adopted, Ok(()));
    wire.drive();
    assert_eq!(wire.told(), NOTHING, "too late");
}

#[test]
fn adoption_stops_its_clock() {
    let mut wire = Wire::accepted(config(|_| {}));
    wire.machine.handle_unadopted(&mut wire.now());
    wire.adopt();
    assert_eq!(wire.machine.poll_timeout(), None);
    wire.machine.handle_unadopted(&mut wire.now());
    assert_eq!(wire.machine.poll_timeout(), None);
}

#[test]
fn a_half_closed_connection_that_does_not_move_is_closed() {
    let mut wire = Wire::open(config(|config| config.half_closed_timeout = seconds(60)));
    wire.receive(&Receive::always(LINE));
    wire.peer_finishes();
    assert_eq!(wire.told(), ["peer finished"]);
    wire.wait(seconds(59));
    wire.send("we are still talking");
    wire.wait(seconds(59));
    wire.machine.pause_reading();
    wire.machine.resume_reading(&mut wire.now());
    assert_eq!(wire.told(), NOTHING);
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["closed: half-closed timeout after 60s"]);
}

/// The peer has finished, and what it sent is not taken.
#[test]
fn a_session_that_takes_nothing_cannot_keep_a_finished_connection_for_ever() {
    let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), config(|_| {}));
    wire.generous = false;
    wire.machine.pause_reading();
    wire.receive(&Receive::always(LINE));
    wire.machine
        .handle_data(&mut BytesMut::from("a\nb\n"), &mut wire.now());
    wire.machine.handle_eof(&mut wire.now());
    wire.wait(seconds(60));
    assert_eq!(
        wire.told(),
        ["closed: half-closed timeout after 60s, 4 bytes unread"]
    );
}
