//! Ends in every phase: closed, aborted, failed, cut short.

use super::*;

/// A close flushes what can still be flushed, on the side of the boundary on which it belongs.
#[test]
fn a_close_waits_for_the_handshake_only_if_something_waits_behind_it() {
    for phase in PHASES {
        for behind in [false, true] {
            let mut wire = at(phase, behind, config(|_| {}));
            wire.close();
            wire.takes(usize::MAX);
            let what = (phase, behind);
            if behind && phase != At::Secured {
                assert!(wire.shaking, "{what:?}");
                assert_eq!(wire.machine.state(), ConnectionState::Closing);
                wire.secured();
            }
            assert!(!wire.shaking, "{what:?}");
            let detail = wire.closed().clone();
            assert_eq!(detail.cause, Cause::LocalClose);
            assert_eq!((detail.unsent, detail.cut_short), (0, None), "{what:?}");
            let (sent, phase_told) = match what {
                (At::Secured, true) => ("220EHLO", ClosePhase::Open),
                (At::Secured, false) => ("220", ClosePhase::Open),
                (_, true) => ("220EHLO", ClosePhase::Securing),
                (_, false) => ("220", ClosePhase::Securing),
            };
            assert_eq!(wire.taken, sent.as_bytes(), "{what:?}");
            assert_eq!(detail.phase, phase_told);
            let secured = phase == At::Secured || behind;
            assert_eq!(detail.tls, secured.then(facts), "{what:?}");
            // A handshake that is given up is a link that is let go of; else it is finished in order.
            let dropped = phase == At::Shaking && !behind;
            assert_eq!(wire.finished, !dropped, "{what:?}");
            wire.peer_finishes();
            assert_eq!(wire.machine.is_over(), Some(false));
        }
    }
}

#[test]
fn a_close_without_flush_and_an_abort_count_what_is_lost() {
    for phase in PHASES {
        for behind in [false, true] {
            for aborts in [false, true] {
                let what = (phase, behind, aborts);
                let mut wire = at(phase, behind, config(|_| {}));
                let mut now = wire.now();
                if aborts {
                    wire.machine.abort(Cause::LocalAbort);
                } else {
                    wire.machine.close(Cause::LocalClose, false, None, &mut now);
                }
                wire.drive();
                let detail = wire.closed().clone();
                let plain = if phase == At::Asked { 3 } else { 0 };
                let unsent = plain + if behind { 4 } else { 0 };
                assert_eq!(detail.unsent, unsent, "{what:?}");
                let tokens: Vec<_> = [(1, plain > 0), (2, behind)]
                    .into_iter()
                    .filter(|(_, lost)| *lost)
                    .map(|(token, _)| Token(token))
                    .collect();
                assert_eq!(detail.unsent_tokens, tokens, "{what:?}");
                assert_eq!(detail.tls.is_some(), phase == At::Secured);
                if aborts {
                    assert_eq!(wire.machine.is_over(), Some(true), "a reset");
                }
                assert!(!wire.shaking && !wire.machine.wants_handshake());
                assert_eq!(wire.told().len(), 1, "{what:?}");
            }
        }
    }
}

/// The deadline of a drain holds for a handshake that something waits for, too.
#[test]
fn a_drain_ends_a_handshake_at_once_or_at_its_deadline() {
    for (behind, ends) in [(false, 0), (true, 2)] {
        let mut wire = at(At::Shaking, behind, config(|_| {}));
        assert!(wire.machine.is_busy(), "a handshake is something");
        let mut now = wire.now();
        wire.machine
            .close_within(Cause::Drained, seconds(2), &mut now);
        wire.wait(seconds(ends));
        let detail = wire.closed();
        assert_eq!(detail.cause, Cause::Drained);
        assert_eq!(detail.phase, ClosePhase::Securing);
        assert_eq!(detail.unsent, if behind { 4 } else { 0 });
    }
    let mut wire = Wire::shaking(WITHIN, config(|_| {}));
    let mut now = wire.now();
    wire.machine
        .close_within(Cause::Drained, seconds(2), &mut now);
    assert!(wire.machine.is_over().is_some() && wire.machine.ends_securing());
    wire.drive();
    assert_eq!(wire.told(), ["closed: drained"]);
    assert!(!wire.machine.ends_securing(), "it is told");
}

#[test]
fn a_failed_handshake_is_told_with_all_that_is_lost() {
    for linked in [false, true] {
        for error in [TlsError::NotTls, TlsError::HandshakeEof] {
            let mut wire = at(At::Shaking, true, config(|_| {}));
            wire.handshake_fails(error.clone(), linked);
            let detail = wire.closed();
            assert_eq!(detail.cause, Cause::Tls(error.clone()));
            assert_eq!(detail.cause.reason(), ClosedReason::Error);
            assert_eq!(detail.phase, ClosePhase::Securing);
            assert_eq!(detail.unsent, 4);
            assert_eq!(detail.unsent_tokens, [Token(2)]);
            assert_eq!((detail.tls.clone(), detail.bytes_out), (None, 3));
            assert_eq!(wire.taken, b"220", "nothing of it in plain");
            assert_eq!(wire.told().len(), 1);
            assert_eq!(wire.finished, linked);
            let left = error == TlsError::HandshakeEof;
            if linked && !left {
                assert_eq!(wire.machine.read_wish(), ReadWish::Discard, "lingering");
            } else {
                assert_eq!(wire.machine.is_over(), Some(false));
            }
        }
    }
}

