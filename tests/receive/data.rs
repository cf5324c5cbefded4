//! Bytes.

use std::io::Write;

use actix::prelude::*;
use bytes::Bytes;
use switchboard::message::*;
use switchboard::{ArmError, Cause, Client, ConnectionOptions, FrameError, Listen, SessionContext};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, MIB, has_read, ms, size};

/// XAS-42.
#[test]
fn xas_42_full_waits_for_a_whole_buffer_and_available_for_any_byte() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvData::full()).unwrap();
        peer.write_all(b"hello world").unwrap();
        has_read(&client, 11).await;
        trace.no_more(ms(50)).await;
        peer.write_all(&[b'x'; 4096 - 11 + 7]).unwrap();
        let data = expect!(trace, DataReceived).data;
        assert_eq!(data.len(), 4096);
        assert!(data.starts_with(b"hello world"));
        client.arm(RecvData::available()).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "x".repeat(7));

        peer.write_all(b"hello world").unwrap();
        client.arm(RecvData::available()).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "hello world");
    });
}

/// XAS-42: a full buffer is what the option says.
#[test]
fn xas_42_full_means_the_receive_buffer_of_the_connection() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).recv_buffer(256).receive(RecvData::full());
        let (mut peer, _, mut trace) = serve(&pool, listen).await;
        peer.write_all(&pattern(300)).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, pattern(300)[..256]);
    });
}

/// XAS-43.
#[test]
fn xas_43_exact_takes_so_many_bytes_and_leaves_the_rest() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"0123456789ab").unwrap();
        for expected in ["01234", "56789"] {
            client.arm(RecvData::exact(size(5))).unwrap();
            assert_eq!(expect!(trace, DataReceived).data, expected);
        }
        client.arm(RecvData::exact(size(5))).unwrap();
        trace.no_more(ms(50)).await;
        peer.write_all(b"cde").unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "abcde");
    });
}

/// XAS-43.
#[test]
fn xas_43_more_than_may_be_asked_for_is_refused_when_arming() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let (asked, limit) = (100 * MIB, 16 * MIB);
        let too_large = Err(ArmError::TooLarge { asked, limit });
        assert_eq!(client.arm(RecvData::exact(size(asked))), too_large);
        assert_eq!(client.arm(RecvLine::once().max(asked)), too_large);
        assert_eq!(client.arm(RecvUntil::delimiter("x").max(asked)), too_large);
        assert_eq!(client.arm(RecvMsg::once().max(asked)), too_large);
        let empty = client.arm(RecvUntil::delimiter(""));
        assert_eq!(empty, Err(ArmError::EmptyDelimiter));
        // None of that has armed anything.
        client.arm(RecvData::exact(size(2))).unwrap();
        peer.write_all(b"ok").unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "ok");
    });
}

/// XAS-43, T-29: one byte per segment, and memory for what came, not for what was asked for.
#[test]
fn xas_43_an_exact_mebibyte_that_dribbles_in_is_one_event() {
    with_pool(|pool| async move {
        let (peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.set_nodelay(true).unwrap();
        client.arm(RecvData::exact(size(MIB))).unwrap();
        let dribble = std::thread::spawn(move || {
            let mut peer = peer;
            for byte in pattern(MIB) {
                peer.write_all(&[byte]).unwrap();
            }
            peer
        });
        let data = expect!(trace, DataReceived).data;
        assert!(data == pattern(MIB), "not the bytes that were sent");
        assert!(trace.so_far().is_empty());
        drop(dribble.join().unwrap());
    });
}

/// ACO-05.
#[test]
fn aco_05_up_to_takes_at_most_so_many_and_keeps_the_rest() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"0123456789").unwrap();
        for (most, expected) in [(4, "0123"), (100, "456789")] {
            client.arm(RecvData::up_to(size(most))).unwrap();
            assert_eq!(expect!(trace, DataReceived).data, expected);
        }
    });
}

/// XAS-44.
#[test]
fn xas_44_received_bytes_are_yours_and_do_not_change() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let mut kept: Vec<Bytes> = Vec::new();
        for n in 0..50_u8 {
            client.arm(RecvData::exact(size(1000))).unwrap();
            peer.write_all(&[n; 1000]).unwrap();
            kept.push(expect!(trace, DataReceived).data);
        }
        for (n, data) in (0..).zip(&kept) {
            assert_eq!(**data, [n; 1000]);
        }
    });
}

