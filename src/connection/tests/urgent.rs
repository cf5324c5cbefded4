//! Urgent bytes: their place among the others, their bounds, and what hears of them.

use super::*;
use crate::error::SendRefusal;

/// A connection in use whose link has urgent bytes.
fn open(interests: Interests, settings: ConnectionConfig) -> Wire {
    let mut wire = Wire::open_for(interests, settings);
    wire.machine.set_carries_urgent(true);
    wire
}

fn comes(wire: &mut Wire, byte: u8) {
    let mut now = wire.now();
    assert!(wire.machine.wants_urgent());
    wire.machine.handle_urgent(byte, &mut now);
    wire.drive();
}

/// AC-06.
#[test]
fn ac_06_an_urgent_byte_leaves_at_its_place_and_by_itself() {
    for gulp in [1, 2, 3, usize::MAX] {
        let mut wire = open(Interests::ALL, config(|_| {}));
        wire.gulp = gulp;
        wire.takes(0);
        wire.send("ab");
        assert_eq!(wire.machine.send_urgent(b'!', Some(Token(1))), Ok(false));
        wire.send("cd");
        wire.machine.send(vec![b'x'; 5_000], None).unwrap();
        wire.machine.send_urgent(b'?', None).unwrap();
        wire.machine.send_urgent(b'#', Some(Token(2))).unwrap();
        assert_eq!(wire.machine.write_buffer_size(), 5_007);
        wire.takes(2);
        assert_eq!(wire.told(), NOTHING, "its turn has not been");
        wire.takes(usize::MAX);
        assert_eq!(wire.told(), ["sent 1: 1 bytes", "sent 2: 1 bytes"]);
        let mut stream = b"ab!cd".to_vec();
        stream.extend_from_slice(&[b'x'; 5_000]);
        stream.extend_from_slice(b"?#");
        assert_eq!(wire.taken, stream, "{gulp}");
        assert_eq!(wire.urgent, [2, 5_005, 5_006], "{gulp}");
        assert_eq!(wire.machine.snapshot().bytes_out, 5_007);
        assert_eq!(wire.machine.send_urgent(b'.', None), Ok(true), "to wake");
        wire.drive();
        assert_eq!(wire.urgent.len(), 4);
    }
}

/// AC-06, AIO-12.
#[test]
fn ac_06_an_urgent_byte_is_refused_as_any_send_and_where_there_are_none() {
    let mut wire = Wire::open(config(|config| config.write_capacity = 2));
    let none = Err(SendRefusal::NotSupported);
    assert_eq!(wire.machine.send_urgent(b'!', None), none);
    wire.machine.set_carries_urgent(true);
    wire.takes(0);
    wire.send("ab");
    let full = SendRefusal::Full {
        queued: 2,
        capacity: 2,
        asked: 1,
    };
    assert_eq!(wire.machine.send_urgent(b'!', None), Err(full));
    wire.takes(usize::MAX);
    wire.machine.write_eof().unwrap();
    wire.drive();
    let finished = Err(SendRefusal::WriteClosed);
    assert_eq!(wire.machine.send_urgent(b'!', None), finished);
    wire.close();
    let closed = Err(SendRefusal::Closed);
    assert_eq!(wire.machine.send_urgent(b'!', None), closed);

    let mut wire = Wire::connecting(config(|_| {}));
    assert_eq!(
        wire.machine.send_urgent(b'!', None),
        none,
        "nobody knows yet"
    );
}

/// AC-06, T-12: it would stand between the records.
#[test]
fn ac_06_tls_has_no_urgent_bytes_but_those_that_were_sent_before_it() {
    let mut wire = open(Interests::ALL, config(|_| {}));
    wire.takes(0);
    wire.machine.send_urgent(b'!', None).unwrap();
    wire.start_tls(seconds(1)).unwrap();
    let none = Err(SendRefusal::NotSupported);
    assert_eq!(wire.machine.send_urgent(b'?', None), none);
    assert!(!wire.machine.hears_urgent() && !wire.machine.wants_urgent());
    wire.send("protected");
    wire.takes(usize::MAX);
    assert_eq!((&wire.taken[..], &wire.urgent[..]), (&b"!"[..], &[0][..]));
    wire.secured();
    assert_eq!(wire.machine.send_urgent(b'?', None), none);
    assert_eq!(wire.taken, b"!protected");
}

/// AC-06, XAS-50.
#[test]
fn ac_06_closing_sends_a_queued_urgent_byte_or_counts_it() {
    let mut wire = open(Interests::ALL, config(|_| {}));
    wire.takes(0);
    wire.send("a");
    wire.machine.send_urgent(b'!', None).unwrap();
    wire.close();
    wire.takes(usize::MAX);
    assert_eq!(wire.taken, b"a!");
    assert!(wire.finished);
    assert_eq!(wire.closed().unsent, 0);

    for abort in [false, true] {
        let mut wire = open(Interests::ALL, config(|_| {}));
        wire.takes(0);
        wire.send("a");
        wire.machine.send_urgent(b'!', Some(Token(7))).unwrap();
        wire.takes(1);
        if abort {
            wire.abort();
        } else {
            let mut now = wire.now();
            wire.machine.close(Cause::LocalClose, false, None, &mut now);
            wire.drive();
        }
        assert_eq!(wire.closed().unsent, 1);
        assert_eq!(wire.closed().unsent_tokens, [Token(7)]);
        assert!(wire.urgent.is_empty());
    }
}

/// AC-06, XAS-70.
#[test]
fn ac_06_an_urgent_byte_is_told_beside_the_stream_whatever_is_armed() {
    let mut wire = open(Interests::ALL, config(|_| {}));
    comes(&mut wire, b'!');
    assert_eq!(wire.told(), ["urgent !"], "nothing is armed");
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("ab");
    comes(&mut wire, b'?');
    wire.peer_sends("c\n");
    assert_eq!(wire.told(), ["urgent ?", "line abc"]);
    wire.machine.pause_reading();
    comes(&mut wire, b'#');
    assert_eq!(wire.told(), ["urgent #"]);
    assert_eq!(wire.machine.snapshot().bytes_in, 7);
}

/// AC-06, XAS-70.
#[test]
fn ac_06_a_session_that_does_not_handle_them_hears_of_none() {
    let mut wire = open(all_but(Interests::URGENT), config(|_| {}));
    wire.receive(&Receive::always(LINE));
    assert!(!wire.machine.wants_urgent() && !wire.machine.hears_urgent());
}

/// AC-06.
#[test]
fn ac_06_urgent_bytes_that_wait_to_be_told_are_bounded() {
    let mut wire = open(Interests::ALL, config(|_| {}));
    wire.awake = false;
    for byte in 0..16 {
        comes(&mut wire, b'a' + byte);
    }
    assert!(wire.machine.hears_urgent(), "reading has to wait for it");
    assert!(!wire.machine.wants_urgent(), "the rest stays where it is");
    wire.awake = true;
    wire.drive();
    assert_eq!(wire.told().len(), 16);
    assert!(wire.machine.wants_urgent());
    wire.close();
    assert!(!wire.machine.wants_urgent());
}
