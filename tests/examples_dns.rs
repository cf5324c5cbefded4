//! The `dns_static` example: its inside, byte by byte, and what it makes of anything that may come.
#![cfg(unix)]

#[path = "../examples/dns_static/answer.rs"]
mod answer;
#[path = "../examples/dns_static/options.rs"]
mod options;
#[path = "../examples/dns_static/zone.rs"]
mod zone;

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use switchboard_tests::PATIENCE;

use crate::examples_support::Example;
use answer::answer;
use options::Options;
use zone::Zone;

const A: u16 = 1;
const SOA: u16 = 6;
const MX: u16 = 15;
const AAAA: u16 = 28;
const AXFR: u16 = 252;
const ANY: u16 = 255;

const NOERROR: u8 = 0;
const FORMERR: u8 = 1;
const NXDOMAIN: u8 = 3;
const NOTIMP: u8 = 4;
const REFUSED: u8 = 5;

/// An OPT record: EDNS version 0, 1,232 bytes, DO set.
const OPT: [u8; 11] = [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];
/// The length of a header.
const HEADER: usize = 12;

fn built_in() -> Zone {
    Options::parse(std::iter::empty()).unwrap().unwrap().zone
}

/// A question with id 0x1234 and RD, as RFC 1035 has it.
fn question(name: &str, rtype: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len().try_into().unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(rtype.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}

/// The question with this OPT record behind it.
fn with_opt(mut question: Vec<u8>, opt: &[u8]) -> Vec<u8> {
    question[11] += 1;
    question.extend(opt);
    question
}

/// What is fixed in an answer, by its place in RFC 1035, 4.1.1.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    rcode: u8,
    authoritative: bool,
    /// Questions, answers, authorities, additional records.
    counts: [u16; 4],
}

/// The head of an answer, of which everything else is as it has to be.
fn head(question: &[u8], answer: &[u8]) -> Head {
    assert_eq!(answer[..2], question[..2], "the id");
    assert_eq!(answer[2] & 0x80, 0x80, "QR");
    assert_eq!(answer[2] & 0x79, question[2] & 0x79, "opcode and RD");
    assert_eq!(answer[2] & 0x02, 0, "TC");
    assert_eq!(answer[3] & 0xf0, 0, "RA, Z, AD and CD");
    assert!(answer.len() <= 512, "{} bytes", answer.len());
    let count = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    Head {
        rcode: answer[3] & 0x0f,
        authoritative: answer[2] & 0x04 != 0,
        counts: [4, 6, 8, 10].map(count),
    }
}

fn asked(question: &[u8]) -> Head {
    head(question, &answer(&built_in(), question).unwrap())
}

fn denied(rcode: u8, counts: [u16; 4]) -> Head {
    Head {
        rcode,
        authoritative: false,
        counts,
    }
}

fn known(rcode: u8, counts: [u16; 4]) -> Head {
    Head {
        rcode,
        authoritative: true,
        counts,
    }
}

#[test]
fn an_address_is_answered_byte_by_byte() {
    let question = question("mail.example.test", A);
    let answered = answer(&built_in(), &question).unwrap();
    let mut expected = question.clone();
    // QR, AA and RD; one answer.
    expected[2..8].copy_from_slice(&[0x85, 0, 0, 1, 0, 1]);
    // The name of the question, A, IN, 300 s, 4 bytes.
    expected.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 25]);
    assert_eq!(answered[..], expected);
}

#[test]
fn the_case_of_the_question_is_kept_and_does_not_matter() {
    let question = question("wWw.ExAmPlE.tESt", AAAA);
    let answered = answer(&built_in(), &question).unwrap();
    assert_eq!(head(&question, &answered), known(NOERROR, [1, 1, 0, 0]));
    assert_eq!(answered[HEADER..question.len()], question[HEADER..]);
    // The answer's name points there.
    assert_eq!(answered[question.len()..][..2], [0xc0, 12]);
}

#[test]
fn each_type_gets_its_records_and_any_gets_all() {
    let asked = |name, rtype| asked(&question(name, rtype));
    assert_eq!(asked("www.example.test", A), known(NOERROR, [1, 2, 0, 0]));
    assert_eq!(
        asked("www.example.test", AAAA),
        known(NOERROR, [1, 1, 0, 0])
    );
    assert_eq!(asked("www.example.test", ANY), known(NOERROR, [1, 3, 0, 0]));
    assert_eq!(asked("example.test", SOA), known(NOERROR, [1, 1, 0, 0]));
    assert_eq!(asked("example.test", ANY), known(NOERROR, [1, 2, 0, 0]));
}

