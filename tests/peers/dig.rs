//! `dig` against the `dns_static` example.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::examples_support::Example;
use crate::programs::{Ended, peer, run};

fn dig(dig: &Path, server: SocketAddr, arguments: &[&str]) -> Ended {
    let mut command = Command::new(dig);
    command
        // Not what a user of this machine has set as a default.
        .arg("-r")
        .arg(format!("@{}", server.ip()))
        .args(["-p", &server.port().to_string()])
        .args(["+tries=1", "+time=10", "+norecurse"])
        .args(arguments);
    run(&mut command)
}

#[test]
fn dig_gets_addresses_and_refusals() {
    let Some(program) = peer("dig") else { return };
    let (example, address) = Example::serve("dns_static", &[]);
    let ask = |arguments: &[&str]| dig(&program, address, arguments).succeeded();

    let short = ask(&["+short", "www.example.test", "A"]);
    assert_eq!(short, "192.0.2.1\n192.0.2.2\n");
    assert_eq!(
        ask(&["+short", "www.example.test", "AAAA"]),
        "2001:db8::1\n"
    );
    let all = ask(&["+short", "+notcp", "www.example.test", "ANY"]);
    assert_eq!(all, "192.0.2.1\n192.0.2.2\n2001:db8::1\n");
    let reverse = ask(&["-x", "192.0.2.1"]);
    assert!(reverse.contains("status: REFUSED"), "{reverse}");

    let cases: [(&[&str], &str, &str); 7] = [
        (&["www.example.test"], "NOERROR", "flags: qr aa; "),
        (
            &["+recurse", "www.example.test"],
            "NOERROR",
            "flags: qr aa rd; ",
        ),
        (&["none.example.test"], "NXDOMAIN", "AUTHORITY: 1,"),
        (
            &["www.example.test", "MX"],
            "NOERROR",
            "ANSWER: 0, AUTHORITY: 1,",
        ),
        (&["www.example.org"], "REFUSED", "flags: qr; "),
        (
            &["-c", "CH", "version.bind", "TXT"],
            "REFUSED",
            "flags: qr; ",
        ),
        (
            &["+opcode=notify", "example.test", "SOA"],
            "NOTIMP",
            "flags: qr; ",
        ),
    ];
    for (arguments, status, part) in cases {
        let told = ask(arguments);
        assert!(told.contains(&format!("status: {status},")), "{told}");
        assert!(told.contains(part), "{told}");
        // Such as that the answer does not fit the question, or that there is something behind it.
        assert!(!told.to_lowercase().contains("mismatch"), "{told}");
        assert!(!told.contains("malformed"), "{told}");
        assert!(!told.contains("extra bytes"), "{told}");
    }
    example.signal("TERM");
    example.succeed();
}

#[test]
fn dig_gets_edns_when_it_asks_with_edns() {
    let Some(program) = peer("dig") else { return };
    let (_example, address) = Example::serve("dns_static", &["mail.example.test=192.0.2.25"]);
    let ask = |arguments: &[&str]| dig(&program, address, arguments).succeeded();

    let with = ask(&["+edns=0", "+dnssec", "mail.example.test"]);
    assert!(
        with.contains("EDNS: version: 0, flags: do; udp: 1232"),
        "{with}"
    );
    let without = ask(&["+noedns", "mail.example.test"]);
    assert!(!without.contains("EDNS"), "{without}");
    assert!(without.contains("192.0.2.25"), "{without}");
    let later = ask(&["+edns=1", "+noednsnegotiation", "mail.example.test"]);
    assert!(later.contains("status: BADVERS,"), "{later}");
    // dig then asks again with the version that it was told.
    let settled = ask(&["+edns=1", "+ednsnegotiation", "mail.example.test"]);
    assert!(settled.contains("status: NOERROR,"), "{settled}");
    // The letters are kept, by which resolvers know an answer for theirs.
    let odd = ask(&["+noall", "+answer", "mAiL.eXaMpLe.TeSt"]);
    assert!(odd.starts_with("mAiL.eXaMpLe.TeSt."), "{odd}");
}

#[test]
fn dig_finds_nothing_on_tcp() {
    let Some(program) = peer("dig") else { return };
    let (_example, address) = Example::serve("dns_static", &[]);
    let told = dig(&program, address, &["+tcp", "www.example.test"]);
    assert_eq!(told.status.code(), Some(9), "{}", told.text());
    assert!(
        told.text().contains("connection refused"),
        "{}",
        told.text()
    );
}
