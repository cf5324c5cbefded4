//! Events that are not frames: their order, their pairing, their bound.

use super::*;
use crate::config::{IdleAction, IdleRule};

/// Marks that one byte passes and none is under, on a socket that takes nothing.
fn touchy(interests: Interests) -> Wire {
    let settings = config(|config| {
        config.write_high = 0;
        config.write_low = 0;
    });
    let mut wire = Wire::open_for(interests, settings);
    wire.takes(0);
    wire
}

/// AIO-35.
#[test]
fn aio_35_opened_comes_first_also_when_writing_was_paused_before() {
    let mut wire = Wire::connecting(config(|config| config.write_high = 4));
    wire.room = 0;
    wire.receive(&report_after(seconds(1), Receive::once(LINE)));
    wire.send("12345");
    wire.wait(seconds(1));
    assert_eq!(wire.told(), NOTHING, "nothing is told before it is opened");
    wire.machine.handle_connected(None);
    wire.drive();
    assert_eq!(wire.told(), NOTHING);
    wire.adopt();
    assert_eq!(wire.told(), ["opened", "write paused", "idle: receive"]);
}

/// AIO-10.
#[test]
fn aio_10_a_pause_from_before_the_session_was_known_is_told_to_it() {
    let settings = config(|config| config.write_high = 4);
    let mut wire = Wire::connecting(settings);
    wire.room = 0;
    wire.machine.set_interests(Interests::NONE);
    wire.send("12345");
    wire.machine.set_interests(Interests::ALL);
    wire.machine.handle_connected(None);
    wire.adopt();
    assert_eq!(wire.told(), ["opened", "write paused"]);
    wire.takes(5);
    assert_eq!(wire.told(), ["write resumed"]);
}

#[test]
fn adopting_twice_opens_once() {
    let mut wire = Wire::accepted(config(|_| {}));
    wire.adopt();
    wire.adopt();
    assert_eq!(wire.told(), ["opened"]);
}

#[test]
fn what_a_session_does_not_handle_is_not_told() {
    let mut wire = Wire::accepted(config(|config| {
        config.write_high = 0;
        config.write_low = 0;
        config.idle = Some(IdleRule {
            after: seconds(1),
            action: IdleAction::Report,
        });
    }));
    wire.machine.set_interests(Interests::NONE);
    wire.adopt();
    wire.takes(0);
    wire.send_tracked("x", 1);
    wire.takes(1);
    wire.wait(seconds(3));
    assert_eq!(wire.told(), NOTHING);
    wire.machine.handle_eof(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["closed: peer finished"]);
}

/// AIO-10.
#[test]
fn aio_10_pauses_and_resumes_alternate_also_for_a_session_that_falls_behind() {
    for rounds in 1..50 {
        for ends_paused in [true, false] {
            let mut wire = touchy(Interests::ALL);
            wire.awake = false;
            for _ in 0..rounds {
                wire.send("xy");
                wire.takes(2);
            }
            if ends_paused {
                wire.takes(0);
                wire.send("x");
            }
            wire.awake = true;
            wire.drive();
            let told = wire.told();
            assert!(told.len() < 20, "levels that changed back are left out");
            for (position, told) in told.iter().enumerate() {
                let expected = ["write paused", "write resumed"][position % 2];
                assert_eq!(told, expected);
            }
            assert_eq!(told.len() % 2 == 1, ends_paused);
        }
    }
}

/// A session that only waits for room must not miss it because it fell behind.
#[test]
fn a_session_that_hears_of_one_level_only_hears_of_it_however_far_it_is_behind() {
    for (left_out, told) in [
        (Interests::WRITE_PAUSED, "write resumed"),
        (Interests::WRITE_RESUMED, "write paused"),
    ] {
        for rounds in 15..40 {
            let mut wire = touchy(all_but(left_out));
            wire.awake = false;
            for token in 0..20 {
                wire.send_tracked("x", token);
                wire.takes(1);
                wire.room = 0;
            }
            for _ in 0..rounds {
                wire.send("x");
                wire.takes(1);
                wire.room = 0;
            }
            wire.awake = true;
            wire.drive();
            let heard = wire.told();
            assert_eq!(
                heard
                    .iter()
                    .filter(|heard| heard.starts_with("sent"))
                    .count(),
                20
            );
            assert!(heard.iter().any(|heard| heard == told), "{rounds} rounds");
        }
    }
}

#[test]
fn the_notices_of_a_session_that_takes_none_are_bounded() {
    let rule = |after| {
        Some(IdleRule {
            after: seconds(after),
            action: IdleAction::Report,
        })
    };
    let mut wire = Wire::open(config(|config| {
        config.idle_read = rule(2);
        config.idle_write = rule(3);
        config.idle = rule(5);
    }));
    wire.receive(&Receive::always(LINE));
    wire.awake = false;
    wire.wait(seconds(1_000));
    wire.awake = true;
    wire.drive();
    assert!(wire.told().len() < 30);
}

/// AIO-35, XAS-19.
#[test]
fn aio_35_closed_is_the_last_event_whatever_is_asked_for_afterwards() {
    for end in [Wire::close, Wire::abort] {
        let mut wire = touchy(Interests::ALL);
        wire.send("x");
        end(&mut wire);
        wire.wait(seconds(100));
        assert_eq!(wire.told().len(), 2, "paused, closed");
        wire.machine.set_write_limits(Some(9), Some(9)).unwrap();
        wire.machine.set_write_limits(Some(0), Some(0)).unwrap();
        let mut now = wire.now();
        wire.machine.set_readiness(true, true, &mut now).unwrap();
        wire.machine.resume_reading(&mut now);
        wire.drive();
        assert_eq!(wire.told(), NOTHING);
    }
}

#[test]
fn notices_come_before_the_frames_that_are_still_waiting() {
    let mut wire = Wire::open(config(|_| {}));
    wire.awake = false;
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("a\n");
    wire.send_tracked("x", 1);
    assert!(wire.machine.has_notice());
    let mut now = wire.now();
    let notice = wire.machine.poll_notice();
    assert!(matches!(notice, Some((Event::Sent { .. }, Permit::NONE))));
    assert!(wire.machine.poll_notice().is_none());
    assert!(matches!(
        wire.machine.poll_event(&mut now),
        Some((Event::Line(_), _))
    ));
}

/// AIO-02.
#[test]
fn aio_02_a_snapshot_shows_what_the_connection_is_doing() {
    let mut wire = touchy(Interests::ALL);
    wire.receive(&Receive::always(exact(2)));
    wire.peer_sends("abc");
    wire.takes(1);
    wire.send("12");
    wire.machine.pause_reading();
    let snapshot = wire.machine.snapshot();
    assert_eq!((snapshot.bytes_in, snapshot.bytes_out), (3, 1));
    assert_eq!((snapshot.frames_in, snapshot.unread), (1, 1));
    assert_eq!((snapshot.write_buffer, snapshot.write_limits), (1, (0, 0)));
    assert!(snapshot.write_paused && snapshot.reading_paused && snapshot.receiving);
    assert_eq!(snapshot.state, ConnectionState::Open);
}
