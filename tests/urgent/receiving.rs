//! What a peer sends as urgent.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::testkit::{Faults, FaultyNet};
use switchboard::transport::TcpNetwork;
use switchboard::{
    ClosedReason, ConnectionOptions, Handlers, Listen, Pool, PoolBuilder, SessionContext, session,
};
use switchboard_tests::*;

use crate::peers::send_urgent;

const ANY: &str = "127.0.0.1:0";

fn bytes() -> Listen {
    Listen::tcp(ANY).receive(RecvData::available().always())
}

async fn expect_urgent(probe: &mut Probe, byte: u8) {
    assert_eq!(expect!(probe, UrgentReceived).byte, byte);
}

/// AC-06: nothing else comes that could wake anybody.
#[test]
fn ac_06_an_armed_connection_hears_of_an_urgent_byte_at_once() {
    with_pool(|pool| async move {
        let (mut peer, _client, mut probe) = serve(&pool, Listen::tcp(ANY).lines()).await;
        for byte in *b"!?#" {
            send_urgent(&peer, byte);
            expect_urgent(&mut probe, byte).await;
            peer.write_all(b"line\n").unwrap();
            probe.expect_line("line").await;
        }
    });
}

/// AC-06, XAS-70, on one's own thread, on a worker's, through recipients and over a network with faults.
#[test]
fn ac_06_the_stream_around_an_urgent_byte_is_whole() {
    let faulty = Pool::builder().network(FaultyNet::new(TcpNetwork, Faults::none().short_reads(1)));
    for builder in [Pool::builder(), Pool::builder().workers(1), faulty] {
        with(builder.shards(1), |pool| async move {
            let (peer, _client, mut probe) = serve(&pool, Listen::tcp(ANY).lines()).await;
            amid_lines(peer, &mut probe).await;
        });
    }
    with_pool(|pool| async move {
        let mut probe = Probe::new();
        let recorder = probe.full_session();
        let made = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&made);
        let session = move |client: switchboard::Client| {
            let all = recorder(client.clone()).start();
            *keep.lock().unwrap() = Some(all.clone());
            Handlers::new()
                .accepted(all.clone().recipient())
                .line(all.clone().recipient())
                .urgent(all.clone().recipient())
                .closed(all.recipient())
        };
        let peer = serve_with(&pool, Listen::tcp(ANY).lines(), session).await;
        let _ = expect!(probe, Accepted);
        amid_lines(peer, &mut probe).await;
        let _ = probe.expect_closed(ClosedReason::ClosedByPeer).await;
        drop(made.lock().unwrap().take());
    });
}

