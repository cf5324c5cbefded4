//! The same input in other pieces gives the same frames, events and answers.

mod tls;

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::CutPoints;
use switchboard::{Client, ConnectionOptions, LineRule, Listen, SessionContext};
use switchboard_core::FrameError;
use switchboard_core::frame::{Cut, DelimiterFraming, Framing, LengthFraming, LineFraming};
use switchboard_tests::Echo;

const HOST: &str = "10.0.0.1:7000";

fn panic_of<T>(run: impl FnOnce() -> T) -> String {
    let outcome = catch_unwind(AssertUnwindSafe(run));
    let payload = outcome.map(drop).expect_err("it must panic");
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn every_framing_gives_the_same_frames_however_the_input_is_cut() {
    let lines = CutPoints::of("a\r\n\r\n\n\rb\r\r\nlast");
    assert_eq!(
        lines.framing(|| LineFraming::new(LineRule::Lenient, 80)),
        [
            "a\\r\\n",
            "\\r\\n",
            "\\n",
            "\\rb\\r\\r\\n",
            "unfinished: last"
        ]
    );
    for rule in [LineRule::CrLf, LineRule::Lf, LineRule::StripAllCr] {
        lines.framing(|| LineFraming::new(rule, 80));
    }
    let parts = CutPoints::of("one--two----three-");
    assert_eq!(
        parts.framing(|| DelimiterFraming::new(&b"--"[..], 80).unwrap()),
        ["one--", "two--", "--", "unfinished: three-"]
    );
    let messages = CutPoints::of(b"\0\0\0\x02hi\0\0\0\0\0\0\0\x09short");
    assert_eq!(
        messages.framing(|| LengthFraming::new(80)),
        [
            "\\x00\\x00\\x00\\x02hi",
            "\\x00\\x00\\x00\\x00",
            "unfinished: \\x00\\x00\\x00\\tshort"
        ]
    );
    let too_long =
        CutPoints::of("ok\nmuch too long\n").framing(|| LineFraming::new(LineRule::Lf, 4));
    assert_eq!(too_long, ["ok\\n", "error: line is longer than 4 bytes"]);
}

/// Takes what one read brought for a frame.
struct OneReadOneFrame;

impl Framing for OneReadOneFrame {
    fn cut(&mut self, input: &[u8]) -> Result<Option<Cut>, FrameError> {
        LineFraming::new(LineRule::Lf, 80)
            .cut(&[input, b"\n"].concat())
            .map(|found| {
                found.filter(|_| !input.is_empty()).map(|mut cut| {
                    cut.discard = 0;
                    cut
                })
            })
    }

    fn reset(&mut self) {}
}

#[test]
fn a_framing_that_depends_on_the_cuts_is_found() {
    let told = panic_of(|| CutPoints::of("abc").framing(|| OneReadOneFrame));
    assert!(told.contains("cut as \"a\" \"b\" \"c\""), "{told}");
    assert!(told.contains("uncut"), "{told}");
}

#[test]
fn sessions_answer_the_same_however_the_input_is_cut() {
    let listen = Listen::tcp(HOST).lines();
    let answer = CutPoints::of("one\r\ntwo\n\nrest").session(&listen, |client| Echo { client });
    assert_eq!(answer, b"one\r\ntwo\n\n");
}

#[test]
fn events_are_the_same_however_the_input_is_cut() {
    let lines = CutPoints::of("one\r\ntwo\nrest").events(&Listen::tcp(HOST).lines());
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(
        lines[1].contains("one") && lines[2].contains("two"),
        "{lines:?}"
    );
    assert_eq!(lines[3], "Closed peer finished, unread: rest");
    let data = CutPoints::of("some bytes").events(&Listen::tcp(HOST).data());
    assert_eq!(data[1], "DataReceived some bytes");
    let messages =
        CutPoints::of(b"\0\0\0\x02hi\0\0\0\x05cut").events(&Listen::tcp(HOST).messages());
    assert_eq!(messages[1], "MessageReceived hi");
    assert!(messages[2].contains("Closed"), "{messages:?}");
}

/// Answers each read, which is not what a stream is.
struct Sloppy {
    client: Client,
}

impl Actor for Sloppy {
    type Context = SessionContext<Self>;
}

impl Handler<DataReceived> for Sloppy {
    type Result = ();

    fn handle(&mut self, _: DataReceived, _: &mut Self::Context) {
        // Refused when it is closing.
        let _ = self.client.send("one read");
    }
}

switchboard::session!(Sloppy);

#[test]
fn a_session_that_depends_on_the_cuts_is_found() {
    let listen = Listen::tcp(HOST).data();
    let told = panic_of(|| CutPoints::of("ab").session(&listen, |client| Sloppy { client }));
    assert!(told.contains("cut as \"a\" \"b\""), "{told}");
    assert!(told.contains("one readone read"), "{told}");
}
