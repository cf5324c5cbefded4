//! Sends: order, notices, bounds, marks, the send slot.

use super::*;
use crate::error::{LimitsError, SendRefusal, SlotError};
use crate::line::{Line, LineEnding};

/// A connection whose socket takes nothing.
fn stalled(settings: ConnectionConfig) -> Wire {
    let mut wire = Wire::open(settings);
    wire.takes(0);
    wire
}

/// XAS-50.
#[test]
fn xas_50_every_tracked_send_is_told_once_in_order() {
    let mut wire = stalled(config(|_| {}));
    for token in 0..100 {
        wire.send_tracked("abc", token);
        wire.send("untracked");
    }
    assert_eq!(wire.told(), NOTHING);
    wire.takes(2);
    assert_eq!(wire.told(), NOTHING);
    wire.takes(1);
    assert_eq!(wire.told(), ["sent 0: 3 bytes"]);
    wire.gulp = 7;
    wire.takes(usize::MAX);
    let expected: Vec<_> = (1..100)
        .map(|token| format!("sent {token}: 3 bytes"))
        .collect();
    assert_eq!(wire.told(), expected);
    assert_eq!(wire.taken, b"abcuntracked".repeat(100));
}

/// XAS-51.
#[test]
fn xas_51_sent_means_that_the_system_took_the_last_byte() {
    let mut wire = stalled(config(|_| {}));
    let large = vec![b'x'; 100_000];
    wire.machine.send(large, Some(Token(1))).unwrap();
    wire.takes(99_999);
    assert_eq!(wire.told(), ["write paused", "write resumed"]);
    wire.takes(1);
    assert_eq!(wire.told(), ["sent 1: 100000 bytes"]);
}

#[test]
fn only_the_first_send_asks_to_wake_the_driver() {
    let mut wire = stalled(config(|_| {}));
    assert_eq!(wire.machine.send("a", None), Ok(true));
    assert_eq!(wire.machine.send("b", None), Ok(false));
    assert_eq!(wire.machine.send_line("c", None), Ok(false));
    wire.takes(usize::MAX);
    assert_eq!(wire.machine.send_message("d", None), Ok(true));
    assert_eq!(wire.machine.write_buffer_size(), 5);
}

/// ACO-08.
#[test]
fn aco_08_a_message_goes_out_behind_its_length() {
    let mut wire = Wire::open(config(|_| {}));
    wire.machine.send_message("hi", Some(Token(7))).unwrap();
    wire.machine.send_message("", Some(Token(8))).unwrap();
    wire.drive();
    assert_eq!(wire.taken, b"\0\0\0\x02hi\0\0\0\0");
    assert_eq!(wire.told(), ["sent 7: 6 bytes", "sent 8: 4 bytes"]);
}

#[test]
fn a_line_goes_out_with_its_own_ending_or_else_the_connections() {
    let mut wire = Wire::open(config(|config| config.line_ending = LineEnding::CrLf));
    wire.machine.send_line("text", None).unwrap();
    wire.machine.send_line("", None).unwrap();
    let line = Line::new("line".into(), LineEnding::Lf, crate::Encoding::Utf8);
    wire.machine.send_line(&line, None).unwrap();
    wire.drive();
    assert_eq!(wire.taken, b"text\r\n\r\nline\n");
    let nothing = Line::new(Bytes::new(), LineEnding::None, crate::Encoding::Utf8);
    let refused = wire.machine.send_line(&nothing, None);
    assert_eq!(refused, Err(SendRefusal::Empty));
}

/// AMB-07.
#[test]
fn amb_07_an_empty_send_is_refused() {
    let mut wire = Wire::open(config(|_| {}));
    let refused = wire.machine.send("", Some(Token(1))).unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::Empty);
    let refused = wire
        .machine
        .send_many(vec![Bytes::new(); 3], None)
        .unwrap_err();
    assert_eq!(refused.refusal, SendRefusal::Empty);
    assert_eq!(refused.payload.len(), 3);
    wire.drive();
    assert_eq!(wire.told(), NOTHING);
}