async fn amid_lines(mut peer: TcpStream, probe: &mut Probe) {
    for round in 0..200 {
        peer.write_all(b"ab").unwrap();
        send_urgent(&peer, b'!');
        if round % 2 == 0 {
            peer.write_all(b"cd\n").unwrap();
        }
        // In either order: what comes of one wake is told urgent first.
        if round % 2 == 0 {
            let (mut urgent, mut line) = (0, 0);
            while urgent + line < 2 {
                match probe.next().await {
                    ClientEvent::UrgentReceived(event) => {
                        assert_eq!(event.byte, b'!');
                        urgent += 1;
                    }
                    ClientEvent::LineReceived(event) => {
                        assert_eq!(&event.line[..], b"abcd");
                        line += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!((urgent, line), (1, 1));
        } else {
            expect_urgent(probe, b'!').await;
            peer.write_all(b"cd\n").unwrap();
            probe.expect_line("abcd").await;
        }
    }
}

/// AC-06: nobody reads.
#[test]
fn ac_06_it_is_told_while_nothing_is_armed_and_while_reading_is_paused() {
    with_pool(|pool| async move {
        let (mut peer, client, mut probe) = serve(&pool, Listen::tcp(ANY)).await;
        send_urgent(&peer, b'!');
        expect_urgent(&mut probe, b'!').await;
        peer.write_all(b"ab").unwrap();
        send_urgent(&peer, b'?');
        expect_urgent(&mut probe, b'?').await;
        client.pause_reading();
        let most = NonZeroUsize::new(100).unwrap();
        client.arm(RecvData::up_to(most).always()).unwrap();
        peer.write_all(b"cd").unwrap();
        send_urgent(&peer, b'#');
        expect_urgent(&mut probe, b'#').await;
        peer.write_all(b"ef").unwrap();
        client.resume_reading();
        peer.shutdown(Shutdown::Write).unwrap();
        let (mut stream, told) = rest(&mut probe).await;
        assert!(told.is_empty());
        // The system has left those in the stream that were not read past when the next one came.
        stream.retain(u8::is_ascii_alphabetic);
        assert_eq!(stream, b"abcdef");
    });
}

/// AC-06: the system holds one at a time. What of them is told is told in order, the last one always.
#[test]
fn ac_06_many_in_a_row_leave_the_stream_whole_and_the_last_is_told() {
    with_pool(|pool| async move {
        for round in 0..20 {
            let (mut peer, _client, mut probe) = serve(&pool, bytes()).await;
            let normal = pattern_of_letters(400);
            let writer = std::thread::spawn({
                let normal = normal.clone();
                move || {
                    for (at, part) in normal.chunks(4).enumerate() {
                        peer.write_all(part).unwrap();
                        send_urgent(&peer, b'0' + u8::try_from(at % 10).unwrap());
                        if round % 2 == 0 {
                            std::thread::yield_now();
                        }
                    }
                    peer
                }
            });
            let peer = writer.join().unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let (stream, told) = rest(&mut probe).await;
            check_all(&stream, &told, &normal, 4);
        }
    });
}

/// Every normal byte is there once and in order; what the system left in the stream of the urgent ones, each
/// behind so many normal ones, is at its place; those that were told are in order, and the last one is there.
fn check_all(stream: &[u8], told: &[u8], normal: &[u8], every: usize) {
    let digit = |at: usize| b'0' + u8::try_from(at % 10).unwrap();
    let (mut letters, mut last) = (Vec::new(), None);
    for byte in stream {
        if byte.is_ascii_alphabetic() {
            letters.push(*byte);
        } else {
            assert_eq!(letters.len() % every, 0, "it is not at its place");
            let at = letters.len() / every - 1;
            assert!(last < Some(at), "it is there twice");
            assert_eq!(*byte, digit(at));
            last = Some(at);
        }
    }
    assert_eq!(letters, normal);
    let mut sent = (0..normal.len() / every).map(digit);
    let mut left = sent.clone();
    assert!(told.iter().all(|byte| left.any(|sent| sent == *byte)));
    assert_eq!(told.last().copied(), sent.next_back());
}

fn pattern_of_letters(count: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(count).collect()
}

/// All that comes until the connection has closed: the stream, and the urgent bytes.
async fn rest(probe: &mut Probe) -> (Vec<u8>, Vec<u8>) {
    let (mut stream, mut urgent) = (Vec::new(), Vec::new());
    loop {
        match probe.next().await {
            ClientEvent::DataReceived(event) => stream.extend_from_slice(&event.data),
            ClientEvent::UrgentReceived(event) => urgent.push(event.byte),
            ClientEvent::Closed(event) => {
                assert_eq!(event.reason, ClosedReason::ClosedByPeer, "{}", event.detail);
                return (stream, urgent);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// AC-06: the end comes right behind it, whether or not somebody reads.
#[test]
fn ac_06_an_urgent_byte_just_before_the_end_is_told_before_it() {
    with_pool(|pool| async move {
        for round in 0..100 {
            let (mut peer, _client, mut probe) = serve(&pool, bytes()).await;
            if round % 2 == 0 {
                peer.write_all(b"tail").unwrap();
            }
            send_urgent(&peer, b'!');
            peer.shutdown(Shutdown::Write).unwrap();
            let (stream, urgent) = rest(&mut probe).await;
            assert_eq!(urgent, b"!", "round {round}");
            assert_eq!(stream, if round % 2 == 0 { &b"tail"[..] } else { b"" });
        }
        for round in 0..100 {
            let (peer, _client, mut probe) = serve(&pool, Listen::tcp(ANY)).await;
            send_urgent(&peer, b'!');
            peer.shutdown(Shutdown::Write).unwrap();
            let (stream, urgent) = rest(&mut probe).await;
            assert_eq!((&stream[..], &urgent[..]), (&b""[..], &b"!"[..]), "{round}");
        }
    });
}

/// XAS-70: a session without the handler does not notice.
#[test]
fn xas_70_a_connection_survives_an_urgent_byte_that_nobody_handles() {
    with_pool(|pool| async move {
        let echo = |client| Echo { client };
        let mut stream = serve_with(&pool, Listen::tcp(ANY).lines(), echo).await;
        peer(move || {
            for _ in 0..100 {
                assert_eq!(exchange(&mut stream, b"ab\n"), b"ab\n");
                send_urgent(&stream, b'!');
                assert_eq!(exchange(&mut stream, b"cd\n"), b"cd\n");
            }
        })
        .await;
    });
}

/// Waits at the first urgent byte until it is let go, on a worker's thread.
struct Slow {
    probe: Recorder,
    gate: Option<mpsc::Receiver<()>>,
}

impl Actor for Slow {
    type Context = SessionContext<Self>;
}

impl Handler<UrgentReceived> for Slow {
    type Result = ();

    fn handle(&mut self, event: UrgentReceived, _: &mut Self::Context) {
        if let Some(gate) = self.gate.take() {
            gate.recv().unwrap();
        }
        self.probe.record(event);
    }
}

impl Handler<DataReceived> for Slow {
    type Result = ();

    fn handle(&mut self, event: DataReceived, _: &mut Self::Context) {
        self.probe.record(event);
    }
}

impl Handler<Closed> for Slow {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        self.probe.record(event);
    }
}

session!(Slow);

/// AC-06: the session is asleep while more come than may wait for it.
#[test]
fn ac_06_a_session_that_falls_behind_finds_the_stream_whole() {
    let builder: PoolBuilder = Pool::builder().shards(1).workers(1);
    with(builder, |pool| async move {
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let (open, gate) = mpsc::channel();
        let gate = Arc::new(Mutex::new(Some(gate)));
        let session = move |_| Slow {
            probe: recorder.clone(),
            gate: gate.lock().unwrap().take(),
        };
        let mut stream = serve_with(&pool, bytes(), session).await;
        let normal = pattern_of_letters(200);
        let sent = normal.clone();
        peer(move || {
            for (at, part) in sent.chunks(4).enumerate() {
                stream.write_all(part).unwrap();
                send_urgent(&stream, b'0' + u8::try_from(at % 10).unwrap());
                // Lets the other side take each of them, as long as it does.
                std::thread::sleep(Duration::from_millis(2));
            }
            stream.shutdown(Shutdown::Write).unwrap();
            open.send(()).unwrap();
            stream
        })
        .await;
        let (stream, told) = rest(&mut probe).await;
        assert!(told.len() >= 16, "{told:?}");
        check_all(&stream, &told, &normal, 4);
    });
}
