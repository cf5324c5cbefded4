//! Closing in good order: flush, finish, linger; write_eof; what the peer's end brings about.

use super::*;
use crate::error::SendRefusal;
use crate::reason::{ClosePhase, ClosedReason, TimeoutKind};

/// AIO-01, XAS-20.
#[test]
fn aio_01_close_flushes_then_finishes_then_lingers_until_the_peer_finishes() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send_tracked("last words", 1);
    assert!(wire.close());
    assert_eq!(wire.machine.state(), ConnectionState::Closing);
    wire.peer_sends("nobody hears this\n");
    assert!(wire.incoming.is_empty(), "it is read");
    wire.takes(4);
    assert_eq!(wire.told(), NOTHING);
    assert!(!wire.finished);
    wire.takes(usize::MAX);
    assert!(wire.finished);
    assert_eq!(wire.told(), ["sent 1: 10 bytes", "closed: closed here"]);
    assert_eq!(wire.taken, b"last words");
    assert!(wire.machine.is_told());
    assert_eq!(wire.machine.read_wish(), ReadWish::Discard, "lingering");
    assert_eq!(wire.machine.is_over(), None);
    wire.peer_sends("nor this");
    wire.peer_finishes();
    assert_eq!(wire.machine.is_over(), Some(false), "no reset");
    assert_eq!(wire.told(), NOTHING);
    let detail = wire.closed();
    assert_eq!(detail.cause.reason(), ClosedReason::ClosedByHost);
    assert_eq!((detail.bytes_in, detail.bytes_out), (18, 10));
    assert_eq!((detail.unsent, detail.phase), (0, ClosePhase::Open));
}

/// XAS-20: 20 MB queued, all of them arrive.
#[test]
fn xas_20_a_close_sends_everything_however_slow_the_peer_takes_it() {
    let mut wire = Wire::open(config(|config| config.write_capacity = 32 << 20));
    wire.room = 0;
    for _ in 0..20 {
        wire.machine.send(vec![b'x'; 1 << 20], None).unwrap();
    }
    wire.close();
    for _ in 0..20 {
        wire.takes(1 << 20);
        wire.wait(seconds(1));
    }
    assert_eq!(wire.taken.len(), 20 << 20);
    assert_eq!(wire.told().pop().unwrap(), "closed: closed here");
}

/// XAS-19, XAS-20, AIO-01.
#[test]
fn xas_19_closing_again_tells_nothing_again() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(0);
    wire.send("x");
    assert!(wire.close());
    assert!(!wire.close());
    wire.takes(1);
    assert!(!wire.close());
    wire.peer_finishes();
    assert!(!wire.close());
    assert!(!wire.abort());
    assert_eq!(wire.told(), ["closed: closed here"]);
}

#[test]
fn closing_again_without_flush_drops_what_is_left() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(2);
    wire.send_tracked("abc", 1);
    wire.send_tracked("de", 2);
    wire.close();
    let again = wire
        .machine
        .close(Cause::LocalClose, false, None, &mut wire.now());
    assert!(!again);
    wire.drive();
    assert!(wire.finished, "what was sent is finished in good order");
    assert_eq!(wire.told(), ["closed: closed here, 3 bytes unsent"]);
    assert_eq!(wire.closed().unsent_tokens, [Token(1), Token(2)]);
    assert_eq!(wire.closed().phase, ClosePhase::Flushing);
}

#[test]
fn a_close_without_flush_drops_at_once_and_counts() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(0);
    wire.send_tracked("abc", 1);
    wire.machine
        .close(Cause::PoolStopped, false, None, &mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["closed: pool stopped, 3 bytes unsent"]);
    assert!(wire.taken.is_empty());
}

#[test]
fn at_the_flush_deadline_the_connection_is_reset() {
    let mut wire = Wire::open(config(|config| config.flush_timeout = seconds(30)));
    wire.takes(1);
    wire.send_tracked("abc", 1);
    wire.close();
    wire.wait(seconds(29));
    wire.takes(1);
    assert_eq!(wire.told(), NOTHING);
    wire.wait(seconds(1));
    assert_eq!(
        wire.told(),
        ["closed: closed here, cut short by flush timeout after 30s, 1 bytes unsent"]
    );
    assert_eq!(wire.machine.is_over(), Some(true));
    let detail = wire.closed();
    assert_eq!(detail.unsent_tokens, [Token(1)]);
    assert_eq!(detail.phase, ClosePhase::Flushing);
    assert_eq!(detail.cause.reason(), ClosedReason::ClosedByHost);
}

#[test]
fn a_close_may_bring_its_own_deadline_and_a_second_one_another() {
    let close = |wire: &mut Wire, after| {
        wire.machine
            .close(Cause::LocalClose, true, Some(after), &mut wire.now());
        wire.drive();
    };
    let stuck = || {
        let mut wire = Wire::open(config(|_| {}));
        wire.takes(0);
        wire.send("abc");
        close(&mut wire, seconds(3));
        wire
    };
    let after = |after| {
        let kind = TimeoutKind::Flush;
        Some(Cause::Timeout { kind, after })
    };
    let mut wire = stuck();
    wire.wait(seconds(3));
    assert_eq!(wire.closed().cut_short, after(seconds(3)));

    let mut wire = stuck();
    wire.wait(seconds(1));
    close(&mut wire, seconds(1));
    wire.wait(seconds(1));
    assert_eq!(wire.closed().cut_short, after(seconds(1)));

    let mut wire = stuck();
    close(&mut wire, Duration::ZERO);
    assert_eq!(wire.closed().cut_short, after(Duration::ZERO));
}