/// AIO-12.
#[test]
fn aio_12_a_send_beyond_the_capacity_is_refused_whole_and_comes_back() {
    let mut wire = stalled(config(|config| config.write_capacity = 10));
    wire.send("1234567");
    let full = |asked| SendRefusal::Full {
        queued: 7,
        capacity: 10,
        asked,
    };
    let refused = wire.machine.send("89ab".to_owned(), None).unwrap_err();
    assert!(refused.is_full());
    assert_eq!(refused.refusal, full(4));
    assert_eq!(refused.into_payload(), "89ab");
    let refused = wire.machine.send_message("", None).unwrap_err();
    assert_eq!(refused.refusal, full(4), "the length counts");
    assert_eq!(wire.machine.send_line("abc", None), Err(full(4)));
    assert_eq!(wire.machine.try_send(b"89abc"), Ok((3, false)));
    wire.takes(1);
    assert_eq!(wire.machine.send("b", None), Ok(false));
    wire.takes(usize::MAX);
    assert_eq!(wire.taken, b"123456789ab");
}

/// ACO-10.
#[test]
fn aco_10_a_message_that_is_too_long_is_refused_and_comes_back() {
    let mut wire = Wire::open(config(|config| config.max_message = 4));
    let refused = wire
        .machine
        .send_message(vec![1, 2, 3, 4, 5], None)
        .unwrap_err();
    assert_eq!(
        refused.refusal,
        SendRefusal::MessageTooLong { asked: 5, limit: 4 }
    );
    assert_eq!(refused.payload, [1, 2, 3, 4, 5]);
    assert!(wire.machine.send_message(vec![1, 2, 3, 4], None).is_ok());
}

/// AIO-14.
#[test]
fn aio_14_many_parts_are_one_send_with_one_notice_all_or_none() {
    let mut wire = stalled(config(|config| config.write_capacity = 20_000));
    let parts = |sizes: &[usize]| -> Vec<Bytes> {
        sizes
            .iter()
            .map(|&size| Bytes::from(vec![b'p'; size]))
            .collect()
    };
    let refused = wire
        .machine
        .send_many(parts(&[3, 10_000, 9_998]), Some(Token(1)))
        .unwrap_err();
    assert_eq!(
        wire.machine.write_buffer_size(),
        0,
        "nothing of it is queued"
    );
    assert_eq!(refused.payload, parts(&[3, 10_000, 9_998]));
    let sent = parts(&[3, 0, 10_000, 9_997]);
    assert!(wire.machine.send_many(sent, Some(Token(2))).is_ok());
    wire.takes(usize::MAX);
    assert_eq!(wire.taken.len(), 20_000);
    assert_eq!(wire.told(), ["sent 2: 20000 bytes"]);
}

/// AIO-13, XAS-23.
#[test]
fn aio_13_after_the_end_every_send_comes_back() {
    let mut wire = Wire::open(config(|_| {}));
    wire.close();
    let closed = SendRefusal::Closed;
    let machine = &mut wire.machine;
    let refused = machine.send("text".to_owned(), None).unwrap_err();
    assert_eq!((refused.refusal, refused.payload), (closed, "text".into()));
    let refused = machine.send_message(vec![1], None).unwrap_err();
    assert_eq!((refused.refusal, refused.payload), (closed, vec![1]));
    let parts = vec![Bytes::from("p")];
    let refused = machine.send_many(parts.clone(), None).unwrap_err();
    assert_eq!((refused.refusal, refused.payload), (closed, parts));
    assert_eq!(machine.send_line("line", None), Err(closed));
    assert_eq!(machine.try_send(b"x"), Err(closed));
    assert_eq!(machine.take_slot(), Err(SlotError::Refused(closed)));
    let slot = BytesMut::from("slot");
    let refused = machine.send_slot(slot.clone(), 2, None);
    assert_eq!(refused, Err((SlotError::Refused(closed), slot)));
}

/// XAS-50: the notices that may wait are bounded.
#[test]
fn xas_50_sends_whose_notices_nobody_takes_are_refused_in_the_end() {
    let mut wire = Wire::open(config(|_| {}));
    wire.awake = false;
    let limit = 64 * 1024;
    for token in 0..limit {
        wire.machine.send("x", Some(Token(token))).unwrap();
        if token % 4_096 == 0 {
            wire.drive();
        }
    }
    let refused = wire.machine.send("x", Some(Token(0))).unwrap_err();
    assert!(refused.is_full());
    assert!(matches!(
        refused.refusal,
        SendRefusal::TooManyNotices { .. }
    ));
    assert!(wire.machine.send("untracked", None).is_ok());
    wire.awake = true;
    wire.drive();
    assert!(wire.machine.send("x", Some(Token(0))).is_ok());
}