/// RFC 2308: with the SOA record that says how long it is good.
#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let asked = |name, rtype| asked(&question(name, rtype));
    assert_eq!(asked("none.example.test", A), known(NXDOMAIN, [1, 0, 1, 0]));
    // A type without a record, and one that nobody knows.
    assert_eq!(asked("www.example.test", MX), known(NOERROR, [1, 0, 1, 0]));
    assert_eq!(
        asked("www.example.test", 65_280),
        known(NOERROR, [1, 0, 1, 0])
    );
    assert_eq!(
        asked("mail.example.test", AAAA),
        known(NOERROR, [1, 0, 1, 0])
    );
}

/// RFC 8020.
#[test]
fn a_name_with_only_names_below_it_exists() {
    let mut zone = Zone::new("example.test").unwrap();
    zone.add("a.b.c.example.test=192.0.2.1").unwrap();
    for (name, rcode) in [
        ("b.c.example.test", NOERROR),
        ("c.example.test", NOERROR),
        ("example.test", NOERROR),
        ("b.example.test", NXDOMAIN),
    ] {
        let question = question(name, A);
        let answered = answer(&zone, &question).unwrap();
        assert_eq!(
            head(&question, &answered),
            known(rcode, [1, 0, 1, 0]),
            "{name}"
        );
    }
}

#[test]
fn other_zones_classes_and_transfers_are_refused() {
    let asked = |name, rtype| asked(&question(name, rtype));
    let refused = || denied(REFUSED, [1, 0, 0, 0]);
    assert_eq!(asked("example.org", A), refused());
    assert_eq!(asked("wwwexample.test", A), refused());
    assert_eq!(asked("test", A), refused());
    assert_eq!(asked("", A), refused());
    assert_eq!(asked("example.test", AXFR), refused());
    let mut chaos = question("www.example.test", A);
    *chaos.last_mut().unwrap() = 3;
    assert_eq!(
        head(&chaos, &answer(&built_in(), &chaos).unwrap()),
        refused()
    );
}

#[test]
fn other_operations_are_not_implemented() {
    let mut notify = question("example.test", SOA);
    notify[2] = 4 << 3;
    assert_eq!(asked(&notify), denied(NOTIMP, [1, 0, 0, 0]));
    // One whose rest makes no sense to us, such as an update.
    notify[2] = 5 << 3;
    notify[9] = 7;
    assert_eq!(asked(&notify), denied(NOTIMP, [0, 0, 0, 0]));
}

#[test]
fn edns_is_answered_with_edns() {
    let edns = with_opt(question("mail.example.test", A), &OPT);
    let answered = answer(&built_in(), &edns).unwrap();
    assert_eq!(head(&edns, &answered), known(NOERROR, [1, 1, 0, 1]));
    assert!(answered.ends_with(&OPT));
    // Also where there is nothing else to say.
    let refused = with_opt(question("example.org", A), &OPT);
    assert_eq!(asked(&refused), denied(REFUSED, [1, 0, 0, 1]));
}

/// RFC 6891, 6.1.3: BADVERS is 16, of which the record has the upper eight bits.
#[test]
fn a_later_version_of_edns_is_told_which_one_we_speak() {
    let mut later = OPT;
    later[6] = 1;
    let later = with_opt(question("mail.example.test", A), &later);
    let answered = answer(&built_in(), &later).unwrap();
    assert_eq!(head(&later, &answered), denied(0, [1, 0, 0, 1]));
    let mut expected = OPT;
    expected[5] = 1;
    assert!(answered.ends_with(&expected), "{answered:?}");
}

#[test]
fn what_cannot_be_read_is_a_format_error() {
    let plain = question("www.example.test", A);
    let mut long_pointer = plain.clone();
    long_pointer[HEADER] = 0xc0;
    let mut loops = question("", A);
    loops.splice(HEADER..=HEADER, [0xc0, 12]);
    let mut none = plain[..HEADER].to_vec();
    none[5] = 0;
    let mut two = plain.clone();
    two.extend_from_slice(&plain[HEADER..]);
    two[5] = 2;
    let mut owned = OPT.to_vec();
    owned.splice(0..1, [1, b'x', 0]);
    let mut half_an_option = OPT.to_vec();
    half_an_option[10] = 2;
    half_an_option.extend([0, 3]);
    let twice = with_opt(with_opt(plain.clone(), &OPT), &OPT);
    let mut answers_missing = plain.clone();
    answers_missing[7] = 1;
    let cases = [
        plain[..HEADER].to_vec(),
        plain[..plain.len() - 1].to_vec(),
        long_pointer,
        loops,
        none,
        two,
        twice,
        with_opt(plain.clone(), &owned),
        with_opt(plain.clone(), &half_an_option),
        with_opt(plain.clone(), &OPT[..10]),
        answers_missing,
    ];
    for case in cases {
        assert_eq!(asked(&case), denied(FORMERR, [0, 0, 0, 0]), "{case:?}");
    }
}

#[test]
fn an_answer_and_what_has_no_header_are_met_with_silence() {
    let mut answered = question("www.example.test", A);
    answered[2] |= 0x80;
    assert_eq!(answer(&built_in(), &answered), None);
    for length in 0..HEADER {
        assert_eq!(answer(&built_in(), &answered[..length]), None);
    }
}

