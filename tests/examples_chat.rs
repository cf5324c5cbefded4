//! The chat example, driven over plain sockets.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use switchboard_tests::dial;

use super::examples_support::Example;

/// Somebody who chats.
struct Chatter {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Chatter {
    /// Comes in under a name.
    fn join(address: SocketAddr, nick: &str) -> Self {
        let stream = dial(address);
        let lines = BufReader::new(stream.try_clone().unwrap());
        let mut chatter = Self { stream, lines };
        chatter.hears("* welcome");
        chatter.hears("is here");
        chatter.says(&format!("/nick {nick}"));
        chatter.hears(&format!("is now {nick}"));
        chatter
    }

    fn says(&mut self, text: &str) {
        writeln!(self.stream, "{text}").unwrap();
    }

    /// The next line, which must have this in it.
    fn hears(&mut self, part: &str) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(
            line.contains(part),
            "{part:?} was expected, but {line:?} came"
        );
        line
    }
}

#[test]
fn a_crash_costs_neither_the_connection_nor_the_nickname() {
    let (example, address) = Example::serve("supervised_chat", &[]);
    let mut ada = Chatter::join(address, "Ada");
    let mut bob = Chatter::join(address, "Bob");
    ada.hears("is here");
    ada.hears("is now Bob");
    bob.says("hello");
    ada.hears("Bob: hello");
    bob.hears("Bob: hello");

    // What was typed behind the crash is still said.
    ada.says("/crash\nback again");
    ada.hears("your session crashed, this is number 2; you are still Ada");
    ada.hears("Ada: back again");
    bob.hears("Ada: back again");

    bob.says("/nick Ada");
    bob.hears("Ada is taken");
    bob.says("/who");
    bob.hears("here: Ada, Bob");

    // A session that crashes all the time is given up, and nobody else is.
    for number in 3..=6 {
        ada.says("/crash");
        ada.hears(&format!("this is number {number}"));
    }
    ada.says("/crash");
    assert_eq!(ada.lines.read_line(&mut String::new()).unwrap(), 0);
    bob.says("still here");
    let next = bob.hears("");
    assert!(next.contains("Bob: still here"), "{next:?}");
    example.signal("TERM");
    let summary = example.succeed();
    assert!(summary.contains("2 accepted"), "{summary}");
}

#[test]
fn the_room_is_rebuilt_around_its_members() {
    let (example, address) = Example::serve("supervised_chat", &[]);
    let mut ada = Chatter::join(address, "Ada");
    let mut bob = Chatter::join(address, "Bob");
    ada.says("/crash room");
    ada.hears("is here");
    ada.hears("is now Bob");
    ada.hears("the room has crashed");
    // Until the supervisor's pause is over the room is away.
    loop {
        bob.says("/who");
        let line = bob.hears("* ");
        if line.contains("here: Ada, Bob") {
            break;
        }
        assert!(line.contains("being rebuilt"), "{line:?}");
    }
    bob.says("well?");
    bob.hears("Bob: well?");
    ada.hears("Bob: well?");
    example.signal("INT");
    example.succeed();
}
