//! The `ping` example: its packets byte by byte, its lines, and what it does to this machine.
#![cfg(unix)]

#[path = "../examples/ping/icmp.rs"]
mod icmp;
#[path = "../examples/ping/options.rs"]
mod options;
#[path = "../examples/ping/statistics.rs"]
mod statistics;

use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::examples_support::{Ended, Example};
use icmp::{Message, Packet, Version, checksum, parse, request};
use options::{Family, Options};
use statistics::{Reply, Statistics, milliseconds};

/// A reply to request 3 of id 0x1234 with payload "abc", which came through an IPv4 header with options.
const REPLY_V4: [u8; 35] = [
    0x46, 0, 0, 35, 0, 0, 0x40, 0, 63, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 1, 1, 0, // IP
    0, 0, 0x29, 0x66, 0x12, 0x34, 0, 3, b'a', b'b', b'c',
];

fn replied(id: u16, sequence: u16, payload: &[u8], ttl: Option<u8>) -> Packet<'_> {
    Packet {
        id,
        sequence,
        message: Message::Reply { payload, ttl },
    }
}

/// The example of RFC 1071, 3: the words add up to 0xddf2.
#[test]
fn the_checksum_is_that_of_rfc_1071() {
    let words = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(checksum(&words), !0xddf2);
    assert_eq!(checksum(&[]), 0xffff);
    // An odd byte is the upper half of a word.
    assert_eq!(checksum(&[0x12]), !0x1200);
    assert_eq!(checksum(&[0xff; 65_536]), 0);
}

#[test]
fn a_request_is_byte_by_byte_what_the_rfcs_say() {
    let v4 = [8, 0, 0x21, 0x66, 0x12, 0x34, 0, 3, b'a', b'b', b'c'];
    assert_eq!(request(Version::V4, 0x1234, 3, b"abc"), v4);
    assert_eq!(checksum(&v4), 0);
    // The system fills in the checksum, for which it takes the addresses too.
    let v6 = [128, 0, 0, 0, 0x12, 0x34, 0, 3, b'a', b'b', b'c'];
    assert_eq!(request(Version::V6, 0x1234, 3, b"abc"), v6);
    assert_eq!(request(Version::V6, 1, 1, &[]).len(), icmp::HEADER);
}

#[test]
fn a_reply_is_found_behind_its_ip_header() {
    let expected = replied(0x1234, 3, b"abc", Some(63));
    assert_eq!(parse(Version::V4, &REPLY_V4), Some(expected));
    // That of IPv6 comes without.
    let v6 = [129, 0, 9, 9, 0x12, 0x34, 0, 3, b'a'];
    let expected = replied(0x1234, 3, b"a", None);
    assert_eq!(parse(Version::V6, &v6), Some(expected));
}

#[test]
fn what_is_not_about_an_echo_is_nothing() {
    for length in 0..REPLY_V4.len() {
        assert_eq!(parse(Version::V4, &REPLY_V4[..length]), None, "{length}");
    }
    for at in 0..REPLY_V4.len() {
        // The version, the length, the protocol and all that the checksum is over.
        if matches!(at, 1..=8 | 10..=23) {
            continue;
        }
        let mut changed = REPLY_V4;
        changed[at] ^= 0x10;
        assert_eq!(parse(Version::V4, &changed), None, "byte {at}");
    }
    // Our own request, which comes back from the loopback interface.
    let own = request(Version::V6, 0x1234, 3, b"abc");
    assert_eq!(parse(Version::V6, &own), None);
}

#[test]
fn a_router_that_gives_up_is_heard() {
    let own = request(Version::V4, 0x1234, 3, b"abc");
    let mut icmp = vec![3, 1, 0, 0, 0, 0, 0, 0];
    // The header of what could not be delivered; behind it 8 bytes are enough.
    icmp.extend([0x45, 0, 0, 31, 0, 0, 0, 0, 1, 1, 0, 0]);
    icmp.extend([192, 0, 2, 2, 192, 0, 2, 9]);
    icmp.extend(&own[..8]);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    let packet = [&REPLY_V4[..24], &icmp].concat();
    let expected = |why| {
        Some(Packet {
            id: 0x1234,
            sequence: 3,
            message: Message::Undelivered(why),
        })
    };
    let why = "Destination Host Unreachable";
    assert_eq!(parse(Version::V4, &packet), expected(why));

    let own = request(Version::V6, 0x1234, 3, b"abc");
    let packet = [&[3, 0, 0, 0, 0, 0, 0, 0], &[0x60; 40][..], &own].concat();
    let why = "Time exceeded: Hop limit";
    assert_eq!(parse(Version::V6, &packet), expected(why));
    // About a reply, such as one of ours to somebody else.
    let mut packet = packet;
    packet[48] = 129;
    assert_eq!(parse(Version::V6, &packet), None);
}

