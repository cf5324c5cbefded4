//! The chat of length-prefixed messages, driven over plain sockets that know the prefix themselves, and
//! its client through a pipe.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use switchboard_tests::{dial, read_all, read_exact, reset_on_close};

use crate::examples_support::Example;

/// Somebody who chats: a message is its length, 4 bytes, big-endian, and its bytes.
struct Chatter {
    stream: TcpStream,
}

impl Chatter {
    fn says(&mut self, message: &[u8]) {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        self.stream
            .write_all(&[&length[..], message].concat())
            .unwrap();
    }

    /// The next message, which must be this.
    fn hears(&mut self, message: &[u8]) {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let length = u32::from_be_bytes(length) as usize;
        let heard = read_exact(&mut self.stream, length);
        assert_eq!(
            String::from_utf8_lossy(&heard),
            String::from_utf8_lossy(message)
        );
    }

    /// That nothing is left to hear, its own messages least of all.
    fn hears_no_more(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut self.stream), b"");
    }
}

/// The chat's server with this many members.
fn chat(members: usize) -> (Example, SocketAddr, Vec<Chatter>) {
    let example = Example::start("chat", &["server", "127.0.0.1:0"]);
    let address = example.listening_at();
    let chatters = (0..members).map(|_| join(&example, address)).collect();
    (example, address, chatters)
}

/// A member more, who hears whatever is said from now on.
fn join(example: &Example, address: SocketAddr) -> Chatter {
    let chatter = Chatter {
        stream: dial(address),
    };
    prints(example, "is here");
    chatter
}

fn prints(example: &Example, part: &str) {
    let line = example.line();
    assert!(line.contains(part), "{part:?} was expected, not {line:?}");
}

#[test]
fn aco_15_messages_reach_the_other_two() {
    let (example, _, mut chatters) = chat(3);
    let long = vec![b'x'; 64 * 1024];
    for (speaker, message) in [&b"one"[..], b"", &long].into_iter().enumerate() {
        chatters[speaker].says(message);
        for (listener, chatter) in chatters.iter_mut().enumerate() {
            if listener != speaker {
                chatter.hears(message);
            }
        }
    }
    for chatter in chatters {
        chatter.hears_no_more();
    }
    example.signal("TERM");
    example.succeed();
}

#[test]
fn aco_15_who_dies_disturbs_nobody() {
    let (example, address, mut chatters) = chat(4);
    // One dies within a message, one announces more than anybody may say.
    let mut dead = chatters.pop().unwrap();
    dead.stream.write_all(b"\0\0\0\x05hal").unwrap();
    reset_on_close(&dead.stream);
    drop(dead);
    prints(&example, "has left: ");
    let mut boastful = chatters.pop().unwrap();
    boastful.stream.write_all(b"\xff\xff\xff\xff").unwrap();
    assert_eq!(read_all(&mut boastful.stream), b"");
    prints(&example, "has left: ");

    let [ada, bob] = &mut chatters[..] else {
        panic!("two are left")
    };
    ada.says(b"still here?");
    bob.hears(b"still here?");
    bob.says(b"yes");
    ada.hears(b"yes");
    let mut late = join(&example, address);
    late.says(b"me too");
    ada.hears(b"me too");
    bob.hears(b"me too");
    example.signal("TERM");
    example.succeed();
}

#[test]
fn aco_15_the_client_says_its_lines_and_prints_the_others() {
    let (server, address, mut chatters) = chat(1);
    let (mut ada, address) = (chatters.pop().unwrap(), address.to_string());
    let (bob, mut typed) = Example::start_typing("chat", &["client", &address, "Bob"]);
    typed.write_all(b"hi\n").unwrap();
    ada.hears(b"Bob: hi");
    ada.says(b"Ada: hello, Bob");
    assert_eq!(bob.line(), "Ada: hello, Bob");
    // What it has said last is still sent.
    typed.write_all(b"good bye\nreally\n").unwrap();
    drop(typed);
    assert_eq!(bob.succeed(), "");
    ada.hears(b"Bob: good bye");
    ada.hears(b"Bob: really");
    ada.hears_no_more();
    server.signal("TERM");
    server.succeed();
}

#[test]
fn aco_15_the_client_ends_with_its_server() {
    let (server, address, mut chatters) = chat(1);
    let (mut ada, address) = (chatters.pop().unwrap(), address.to_string());
    let (bob, mut typed) = Example::start_typing("chat", &["client", &address, "Bob"]);
    typed.write_all(b"hi\n").unwrap();
    ada.hears(b"Bob: hi");
    server.signal("TERM");
    server.succeed();
    bob.wait_for_log("peer");
    bob.succeed();
}
