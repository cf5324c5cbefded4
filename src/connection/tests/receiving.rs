//! Receives: arming, framing, what stays and what is left.

use super::*;
use crate::frame::FrameError;

/// XAS-36.
#[test]
fn xas_36_a_one_shot_receive_takes_one_line_and_rearming_loses_nothing() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(LINE));
    wire.peer_sends("one\ntwo\r\n\nfour\n");
    assert_eq!(wire.told(), ["line one"]);
    assert!(!wire.machine.snapshot().receiving);
    for line in ["line two", "line ", "line four"] {
        wire.receive(&Receive::once(LINE));
        assert_eq!(wire.told(), [line]);
    }
}

#[test]
fn a_receive_for_three_times_completes_three_times() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&times(3, LINE));
    wire.peer_sends("1\n2\n");
    assert_eq!(wire.told(), ["line 1", "line 2"]);
    wire.peer_sends("3\n4\n");
    assert_eq!(wire.told(), ["line 3"]);
    assert_eq!(wire.machine.snapshot().unread, 2);
    wire.receive(&times(1, LINE));
    assert_eq!(wire.told(), ["line 4"]);
}

#[test]
fn a_receive_for_ever_goes_on_until_it_is_cancelled() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(exact(2)));
    wire.peer_sends("aabbc");
    assert_eq!(wire.told(), ["data aa", "data bb"]);
    assert!(wire.machine.cancel_receive());
    assert!(!wire.machine.cancel_receive(), "nothing is armed any more");
    wire.peer_sends("c");
    assert_eq!(wire.told(), NOTHING);
    wire.receive(&Receive::once(exact(2)));
    assert_eq!(wire.told(), ["data cc"], "what had come stayed");
}

/// XAS-30.
#[test]
fn xas_30_nothing_is_read_while_nothing_is_armed() {
    let mut wire = Wire::open(config(|_| {}));
    wire.peer_sends("hello\n");
    assert_eq!(wire.machine.read_wish(), ReadWish::Nothing);
    assert_eq!(wire.incoming.len(), 1);
    wire.receive(&Receive::once(LINE));
    assert_eq!(wire.told(), ["line hello"]);
}

/// XAS-41.
#[test]
fn xas_41_arming_twice_is_refused_and_the_first_stays() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(LINE));
    let second = Receive::once(ReceiveKind::Available);
    assert_eq!(wire.arm(&second), Err(ArmError::AlreadyReceiving));
    assert_eq!(
        wire.machine.try_receive(9, &mut wire.now()),
        Err(ArmError::AlreadyReceiving)
    );
    wire.peer_sends("still a line\nrest");
    assert_eq!(wire.told(), ["line still a line"]);
}

/// XAS-43, AMB-19, AC-26.
#[test]
fn xas_43_a_receive_that_cannot_be_is_refused_and_changes_nothing() {
    let settings = || {
        config(|config| {
            config.max_recv = 1_000;
            config.max_message = 500;
            config.max_line = 100;
        })
    };
    let table = [
        (
            Receive::once(exact(1_001)),
            ArmError::TooLarge {
                asked: 1_001,
                limit: 1_000,
            },
        ),
        (
            Receive::once(ReceiveKind::Message { max: Some(501) }),
            ArmError::TooLarge {
                asked: 501,
                limit: 500,
            },
        ),
        (Receive::once(until("")), ArmError::EmptyDelimiter),
        (
            within(Duration::ZERO, Receive::once(LINE)),
            ArmError::ZeroTimeout,
        ),
    ];
    for (receive, error) in table {
        let mut wire = Wire::open(settings());
        assert_eq!(wire.arm(&receive), Err(error));
        assert!(!wire.machine.snapshot().receiving);
        assert_eq!(wire.machine.poll_timeout(), None);
        wire.receive(&Receive::once(exact(1_000)));
    }
}