#[test]
fn the_summary_is_written_as_ping_writes_it() {
    let begin = Instant::now();
    let at = |millis| begin + Duration::from_millis(millis);
    let mut statistics = Statistics::new(begin);
    for (sequence, millis) in [(1, 0), (2, 1_000), (3, 2_000)] {
        statistics.sent(sequence, at(millis));
    }
    let said = statistics.to_string();
    let lost = "3 packets transmitted, 0 received, 100% packet loss, time 2000ms";
    assert_eq!(said, lost);
    assert!(!statistics.has_replies());

    let reply = |time, is_duplicate| {
        Some(Reply {
            time: Duration::from_millis(time),
            is_duplicate,
        })
    };
    assert_eq!(statistics.replied(4, at(2_000)), None);
    assert_eq!(statistics.replied(3, at(2_003)), reply(3, false));
    let said = statistics.to_string();
    let one = "3 packets transmitted, 1 received, 66.6667% packet loss, time 2003ms\n\
        rtt min/avg/max/mdev = 3.000/3.000/3.000/0.000 ms";
    assert_eq!(said, one);

    assert_eq!(statistics.replied(2, at(2_005)), reply(1_005, false));
    assert_eq!(statistics.replied(3, at(2_006)), reply(6, true));
    statistics.failed(at(2_010));
    assert!(!statistics.is_complete());
    let said = statistics.to_string();
    let all = "3 packets transmitted, 2 received, +1 duplicates, +1 errors, 33.3333% packet loss, time 2010ms\n\
        rtt min/avg/max/mdev = 3.000/338.000/1005.000/471.642 ms";
    assert_eq!(said, all);
}

#[test]
fn the_last_replies_are_waited_for() {
    let begin = Instant::now();
    let mut statistics = Statistics::new(begin);
    statistics.sent(1, begin);
    let second = Duration::from_secs(1);
    assert_eq!(statistics.linger(second, 7 * second), 7 * second);
    statistics.replied(1, begin + second / 1_000);
    assert!(statistics.is_complete());
    assert_eq!(statistics.linger(second, 7 * second), second);
    statistics.sent(2, begin + second);
    statistics.replied(2, begin + 4 * second);
    assert_eq!(statistics.linger(second, 7 * second), 6 * second);
}

#[test]
fn a_round_trip_has_as_many_digits_as_mean_something() {
    let cases = [
        (34, "0.034"),
        (1_234, "1.23"),
        (12_345, "12.3"),
        (123_456, "123"),
    ];
    for (micros, text) in cases {
        assert_eq!(milliseconds(Duration::from_micros(micros)), text);
    }
}

#[test]
fn what_the_command_line_cannot_mean_is_said() {
    let parse = |line: &str| Options::parse(line.split_whitespace().map(String::from));
    let good = parse("-c 3 -i 0.2 -W 1.5 -s 0 -6 ::1").unwrap().unwrap();
    assert_eq!(
        (good.count, good.size, good.family),
        (Some(3), 0, Family::V6)
    );
    assert_eq!(good.patience, Duration::from_millis(1_500));
    let cases = [
        "",
        "-c",
        "-c 0 a",
        "-c x a",
        "-i 0 a",
        "-i -1 a",
        "-W x a",
        "-s 65508 a",
        "-s -1 a",
        "-x a",
        "a b",
    ];
    for case in cases {
        assert!(parse(case).is_err(), "{case}");
    }
    assert!(parse("--help").unwrap().is_none());
}

/// Whether this process may open a raw socket of this family. If not, it was said that the test is
/// skipped.
fn may_ping(version: Version) -> bool {
    let (domain, loopback) = match version {
        Version::V4 => (Domain::IPV4, "127.0.0.1"),
        Version::V6 => (Domain::IPV6, "::1"),
    };
    let protocol = Protocol::from(i32::from(version.protocol()));
    if let Err(error) = Socket::new(domain, Type::RAW, Some(protocol)) {
        eprintln!("SKIPPED: no raw socket for {loopback}: {error}");
        return false;
    }
    // A machine may have the protocol and no address of it.
    if let Err(error) = std::net::UdpSocket::bind((loopback, 0)) {
        eprintln!("SKIPPED: no address {loopback}: {error}");
        return false;
    }
    true
}

/// The same text with each number an N.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if shape.ends_with('N') => {}
            '0'..='9' => shape.push('N'),
            _ => shape.push(letter),
        }
    }
    shape
}

/// The last two lines.
fn summary(printed: &str) -> String {
    let lines: Vec<_> = printed.trim_end().lines().collect();
    shape(&lines[lines.len().saturating_sub(2)..].join("\n"))
}

fn check_three_replies(host: &str, ttl: &str) {
    let printed = Example::start("ping", &["-c", "3", "-i", "0.1", host]).succeed();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 8, "{printed}");
    assert!(lines[0].starts_with(&format!("PING {host} ({host}) 56")));
    for (line, sequence) in lines[1..4].iter().zip(1..) {
        let start = format!("64 bytes from {host}: icmp_seq={sequence}{ttl} time=");
        let time = line.strip_prefix(&start);
        let time = time.and_then(|time| time.strip_suffix(" ms"));
        let time: f64 = time.unwrap_or_else(|| panic!("{printed}")).parse().unwrap();
        assert!(time > 0.0 && time < 1e4, "{printed}");
    }
    assert_eq!(
        lines[4..6],
        ["", &format!("--- {host} ping statistics ---")]
    );
    assert!(lines[6].starts_with("3 packets transmitted, 3 received, 0% packet loss, time "));
    assert_eq!(
        summary(&printed),
        "N packets transmitted, N received, N% packet loss, time Nms\n\
        rtt min/avg/max/mdev = N.N/N.N/N.N/N.N ms"
    );
}

