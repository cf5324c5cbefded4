//! Promises of scripts that need no network.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

fn fault(text: &str) -> (usize, ScriptFault) {
    match Script::parse(text).unwrap_err() {
        ScriptError::Line { line, fault, .. } => (line, fault),
        error @ ScriptError::Read { .. } => panic!("{error}"),
    }
}

#[test]
fn a_text_says_what_the_code_says() {
    let text = "# greeting\n\n  S: 220 ready\nC:HELO \\x41\\\\\\t\\0#\r\nending crlf\nC:  two\n\
        ending none\nS: > \\x20\npause 200ms\nC finish\nS:\nC close\nS close\n";
    let script = Script::parse(text).unwrap();
    let same = Script::new()
        .send("220 ready\n")
        .expect(b"HELO A\\\t\0#\n")
        .expect(" two\r\n")
        .send(">  ")
        .pause(Duration::from_millis(200))
        .expect_finish()
        .send("")
        .expect_close()
        .close();
    assert_eq!(script.turns, same.turns);
    assert_eq!(script.lines, [3, 4, 6, 8, 9, 10, 11, 12, 13]);
}

#[test]
fn a_script_is_displayed_as_a_text_of_the_same_script() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let script = Script::new()
        .send("")
        .send("\n")
        .send("\r\n")
        .send("\n\r")
        .send("\r\r\n\n\r\n")
        .send(" a  ")
        .send(" ")
        .send("tab\t")
        .send("\\x20\\")
        .send("# no comment: C: x")
        .send("zwei Städte")
        .expect(&every_byte)
        .client()
        .send("ending crlf\r\n")
        .pause(Duration::ZERO)
        .pause(Duration::new(1, 1))
        .pause(Duration::from_micros(1500))
        .pause(Duration::from_millis(1500))
        .pause(Duration::from_secs(90))
        .pause(Duration::MAX)
        .finish()
        .expect_finish()
        .expect_reset()
        .close();
    let text = script.to_string();
    let read = Script::parse(&text).unwrap();
    assert_eq!(read.turns, script.turns, "{text}");
    assert_eq!(read.to_string(), text);
    assert!(text.is_ascii());
}

#[test]
fn a_displayed_script_can_be_read() {
    let script = Script::new()
        .send("220 ready\r\n")
        .expect("HELO\r\n")
        .send("> ")
        .pause(Duration::from_millis(200))
        .expect_close();
    let text = "ending crlf\nS: 220 ready\nC: HELO\nending none\nS: >\\x20\npause 200ms\nC close\n";
    assert_eq!(script.to_string(), text);
}