#[test]
fn a_receive_whose_event_is_not_handled_is_refused_by_name() {
    let table = [
        (LINE, Interests::LINE, "LineReceived"),
        (exact(1), Interests::DATA, "DataReceived"),
        (MESSAGE, Interests::MESSAGE, "MessageReceived"),
    ];
    for (kind, interest, event) in table {
        let mut wire = Wire::open_for(all_but(interest), config(|_| {}));
        let refused = wire.arm(&Receive::once(kind));
        assert_eq!(refused, Err(ArmError::NoHandler { event }));
    }
}

#[test]
fn a_preset_receive_that_the_session_cannot_take_closes_the_connection() {
    let settings = config(|config| config.first_receive = Some(Receive::always(LINE)));
    let mut wire = Wire::accepted(settings);
    wire.machine.set_interests(all_but(Interests::LINE));
    let adopted = wire.machine.adopt(&mut wire.now());
    let event = "LineReceived";
    assert_eq!(adopted, Err(ArmError::NoHandler { event }));
    wire.drive();
    assert_eq!(
        wire.told(),
        ["opened", "closed: session does not handle LineReceived"]
    );
}

#[test]
fn a_preset_receive_is_armed_by_adoption_unless_another_one_was_armed_before() {
    let settings = || config(|config| config.first_receive = Some(Receive::always(LINE)));
    let mut wire = Wire::open(settings());
    wire.peer_sends("a\nb\n");
    assert_eq!(wire.told(), ["line a", "line b"]);
    let mut wire = Wire::accepted(settings());
    wire.receive(&Receive::once(exact(1)));
    wire.adopt();
    wire.peer_sends("a\nb\n");
    assert_eq!(wire.told(), ["opened", "data a"]);
}

/// XAS-45, T-10.
#[test]
fn xas_45_lines_are_the_same_however_they_are_split() {
    let script = b"hello\r\n\nworld\n";
    for first in 0..=script.len() {
        for second in first..=script.len() {
            let mut wire = Wire::open(config(|_| {}));
            wire.receive(&Receive::always(LINE));
            for piece in [&script[..first], &script[first..second], &script[second..]] {
                wire.peer_sends(piece);
            }
            assert_eq!(wire.told(), ["line hello", "line ", "line world"]);
        }
    }
}

#[test]
fn switching_the_framing_in_mid_stream_loses_no_byte() {
    let script = b"head\r\nabc\0\0\0\x02hi\0\0\0\0body\r\n.\r\nxyz";
    let kinds = [
        LINE,
        exact(3),
        MESSAGE,
        MESSAGE,
        until("\r\n.\r\n"),
        ReceiveKind::UpTo(size(2)),
        exact(1),
    ];
    for split in 0..=script.len() {
        let mut wire = Wire::open(config(|_| {}));
        let (head, tail) = script.split_at(split);
        wire.incoming.push_back(Incoming::Bytes(head.to_vec()));
        wire.incoming.push_back(Incoming::Bytes(tail.to_vec()));
        let mut told = Vec::new();
        for kind in &kinds[..5] {
            wire.receive(&Receive::once(kind.clone()));
            told.extend(wire.told());
        }
        let expected = [
            "line head",
            "data abc",
            "message hi",
            "message ",
            "data body",
        ];
        assert_eq!(told, expected, "split at {split}");
        let mut rest = String::new();
        while rest.len() < 3 {
            for kind in &kinds[5..] {
                if rest.len() < 3 {
                    wire.receive(&Receive::once(kind.clone()));
                    rest.extend(
                        wire.told()
                            .iter()
                            .filter_map(|told| told.strip_prefix("data ")),
                    );
                }
            }
        }
        assert_eq!(rest, "xyz");
        assert_eq!(wire.machine.snapshot().unread, 0);
    }
}

