//! Sessions and links that come and go around a handshake.

use super::*;

/// A session that is gone, in every phase: what it had sent is still sent, protected if it was to be.
#[test]
fn a_session_that_is_gone_leaves_what_it_sent() {
    let panicked = || Cause::SessionPanicked {
        event: Some("LineReceived"),
        text: "boom".into(),
    };
    for cause in [Cause::SessionStopped, panicked()] {
        for phase in PHASES {
            let mut wire = at(phase, true, config(|_| {}));
            let mut now = wire.now();
            assert!(!wire.machine.handle_session_gone(cause.clone(), &mut now));
            wire.drive();
            wire.takes(usize::MAX);
            if phase != At::Secured {
                wire.secured();
            }
            assert_eq!(wire.taken, b"220EHLO", "{phase:?}");
            assert_eq!(wire.closed().cause, cause);
        }
    }
    let abort = config(|config| config.crash = CrashPolicy::Abort);
    let mut wire = at(At::Shaking, true, abort);
    wire.machine
        .handle_session_gone(panicked(), &mut wire.now());
    wire.drive();
    assert_eq!(wire.machine.is_over(), Some(true));
}

/// A session that panics after it has asked for TLS: the peer notices nothing, and its successor is told
/// that TLS has started, before or after it came.
#[test]
fn a_successor_takes_over_in_every_phase() {
    let (max, within) = (3, seconds(10));
    let settings = config(|config| {
        config.crash = CrashPolicy::Restart { max, within };
        config.first_receive = Some(Receive::always(LINE));
    });
    for phase in PHASES {
        for late in [false, true] {
            let mut wire = Wire::accepted(settings.clone());
            wire.adopt();
            wire.machine.cancel_receive();
            wire.takes(if phase == At::Asked { 0 } else { usize::MAX });
            wire.send("220");
            wire.start_tls(WITHIN).unwrap();
            if phase == At::Secured {
                wire.secured();
            }
            wire.told();
            let cause = Cause::SessionPanicked {
                event: None,
                text: "boom".into(),
            };
            let mut now = wire.now();
            assert!(wire.machine.handle_session_gone(cause, &mut now));
            if !late {
                wire.machine.handle_successor(Interests::ALL, &mut now);
            }
            wire.takes(usize::MAX);
            if phase != At::Secured {
                wire.secured();
            }
            wire.peer_sends("line\n");
            if late {
                assert_eq!(wire.told(), NOTHING);
                wire.machine.handle_successor(Interests::ALL, &mut now);
                wire.drive();
            }
            let adopted = "adopted: 0 bytes unread, 1 restarts";
            let mut expected = vec![adopted, STARTED, "line line"];
            if phase == At::Secured {
                // Its predecessor was told.
                expected.remove(1);
            }
            assert_eq!(wire.told(), expected, "{phase:?} {late}");
        }
    }
}

/// AIO-40: TLS from the first byte. Nothing is told before the session comes, which is behind the
/// handshake.
#[test]
fn aio_40_a_connection_that_begins_with_a_handshake_is_told_both() {
    let first = config(|config| config.first_receive = Some(Receive::always(LINE)));
    let mut wire = Wire::shaking(WITHIN, first);
    wire.drive();
    assert_eq!(wire.machine.state(), ConnectionState::Adopting);
    wire.machine.send("early", None).unwrap();
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::NotOpen));
    wire.secured();
    assert_eq!(wire.told(), NOTHING);
    wire.adopt();
    assert_eq!(wire.told(), ["opened", STARTED]);
    assert_eq!(wire.taken, b"early");
    wire.peer_sends("line\n");
    assert_eq!(wire.told(), ["line line"]);
    assert_eq!(wire.start_tls(WITHIN), Err(StartTlsError::AlreadyTls));
}

/// Levels alternate also where a connection is closed before a session could hear of them.
#[test]
fn a_close_during_the_first_handshake_tells_levels_in_pairs() {
    let marks = config(|config| (config.write_high, config.write_low) = (3, 1));
    let mut wire = Wire::shaking(WITHIN, marks);
    wire.send("early");
    wire.close();
    wire.secured();
    assert_eq!(
        wire.told(),
        ["write paused", "write resumed", "closed: closed here"]
    );
    assert_eq!(wire.taken, b"early");
}

/// A link that was secure says nothing of the next one.
#[test]
fn the_next_link_begins_as_it_begins() {
    let redial = config(|config| config.reconnect = Some(ReconnectConfig::default()));
    for phase in PHASES {
        let mut wire = Wire::connecting(redial.clone());
        wire.machine = Connection::connecting(Arc::new(redial.clone())).with_reconnect(7);
        wire.machine.set_interests(Interests::ALL);
        wire.machine.handle_connected(None);
        wire.adopt();
        wire.takes(if phase == At::Asked { 0 } else { usize::MAX });
        wire.send("hello");
        wire.start_tls(WITHIN).unwrap();
        wire.awake = false;
        if phase == At::Secured {
            wire.secured();
            let error = io::ErrorKind::ConnectionReset.into();
            wire.machine.handle_reset(&error, &mut wire.now());
        } else {
            wire.wait(WITHIN);
        }
        assert!(wire.machine.poll_reconnect(&mut wire.now()).is_some());
        assert!(!wire.machine.is_securing() && wire.machine.tls().is_none());
        assert_eq!(wire.machine.poll_timeout(), None);
        wire.awake = true;
        wire.shaking = false;
        wire.drive();
        wire.told();
        // Plain once more, to be upgraded again; or secure from its start.
        let secure = phase == At::Secured;
        wire.machine.handle_connected(secure.then(facts));
        wire.adopt();
        let started = if secure {
            wire.start_tls(WITHIN).unwrap_err();
            vec!["opened", STARTED]
        } else {
            vec!["opened"]
        };
        assert_eq!(wire.told(), started);
        assert_eq!(wire.machine.tls().is_some(), secure);
    }
}