#[test]
fn a_wrong_line_is_told_with_its_number_and_fault() {
    use ScriptFault::*;
    for (text, line, expected) in [
        ("hello\n", 1, Unknown("hello".into())),
        ("\n# x\nX: y\n", 3, Unknown("X: y".into())),
        ("C: a\nc: b", 2, Unknown("c: b".into())),
        ("C leave\n", 1, Unknown("C leave".into())),
        ("X close\n", 1, Unknown("X close".into())),
        ("C close now\n", 1, Unknown("C close now".into())),
        ("pause\n", 1, Unknown("pause".into())),
        ("C: a\\q\n", 1, Escape("\\q".into())),
        ("C: a\\", 1, Escape("\\".into())),
        ("C: \\x4\n", 1, Escape("\\x4".into())),
        ("C: \\x+1\n", 1, Escape("\\x+1".into())),
        ("C: \\xé1\n", 1, Escape("\\xé1".into())),
        ("C: a \n", 1, TrailingBlank),
        ("C: a\t\n", 1, TrailingBlank),
        ("ending cr\n", 1, Ending("cr".into())),
        ("pause 200\n", 1, Time("200".into())),
        ("pause ms\n", 1, Time("ms".into())),
        ("pause 1.5s\n", 1, Time("1.5s".into())),
        ("pause -1s\n", 1, Time("-1s".into())),
        (
            "pause 18446744073709551616s\n",
            1,
            Time("18446744073709551616s".into()),
        ),
        ("C finish\nC: a\n", 2, AfterFinish(Side::Client)),
        ("C finish\nC finish\n", 2, AfterFinish(Side::Client)),
        ("S close\nC: a\n", 2, AfterClose(Side::Server)),
        ("S close\nS close\n", 2, AfterClose(Side::Server)),
        ("S reset\nC finish\n", 2, AfterClose(Side::Server)),
        ("C close\nS close\nC close", 3, AfterClose(Side::Client)),
    ] {
        assert_eq!(fault(text), (line, expected), "{text:?}");
    }
    let error = Script::parse("S: a\nC: \\q\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        r"line 2: \q is not an escape; there are \r \n \t \\ \0 \xNN"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_by_its_name() {
    let error = Script::load("no/such.script").unwrap_err();
    assert!(matches!(error, ScriptError::Read { .. }));
    let told = error.to_string();
    assert!(
        told.starts_with("cannot read the script no/such.script: "),
        "{told}"
    );
}

#[test]
#[should_panic(expected = "the server has finished already")]
fn in_code_a_side_that_finished_may_not_talk() {
    let _ = Script::new().finish().send("more");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_compared_whatever_pieces_they_come_in() {
    let script = Script::new().expect("one").expect("two\n").send("three");
    let (ours, mut theirs) = duplex(64);
    let peer = async {
        for piece in ["o", "net", "wo", "\nrest"] {
            theirs.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut answer = [0; 5];
        theirs.read_exact(&mut answer).await.unwrap();
        answer
    };
    let (played, answer) = tokio::join!(script.play(ours), peer);
    assert_eq!(&answer, b"three");
    let played = played.unwrap();
    assert_eq!((played.steps, &played.rest[..]), (3, &b"rest"[..]));
    let told = "came: one\ncame: two\\n\nsent: three\n";
    assert_eq!(played.to_string(), told);
}

/// What the play of a script says of a peer that wrote these bytes, and then stays or finishes.
async fn told(script: &Script, bytes: &[u8], finishes: bool) -> String {
    let (ours, mut theirs) = duplex(4096);
    theirs.write_all(bytes).await.unwrap();
    if finishes {
        theirs.shutdown().await.unwrap();
    }
    let mismatch = script.play_exactly(ours).await.unwrap_err();
    assert_eq!(format!("{mismatch:?}"), mismatch.to_string());
    format!("{mismatch}\n")
}

#[tokio::test(start_paused = true)]
async fn a_difference_is_marked() {
    let script = Script::parse("# x\nS: 220\tready\nC: HELO there\n").unwrap();
    let expected = "\
step 2 of the server (line 3): what came differs after 3 of 11 bytes
  expected: HELO there\\n
  came:     HELP \\xFF\\n
               ^
before that:
  sent: 220\\tready\\n
";
    assert_eq!(told(&script, b"HELP \xFF\n", false).await, expected);
    let escaped = Script::new().expect("\r\n\x07\0x");
    let expected = "\
step 1 of the server: what came differs after 4 of 5 bytes
  expected: \\r\\n\\x07\\0x
  came:     \\r\\n\\x07\\0y
                      ^
";
    assert_eq!(told(&escaped, b"\r\n\x07\0y", false).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_long_text_is_shortened_around_the_difference() {
    let script = Script::new().expect([b'a'; 300]);
    let mut came = [b'a'; 300];
    came[200] = b'b';
    let a = "a".repeat(64);
    let expected = format!(
        "\
step 1 of the server: what came differs after 200 of 300 bytes
  expected: ...{a}{a}... (36 more)
  came:     ...{a}b{}... (36 more)
            {}^
",
        &a[1..],
        " ".repeat(67)
    );
    assert_eq!(told(&script, &came, false).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_told_with_what_it_said() {
    let script = Script::new().expect("HELO there\n");
    let expected = "\
step 1 of the server: waiting took longer than 5s, after 4 of 11 bytes
  expected: HELO there\\n
  came:     HELO
                ^
";
    assert_eq!(told(&script, b"HELO", false).await, expected);
    let script = script.timeout(Duration::from_millis(10));
    let expected = "\
step 1 of the server: waiting took longer than 10ms, after 0 of 11 bytes
  expected: HELO there\\n
  came:     (nothing)
";
    assert_eq!(told(&script, b"", false).await, expected);
}

#[tokio::test(start_paused = true)]
async fn an_early_end_is_told_and_only_the_last_steps_with_it() {
    let mut script = Script::new();
    for number in 0..8 {
        script = script.expect(format!("{number}\n"));
    }
    let script = script.expect("QUIT\n");
    let expected = "\
step 9 of the server: the client finished, after 2 of 5 bytes
  expected: QUIT\\n
  came:     QU
              ^
before that:
  (2 more)
  came: 2\\n
  came: 3\\n
  came: 4\\n
  came: 5\\n
  came: 6\\n
  came: 7\\n
";
    let said = b"0\n1\n2\n3\n4\n5\n6\n7\nQU";
    assert_eq!(told(&script, said, true).await, expected);
}

#[tokio::test(start_paused = true)]
async fn bytes_instead_of_an_end_are_told() {
    let script = Script::new().expect("a").expect_close();
    let expected = "\
step 2 of the server: 1 byte came unexpectedly
  expected: the end
  came:     b
before that:
  came: a
";
    assert_eq!(told(&script, b"ab", true).await, expected);
    let silent = "\
step 2 of the server: waiting took longer than 5s
  expected: the end
  came:     (nothing)
before that:
  came: a
";
    assert_eq!(told(&script, b"a", false).await, silent);
}

#[tokio::test(start_paused = true)]
async fn bytes_after_the_last_step_are_told_when_asked_for() {
    let expected = "\
after the last step of the server: 4 bytes came unexpectedly
  expected: nothing more
  came:     more
before that:
  came: a
";
    for script in [Script::new().expect("a"), Script::new().expect("a").close()] {
        let told = told(&script, b"amore", true).await;
        assert!(told.starts_with(&expected[..expected.len() - 10]), "{told}");
    }
    let script = Script::new().expect("a");
    assert_eq!(told(&script, b"amore", true).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_told() {
    let script = Script::new().send("0123456789");
    let (ours, _theirs) = duplex(4);
    let mismatch = script.play(ours).await.unwrap_err();
    let expected = "\
step 1 of the server: sending took longer than 5s
  to send:  0123456789
";
    assert_eq!(format!("{mismatch}\n"), expected);
    let (ours, _) = duplex(4);
    let mismatch = script.play(ours).await.unwrap_err();
    assert!(matches!(mismatch.kind, MismatchKind::Reset));
    assert_eq!(mismatch.step(), Some(&Step::Send("0123456789".into())));
}

#[tokio::test(start_paused = true)]
async fn a_reset_needs_a_stream_that_can() {
    let (ours, _theirs) = duplex(4);
    let mismatch = Script::new().reset().play(ours).await.unwrap_err();
    assert!(matches!(mismatch.kind, MismatchKind::CannotReset));
    let told =
        "step 1 of the server: `play` cannot reset; take `play_transport` or `play_blocking`";
    assert_eq!(mismatch.to_string(), told);
}

#[tokio::test(start_paused = true)]
async fn both_sides_of_one_script_fit_together() {
    let text = "S: hello\nC: bulk\nC finish\npause 3s\nS: bye\nS close\nC close\n";
    let script = Script::parse(text).unwrap();
    let (ours, theirs) = duplex(2);
    let begun = tokio::time::Instant::now();
    let (server, client) = tokio::join!(script.server().play(ours), script.client().play(theirs));
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    let told =
        "sent: hello\\n\ncame: bulk\\n\ncame: the end\npaused for 3s\nsent: bye\\n\nclosed\n";
    assert_eq!(server.unwrap().to_string(), told);
    assert_eq!(client.unwrap().steps, 7);
}

#[tokio::test(start_paused = true)]
async fn a_borrowed_stream_stays_with_its_owner() {
    let (mut ours, mut theirs) = duplex(64);
    theirs.write_all(b"HELO\n").await.unwrap();
    let hello = Script::new().expect("HELO\n").send("ok\n");
    hello.play_exactly(&mut ours).await.unwrap();
    ours.write_all(b"more").await.unwrap();
    let mut came = [0; 7];
    theirs.read_exact(&mut came).await.unwrap();
    assert_eq!(&came, b"ok\nmore");
}