/// XAS-43.
#[test]
fn xas_43_surplus_bytes_stay_for_the_next_receive() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(exact(5)));
    wire.peer_sends("0123456789ab");
    assert_eq!(wire.told(), ["data 01234"]);
    wire.receive(&Receive::once(exact(5)));
    assert_eq!(wire.told(), ["data 56789"]);
    assert_eq!(wire.machine.snapshot().unread, 2);
    wire.receive(&Receive::once(exact(3)));
    assert_eq!(wire.told(), NOTHING);
    wire.peer_sends("c");
    assert_eq!(wire.told(), ["data abc"]);
}

/// XAS-43.
#[test]
fn xas_43_an_exact_receive_completes_byte_by_byte() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(exact(40_000)));
    for _ in 0..40_000 {
        wire.incoming.push_back(Incoming::Bytes(vec![7]));
    }
    wire.drive();
    assert!(matches!(&wire.events[1], Event::Data(data) if data.len() == 40_000));
}

/// XAS-42, AMB-02.
#[test]
fn xas_42_full_waits_for_a_full_buffer_where_available_fires_at_once() {
    let mut wire = Wire::open(config(|config| config.recv_buffer = 256));
    wire.receive(&Receive::once(ReceiveKind::Full));
    wire.peer_sends([b'a'; 255]);
    assert_eq!(wire.told(), NOTHING);
    wire.peer_sends("bb");
    assert_eq!(wire.told(), [format!("data {}b", "a".repeat(255))]);
    wire.receive(&Receive::once(ReceiveKind::Available));
    assert_eq!(wire.told(), ["data b"]);
    wire.receive(&Receive::once(ReceiveKind::UpTo(size(2))));
    wire.peer_sends("xyz");
    assert_eq!(wire.told(), ["data xy"]);
}

/// XAS-44.
#[test]
fn xas_44_what_was_delivered_stays_as_it_was() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(exact(20_000)));
    wire.peer_sends(vec![b'a'; 30_000]);
    wire.peer_sends(vec![b'b'; 30_000]);
    let frames: Vec<_> = wire.events[1..].iter().collect();
    let [Event::Data(first), Event::Data(second), Event::Data(third)] = frames[..] else {
        panic!("three frames, not {frames:?}");
    };
    assert!(first.iter().all(|&byte| byte == b'a'));
    assert_eq!(second.iter().filter(|&&byte| byte == b'a').count(), 10_000);
    assert!(third.iter().all(|&byte| byte == b'b'));
}

/// XAS-39.
#[test]
fn xas_39_an_undecodable_line_is_a_line_all_the_same() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends(b"\xFF\xFE\nfine\n");
    let [_, Event::Line(bad), Event::Line(good)] = &wire.events[..] else {
        panic!("two lines, not {:?}", wire.events);
    };
    assert!(bad.text().is_err());
    assert_eq!(bad.as_bytes(), b"\xFF\xFE");
    assert_eq!(good.text().unwrap(), "fine");
}

/// XAS-38, AMB-18.
#[test]
fn xas_38_a_line_that_is_too_long_closes_after_the_lines_before_it() {
    let settings = || config(|config| config.max_line = 4);
    let mut wire = Wire::open(settings());
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("1234\r\nab\n12345");
    assert_eq!(
        wire.told(),
        [
            "line 1234",
            "line ab",
            "closed: line is longer than 4 bytes, 5 bytes unread"
        ]
    );
    let limit = 4;
    assert_eq!(
        wire.closed().cause,
        Cause::Frame(FrameError::LineTooLong { limit })
    );
    assert_eq!(&wire.closed().unread[..], b"12345");

    let mut wire = Wire::open(settings());
    wire.receive(&Receive::once(until("--")));
    wire.peer_sends("12345");
    let announced = None;
    assert_eq!(
        wire.closed().cause,
        Cause::Frame(FrameError::FrameTooLong { limit, announced })
    );
}

