//! Whole conversations over TLS, handshake included, with one fault at each byte that goes over the wire.

use switchboard::testkit::faults::Party;
use switchboard::testkit::{CutPoints, Faults};
use switchboard::{Cause, ConnectionOptions, Listen, TlsError};
use switchboard_tests::Echo;
use switchboard_tests::talking::{Begin, CLIENT, Event, SERVER, Sides, Told, lines};

/// More bytes than there are before TLS begins in mid-stream, whichever side reads.
const PLAIN: u64 = 12;

/// Makes something of each byte that a side reads, or of some: of every `step`th.
fn at_bytes(begin: Begin, step: usize, mut check: impl FnMut(&Sides, Party, u64)) {
    let sides = Sides::new();
    for side in [SERVER, CLIENT] {
        for byte in (0..=sides.wire_length(begin, side)).step_by(step) {
            check(&sides, side, byte);
        }
    }
}

/// What this side was told last.
fn end_of(told: &Told, side: Party) -> Option<&Event> {
    let told = if side == SERVER {
        &told.server
    } else {
        &told.client
    };
    told.last()
}

fn pieces_change_nothing(begin: Begin) {
    let whole = Sides::new().talk(begin, &Faults::none());
    whole.assert_whole();
    at_bytes(begin, 1, |sides, side, byte| {
        let told = sides.talk(begin, &Faults::none().on(side).cut_reads_at(byte));
        assert_eq!(told, whole, "cut at byte {byte} to {side}");
    });
}

/// T-14.
#[test]
fn tls_in_two_pieces_is_the_same_conversation() {
    pieces_change_nothing(Begin::AtOnce);
}

/// T-12.
#[test]
fn an_upgrade_in_two_pieces_is_the_same_conversation() {
    pieces_change_nothing(Begin::MidStream);
}

/// T-14: records of any size, one or several at once.
#[test]
fn sessions_answer_the_same_however_records_are_cut() {
    let Sides { server, client } = Sides::new();
    let listen = Listen::tcp("10.0.0.1:7000").lines().tls(server);
    let input = CutPoints::of("one\r\ntwo\n\nrest").tls(client, "10.0.0.1");
    let answer = input.session(&listen, |client| Echo { client });
    assert_eq!(answer, b"one\r\ntwo\n\n");
    let events = input.events(&listen);
    assert_eq!(events.len(), 6, "{events:?}");
    assert_eq!(events[1], "TlsStarted");
    assert_eq!(events[5], "Closed peer finished, unread: rest");
}

/// No end within TLS passes for one in order (RFC 8446 6.1), and what came before it was said.
fn an_end_is_told(begin: Begin, step: usize) {
    let (mut in_handshake, mut truncated) = (0, 0);
    at_bytes(begin, step, |sides, side, byte| {
        let told = sides.talk(begin, &Faults::none().on(side).eof_at(byte));
        told.assert_honest();
        for fault in told.tls_faults() {
            match fault {
                TlsError::HandshakeEof => in_handshake += 1,
                TlsError::Truncated => truncated += 1,
                other => panic!("the end at byte {byte} to {side} is: {other}, {told:?}"),
            }
        }
        if matches!(
            end_of(&told, side),
            Some(Event::Closed(Cause::PeerFinished, _))
        ) {
            let plain = begin == Begin::MidStream && byte < PLAIN;
            assert!(
                plain || told.server.len() > lines().len(),
                "the end at byte {byte} to {side} is one in order: {told:?}"
            );
        }
    });
    assert!(
        in_handshake > 100 && truncated > 100,
        "{in_handshake}, {truncated}"
    );
}

#[test]
fn an_end_at_every_byte_of_tls_is_told_from_one_in_order() {
    an_end_is_told(Begin::AtOnce, 1);
}

#[test]
fn an_end_anywhere_in_an_upgrade_is_told_from_one_in_order() {
    an_end_is_told(Begin::MidStream, 3);
}

#[test]
fn a_reset_anywhere_ends_both_sides_once_and_is_no_fault_of_tls() {
    for begin in [Begin::AtOnce, Begin::MidStream] {
        at_bytes(begin, 3, |sides, side, byte| {
            let faults = Faults::none().on(side).reset_at_read(byte);
            let told = sides.talk(begin, &faults);
            told.assert_honest();
            let found = told.tls_faults();
            assert!(found.is_empty(), "reset at byte {byte} to {side}: {told:?}");
        });
    }
}

/// T-13.
#[test]
fn a_stall_anywhere_ends_in_a_timeout_of_who_waits() {
    for begin in [Begin::AtOnce, Begin::MidStream] {
        at_bytes(begin, 7, |sides, side, byte| {
            let faults = Faults::none().on(side).stall_reads_after(byte);
            let told = sides.talk(begin, &faults);
            told.assert_honest();
            let in_time = match end_of(&told, side) {
                Some(Event::Closed(Cause::Timeout { .. }, _)) => true,
                Some(Event::Failed(error)) => error.kind == std::io::ErrorKind::TimedOut,
                // It closed by itself, with all that it wanted; or its peer, who waited too, was first.
                Some(Event::Closed(Cause::LocalClose, _)) => true,
                Some(Event::Closed(Cause::Io { .. }, _)) => true,
                _ => false,
            };
            assert!(in_time, "stalled after byte {byte} to {side}: {told:?}");
        });
    }
}

/// Whatever is changed, no wrong byte is ever taken for one that was said.
fn a_change_is_found(begin: Begin, step: usize) {
    let (mut tried, mut unnoticed, mut bad_records) = (0, 0, 0);
    let from = if begin == Begin::MidStream { PLAIN } else { 0 };
    at_bytes(begin, step, |sides, side, byte| {
        if byte < from {
            return;
        }
        let told = sides.talk(begin, &Faults::none().on(side).corrupt_read(byte));
        told.assert_honest();
        tried += 1;
        let found = told.tls_faults();
        let is_bad_record = |fault: &TlsError| matches!(fault, TlsError::BadRecord { .. });
        if found.iter().any(is_bad_record) {
            bad_records += 1;
        }
        if found.is_empty() {
            unnoticed += 1;
            let waits = |event: Option<&Event>| match event {
                Some(Event::Closed(Cause::Timeout { .. }, _)) => true,
                Some(Event::Failed(error)) => error.kind == std::io::ErrorKind::TimedOut,
                _ => false,
            };
            // A record that seems longer than it is is waited for; that of a plain header's version, or
            // of what comes after the end of both, matters to nobody.
            if !waits(told.server.last()) && !waits(told.client.last()) {
                told.assert_whole();
            }
        }
    });
    assert!(unnoticed * 20 < tried, "{unnoticed} of {tried}");
    assert!(bad_records * 4 > tried * 3, "{bad_records} of {tried}");
}

#[test]
fn a_changed_byte_of_tls_is_found() {
    a_change_is_found(Begin::AtOnce, 2);
}

#[test]
fn a_changed_byte_of_an_upgrade_is_found() {
    a_change_is_found(Begin::MidStream, 5);
}
