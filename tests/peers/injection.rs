//! Commands that somebody puts behind STARTTLS, and dots that only look like the end of a mail.

use std::io::{Read, Write};
use std::process::Command;

use switchboard_tests::dial;

use crate::plain::greet;
use crate::programs::{peer, run};
use crate::sink::Sink;

/// T-12, ANCHORS trap 9 (CVE-2011-0411): a peer of plain sockets sees that nothing behind STARTTLS is
/// answered, and that the connection ends.
#[test]
fn t_12_what_stands_behind_starttls_is_never_obeyed() {
    let sink = Sink::start();
    for behind in [
        "MAIL FROM:<x@y>\r\n",
        "EHLO x\r\nMAIL FROM:<x@y>\r\n",
        "M",
        "\n",
    ] {
        let mut stream = dial(sink.address);
        greet(&mut stream);
        stream
            .write_all(format!("STARTTLS\r\n{behind}").as_bytes())
            .unwrap();
        let mut told = Vec::new();
        // It may be a reset: what came was not to be read.
        let _ = stream.read_to_end(&mut told);
        let told = String::from_utf8_lossy(&told);
        assert!(
            told.starts_with("501 ") && told.lines().count() == 1,
            "{behind:?}: {told}"
        );
    }
    assert!(sink.end().is_empty());
}

/// The same when it comes a little later, so that it may be read in plain or as a handshake: in either
/// case no handshake succeeds, and nothing of it is obeyed.
#[test]
fn t_12_what_comes_while_tls_starts_is_never_obeyed() {
    const INJECT: &str = r#"
import socket, ssl, sys
port, ca = sys.argv[1:]
plain = socket.create_connection(("127.0.0.1", int(port)), timeout=20)
lines = plain.makefile("rb")
assert lines.readline().startswith(b"220 ")
plain.sendall(b"EHLO x\r\n")
while lines.readline()[3:4] == b"-":
    pass
plain.sendall(b"STARTTLS\r\n")
assert lines.readline().startswith(b"220 ")
plain.sendall(b"MAIL FROM:<x@y>\r\n")
context = ssl.create_default_context(cafile=ca)
try:
    tls = context.wrap_socket(plain, server_hostname="localhost")
except (ssl.SSLError, OSError):
    print("refused")
else:
    print("accepted", tls.recv(1000))
"#;
    let Some(python) = peer("python3") else {
        return;
    };
    let sink = Sink::start();
    let port = sink.port();
    let told = run(Command::new(python)
        .args(["-c", INJECT, &port])
        .arg(&sink.ca))
    .succeeded();
    assert_eq!(told, "refused\n");
    assert!(sink.end().is_empty());
}

/// RFC 3207 4.2: whoever said EHLO, or began a mail, in plain has to do it again.
#[test]
fn what_was_said_before_tls_is_forgotten() {
    const AGAIN: &str = r#"
import smtplib, ssl, sys
port, ca = sys.argv[1:]
smtp = smtplib.SMTP("localhost", int(port), local_hostname="python.example", timeout=20)
smtp.ehlo()
smtp.mail("a@b.example")
smtp.rcpt("c@b.example")
smtp.starttls(context=ssl.create_default_context(cafile=ca))
assert smtp.docmd("DATA")[0] == 503
assert smtp.docmd("MAIL FROM:<a@b.example>")[0] == 503
smtp.ehlo()
assert smtp.docmd("RCPT TO:<c@b.example>")[0] == 503
assert smtp.docmd("STARTTLS")[0] == 503
assert smtp.mail("a@b.example")[0] == 250
smtp.quit()
"#;
    let Some(python) = peer("python3") else {
        return;
    };
    let sink = Sink::start();
    let port = sink.port();
    run(Command::new(python)
        .args(["-c", AGAIN, &port])
        .arg(&sink.ca))
    .succeeded();
    assert!(sink.end().is_empty());
}

/// "SMTP smuggling": only a dot between two CR LF ends a mail, so there is one mail or none, and never
/// two.
#[test]
fn only_crlf_dot_crlf_ends_a_mail() {
    let sink = Sink::start();
    for end in [
        "\n.\n",
        "\r.\r",
        "\n.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\r.\r\n",
        "\n\n.\r\r\n",
    ] {
        let mut stream = dial(sink.address);
        greet(&mut stream);
        let smuggled = "MAIL FROM:<b@b>\r\nRCPT TO:<b@b>\r\nDATA\r\nsecond";
        let text = format!("first{end}{smuggled}\r\n.\r\nQUIT\r\n");
        let mail = format!("MAIL FROM:<a@a>\r\nRCPT TO:<a@a>\r\nDATA\r\n{text}");
        stream.write_all(mail.as_bytes()).unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        let codes: Vec<_> = told.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["250", "250", "354", "554", "221"], "{end:?}");
    }
    assert!(sink.end().is_empty());
}