/// ACO-10.
#[test]
fn aco_10_a_message_that_is_too_long_closes_as_soon_as_it_is_announced() {
    let mut wire = Wire::open(config(|config| config.max_message = 8));
    wire.receive(&Receive::always(MESSAGE));
    wire.peer_sends(b"\0\0\0\x08eight ok\xFF\xFF\xFF\xFF");
    assert_eq!(
        wire.told(),
        [
            "message eight ok",
            "closed: frame of 4294967295 bytes exceeds the limit of 8, 4 bytes unread"
        ]
    );
}

/// XAS-48.
#[test]
fn xas_48_a_partial_line_at_the_end_is_unread_and_never_delivered() {
    let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("whole\nabc");
    wire.peer_finishes();
    assert_eq!(
        wire.told(),
        ["line whole", "closed: peer finished, 3 bytes unread"]
    );
    assert_eq!(&wire.closed().unread[..], b"abc");
}

/// ACO-09.
#[test]
fn aco_09_a_truncated_message_is_an_error_and_an_end_at_the_boundary_is_not() {
    let script = b"\0\0\0\x02hi\0\0\0\0";
    for end in 0..=script.len() {
        let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), config(|_| {}));
        wire.receive(&Receive::always(MESSAGE));
        wire.peer_sends(&script[..end]);
        wire.peer_finishes();
        let boundary = [0, 6, 10].into_iter().rfind(|&boundary| boundary <= end);
        let expected = match end - boundary.unwrap() {
            0 => Cause::PeerFinished,
            received => Cause::TruncatedMessage { received },
        };
        assert_eq!(wire.closed().cause, expected, "after {end} bytes");
        assert_eq!(&wire.closed().unread[..], &script[boundary.unwrap()..end]);
    }
}

/// ACO-09: whoever handles `PeerFinished` is told of the error all the same.
#[test]
fn aco_09_a_truncated_message_is_an_error_for_every_session() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::once(MESSAGE));
    wire.peer_sends(b"\0\0");
    wire.peer_finishes();
    assert_eq!(
        wire.told(),
        ["closed: peer finished in the middle of a message, 2 bytes in, 2 bytes unread"]
    );
}

/// AMB-04, XAS-49.
#[test]
fn amb_04_an_end_is_told_only_when_what_came_before_it_was_taken() {
    let mut wire = Wire::open_for(all_but(Interests::PEER_FINISHED), config(|_| {}));
    wire.receive(&Receive::once(LINE));
    wire.peer_sends("a\nb\nc");
    assert_eq!(wire.told(), ["line a"]);
    // Nothing is armed, but the driver has noticed.
    wire.machine.handle_eof(&mut wire.now());
    wire.drive();
    assert_eq!(wire.told(), NOTHING, "two bytes were not offered yet");
    wire.receive(&Receive::once(LINE));
    assert_eq!(wire.told(), ["line b"]);
    wire.receive(&Receive::once(LINE));
    assert_eq!(wire.told(), ["closed: peer finished, 1 bytes unread"]);
    let refused = wire.arm(&Receive::once(LINE));
    assert_eq!(refused, Err(ArmError::Closed));
}

#[test]
fn arming_after_the_peer_has_finished_and_all_was_taken_says_so() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    wire.peer_sends("a\n");
    wire.peer_finishes();
    assert_eq!(wire.told(), ["line a", "peer finished"]);
    let refused = wire.arm(&Receive::once(LINE));
    assert_eq!(refused, Err(ArmError::PeerFinished));
}

#[test]
fn a_line_across_many_large_reads_is_one_line() {
    let mut wire = Wire::open(config(|_| {}));
    wire.receive(&Receive::always(LINE));
    let mut script = vec![b'x'; 60_000];
    script.push(b'\n');
    script.extend([b'y'; 3]);
    for piece in script.chunks(17_000) {
        wire.peer_sends(piece);
    }
    assert_eq!(wire.told(), [format!("line {}", "x".repeat(60_000))]);
    assert_eq!(wire.machine.snapshot().unread, 3);
}
