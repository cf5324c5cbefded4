//! Lines.

use std::io::Write;

use switchboard::message::*;
use switchboard::{
    Cause, ClosedReason, ConnectionOptions, Encoding, FrameError, LineEnding, LineRule, Listen,
};
use switchboard_tests::*;

use super::{ANY, Flood, MIB, growth_until, has_read, ms, text};

/// XAS-37, AMB-01.
#[test]
fn xas_37_each_line_rule_ends_lines_and_treats_crs_as_it_says() {
    const SCRIPT: &[u8] = b"a\r\nb\nc\r\r\na\rb\n\n\r\n";
    use LineEnding::{CrLf, Lf};
    with_pool(|pool| async move {
        for (rule, expected) in [
            (
                LineRule::Lenient,
                [
                    ("a", CrLf),
                    ("b", Lf),
                    ("c\r", CrLf),
                    ("a\rb", Lf),
                    ("", Lf),
                    ("", CrLf),
                ],
            ),
            (
                LineRule::StripAllCr,
                [
                    ("a", Lf),
                    ("b", Lf),
                    ("c", Lf),
                    ("ab", Lf),
                    ("", Lf),
                    ("", Lf),
                ],
            ),
            (
                LineRule::Lf,
                [
                    ("a\r", Lf),
                    ("b", Lf),
                    ("c\r\r", Lf),
                    ("a\rb", Lf),
                    ("", Lf),
                    ("\r", Lf),
                ],
            ),
        ] {
            let listen = Listen::tcp(ANY).line_rule(rule).lines();
            let (mut peer, _, mut trace) = serve(&pool, listen).await;
            peer.write_all(SCRIPT).unwrap();
            for (body, ending) in expected {
                let line = expect!(trace, LineReceived).line;
                assert_eq!(line.text().unwrap(), body, "{rule:?}");
                assert_eq!(line.ending(), ending, "{rule:?} {body:?}");
            }
            trace.no_more(ms(20)).await;
        }
    });
}

/// XAS-37.
#[test]
fn xas_37_the_strict_rule_takes_cr_lf_only_and_names_what_breaks_it() {
    with_pool(|pool| async move {
        for (script, error) in [
            (&b"ok\r\n\r\nbad\n"[..], FrameError::BareLf),
            (b"ok\r\n\r\nb\rad\r\n", FrameError::BareCr),
            (b"ok\r\n\r\nbad\r\r\n", FrameError::BareCr),
        ] {
            let listen = Listen::tcp(ANY).line_rule(LineRule::CrLf).lines();
            let (mut peer, _, mut trace) = serve(&pool, listen).await;
            peer.write_all(script).unwrap();
            assert_eq!(text(&mut trace).await, "ok");
            assert_eq!(text(&mut trace).await, "");
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            assert_eq!(closed.detail.cause, Cause::Frame(error));
        }
    });
}

/// XAS-37, T-10.
#[test]
fn xas_37_cr_and_lf_in_different_segments_are_one_ending() {
    with_pool(|pool| async move {
        for rule in [LineRule::Lenient, LineRule::StripAllCr, LineRule::CrLf] {
            let listen = Listen::tcp(ANY).line_rule(rule).lines();
            let (mut peer, client, mut trace) = serve(&pool, listen).await;
            peer.write_all(b"x\r").unwrap();
            has_read(&client, 2).await;
            assert!(trace.so_far().is_empty(), "a CR alone ends no line");
            peer.write_all(b"\ny\r\n").unwrap();
            assert_eq!(text(&mut trace).await, "x", "{rule:?}");
            assert_eq!(text(&mut trace).await, "y", "{rule:?}");
        }
    });
}

/// XAS-38, AMB-18.
#[test]
fn xas_38_a_line_of_the_limit_passes_whatever_its_ending() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).max_line(4096).lines()).await;
        let body = pattern(4096)
            .iter()
            .map(|n| b'a' + n % 26)
            .collect::<Vec<_>>();
        for ending in ["\n", "\r\n"] {
            peer.write_all(&[&body, ending.as_bytes()].concat())
                .unwrap();
            assert_eq!(expect!(trace, LineReceived).line.as_bytes(), body);
        }
    });
}

/// XAS-38.
#[test]
fn xas_38_a_line_over_the_limit_closes_with_an_error_that_names_it() {
    with_pool(|pool| async move {
        for ending in ["\n", "\r\n", ""] {
            let listen = Listen::tcp(ANY).max_line(4096).lines();
            let (mut peer, _, mut trace) = serve(&pool, listen).await;
            let line = "x".repeat(4097) + ending;
            peer.write_all(line.as_bytes()).unwrap();
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let limit = 4096;
            let cause = &closed.detail.cause;
            assert_eq!(*cause, Cause::Frame(FrameError::LineTooLong { limit }));
            assert_eq!(cause.to_string(), "line is longer than 4096 bytes");
            assert_eq!(
                closed.detail.unread, line,
                "what was not delivered comes back"
            );
        }
    });
}