#[test]
fn lingering_is_bounded_in_time() {
    let mut wire = Wire::open(config(|config| config.linger_timeout = seconds(2)));
    wire.close();
    for _ in 0..19 {
        wire.wait(Duration::from_millis(100));
        wire.peer_sends("still here");
    }
    assert_eq!(wire.machine.is_over(), None);
    wire.wait(Duration::from_millis(100));
    assert_eq!(wire.machine.is_over(), Some(false));
    assert_eq!(wire.told(), ["closed: closed here"]);
}

#[test]
fn lingering_is_bounded_in_bytes() {
    let mut wire = Wire::open(config(|config| config.linger_bytes = 10));
    wire.close();
    wire.peer_sends("0123456789");
    assert_eq!(wire.machine.is_over(), None);
    wire.peer_sends("!");
    assert_eq!(wire.machine.is_over(), Some(false));
}

#[test]
fn an_error_while_lingering_harms_nobody() {
    let mut wire = Wire::open(config(|_| {}));
    wire.close();
    wire.peer_resets();
    assert_eq!(wire.machine.is_over(), Some(false));
    assert_eq!(wire.told(), ["closed: closed here"]);
}

#[test]
fn lingering_can_be_hurried_but_never_drawn_out() {
    let lingering = || {
        let mut wire = Wire::open(config(|config| config.linger_timeout = seconds(2)));
        wire.close();
        wire
    };
    let mut wire = lingering();
    wire.machine.hurry(seconds(1), &mut wire.now());
    wire.wait(seconds(1));
    assert_eq!(wire.machine.is_over(), Some(false));
    let mut wire = lingering();
    wire.wait(Duration::from_millis(1_500));
    wire.machine.hurry(seconds(1), &mut wire.now());
    wire.wait(Duration::from_millis(500));
    assert_eq!(wire.machine.is_over(), Some(false));
    let mut wire = Wire::open(config(|config| config.linger_timeout = seconds(2)));
    wire.machine.hurry(seconds(1), &mut wire.now());
    wire.close();
    wire.wait(seconds(1));
    assert_eq!(
        wire.machine.is_over(),
        Some(false),
        "hurried before it closed"
    );
}

#[test]
fn frames_that_were_not_taken_before_a_close_are_unread() {
    let mut wire = Wire::open(config(|_| {}));
    wire.awake = false;
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("a\nb\nc");
    wire.close();
    wire.peer_sends("after the close");
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.told(), ["closed: closed here, 5 bytes unread"]);
    assert_eq!(&wire.closed().unread[..], b"a\nb\nc");
}

/// AIO-04.
#[test]
fn aio_04_abort_drops_what_is_queued_and_asks_for_a_reset() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(1);
    wire.send_tracked("abc", 1);
    assert!(wire.abort());
    assert_eq!(wire.told(), ["closed: aborted here, 2 bytes unsent"]);
    assert_eq!(wire.machine.is_over(), Some(true));
    assert!(!wire.finished);
    assert_eq!(wire.closed().unsent_tokens, [Token(1)]);
    assert_eq!(wire.closed().cause.reason(), ClosedReason::ClosedByHost);
    assert!(!wire.abort());
}

#[test]
fn abort_cuts_a_close_short() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(0);
    wire.send("abc");
    wire.close();
    assert!(wire.abort());
    assert_eq!(
        wire.told(),
        ["closed: closed here, cut short by aborted here, 3 bytes unsent"]
    );
    assert_eq!(wire.machine.is_over(), Some(true));
}

#[test]
fn abort_ends_lingering_without_telling_anything_again() {
    for awake in [true, false] {
        let mut wire = Wire::open(config(|_| {}));
        wire.awake = awake;
        wire.close();
        assert!(wire.abort());
        assert_eq!(wire.machine.is_over(), Some(true));
        wire.awake = true;
        wire.drive();
        assert_eq!(wire.told(), ["closed: closed here"]);
    }
}

/// AIO-05.
#[test]
fn aio_05_write_eof_finishes_after_the_flush_and_goes_on_receiving() {
    let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send("request");
    assert_eq!(wire.machine.write_eof(), Ok(()));
    assert_eq!(wire.machine.write_eof(), Ok(()), "once more does nothing");
    wire.drive();
    assert!(!wire.finished);
    assert_eq!(wire.machine.state(), ConnectionState::HalfClosed);
    let refused = wire.machine.send("more".to_owned(), None).unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::WriteClosed);
    assert_eq!(refused.payload, "more");
    wire.takes(7);
    assert!(wire.finished);
    assert_eq!(wire.machine.write_eof(), Ok(()));
    let refused = wire.machine.send("more", None).unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::WriteClosed);
    wire.peer_sends("answer\n");
    wire.peer_finishes();
    assert_eq!(wire.told(), ["line answer", "closed: peer finished"]);
    assert_eq!(wire.machine.is_over(), Some(false), "nothing to linger for");
    assert_eq!(wire.machine.write_eof(), Err(SendRefusal::Closed));
}