/// The longest zone, the longest name in it, as many addresses as it may have, and EDNS.
#[test]
fn the_longest_answers_fit_512_bytes() {
    let origin = format!("{}.{}", "z".repeat(40), "y".repeat(17));
    let name = format!("{}.{origin}", "n".repeat(63));
    let mut zone = Zone::new(&origin).unwrap();
    for owner in [&name, &origin] {
        for number in 0..10 {
            zone.add(&format!("{owner}=2001:db8::{number}")).unwrap();
        }
        assert!(zone.add(&format!("{owner}=192.0.2.1")).is_err());
    }
    assert!(Zone::new(&format!("x{origin}")).is_err());
    // As many labels as a name can have, in the place of one that is not there.
    let absent = format!("{}{origin}", "a.".repeat(97));
    let counts = [(&name, [1, 10, 0, 1]), (&origin, [1, 11, 0, 1])];
    for (owner, counts) in counts {
        let question = with_opt(question(owner, ANY), &OPT);
        let answered = answer(&zone, &question).unwrap();
        assert_eq!(head(&question, &answered), known(NOERROR, counts));
    }
    let question = with_opt(question(&absent, A), &OPT);
    let answered = answer(&zone, &question).unwrap();
    assert_eq!(head(&question, &answered), known(NXDOMAIN, [1, 0, 1, 1]));
}

#[test]
fn what_the_command_line_cannot_mean_is_said() {
    let cases: [(&[&str], &str); 7] = [
        (&["--nonsense"], "--nonsense"),
        (&["--zone"], "--zone"),
        (&["127.0.0.1:0", "more"], "more"),
        (&["www.example.test=nonsense"], "nonsense"),
        (&["www.example.org=192.0.2.1"], "www.example.org"),
        (&["a..example.test=192.0.2.1"], "a..example.test"),
        (&["--zone", ".."], ".."),
    ];
    for (arguments, part) in cases {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        let said = Options::parse(arguments).unwrap_err();
        assert!(said.contains(part), "{said}");
    }
}

/// Bytes from a seed, so that a failure can be repeated.
fn random_datagrams() -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..1_000).map(move |turn| {
        let length = usize::try_from(next() % 600).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| next().to_le_bytes()[3]).collect();
        // Every other one is a question with some bytes changed.
        if turn % 2 == 0 {
            let question = with_opt(question("www.example.test", A), &OPT);
            bytes.splice(..question.len().min(length), question);
            for _ in 0..next() % 4 {
                let at = usize::try_from(next()).unwrap() % bytes.len();
                bytes[at] = next().to_le_bytes()[5];
            }
        }
        bytes
    })
}

#[test]
fn random_datagrams_are_answered_with_at_most_512_bytes() {
    let zone = built_in();
    for datagram in random_datagrams() {
        if let Some(answered) = answer(&zone, &datagram) {
            head(&datagram, &answered);
        }
    }
}

fn dial(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

/// XAS-59: whatever comes in a datagram, the socket lives and answers the next one.
#[test]
fn a_thousand_random_datagrams_do_not_hurt() {
    let (mut example, address) = Example::serve("dns_static", &[]);
    let noise = dial(address);
    let client = dial(address);
    let question = question("mail.example.test", A);
    for (turn, datagram) in random_datagrams().enumerate() {
        noise.send(&datagram).unwrap();
        if turn % 50 == 49 {
            client.send(&question).unwrap();
            assert_eq!(
                head(&question, &receive(&client)),
                known(NOERROR, [1, 1, 0, 0])
            );
        }
    }
    assert!(example.is_running());
    example.signal("TERM");
    example.succeed();
}

#[test]
fn answers_and_short_datagrams_are_met_with_silence_over_the_socket() {
    let (example, address) = Example::serve("dns_static", &["--log"]);
    let client = dial(address);
    let plain = question("www.example.test", A);
    let mut answered = plain.clone();
    answered[2] |= 0x80;
    client.send(&[]).unwrap();
    client.send(&plain[..HEADER - 1]).unwrap();
    client.send(&answered).unwrap();
    client.send(&plain[..HEADER]).unwrap();
    client.send(&plain).unwrap();
    // The answers come in the order of what they answer, so that the first three had none.
    assert_eq!(
        head(&plain, &receive(&client)),
        denied(FORMERR, [0, 0, 0, 0])
    );
    assert_eq!(
        head(&plain, &receive(&client)),
        known(NOERROR, [1, 2, 0, 0])
    );
    let own = client.local_addr().unwrap();
    assert_eq!(example.line(), format!("{own}: no question: FORMERR"));
    let expected = format!("{own}: www.example.test IN A: NOERROR, 2 records");
    assert_eq!(example.line(), expected);
}

#[test]
fn it_does_not_listen_on_tcp() {
    let (_example, address) = Example::serve("dns_static", &[]);
    let refused = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