/// AC-26.
#[test]
fn ac_26_a_delimiter_is_found_across_every_split() {
    const SCRIPT: &[u8] = b"body\r\n.\r.\r\n.\r\nnext\r\n.\r\n";
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).receive(RecvUntil::delimiter("\r\n.\r\n").always());
        let (mut peer, client, mut trace) = serve(&pool, listen).await;
        let mut sent = 0;
        for position in 1..SCRIPT.len() {
            let (left, right) = SCRIPT.split_at(position);
            for part in [left, right] {
                peer.write_all(part).unwrap();
                sent += part.len();
                has_read(&client, sent).await;
            }
            for body in [&b"body\r\n.\r."[..], b"next"] {
                let data = expect!(trace, DataReceived).data;
                assert_eq!(data, body, "split at {position}");
            }
        }
    });
}

/// AC-26.
#[test]
fn ac_26_a_delimiter_that_does_not_come_closes_at_the_limit() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).receive(RecvUntil::delimiter("--").max(100).always());
        let (mut peer, _, mut trace) = serve(&pool, listen).await;
        peer.write_all(&["x".repeat(100), "x".repeat(101)].join("--").into_bytes())
            .unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "x".repeat(100));
        peer.write_all(b"xx").unwrap();
        let closed = expect!(trace, Closed);
        let (limit, announced) = (100, None);
        let error = FrameError::FrameTooLong { limit, announced };
        assert_eq!(closed.detail.cause, Cause::Frame(error));
    });
}

/// AIO-36.
#[test]
fn aio_36_a_flow_in_random_pieces_arrives_byte_for_byte() {
    const TOTAL: usize = 5_000_000;
    with_pool(|pool| async move {
        let (peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).data()).await;
        let writer = std::thread::spawn(move || {
            let (mut peer, bytes) = (peer, pattern(TOTAL));
            // A fixed pseudo-random sequence of lengths from 1 to 8,191 bytes.
            let (mut at, mut seed) = (0, 12_345_u32);
            while at < TOTAL {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let end = TOTAL.min(at + 1 + (seed >> 19) as usize);
                peer.write_all(&bytes[at..end]).unwrap();
                at = end;
            }
            peer
        });
        let mut got = Vec::with_capacity(TOTAL);
        while got.len() < TOTAL {
            let data = expect!(trace, DataReceived).data;
            assert!(!data.is_empty());
            got.extend_from_slice(&data);
        }
        assert!(got == pattern(TOTAL), "not the bytes that were sent");
        assert_eq!(
            client.arm(RecvLine::once()),
            Err(ArmError::AlreadyReceiving),
            "a flow and single receives do not mix"
        );
        drop(writer.join().unwrap());
    });
}

/// What is sent as records: a line that says how many bytes follow, then these.
struct Records {
    client: Client,
    left: usize,
    expected: usize,
    all: Vec<u8>,
    done: mpsc::UnboundedSender<Vec<u8>>,
}

impl Actor for Records {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Records {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.client.arm(RecvLine::once()).unwrap();
    }
}

impl Handler<LineReceived> for Records {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.expected = msg.line.text().unwrap().parse().unwrap();
        self.client
            .arm(RecvData::exact(size(self.expected)))
            .unwrap();
    }
}

impl Handler<DataReceived> for Records {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        assert_eq!(msg.data.len(), self.expected);
        self.all.extend_from_slice(&msg.data);
        self.left -= 1;
        if self.left == 0 {
            self.done.send(std::mem::take(&mut self.all)).unwrap();
        } else {
            self.client.arm(RecvLine::once()).unwrap();
        }
    }
}

switchboard::session!(Records);

/// XAS-36, XAS-43.
#[test]
fn changing_between_lines_and_exact_bytes_in_mid_stream_loses_nothing() {
    const RECORDS: usize = 2_000;
    with_pool(|pool| async move {
        let (done, mut whole) = mpsc::unbounded_channel();
        let mut peer = serve_with(&pool, Listen::tcp(ANY), move |client| Records {
            client,
            left: RECORDS,
            expected: 0,
            all: Vec::new(),
            done: done.clone(),
        })
        .await;
        let (mut stream, mut bodies) = (Vec::new(), Vec::new());
        let source = pattern(10_000);
        for n in 0..RECORDS {
            // The body is full of line endings that are none.
            let body = [&source[n..n + 1 + n % 700], b"\r\n"].concat();
            stream.extend_from_slice(format!("{}\r\n", body.len()).as_bytes());
            stream.extend_from_slice(&body);
            bodies.extend_from_slice(&body);
        }
        let writer = std::thread::spawn(move || {
            for part in stream.chunks(977) {
                peer.write_all(part).unwrap();
            }
            peer
        });
        assert!(whole.recv().await.unwrap() == bodies, "a byte is lost");
        drop(writer.join().unwrap());
    });
}
