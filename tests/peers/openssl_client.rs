//! `openssl s_client` against our server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use switchboard::TlsVersion;
use switchboard::tls::TlsServer;

use crate::examples_support::Example;
use crate::ours::Server;
use crate::programs::{Directory, Program, as_str, peer};
use crate::sink::Sink;
use switchboard_tests::certificates::Authority;

/// A client that trusts the authority of this directory, and gives up when it need not trust.
pub fn client(
    openssl: &Path,
    address: SocketAddr,
    directory: &Directory,
    arguments: &[&str],
) -> Program {
    let mut command = Command::new(openssl);
    command
        .args(["s_client", "-verify_return_error", "-connect"])
        .arg(address.to_string())
        .arg("-CAfile")
        .arg(directory.path("ca.pem"))
        .args(arguments);
    Program::start(&mut command)
}

/// Sends a line and gets it back, then ends as TLS wants it; gives what the program told.
pub fn echo_and_quit(mut client: Program) -> String {
    client.say("hello there\n");
    // Its own input is not among its output.
    client.wait_for("hello there");
    client.say("Q\n");
    client.end().succeeded()
}

/// An authority, and a directory with its certificate.
pub fn authority() -> (Authority, Directory) {
    let (authority, directory) = (Authority::new("the test's own"), Directory::new());
    directory.write("ca.pem", &authority.pem());
    (authority, directory)
}

/// AIO-40, AIO-02: what both sides agreed on is told as the peer knows it.
#[test]
fn aio_40_a_line_is_echoed_and_both_sides_know_the_same_facts() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, directory) = authority();
    let identity = authority.issue(&["localhost"]).identity();
    let server = Server::start(TlsServer::builder(identity).build().unwrap());
    for (option, version) in [
        ("-tls1_2", TlsVersion::Tls12),
        ("-tls1_3", TlsVersion::Tls13),
    ] {
        let arguments = [
            "-servername",
            "localhost",
            "-verify_hostname",
            "localhost",
            option,
        ];
        let told = echo_and_quit(client(&openssl, server.address, &directory, &arguments));
        assert!(told.contains("Verify return code: 0 (ok)"), "{told}");

        let info = server.log.secured();
        assert_eq!(info.version, version);
        assert_eq!(info.alpn, None);
        assert_eq!(info.server_name.as_deref(), Some("localhost"));
        assert!(
            info.peer_certificates.is_empty() && !info.resumed,
            "{info:?}"
        );
        server.log.ends_cleanly();
    }
}

/// Records that have no bytes for anybody are answered at once: new keys are taken in both directions (TLS
/// 1.3), and who asks to renegotiate (TLS 1.2) is refused.
#[test]
fn new_keys_are_taken_and_a_renegotiation_is_refused() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, directory) = authority();
    let identity = authority.issue(&["localhost"]).identity();
    let server = Server::start(TlsServer::builder(identity).build().unwrap());

    let mut keys = client(&openssl, server.address, &directory, &["-tls1_3"]);
    keys.say("with the first keys\n");
    keys.wait_for("with the first keys");
    // New keys of the client's, and the wish for new ones of ours.
    keys.say("K\n");
    keys.wait_for("KEYUPDATE");
    for round in ["with new keys\n", "and again\n"] {
        keys.say(round);
        keys.wait_for(round.trim_end());
    }
    keys.say("Q\n");
    keys.end().succeeded();
    server.log.secured();
    server.log.ends_cleanly();

    let mut again = client(&openssl, server.address, &directory, &["-tls1_2"]);
    again.say("before\n");
    again.wait_for("before");
    again.say("R\n");
    let told = again.end().text();
    assert!(told.contains("no renegotiation"), "{told}");
}

/// XAS-55: a mail over STARTTLS, typed by hand.
#[test]
fn xas_55_a_mail_comes_in_behind_starttls_smtp() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let sink = Sink::start();
    let mut command = Command::new(openssl);
    command
        .args(["s_client", "-starttls", "smtp", "-crlf", "-quiet"])
        .args([
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            "-connect",
        ])
        .arg(sink.address.to_string())
        .arg("-CAfile")
        .arg(&sink.ca);
    let mut client = Program::start(&mut command);
    // What it prints first is the end of the answer to its own EHLO.
    client.wait_for("250 ");
    for (line, answer) in [
        ("ehlo typed.example\n", "250 SIZE"),
        ("mail from:<ada@a.example>\n", "250 2.1.0"),
        ("rcpt to:<bob@b.example>\n", "250 2.1.5"),
        ("data\n", "354 "),
        ("one\n..two\n.\n", "250 2.0.0 this is mail 1"),
        ("quit\n", "221 2.0.0"),
    ] {
        client.say(line);
        client.wait_for(answer);
    }
    client.end().succeeded();
    let mails = sink.end();
    assert_eq!(mails[0].text, b"one\r\n.two\r\n");
    assert!(
        mails[0].head.contains(" from typed.example at "),
        "{}",
        mails[0].head
    );
    assert!(!mails[0].head.contains("TLS: none"), "{}", mails[0].head);
}

#[test]
fn the_example_echoes_and_prints_who_speaks_what() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let directory = Directory::new();
    let ca = directory.path("ca.pem");
    let (example, address) = Example::serve("tls_echo", &["--ca", as_str(&ca)]);
    let arguments = ["-tls1_3", "-verify_hostname", "localhost"];
    let told = echo_and_quit(client(&openssl, address, &directory, &arguments));
    assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
    let line = example.line();
    assert!(line.contains(": TLSv1.3 TLS_"), "{line}");
    let line = example.line();
    assert!(line.ends_with(": closed by peer (peer finished)"), "{line}");
    example.signal("TERM");
    example.succeed();
}
