//! Peers of plain sockets against the `smtp_sink` example.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use switchboard_tests::dial;

use crate::sink::Sink;

/// Mails that come at the same time are printed one after the other, each in one piece.
#[test]
fn mails_are_printed_whole() {
    const PEERS: usize = 8;
    const MAILS: usize = 5;
    let sink = Sink::start();
    let address = sink.address;
    let text = |peer: usize, mail: usize| format!("{peer} {mail}\r\n").repeat(5_000);
    let send = move |peer: usize| {
        let mut stream = dial(address);
        greet(&mut stream);
        for mail in 0..MAILS {
            let envelope = format!("MAIL FROM:<{peer}@a>\r\nRCPT TO:<{mail}@b>\r\nDATA\r\n");
            stream.write_all(envelope.as_bytes()).unwrap();
            read_until(&mut stream, "354 ");
            stream.write_all(text(peer, mail).as_bytes()).unwrap();
            stream.write_all(b".\r\n").unwrap();
            read_until(&mut stream, "250 2.0.0 this is mail ");
        }
    };
    let peers: Vec<_> = (0..PEERS)
        .map(|peer| thread::spawn(move || send(peer)))
        .collect();
    for peer in peers {
        peer.join().unwrap();
    }
    let mut came = Vec::new();
    for mail in sink.end() {
        let number = |mark: &str| {
            let (_, rest) = mail.head.split_once(mark).unwrap();
            rest.split_once('@').unwrap().0.parse::<usize>().unwrap()
        };
        let (peer, of_peer) = (number("FROM:<"), number("TO:<"));
        assert!(
            mail.text == text(peer, of_peer).as_bytes(),
            "mail {of_peer} of {peer}"
        );
        came.push((peer, of_peer));
    }
    came.sort_unstable();
    let all = (0..PEERS).flat_map(|peer| (0..MAILS).map(move |mail| (peer, mail)));
    assert_eq!(came, all.collect::<Vec<_>>());
}

#[test]
fn who_makes_faults_only_is_told_to_go() {
    let sink = Sink::start();
    let mut stream = dial(sink.address);
    // A browser, for example, that was lured here.
    let request = "POST / HTTP/1.1\r\n".to_owned() + &"X-Field: value\r\n".repeat(20);
    stream.write_all(request.as_bytes()).unwrap();
    let mut told = Vec::new();
    let _ = stream.read_to_end(&mut told);
    let told = String::from_utf8_lossy(&told);
    assert!(told.ends_with("421 4.7.0 too many faults\r\n"), "{told}");
    assert_eq!(told.matches("\r\n500 ").count(), 10, "{told}");
    assert!(sink.end().is_empty());
}

/// Who has nothing more to say still hears that the mail is taken, and need not send it again.
#[test]
fn a_peer_that_finishes_behind_its_mail_hears_that_it_is_taken() {
    let sink = Sink::start();
    for number in 1..=5 {
        let mut stream = dial(sink.address);
        greet(&mut stream);
        stream
            .write_all(b"MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\ntext\r\n.\r\n")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        let last = format!("250 2.0.0 this is mail {number}\r\n");
        assert!(told.ends_with(&last), "{told}");
    }
    assert_eq!(sink.end().len(), 5);
}

/// A drain tells who is idle, and lets a mail that is under way come in.
#[test]
fn a_drain_takes_the_mail_that_is_under_way() {
    let sink = Sink::start();
    let mut idle = dial(sink.address);
    greet(&mut idle);
    let mut busy = dial(sink.address);
    greet(&mut busy);
    busy.write_all(b"MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\nDATA\r\nhalf")
        .unwrap();
    read_until(&mut busy, "354 ");
    let ending = thread::spawn(move || sink.end());
    let mut told = String::new();
    idle.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("421 4.3.2 "), "{told}");
    busy.write_all(b" and half\r\n.\r\n").unwrap();
    let mut told = String::new();
    busy.read_to_string(&mut told).unwrap();
    assert!(
        told.contains("250 2.0.0 this is mail 1\r\n421 4.3.2 "),
        "{told}"
    );
    drop((idle, busy));
    let mails = ending.join().unwrap();
    assert_eq!(mails[0].text, b"half and half\r\n");
    assert!(
        mails[0]
            .head
            .contains("MAIL FROM:<>\nRCPT TO:<Postmaster>\n")
    );
}

/// Reads the greeting, says EHLO and reads the answer.
pub fn greet(stream: &mut TcpStream) {
    read_until(stream, "220 ");
    stream.write_all(b"EHLO raw.example\r\n").unwrap();
    read_until(stream, "250 ");
}

/// Reads lines through the first that starts like this.
fn read_until(stream: &mut TcpStream, start: &str) {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        line.extend(byte);
        if byte == *b"\n" {
            if line.starts_with(start.as_bytes()) {
                return;
            }
            line.clear();
        }
    }
}
