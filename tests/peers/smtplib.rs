//! Python's `smtplib` against the `smtp_sink` example.

use std::process::Command;

use crate::programs::{Directory, peer, run};
use crate::sink::Sink;

/// Sends the file to two people, over TLS if a certificate authority is named.
const SEND: &str = r#"
import smtplib, ssl, sys
port, mail, ca = sys.argv[1:]
text = open(mail, "rb").read()
with smtplib.SMTP("localhost", int(port), local_hostname="python.example", timeout=20) as smtp:
    smtp.ehlo()
    assert smtp.has_extn("starttls"), smtp.esmtp_features
    if ca:
        smtp.starttls(context=ssl.create_default_context(cafile=ca))
        smtp.ehlo()
        assert not smtp.has_extn("starttls"), smtp.esmtp_features
    assert smtp.has_extn("pipelining") and smtp.has_extn("8bitmime"), smtp.esmtp_features
    smtp.sendmail("ada@a.example", ["bob@b.example", "eve@e.example"], text, ["BODY=8BITMIME"])
"#;

/// A mail that is hard on whoever looks for its end.
const MAIL: &[u8] = b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n a.\r\n\r\n...\r\n\
    ===== end of mail 1\r\ncaf\xC3\xA9 \x00\xFF\r\n.\r\n\r\n";

fn send(secure: bool) {
    let Some(python) = peer("python3") else {
        return;
    };
    let directory = Directory::new();
    let mail = directory.path("mail");
    std::fs::write(&mail, MAIL).unwrap();
    let sink = Sink::start();
    let mut command = Command::new(python);
    command.args(["-c", SEND, &sink.port()]).arg(mail);
    if secure {
        command.arg(&sink.ca);
    } else {
        command.arg("");
    }
    run(&mut command).succeeded();
    let mails = sink.end();
    let [mail] = &mails[..] else {
        panic!("{mails:?}");
    };
    assert_eq!(
        mail.text.escape_ascii().to_string(),
        MAIL.escape_ascii().to_string()
    );
    let lines: Vec<_> = mail.head.lines().collect();
    assert!(
        lines[0].contains(" from python.example at "),
        "{}",
        lines[0]
    );
    assert_eq!(lines[0].ends_with(", TLS: none"), !secure, "{}", lines[0]);
    let envelope = [
        "MAIL FROM:<ada@a.example>",
        "RCPT TO:<bob@b.example>",
        "RCPT TO:<eve@e.example>",
    ];
    assert_eq!(lines[1..], envelope);
}

#[test]
fn a_mail_comes_through_byte_for_byte() {
    send(false);
}

/// XAS-55: STARTTLS with a client that we did not write.
#[test]
fn xas_55_a_mail_comes_through_byte_for_byte_behind_starttls() {
    send(true);
}

#[test]
fn what_is_too_large_or_too_many_is_refused_by_its_code() {
    const TRY: &str = r#"
import smtplib, sys
smtp = smtplib.SMTP("localhost", int(sys.argv[1]), local_hostname="python.example", timeout=20)
smtp.ehlo()
assert smtp.mail("a@b.example", ["SIZE=10485761"])[0] == 552
assert smtp.mail("a@b.example", ["SIZE=10485760"])[0] == 250
answers = [smtp.rcpt(f"r{n}@b.example")[0] for n in range(101)]
assert answers == [250] * 100 + [452], answers
line = b"x" * 998 + b"\r\n"
assert smtp.data(line * 10485 + b"x" * 758) == (250, b"2.0.0 this is mail 1")
smtp.mail("a@b.example")
smtp.rcpt("c@b.example")
assert smtp.data(line * 10486)[0] == 552
smtp.mail("a@b.example")
smtp.rcpt("c@b.example")
assert smtp.data(b"x" + line)[0] == 554
assert smtp.docmd("NOOP " + "x" * 505)[0] == 250
assert smtp.docmd("NOOP " + "x" * 506)[0] == 500
assert smtp.quit()[0] == 221
"#;
    let Some(python) = peer("python3") else {
        return;
    };
    let sink = Sink::start();
    run(Command::new(python).args(["-c", TRY, &sink.port()])).succeeded();
    let mails = sink.end();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].text.len(), 10_485 * 1000 + 760);
}