/// XAS-53.
#[test]
fn xas_53_the_send_slot_is_lent_once_and_back_when_it_was_sent() {
    let mut wire = stalled(config(|config| config.send_slot = 256));
    let mut slot = wire.machine.take_slot().unwrap();
    assert_eq!(slot.len(), 256);
    assert_eq!(wire.machine.take_slot(), Err(SlotError::Busy), "it is lent");
    slot[..3].copy_from_slice(b"abc");
    let address = slot.as_ptr();
    wire.send("before ");
    assert_eq!(wire.machine.send_slot(slot, 3, Some(Token(1))), Ok(false));
    wire.send(" after");
    assert_eq!(
        wire.machine.take_slot(),
        Err(SlotError::Busy),
        "it is queued"
    );
    wire.takes(9);
    assert_eq!(
        wire.machine.take_slot(),
        Err(SlotError::Busy),
        "2 of 3 are sent"
    );
    assert_eq!(wire.told(), NOTHING);
    wire.takes(1);
    assert_eq!(wire.told(), ["sent 1: 3 bytes"]);
    let slot = wire.machine.take_slot().unwrap();
    assert_eq!(slot.len(), 256);
    assert_eq!(slot.as_ptr(), address, "the same memory");
    wire.machine.return_slot(slot);
    assert!(wire.machine.take_slot().is_ok());
    wire.takes(usize::MAX);
    assert_eq!(wire.taken, b"before abc after");
}

/// XAS-53.
#[test]
fn xas_53_a_slot_that_is_not_sent_comes_back() {
    let mut wire = stalled(config(|config| {
        config.send_slot = 256;
        config.write_capacity = 10;
    }));
    let slot = wire.machine.take_slot().unwrap();
    let mut slot = Some(slot);
    for asked in [0, 257] {
        let lent = slot.take().unwrap();
        let (error, back) = wire.machine.send_slot(lent, asked, None).unwrap_err();
        assert_eq!(error, SlotError::BadSize { asked, size: 256 });
        slot = Some(back);
    }
    wire.send("1234567");
    let (error, back) = wire.machine.send_slot(slot.unwrap(), 4, None).unwrap_err();
    assert!(matches!(
        error,
        SlotError::Refused(SendRefusal::Full { .. })
    ));
    assert_eq!(back.len(), 256);
    assert_eq!(wire.machine.take_slot(), Err(SlotError::Busy), "still lent");
    wire.machine.return_slot(back);
    assert!(wire.machine.take_slot().is_ok());
}

/// AIO-09.
#[test]
fn aio_09_writing_pauses_above_the_high_mark_and_resumes_at_the_low_one() {
    let mut wire = stalled(config(|config| {
        config.write_high = 4;
        config.write_low = 2;
    }));
    wire.send("1234");
    assert_eq!(wire.told(), NOTHING);
    wire.send("5");
    assert_eq!(wire.told(), ["write paused"]);
    wire.send("6");
    assert!(wire.machine.snapshot().write_paused);
    wire.takes(3);
    assert_eq!(wire.told(), NOTHING);
    wire.takes(1);
    assert_eq!(wire.told(), ["write resumed"]);
    assert!(!wire.machine.snapshot().write_paused);
}

/// AIO-11.
#[test]
fn aio_11_marks_of_nothing_pause_at_one_byte_and_resume_at_none() {
    let mut wire = stalled(config(|_| {}));
    wire.machine.set_write_limits(Some(0), None).unwrap();
    wire.send("12");
    assert_eq!(wire.told(), ["write paused"]);
    wire.takes(1);
    assert_eq!(wire.told(), NOTHING);
    wire.takes(1);
    assert_eq!(wire.told(), ["write resumed"]);
}

/// AIO-08.
#[test]
fn aio_08_changing_the_marks_pauses_or_resumes_at_once() {
    let mut wire = stalled(config(|_| {}));
    assert_eq!(wire.machine.snapshot().write_limits, (65_536, 16_384));
    wire.send(&"x".repeat(50));
    wire.machine.set_write_limits(Some(40), None).unwrap();
    assert_eq!(wire.machine.snapshot().write_limits, (40, 10));
    wire.drive();
    assert_eq!(wire.told(), ["write paused"]);
    wire.machine.set_write_limits(Some(60), None).unwrap();
    wire.drive();
    assert_eq!(wire.told(), NOTHING, "between the marks nothing changes");
    wire.machine.set_write_limits(None, Some(50)).unwrap();
    wire.drive();
    assert_eq!(wire.told(), ["write resumed"]);
    let refused = wire.machine.set_write_limits(Some(10), Some(20));
    assert_eq!(refused, Err(LimitsError { high: 10, low: 20 }));
    assert_eq!(wire.machine.snapshot().write_limits, (200, 50));
}