/// XAS-38: the CRs do not count, and are no way around the limit either.
#[test]
fn xas_38_crs_that_are_dropped_do_not_count_but_are_bounded() {
    with_pool(|pool| async move {
        let listen = || {
            let listen = Listen::tcp(ANY).line_rule(LineRule::StripAllCr);
            listen.max_line(1000).lines()
        };
        let (mut peer, _, mut trace) = serve(&pool, listen()).await;
        peer.write_all(&[&b"x\r".repeat(1000)[..], b"\n"].concat())
            .unwrap();
        assert_eq!(text(&mut trace).await, "x".repeat(1000));
        let (mut peer, _, mut trace) = serve(&pool, listen()).await;
        peer.write_all(&[b'\r'; 4000]).unwrap();
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::Error);
    });
}

/// XAS-38.
#[test]
fn xas_38_a_line_that_never_ends_costs_no_memory() {
    if !alone("lines::xas_38_a_line_that_never_ends_costs_no_memory") {
        return;
    }
    with_pool(|pool| async move {
        let listen = || Listen::tcp(ANY).lines();
        // The first connection touches memory that stays.
        for _ in 0..2 {
            let (peer, _, mut trace) = serve(&pool, listen()).await;
            let before = resident();
            let flood = Flood::begin(&peer, vec![b'x'; 64 * 1024], 32 * MIB);
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let unread = closed.detail.unread.len();
            assert!(unread < 512 * 1024, "{unread} bytes were kept");
            drop(closed);
            let grown = growth_until(|| flood.thread.is_finished()).await;
            let grown = grown.max(resident().saturating_sub(before));
            assert!(grown < 2 * MIB, "memory grew by {grown} bytes");
            flood.end();
        }
    });
}

/// XAS-39.
#[test]
fn xas_39_an_undecodable_line_is_a_line_and_the_next_one_is_fine() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        peer.write_all(b"\xFF\xFE\nok\nab\xC3\nna\xC3\xAFve\n")
            .unwrap();
        let line = expect!(trace, LineReceived).line;
        assert_eq!(line.as_bytes(), b"\xFF\xFE");
        let error = line.text().unwrap_err();
        assert_eq!((error.encoding, error.valid_up_to), (Encoding::Utf8, 0));
        assert_eq!(text(&mut trace).await, "ok");
        let line = expect!(trace, LineReceived).line;
        assert_eq!(line.text().unwrap_err().valid_up_to, 2);
        assert_eq!(text(&mut trace).await, "naïve");
    });
}

/// XAS-39, T-10: a character whose bytes come in two segments.
#[test]
fn xas_39_a_character_split_between_segments_is_whole() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        peer.write_all(b"caf\xC3").unwrap();
        has_read(&client, 4).await;
        peer.write_all(b"\xA9\n").unwrap();
        assert_eq!(text(&mut trace).await, "café");
    });
}

/// XAS-40.
#[test]
fn xas_40_each_receive_can_name_its_encoding_and_each_is_strict() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).encoding(Encoding::Latin1);
        let (mut peer, client, mut trace) = serve(&pool, listen).await;
        peer.write_all(b"\xE9\n\xE9\n\xE9\nplain\n\x82\xA0\n")
            .unwrap();
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "é");
        for encoding in [Encoding::Ascii, Encoding::Utf8] {
            client.arm(RecvLine::once().encoding(encoding)).unwrap();
            let line = expect!(trace, LineReceived).line;
            assert_eq!(line.text().unwrap_err().encoding, encoding);
        }
        client
            .arm(RecvLine::once().encoding(Encoding::Ascii))
            .unwrap();
        assert_eq!(text(&mut trace).await, "plain");
        let japanese = Encoding::for_label("shift_jis").unwrap();
        client.arm(RecvLine::once().encoding(japanese)).unwrap();
        assert_eq!(text(&mut trace).await, "あ");
    });
    assert_eq!(Encoding::for_label("no-such").unwrap_err().label, "no-such");
    assert!(
        Encoding::for_label("utf-16").is_err(),
        "not splittable at LF"
    );
}

/// XAS-45.
#[test]
fn xas_45_a_line_in_two_segments_is_one_line() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once()).unwrap();
        peer.write_all(b"hel").unwrap();
        has_read(&client, 3).await;
        trace.no_more(ms(50)).await;
        peer.write_all(b"lo\n").unwrap();
        assert_eq!(text(&mut trace).await, "hello");
    });
}

/// XAS-45.
#[test]
fn xas_45_three_lines_survive_a_split_at_every_position() {
    const SCRIPT: &[u8] = b"first\r\ncaf\xC3\xA9\n\rthird\r\n";
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        let mut sent = 0;
        for position in 1..SCRIPT.len() {
            let (left, right) = SCRIPT.split_at(position);
            for part in [left, right] {
                peer.write_all(part).unwrap();
                sent += part.len();
                has_read(&client, sent).await;
            }
            for line in ["first", "café", "\rthird"] {
                assert_eq!(text(&mut trace).await, line, "split at {position}");
            }
        }
        assert!(trace.so_far().is_empty());
    });
}