/// AIO-05.
#[test]
fn aio_05_write_eof_is_refused_before_and_after_use() {
    for mut wire in [
        Wire::connecting(config(|_| {})),
        Wire::accepted(config(|_| {})),
    ] {
        assert_eq!(wire.machine.write_eof(), Err(SendRefusal::Closed));
    }
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(0);
    wire.send("x");
    wire.close();
    assert_eq!(wire.machine.write_eof(), Err(SendRefusal::Closed));
}

#[test]
fn closing_after_write_eof_goes_straight_to_lingering() {
    let mut wire = Wire::open(config(|_| {}));
    wire.machine.write_eof().unwrap();
    wire.drive();
    wire.close();
    assert_eq!(wire.told(), ["closed: closed here"]);
    assert_eq!(wire.machine.read_wish(), ReadWish::Discard);
    wire.peer_finishes();
    assert_eq!(wire.machine.is_over(), Some(false));
}

#[test]
fn closing_while_write_eof_waits_for_its_flush_flushes_too() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(0);
    wire.send("abc");
    wire.machine.write_eof().unwrap();
    wire.close();
    wire.takes(3);
    assert!(wire.finished);
    assert_eq!(wire.told(), ["closed: closed here"]);
}

/// AIO-37, AMB-22: without a word from the session the connection closes, and still sends.
#[test]
fn aio_37_a_peer_that_finishes_closes_the_connection_once_everything_is_sent() {
    let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send("answer");
    wire.peer_finishes();
    assert_eq!(wire.told(), NOTHING);
    wire.takes(6);
    assert!(wire.finished);
    assert_eq!(wire.told(), ["closed: peer finished"]);
    assert_eq!(wire.machine.is_over(), Some(false));
    assert_eq!(wire.closed().cause.reason(), ClosedReason::ClosedByPeer);
}

/// AIO-37.
#[test]
fn aio_37_a_session_may_keep_a_finished_connection_until_it_has_finished_too() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("question\npart");
    wire.peer_finishes();
    assert_eq!(wire.told(), ["line question", "peer finished"]);
    assert_eq!(wire.machine.state(), ConnectionState::HalfClosed);
    wire.send(&"x".repeat(1_000));
    assert_eq!(wire.taken.len(), 1_000);
    wire.machine.write_eof().unwrap();
    wire.drive();
    assert_eq!(wire.told(), ["closed: peer finished, 4 bytes unread"]);
    assert_eq!(wire.machine.is_over(), Some(false));
}

/// AIO-37.
#[test]
fn aio_37_a_session_may_let_a_finished_connection_close() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.takes(0);
    wire.send("abc");
    wire.peer_finishes();
    assert_eq!(wire.told(), ["peer finished"]);
    wire.machine.close_after_peer(&mut wire.now());
    wire.takes(3);
    assert_eq!(wire.told(), ["closed: peer finished"]);
    assert_eq!(wire.machine.is_over(), Some(false));
    wire.machine.close_after_peer(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), NOTHING);
}

/// AIO-05, AIO-37: once both sides have finished there is nothing to wait for.
#[test]
fn aio_05_when_the_peer_finishes_last_the_connection_is_over() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.machine.write_eof().unwrap();
    wire.peer_sends("reply\n");
    wire.peer_finishes();
    assert_eq!(
        wire.told(),
        ["line reply", "peer finished", "closed: peer finished"]
    );
    assert_eq!(wire.machine.is_over(), Some(false));
}

/// AIO-37.
#[test]
fn aio_37_the_peers_end_is_told_once_however_often_the_socket_says_so() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.peer_finishes();
    wire.machine.handle_eof(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["peer finished"]);
}

/// AMB-04, AC-15.
#[test]
fn amb_04_an_end_that_waited_for_bytes_to_be_taken_is_told_when_they_are() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(exact(1)));
    wire.peer_sends("abc");
    wire.machine.handle_eof(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), ["data a"]);
    let taken = wire.machine.try_receive(9, &mut wire.now()).unwrap();
    assert_eq!(taken.as_deref(), Some(&b"bc"[..]));
    wire.drive();
    assert_eq!(wire.told(), ["peer finished"]);
}

#[test]
fn a_peer_that_finishes_while_we_flush_makes_lingering_needless() {
    let mut wire = Wire::open(config(|_| {}));
    wire.takes(0);
    wire.send("abc");
    wire.close();
    wire.peer_finishes();
    assert_eq!(wire.told(), NOTHING, "we still send");
    wire.takes(3);
    assert_eq!(wire.told(), ["closed: closed here"]);
    assert_eq!(wire.machine.is_over(), Some(false));
}