#[test]
fn three_requests_to_the_ipv4_loopback_are_answered() {
    if may_ping(Version::V4) {
        check_three_replies("127.0.0.1", " ttl=64");
    }
}

#[test]
fn three_requests_to_the_ipv6_loopback_are_answered() {
    if may_ping(Version::V6) {
        check_three_replies("::1", "");
    }
}

/// A raw socket gets the replies to everybody, so each has to know its own.
#[test]
fn two_at_once_do_not_take_each_others_replies() {
    if !may_ping(Version::V4) {
        return;
    }
    // The last reply is waited for as long as the interval.
    let arguments = ["-c", "10", "-i", "0.2", "-s", "1000", "127.0.0.1"];
    let both = [(); 2].map(|()| Example::start("ping", &arguments));
    for one in both {
        let printed = one.succeed();
        assert!(
            printed.contains("\n10 packets transmitted, 10 received, 0% packet loss"),
            "{printed}"
        );
        assert_eq!(printed.matches("1008 bytes from").count(), 10, "{printed}");
        assert!(!printed.contains("DUP!"), "{printed}");
    }
}

#[test]
fn sizes_from_nothing_to_the_largest_come_back() {
    if !may_ping(Version::V4) {
        return;
    }
    for (size, bytes) in [("0", "8 bytes"), ("1", "9 bytes"), ("65507", "65515 bytes")] {
        let printed = Example::start("ping", &["-c", "1", "-s", size, "127.0.0.1"]).succeed();
        assert!(printed.contains(&format!("\n{bytes} from")), "{printed}");
    }
}

#[test]
fn an_interrupt_ends_it_with_its_statistics() {
    if !may_ping(Version::V4) {
        return;
    }
    let example = Example::start("ping", &["-i", "60", "127.0.0.1"]);
    assert!(example.line().starts_with("PING 127.0.0.1"));
    assert!(example.line().contains("icmp_seq=1 "));
    example.signal("INT");
    let printed = example.succeed();
    assert!(printed.contains("\n1 packets transmitted, 1 received, 0% packet loss"));
}

/// An address for documentation (RFC 3849), to which either there is no way or nobody is there.
#[test]
fn no_reply_at_all_is_exit_code_1() {
    if !may_ping(Version::V6) {
        return;
    }
    let arguments = ["-c", "2", "-i", "0.1", "-W", "0.3", "2001:db8::1"];
    let Ended { status, stdout, .. } = Example::start("ping", &arguments).wait();
    let printed = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("\n2 packets transmitted, 0 received, "),
        "{printed}"
    );
    assert!(printed.contains("100% packet loss"), "{printed}");
    assert!(!printed.contains("rtt"), "{printed}");
}

#[test]
fn a_host_without_address_is_exit_code_2() {
    // Never there (RFC 6761).
    let ended = Example::start("ping", &["-c", "1", "nobody.invalid"]).wait();
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: nobody.invalid: "));
    assert_eq!(ended.stdout, b"");
}

#[test]
fn without_the_capability_it_says_so() {
    let arguments = ["-c", "1", "127.0.0.1"];
    let example = if may_ping(Version::V4) {
        let without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
        let tried = Command::new(without[0])
            .args(&without[1..])
            .arg("true")
            .output();
        if !tried.is_ok_and(|tried| tried.status.success()) {
            eprintln!("SKIPPED: setpriv cannot take the capability away");
            return;
        }
        Example::start_under(&without, "ping", &arguments)
    } else {
        Example::start("ping", &arguments)
    };
    let ended = example.wait();
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    let [line] = ended.stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("{}", ended.stderr);
    };
    assert!(line.starts_with("error: "), "{line}");
    assert!(line.contains("CAP_NET_RAW"), "{line}");
    assert_eq!(ended.stdout, b"");
}

/// Beside that of iputils, where that is installed.
#[test]
fn the_summary_looks_like_that_of_the_real_one() {
    let version = Command::new("ping").arg("-V").output();
    if !version.is_ok_and(|version| version.stdout.starts_with(b"ping from iputils")) {
        eprintln!("SKIPPED: ping of iputils is not installed");
        return;
    }
    let arguments = ["-c", "3", "-i", "0.2", "127.0.0.1"];
    let theirs = Command::new("ping").args(arguments).output().unwrap();
    if !theirs.status.success() || !may_ping(Version::V4) {
        eprintln!("SKIPPED: one of them may not ping");
        return;
    }
    let ours = Example::start("ping", &arguments).succeed();
    let theirs = String::from_utf8(theirs.stdout).unwrap();
    assert_eq!(summary(&ours), summary(&theirs));
}
