//! Time, while TLS is asked for, under way, and there.

use super::*;

/// Whatever stands between the command and TLS, it ends with the handshake's time.
#[test]
fn a_handshake_that_is_not_done_in_time_ends_the_connection() {
    for phase in [At::Asked, At::Shaking] {
        for behind in [false, true] {
            let mut wire = at(phase, behind, config(|_| {}));
            wire.wait(WITHIN - Duration::from_millis(1));
            assert_eq!(wire.machine.state(), ConnectionState::Open);
            wire.wait(Duration::from_millis(1));
            let detail = wire.closed();
            let cause = closed_by_clock(TimeoutKind::Handshake, WITHIN);
            assert_eq!(detail.cause, cause);
            assert_eq!(detail.phase, ClosePhase::Securing);
            let plain = if phase == At::Asked { 3 } else { 0 };
            assert_eq!(detail.unsent, plain + if behind { 4 } else { 0 });
            assert_eq!(detail.tls, None);
            assert_eq!(wire.machine.is_over(), Some(false));
        }
    }
    let mut wire = Wire::shaking(WITHIN, config(|_| {}));
    wire.wait(WITHIN);
    assert_eq!(wire.closed().phase, ClosePhase::Securing);
    let mut wire = at(At::Secured, false, config(|_| {}));
    wire.wait(seconds(1_000));
    assert_eq!(wire.told(), NOTHING, "once secured its time is over");
}

/// A close that waits for a handshake waits no longer than the handshake may take.
#[test]
fn a_close_behind_a_stalled_handshake_is_cut_short_by_its_clock() {
    let mut wire = at(At::Shaking, true, config(|_| {}));
    wire.wait(seconds(1));
    wire.close();
    wire.wait(seconds(4));
    let detail = wire.closed();
    assert_eq!(detail.cause, Cause::LocalClose);
    let cut = closed_by_clock(TimeoutKind::Handshake, WITHIN);
    assert_eq!(detail.cut_short, Some(cut));
    assert_eq!((detail.unsent, detail.phase), (4, ClosePhase::Securing));
    assert_eq!(detail.unsent_tokens, [Token(2)]);
}

/// The clocks that only the bytes of the connection reset do not run while a handshake moves its own.
#[test]
fn idle_clocks_do_not_end_a_handshake_and_run_on_afterwards() {
    for action in [IdleAction::Close, IdleAction::Report] {
        let after = seconds(2);
        let rule = IdleRule { after, action };
        let settings = config(|config| {
            config.idle = Some(rule);
            config.idle_read = Some(rule);
            config.idle_write = Some(rule);
        });
        let mut wire = at(At::Shaking, true, settings);
        wire.wait(seconds(4));
        assert_eq!(wire.told(), NOTHING);
        wire.secured();
        wire.wait(seconds(1));
        assert_eq!(wire.told(), [STARTED, "sent 2: 4 bytes"]);
        wire.wait(seconds(1));
        let told = wire.told();
        match action {
            IdleAction::Close => assert!(told[0].starts_with("closed: idle"), "{told:?}"),
            IdleAction::Report => assert!(told[0].starts_with("idle: "), "{told:?}"),
        }
    }
}

#[test]
fn a_connection_that_is_too_old_ends_in_every_phase() {
    for phase in PHASES {
        for behind in [false, true] {
            let age = config(|config| config.max_lifetime = Some(seconds(2)));
            let mut wire = at(phase, behind, age);
            wire.wait(seconds(2));
            wire.takes(usize::MAX);
            if wire.shaking {
                wire.secured();
            }
            let detail = wire.closed();
            let cause = closed_by_clock(TimeoutKind::Lifetime, seconds(2));
            assert_eq!((&detail.cause, detail.unsent), (&cause, 0));
        }
    }
}

/// What waits for the handshake does not wait for the peer to take it.
#[test]
fn the_write_rate_is_not_judged_while_the_handshake_lasts() {
    let rate = config(|config| config.write_rate = Some(RateRule::new(1_000, seconds(1))));
    let mut wire = at(At::Asked, true, rate.clone());
    wire.wait(Duration::from_millis(500));
    wire.takes(usize::MAX);
    wire.wait(seconds(3));
    assert!(wire.shaking, "{:?}", wire.ended);
    wire.takes(0);
    wire.secured();
    wire.wait(Duration::from_millis(999));
    assert_eq!(wire.machine.state(), ConnectionState::Open);
    wire.wait(Duration::from_millis(1));
    let cause = closed_by_clock(TimeoutKind::WriteRate, seconds(1));
    assert_eq!(wire.closed().cause, cause);
    // In plain the peer has to take it, as ever.
    let mut wire = at(At::Asked, true, rate);
    wire.wait(seconds(1));
    assert_eq!(wire.closed().cause, cause);
}

/// T-14: what has moved of a record counts for the clocks, and is not counted twice when it is complete.
#[test]
fn t_14_a_record_that_is_under_way_keeps_the_clocks_of_the_network() {
    let rule = IdleRule {
        after: seconds(2),
        action: IdleAction::Close,
    };
    let settings = config(|config| {
        (config.idle_read, config.idle_write) = (Some(rule), Some(rule));
        config.write_rate = Some(RateRule::new(10, seconds(2)));
        config.read_rate = Some(RateRule::new(10, seconds(2)));
    });
    let mut wire = at(At::Secured, true, settings);
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("begin");
    for round in 1..10 {
        wire.time += seconds(1);
        let under_way = UnderWay {
            incoming: round * 10,
            outgoing: round * 10,
            sealed: 0,
        };
        let mut now = wire.now();
        wire.machine.handle_under_way(under_way, &mut now);
        wire.drive();
        assert!(wire.machine.is_open(), "{:?}", wire.told());
    }
    // The same again is nothing new.
    wire.wait(seconds(2));
    assert_eq!(wire.closed().cause.reason(), ClosedReason::Timeout);
}

/// The receive's deadline is absolute from arming, whatever happens meanwhile (XAS-46).
#[test]
fn xas_46_a_deadline_that_was_armed_meanwhile_runs() {
    let mut wire = at(At::Shaking, false, config(|_| {}));
    wire.receive(&report_after(seconds(1), Receive::once(LINE)));
    wire.wait(seconds(1));
    assert_eq!(wire.told(), ["idle: receive"]);
    wire.receive(&within(seconds(1), Receive::once(LINE)));
    wire.wait(seconds(1));
    let detail = wire.closed();
    assert_eq!(detail.phase, ClosePhase::Securing);
    assert_eq!(detail.cause.reason(), ClosedReason::Timeout);
}

/// Memory that is short stops the reading, and nothing of a handshake.
#[test]
fn reading_that_is_held_or_paused_stays_so_across_the_upgrade() {
    let mut wire = at(At::Shaking, false, config(|_| {}));
    wire.machine.hold_reading();
    wire.machine.pause_reading();
    wire.receive(&Receive::always(LINE));
    wire.secured();
    wire.peer_sends("line\n");
    assert_eq!(wire.told(), [STARTED]);
    wire.machine.resume_reading(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), NOTHING);
    wire.machine.release_reading(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["line line"]);
}
