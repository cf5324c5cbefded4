//! `swaks`, the mail tester, against the `smtp_sink` example.

use std::process::Command;

use crate::programs::{peer, run, skip};
use crate::sink::Sink;

#[test]
fn mails_to_several_people_come_in_with_and_without_tls() {
    let Some(swaks) = peer("swaks") else { return };
    let able = run(Command::new(&swaks).arg("--support")).text();
    if !able.contains("=== TLS supported") {
        return skip("swaks has no TLS: Net::SSLeay is not installed");
    }
    let sink = Sink::start();
    let send = |more: &[&str]| {
        let mut command = Command::new(&swaks);
        command
            .args([
                "--server",
                "127.0.0.1",
                "--port",
                &sink.port(),
                "--timeout",
                "20",
            ])
            .args(["--ehlo", "swaks.example", "--from", "ada@a.example"])
            .args(["--to", "bob@b.example,eve@e.example"])
            .args(["--data", "Subject: test\\n\\n.a line with a dot\\n"])
            .args(more);
        run(&mut command).succeeded()
    };
    send(&[]);
    let told = send(&["--tls"]);
    assert!(told.contains("TLS started with cipher"), "{told}");
    // All commands at once.
    let told = send(&["--tls", "--pipeline"]);
    assert!(told.contains("TLS started with cipher"), "{told}");
    let mails = sink.end();
    assert_eq!(mails.len(), 3);
    for (mail, secure) in mails.iter().zip([false, true, true]) {
        let lines: Vec<_> = mail.head.lines().collect();
        assert!(lines[0].contains(" from swaks.example at "), "{}", lines[0]);
        assert_eq!(!lines[0].ends_with("TLS: none"), secure, "{}", lines[0]);
        let recipients = ["RCPT TO:<bob@b.example>", "RCPT TO:<eve@e.example>"];
        assert_eq!(lines[2..], recipients);
        let text = String::from_utf8_lossy(&mail.text);
        assert!(
            text.starts_with("Subject: test\r\n\r\n.a line with a dot\r\n"),
            "{text:?}"
        );
    }
}