/// An error of the system is told as such.
#[test]
fn a_link_that_breaks_during_the_handshake_is_an_io_error() {
    let mut wire = at(At::Shaking, false, config(|_| {}));
    wire.shaking = false;
    let error = io::ErrorKind::ConnectionReset.into();
    wire.machine
        .handle_handshake_failed(&error, true, &mut wire.now());
    wire.drive();
    let (operation, kind) = (IoOperation::Handshake, io::ErrorKind::ConnectionReset);
    let errno = None;
    assert_eq!(
        wire.closed().cause,
        Cause::Io {
            operation,
            kind,
            errno
        }
    );
}

/// A close that waits for a handshake which fails.
#[test]
fn a_handshake_that_fails_cuts_a_close_short() {
    for linked in [false, true] {
        let mut wire = at(At::Shaking, true, config(|_| {}));
        wire.close();
        wire.handshake_fails(TlsError::NotTls, linked);
        let detail = wire.closed();
        assert_eq!(detail.cause, Cause::LocalClose);
        assert_eq!(detail.cut_short, Some(Cause::Tls(TlsError::NotTls)));
        assert_eq!((detail.unsent, detail.phase), (4, ClosePhase::Securing));
    }
}

/// The answer to the command cannot leave: there is nothing to wait for.
#[test]
fn writing_that_fails_before_the_handshake_ends_it_at_once() {
    for armed in [false, true] {
        let mut wire = at(At::Asked, true, config(|_| {}));
        if armed {
            wire.receive(&Receive::always(LINE));
        }
        wire.writing_breaks();
        wire.takes(1);
        let detail = wire.closed();
        assert!(matches!(detail.cause, Cause::Io { .. }), "{}", detail.cause);
        assert_eq!((detail.unsent, detail.phase), (7, ClosePhase::Securing));
    }
}

/// ACO-13, T-14: complete frames first, then what is queued, then the end, which is named.
#[test]
fn a_stream_that_is_cut_short_is_told_after_what_it_brought() {
    let mut wire = at(At::Secured, true, config(|_| {}));
    wire.generous = false;
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("whole\nhal");
    wire.peer_is_cut_off();
    assert_eq!(wire.told(), ["line whole"]);
    wire.give_back();
    assert_eq!(wire.told(), NOTHING, "what is queued comes first");
    wire.takes(usize::MAX);
    let detail = wire.closed();
    assert_eq!(detail.cause, Cause::Tls(TlsError::Truncated));
    assert_eq!(detail.cause.reason(), ClosedReason::ClosedByPeer);
    assert_eq!(&detail.unread[..], b"hal");
    assert_eq!((detail.unsent, detail.tls.clone()), (0, Some(facts())));
    assert_eq!(wire.taken, b"220EHLO");
    assert_eq!(wire.machine.is_over(), Some(false));
}

/// The same when it is noticed while nobody reads.
#[test]
fn a_stream_that_is_cut_short_unread_still_takes_what_is_queued() {
    let mut wire = at(At::Secured, true, config(|_| {}));
    let error = TlsError::Truncated.into();
    wire.machine.handle_reset(&error, &mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), NOTHING);
    wire.takes(usize::MAX);
    let detail = wire.closed();
    assert_eq!(detail.cause, Cause::Tls(TlsError::Truncated));
    assert_eq!(detail.unsent, 0);
    // A peer that takes nothing any more does not keep it for ever.
    let mut wire = at(At::Secured, true, config(|_| {}));
    wire.machine.handle_reset(&error, &mut wire.now());
    wire.wait(seconds(60));
    assert_eq!(wire.closed().unsent, 4);
    assert_eq!(wire.machine.is_over(), Some(true));
}

/// While closing, the peer's end is its end, with or without a word.
#[test]
fn a_peer_that_leaves_without_a_word_does_not_spoil_a_close() {
    let mut wire = at(At::Secured, true, config(|_| {}));
    wire.close();
    wire.peer_is_cut_off();
    assert_eq!(wire.told(), NOTHING);
    wire.takes(usize::MAX);
    let detail = wire.closed();
    assert_eq!(
        (&detail.cause, &detail.cut_short),
        (&Cause::LocalClose, &None)
    );
    assert_eq!(wire.machine.is_over(), Some(false));
}

/// AIO-37: a peer that finishes in order is asked about as on a plain connection.
#[test]
fn aio_37_a_peer_that_finishes_is_told_and_ends_it_when_answered() {
    let mut wire = at(At::Secured, false, config(|_| {}));
    wire.takes(usize::MAX);
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("last\n");
    wire.peer_finishes();
    assert_eq!(wire.told(), ["line last", "peer finished"]);
    wire.send("answer");
    wire.machine.close_after_peer(&mut wire.now());
    wire.drive();
    assert_eq!(wire.closed().cause, Cause::PeerFinished);
    assert_eq!(wire.taken, b"220answer");
}

/// What comes of a handshake after the end means nothing.
#[test]
fn an_outcome_that_comes_too_late_changes_nothing() {
    for secured in [false, true] {
        let mut wire = at(At::Shaking, false, config(|_| {}));
        wire.abort();
        let detail = wire.closed().clone();
        let mut now = wire.now();
        if secured {
            wire.machine.handle_secured(facts(), &mut now);
        } else {
            let error = TlsError::NotTls.into();
            wire.machine.handle_handshake_failed(&error, true, &mut now);
        }
        wire.drive();
        assert_eq!(wire.closed(), &detail);
        assert_eq!(wire.machine.is_over(), Some(true));
        assert_eq!(wire.machine.tls(), None);
    }
}
