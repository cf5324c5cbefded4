use proptest::prelude::*;

use super::*;
use crate::frame::{Framing, LineFraming};

fn cut(raw: &'static [u8], rule: LineRule) -> Line {
    let frame = [raw, b"\n"].concat().into();
    Line::from_cut(frame, LineEnding::Lf, rule, Encoding::Utf8)
}

/// Everything from the wire to the line, as the connection does it.
fn read(wire: &[u8], rule: LineRule) -> Line {
    let cut = LineFraming::new(rule, 64).cut(wire).unwrap().unwrap();
    let frame = Bytes::copy_from_slice(&wire[..cut.total()]);
    let ending = LineEnding::of_discarded(cut.discard);
    Line::from_cut(frame, ending, rule, Encoding::Utf8)
}

#[test]
fn xas_37_strip_all_cr_drops_every_cr() {
    let rule = LineRule::StripAllCr;
    for (raw, body) in [
        (&b"ab"[..], "ab"),
        (b"ab\r", "ab"),
        (b"ab\r\r", "ab"),
        (b"a\rb", "ab"),
        (b"\r", ""),
        (b"", ""),
        (b"\ra\r\rb\r", "ab"),
    ] {
        assert_eq!(cut(raw, rule).text().unwrap(), body, "{raw:?}");
    }
    assert_eq!(cut(b"a\rb\r", LineRule::Lenient).as_bytes(), b"a\rb\r");
}

#[test]
fn xas_37_from_wire_to_line() {
    for (wire, strip, lenient) in [
        (&b"ab\r\n"[..], "ab", "ab"),
        (b"ab\r\r\n", "ab", "ab\r"),
        (b"a\rb\n", "ab", "a\rb"),
        (b"\n", "", ""),
    ] {
        assert_eq!(read(wire, LineRule::StripAllCr).text().unwrap(), strip);
        assert_eq!(read(wire, LineRule::Lenient).text().unwrap(), lenient);
    }
    assert_eq!(read(b"a\r\n", LineRule::Lenient).ending(), LineEnding::CrLf);
    assert_eq!(read(b"a\r\n", LineRule::Lf).ending(), LineEnding::Lf);
}

#[test]
fn a_cr_that_only_precedes_the_lf_costs_no_copy() {
    let raw = Bytes::from(b"body\r\n".to_vec());
    let start = raw.as_ptr();
    let rule = LineRule::StripAllCr;
    let line = Line::from_cut(raw, LineEnding::Lf, rule, Encoding::Utf8);
    assert_eq!(line.as_ptr(), start);
}

#[test]
fn xas_39_an_undecodable_line_keeps_its_bytes() {
    let line = cut(b"\xFF\xFE", LineRule::Lenient);
    assert_eq!(line.text().unwrap_err().valid_up_to, 0);
    assert_eq!(&*line, b"\xFF\xFE");
}

#[test]
fn a_detached_line_shares_nothing() {
    let block = Bytes::from(vec![b'x'; 4096]);
    let line = Line::new(block.slice(..3), LineEnding::CrLf, Encoding::Latin1);
    let detached = line.detached();
    assert_eq!(detached, line);
    assert_ne!(detached.as_ptr(), line.as_ptr());
    drop(line);
    assert!(block.is_unique());
}

#[test]
fn debug_is_short_whatever_the_line() {
    let line = Line::from("hi\u{7}");
    assert_eq!(
        format!("{line:?}"),
        r#"Line { text: "hi\u{7}", len: 3, ending: None, .. }"#
    );
    let long = "\u{1F980}".repeat(100_000);
    let shown = format!("{:?}", Line::from(&*long));
    assert_eq!(shown.matches('\u{1F980}').count(), 80);
    assert!(shown.contains("len: 400000"));
    assert!(!shown.contains('\u{FFFD}'));
}

#[test]
fn a_line_is_sent_with_its_own_ending_and_all_else_with_the_connections() {
    fn of(line: impl AsLine) -> (Vec<u8>, Option<LineEnding>) {
        (line.body().to_vec(), line.ending())
    }
    let line = Line::new("hi".into(), LineEnding::CrLf, Encoding::Utf8);
    assert_eq!(of(&line), (b"hi".to_vec(), Some(LineEnding::CrLf)));
    assert_eq!(of(Line::from("hi")).1, Some(LineEnding::None));
    let plain = (b"hi".to_vec(), None);
    assert_eq!(of("hi"), plain);
    assert_eq!(of(String::from("hi")), plain);
    assert_eq!(of(b"hi"), plain);
    assert_eq!(of(&b"hi"[..]), plain);
    assert_eq!(of(vec![b'h', b'i']), plain);
    assert_eq!(of(Bytes::from("hi")), plain);
    assert_eq!(of(line.text().unwrap()), plain);
}

#[test]
fn endings_are_their_bytes() {
    for ending in [LineEnding::None, LineEnding::Lf, LineEnding::CrLf] {
        assert_eq!(LineEnding::of_discarded(ending.as_bytes().len()), ending);
    }
    assert_eq!(LineEnding::CrLf.as_bytes(), b"\r\n");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn strip_all_cr_keeps_every_other_byte(
        raw in prop::collection::vec(prop::sample::select(&b"a\r\xFF"[..]), 0..40),
    ) {
        let expected: Vec<u8> = raw.iter().copied().filter(|&byte| byte != b'\r').collect();
        let frame = [&raw[..], b"\n"].concat();
        let line = Line::from_cut(
            frame.into(),
            LineEnding::Lf,
            LineRule::StripAllCr,
            Encoding::Utf8,
        );
        prop_assert_eq!(line.as_bytes(), &expected[..]);
        let shown = format!("{line:?}");
        prop_assert!(!shown.is_empty());
    }
}
