//! Receiving: what is armed is delivered, whole, in order and once; what is not armed is not read.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use switchboard::message::*;
use switchboard::{
    ArmError, Cause, Client, ClosedReason, ConnectionOptions, Encoding, FrameError, Handlers,
    LineEnding, LineRule, Listen, Pool, TimeoutKind, Token,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

const ANY: &str = "127.0.0.1:0";
const MIB: usize = 1024 * 1024;

fn size(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).unwrap()
}

fn times(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits until the connection has read so many bytes in all.
async fn has_read(client: &Client, bytes: usize) {
    until(|| client.info().activity.bytes_in >= bytes as u64).await;
}

async fn text(trace: &mut Trace) -> String {
    expect!(trace, LineReceived).line.text().unwrap().into()
}

/// A thread that writes the same block again and again.
struct Flood {
    written: Arc<AtomicUsize>,
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Flood {
    /// Writes so many bytes, or fewer if the connection ends before.
    fn begin(stream: &TcpStream, block: Vec<u8>, total: usize) -> Self {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let mut writer = stream.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            while count.load(Ordering::Relaxed) < total {
                match writer.write(&block) {
                    Ok(more) => _ = count.fetch_add(more, Ordering::Relaxed),
                    Err(_) => break,
                }
            }
        });
        let stream = stream.try_clone().unwrap();
        Self {
            written,
            stream,
            thread,
        }
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until it has written nothing for a while: TCP holds it back.
    async fn stalls(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.written();
            tokio::time::sleep(ms(150)).await;
            if self.written() == before {
                return before;
            }
            assert!(Instant::now() < deadline, "the peer is never held back");
        }
    }

    /// Breaks it off, wherever it is.
    fn end(self) {
        // A connection that is over already needs no shutdown.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.thread.join().unwrap();
    }
}

/// The most by which resident memory grows until something is so.
async fn growth_until(mut is_so: impl FnMut() -> bool) -> usize {
    let (before, mut most) = (resident(), 0);
    until(|| {
        most = most.max(resident());
        is_so()
    })
    .await;
    most.saturating_sub(before)
}

// One receive after the other.

/// XAS-30.
#[test]
fn xas_30_what_a_peer_sends_before_anything_is_armed_waits_for_it() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"early\nbird\n").unwrap();
        trace.nothing_for(ms(300)).await;
        assert_eq!(
            client.info().activity.bytes_in,
            0,
            "read without being asked"
        );
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "early");
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "bird");
    });
}

/// XAS-30: the first receive can be preset.
#[test]
fn xas_30_a_preset_receive_is_armed_before_the_first_byte() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).receive(RecvData::exact(size(4)));
        let (mut peer, client, mut trace) = serve(&pool, listen).await;
        peer.write_all(b"fourmore").unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "four");
        assert!(!client.info().activity.receiving);
        trace.nothing_for(ms(50)).await;
    });
}

/// Arms the next receive inside the handler of the one before.
struct OneByOne {
    client: Client,
    receive: RecvLine,
    left: usize,
    lines: mpsc::UnboundedSender<String>,
}

impl Actor for OneByOne {
    type Context = Context<Self>;
}

impl Handler<Accepted> for OneByOne {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.client.arm(self.receive.clone()).unwrap();
    }
}

impl Handler<LineReceived> for OneByOne {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.lines.send(msg.line.text().unwrap().into()).unwrap();
        self.left -= 1;
        if self.left > 0 {
            self.client.arm(self.receive.clone()).unwrap();
        }
    }
}

switchboard::session!(OneByOne);

/// XAS-36.
#[test]
fn xas_36_lines_of_one_segment_come_one_per_receive_and_in_order() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"one\ntwo\nthree\n").unwrap();
        for line in ["one", "two", "three"] {
            client.arm(RecvLine::once()).unwrap();
            assert_eq!(text(&mut trace).await, line);
            assert!(trace.so_far().is_empty(), "a receive completes once");
        }
    });
}

/// XAS-36.
#[test]
fn xas_36_the_next_receive_can_be_armed_in_the_handler_of_the_last() {
    with_pool(|pool| async move {
        let (lines, mut seen) = mpsc::unbounded_channel();
        let mut peer = serve_with(&pool, Listen::tcp(ANY), move |client| OneByOne {
            client,
            receive: RecvLine::once(),
            left: 3,
            lines: lines.clone(),
        })
        .await;
        peer.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
        for line in ["one", "two", "three"] {
            assert_eq!(seen.recv().await.unwrap(), line);
        }
    });
}

/// XAS-36: a receive can be for several frames.
#[test]
fn a_receive_for_n_frames_completes_n_times_and_no_more() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once().times(times(3))).unwrap();
        peer.write_all(b"1\n2\n").unwrap();
        assert_eq!(text(&mut trace).await, "1");
        assert_eq!(text(&mut trace).await, "2");
        assert!(client.info().activity.receiving);
        peer.write_all(b"3\n4\n5\n").unwrap();
        assert_eq!(text(&mut trace).await, "3");
        trace.nothing_for(ms(50)).await;
        assert!(!client.info().activity.receiving);
        client.arm(RecvLine::once().always()).unwrap();
        assert_eq!(text(&mut trace).await, "4");
        assert_eq!(text(&mut trace).await, "5");
    });
}

/// XAS-41: cancelling makes room for another receive.
#[test]
fn a_cancelled_receive_brings_nothing_and_leaves_every_byte() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        assert!(!client.cancel_recv(), "nothing is armed");
        client.arm(RecvLine::once().timeout(ms(100))).unwrap();
        peer.write_all(b"par").unwrap();
        has_read(&client, 3).await;
        assert!(client.cancel_recv());
        assert!(!client.cancel_recv());
        // Its deadline is gone with it.
        trace.nothing_for(ms(200)).await;
        client.arm(RecvData::available()).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "par");
    });
}

/// XAS-36, XAS-41: the same as messages to the connection's actor.
#[test]
fn receives_can_be_armed_and_cancelled_by_message() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let actor = client.addr().unwrap();
        assert_eq!(actor.send(RecvLine::once()).await.unwrap(), Ok(()));
        let second = actor.send(RecvData::full()).await.unwrap();
        assert_eq!(second, Err(ArmError::AlreadyReceiving));
        peer.write_all(b"line\ndata").unwrap();
        assert_eq!(text(&mut trace).await, "line");
        assert_eq!(actor.send(RecvData::full()).await.unwrap(), Ok(()));
        assert!(actor.send(CancelRecv {}).await.unwrap());
        assert_eq!(actor.send(RecvUntil::delimiter("t")).await.unwrap(), Ok(()));
        assert_eq!(expect!(trace, DataReceived).data, "da");
    });
}

/// XAS-41.
#[test]
fn xas_41_a_second_receive_is_refused_and_the_first_still_completes_once() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once()).unwrap();
        for second in [
            client.arm(RecvData::available()),
            client.arm(RecvLine::once()),
            client.arm(RecvMsg::once()),
            client.try_recv(1).map(|_| ()),
            client.set_interest(true, false),
        ] {
            assert_eq!(second, Err(ArmError::AlreadyReceiving));
        }
        peer.write_all(b"once\nrest").unwrap();
        assert_eq!(text(&mut trace).await, "once");
        trace.nothing_for(ms(50)).await;
        client.arm(RecvData::available()).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "rest");
    });
}

// Lines.

/// XAS-37, AMB-01.
#[test]
fn xas_37_each_line_rule_ends_lines_and_treats_crs_as_it_says() {
    const SCRIPT: &[u8] = b"a\r\nb\nc\r\r\na\rb\n\n\r\n";
    use LineEnding::{CrLf, Lf};
    with_pool(|pool| async move {
        for (rule, expected) in [
            (
                LineRule::Lenient,
                [
                    ("a", CrLf),
                    ("b", Lf),
                    ("c\r", CrLf),
                    ("a\rb", Lf),
                    ("", Lf),
                    ("", CrLf),
                ],
            ),
            (
                LineRule::StripAllCr,
                [
                    ("a", Lf),
                    ("b", Lf),
                    ("c", Lf),
                    ("ab", Lf),
                    ("", Lf),
                    ("", Lf),
                ],
            ),
            (
                LineRule::Lf,
                [
                    ("a\r", Lf),
                    ("b", Lf),
                    ("c\r\r", Lf),
                    ("a\rb", Lf),
                    ("", Lf),
                    ("\r", Lf),
                ],
            ),
        ] {
            let listen = Listen::tcp(ANY).line_rule(rule).lines();
            let (mut peer, _, mut trace) = serve(&pool, listen).await;
            peer.write_all(SCRIPT).unwrap();
            for (body, ending) in expected {
                let line = expect!(trace, LineReceived).line;
                assert_eq!(line.text().unwrap(), body, "{rule:?}");
                assert_eq!(line.ending(), ending, "{rule:?} {body:?}");
            }
            trace.nothing_for(ms(20)).await;
        }
    });
}

/// XAS-37.
#[test]
fn xas_37_the_strict_rule_takes_cr_lf_only_and_names_what_breaks_it() {
    with_pool(|pool| async move {
        for (script, error) in [
            (&b"ok\r\n\r\nbad\n"[..], FrameError::BareLf),
            (b"ok\r\n\r\nb\rad\r\n", FrameError::BareCr),
            (b"ok\r\n\r\nbad\r\r\n", FrameError::BareCr),
        ] {
            let listen = Listen::tcp(ANY).line_rule(LineRule::CrLf).lines();
            let (mut peer, _, mut trace) = serve(&pool, listen).await;
            peer.write_all(script).unwrap();
            assert_eq!(text(&mut trace).await, "ok");
            assert_eq!(text(&mut trace).await, "");
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            assert_eq!(closed.detail.cause, Cause::Frame(error));
        }
    });
}

/// XAS-37, T-10.
#[test]
fn xas_37_cr_and_lf_in_different_segments_are_one_ending() {
    with_pool(|pool| async move {
        for rule in [LineRule::Lenient, LineRule::StripAllCr, LineRule::CrLf] {
            let listen = Listen::tcp(ANY).line_rule(rule).lines();
            let (mut peer, client, mut trace) = serve(&pool, listen).await;
            peer.write_all(b"x\r").unwrap();
            has_read(&client, 2).await;
            assert!(trace.so_far().is_empty(), "a CR alone ends no line");
            peer.write_all(b"\ny\r\n").unwrap();
            assert_eq!(text(&mut trace).await, "x", "{rule:?}");
            assert_eq!(text(&mut trace).await, "y", "{rule:?}");
        }
    });
}

/// XAS-38, AMB-18.
#[test]
fn xas_38_a_line_of_the_limit_passes_whatever_its_ending() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).max_line(4096).lines()).await;
        let body = pattern(4096)
            .iter()
            .map(|n| b'a' + n % 26)
            .collect::<Vec<_>>();
        for ending in ["\n", "\r\n"] {
            peer.write_all(&[&body, ending.as_bytes()].concat())
                .unwrap();
            assert_eq!(expect!(trace, LineReceived).line.as_bytes(), body);
        }
    });
}

/// XAS-38.
#[test]
fn xas_38_a_line_over_the_limit_closes_with_an_error_that_names_it() {
    with_pool(|pool| async move {
        for ending in ["\n", "\r\n", ""] {
            let listen = Listen::tcp(ANY).max_line(4096).lines();
            let (mut peer, _, mut trace) = serve(&pool, listen).await;
            let line = "x".repeat(4097) + ending;
            peer.write_all(line.as_bytes()).unwrap();
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let limit = 4096;
            let cause = &closed.detail.cause;
            assert_eq!(*cause, Cause::Frame(FrameError::LineTooLong { limit }));
            assert_eq!(cause.to_string(), "line is longer than 4096 bytes");
            assert_eq!(
                closed.detail.unread, line,
                "what was not delivered comes back"
            );
        }
    });
}

/// XAS-38: the CRs do not count, and are no way around the limit either.
#[test]
fn xas_38_crs_that_are_dropped_do_not_count_but_are_bounded() {
    with_pool(|pool| async move {
        let listen = || {
            let listen = Listen::tcp(ANY).line_rule(LineRule::StripAllCr);
            listen.max_line(1000).lines()
        };
        let (mut peer, _, mut trace) = serve(&pool, listen()).await;
        peer.write_all(&[&b"x\r".repeat(1000)[..], b"\n"].concat())
            .unwrap();
        assert_eq!(text(&mut trace).await, "x".repeat(1000));
        let (mut peer, _, mut trace) = serve(&pool, listen()).await;
        peer.write_all(&[b'\r'; 4000]).unwrap();
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::Error);
    });
}

/// XAS-38.
#[test]
fn xas_38_a_line_that_never_ends_costs_no_memory() {
    if !alone("xas_38_a_line_that_never_ends_costs_no_memory") {
        return;
    }
    with_pool(|pool| async move {
        let listen = || Listen::tcp(ANY).lines();
        // The first connection touches memory that stays.
        for _ in 0..2 {
            let (peer, _, mut trace) = serve(&pool, listen()).await;
            let before = resident();
            let flood = Flood::begin(&peer, vec![b'x'; 64 * 1024], 32 * MIB);
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let unread = closed.detail.unread.len();
            assert!(unread < 512 * 1024, "{unread} bytes were kept");
            drop(closed);
            let grown = growth_until(|| flood.thread.is_finished()).await;
            let grown = grown.max(resident().saturating_sub(before));
            assert!(grown < 2 * MIB, "memory grew by {grown} bytes");
            flood.end();
        }
    });
}

/// XAS-39.
#[test]
fn xas_39_an_undecodable_line_is_a_line_and_the_next_one_is_fine() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        peer.write_all(b"\xFF\xFE\nok\nab\xC3\nna\xC3\xAFve\n")
            .unwrap();
        let line = expect!(trace, LineReceived).line;
        assert_eq!(line.as_bytes(), b"\xFF\xFE");
        let error = line.text().unwrap_err();
        assert_eq!((error.encoding, error.valid_up_to), (Encoding::Utf8, 0));
        assert_eq!(text(&mut trace).await, "ok");
        let line = expect!(trace, LineReceived).line;
        assert_eq!(line.text().unwrap_err().valid_up_to, 2);
        assert_eq!(text(&mut trace).await, "naïve");
    });
}

/// XAS-39, T-10: a character whose bytes come in two segments.
#[test]
fn xas_39_a_character_split_between_segments_is_whole() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        peer.write_all(b"caf\xC3").unwrap();
        has_read(&client, 4).await;
        peer.write_all(b"\xA9\n").unwrap();
        assert_eq!(text(&mut trace).await, "café");
    });
}

/// XAS-40.
#[test]
fn xas_40_each_receive_can_name_its_encoding_and_each_is_strict() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).encoding(Encoding::Latin1);
        let (mut peer, client, mut trace) = serve(&pool, listen).await;
        peer.write_all(b"\xE9\n\xE9\n\xE9\nplain\n\x82\xA0\n")
            .unwrap();
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "é");
        for encoding in [Encoding::Ascii, Encoding::Utf8] {
            client.arm(RecvLine::once().encoding(encoding)).unwrap();
            let line = expect!(trace, LineReceived).line;
            assert_eq!(line.text().unwrap_err().encoding, encoding);
        }
        client
            .arm(RecvLine::once().encoding(Encoding::Ascii))
            .unwrap();
        assert_eq!(text(&mut trace).await, "plain");
        let japanese = Encoding::for_label("shift_jis").unwrap();
        client.arm(RecvLine::once().encoding(japanese)).unwrap();
        assert_eq!(text(&mut trace).await, "あ");
    });
    assert_eq!(Encoding::for_label("no-such").unwrap_err().label, "no-such");
    assert!(
        Encoding::for_label("utf-16").is_err(),
        "not splittable at LF"
    );
}

/// XAS-45.
#[test]
fn xas_45_a_line_in_two_segments_is_one_line() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once()).unwrap();
        peer.write_all(b"hel").unwrap();
        has_read(&client, 3).await;
        trace.nothing_for(ms(50)).await;
        peer.write_all(b"lo\n").unwrap();
        assert_eq!(text(&mut trace).await, "hello");
    });
}

/// XAS-45.
#[test]
fn xas_45_three_lines_survive_a_split_at_every_position() {
    const SCRIPT: &[u8] = b"first\r\ncaf\xC3\xA9\n\rthird\r\n";
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        let mut sent = 0;
        for position in 1..SCRIPT.len() {
            let (left, right) = SCRIPT.split_at(position);
            for part in [left, right] {
                peer.write_all(part).unwrap();
                sent += part.len();
                has_read(&client, sent).await;
            }
            for line in ["first", "café", "\rthird"] {
                assert_eq!(text(&mut trace).await, line, "split at {position}");
            }
        }
        assert!(trace.so_far().is_empty());
    });
}

// Bytes.

/// XAS-42.
#[test]
fn xas_42_full_waits_for_a_whole_buffer_and_available_for_any_byte() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvData::full()).unwrap();
        peer.write_all(b"hello world").unwrap();
        has_read(&client, 11).await;
        trace.nothing_for(ms(50)).await;
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
        trace.nothing_for(ms(50)).await;
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
    type Context = Context<Self>;
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

// Messages.

/// ACO-08.
#[test]
fn aco_08_a_message_is_its_length_in_four_big_endian_bytes_and_its_bytes() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.send_msg("hi", None).unwrap();
        client.send_msg("", Some(Token(7))).unwrap();
        client.send_msg(vec![b'x'; 70_000], None).unwrap();
        assert_eq!(read_exact(&mut peer, 6), b"\x00\x00\x00\x02hi");
        assert_eq!(read_exact(&mut peer, 4), b"\x00\x00\x00\x00");
        assert_eq!(expect!(trace, Sent).token, Token(7));
        assert_eq!(read_exact(&mut peer, 4), b"\x00\x01\x11\x70");
        assert_eq!(read_exact(&mut peer, 70_000), vec![b'x'; 70_000]);
    });
}

/// ACO-09.
#[test]
fn aco_09_messages_survive_a_split_at_every_byte_and_an_empty_one_is_one() {
    const SCRIPT: &[u8] = b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05hello";
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
        let mut sent = 0;
        for position in 1..SCRIPT.len() {
            let (left, right) = SCRIPT.split_at(position);
            for part in [left, right] {
                peer.write_all(part).unwrap();
                sent += part.len();
                has_read(&client, sent).await;
            }
            for message in ["hi", "", "hello"] {
                let got = expect!(trace, MessageReceived).message;
                assert_eq!(got, message, "split at {position}");
            }
        }
    });
}

/// ACO-09.
#[test]
fn aco_09_an_end_between_messages_is_the_peers_and_one_within_is_an_error() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
        peer.write_all(b"\0\0\0\x02hi").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, MessageReceived).message, "hi");
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);

        for part in [&b"\0\0"[..], b"\0\0\0\x05", b"\0\0\0\x05hell"] {
            let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
            peer.write_all(part).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let received = part.len();
            assert_eq!(closed.detail.cause, Cause::TruncatedMessage { received });
        }
    });
}

/// ACO-10.
#[test]
fn aco_10_an_announced_giant_closes_at_once_and_costs_no_memory() {
    if !alone("aco_10_an_announced_giant_closes_at_once_and_costs_no_memory") {
        return;
    }
    with_pool(|pool| async move {
        let mut before = 0;
        for round in 0..3 {
            let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
            peer.write_all(b"\xFF\xFF\xFF\xFF").unwrap();
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let (limit, announced) = (16 * MIB, Some(0xFFFF_FFFF));
            let error = FrameError::FrameTooLong { limit, announced };
            assert_eq!(closed.detail.cause, Cause::Frame(error));
            if round == 0 {
                before = resident();
            }
        }
        // One that is allowed costs what has come of it, not what it says.
        let (mut peer, client, _trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
        peer.write_all(b"\x01\0\0\0begun").unwrap();
        has_read(&client, 9).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < MIB, "memory grew by {grown} bytes");
    });
}

// Deadlines.

/// XAS-46.
#[test]
fn xas_46_a_receive_that_does_not_complete_in_time_closes_with_timeout() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let armed = Instant::now();
        client.arm(RecvLine::once().timeout(ms(300))).unwrap();
        let trickle = std::thread::spawn(move || {
            // The peer's pace; the deadline does not care about it.
            for _ in 0..12 {
                if peer.write_all(b"x").is_err() {
                    break;
                }
                std::thread::sleep(ms(50));
            }
            peer
        });
        let closed = expect!(trace, Closed);
        let took = armed.elapsed();
        assert!((ms(300)..=ms(400)).contains(&took), "{took:?}");
        assert_eq!(closed.reason, ClosedReason::Timeout);
        let (kind, after) = (TimeoutKind::Receive, ms(300));
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
        assert!(closed.detail.unread.starts_with(b"xxx"));
        drop(trickle.join().unwrap());
    });
}

/// XAS-46.
#[test]
fn xas_46_a_receive_that_completes_in_time_leaves_no_deadline_behind() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once().timeout(ms(300))).unwrap();
        trace.nothing_for(ms(250)).await;
        peer.write_all(b"in time\n").unwrap();
        assert_eq!(text(&mut trace).await, "in time");
        trace.nothing_for(ms(350)).await;
        assert!(!client.is_closed());
    });
}

/// XAS-46, AMB-05.
#[test]
fn xas_46_a_deadline_that_reports_leaves_the_connection_and_the_bytes() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let armed = Instant::now();
        client
            .arm(RecvLine::once().timeout(ms(100)).report_timeout())
            .unwrap();
        peer.write_all(b"hel").unwrap();
        assert_eq!(expect!(trace, Idle).kind, TimeoutKind::Receive);
        let took = armed.elapsed();
        assert!((ms(100)..=ms(200)).contains(&took), "{took:?}");
        assert!(!client.info().activity.receiving);
        peer.write_all(b"lo\n").unwrap();
        client.arm(RecvLine::once()).unwrap();
        assert_eq!(text(&mut trace).await, "hello");
    });
}

/// XAS-46, AMB-19.
#[test]
fn xas_46_a_deadline_of_zero_is_refused() {
    with_pool(|pool| async move {
        let (_peer, client, _trace) = serve(&pool, Listen::tcp(ANY)).await;
        let zero = client.arm(RecvLine::once().timeout(Duration::ZERO));
        assert_eq!(zero, Err(ArmError::ZeroTimeout));
        assert!(!client.info().activity.receiving);
    });
}

/// XAS-46: each repetition has its own time.
#[test]
fn xas_46_a_repeated_receive_counts_from_the_last_delivery() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).receive(RecvLine::once().always().timeout(ms(200)));
        let (mut peer, _, mut trace) = serve(&pool, listen).await;
        for _ in 0..3 {
            // Three waits that are together longer than one deadline.
            trace.nothing_for(ms(100)).await;
            peer.write_all(b"tick\n").unwrap();
            assert_eq!(text(&mut trace).await, "tick");
        }
        let last = Instant::now();
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::Timeout);
        let took = last.elapsed();
        assert!((ms(180)..=ms(300)).contains(&took), "{took:?}");
    });
}

/// XAS-47, T-08.
#[test]
fn xas_47_a_thousand_deadlines_that_were_kept_never_fire() {
    with_pool(|pool| async move {
        let (lines, mut seen) = mpsc::unbounded_channel();
        let mut peer = serve_with(&pool, Listen::tcp(ANY).lines(), |client| Shout { client }).await;
        let mut timed = serve_with(&pool, Listen::tcp(ANY), move |client| OneByOne {
            client,
            receive: RecvLine::once().timeout(ms(100)),
            left: 1_000,
            lines: lines.clone(),
        })
        .await;
        let script: String = (0..1_000).map(|n| format!("{n}\n")).collect();
        timed.write_all(script.as_bytes()).unwrap();
        for n in 0..1_000 {
            assert_eq!(seen.recv().await.unwrap(), n.to_string());
        }
        // Ten deadlines' length: nothing comes of any of them, and others live on beside it.
        let client = pool.connections().await.unwrap();
        assert_eq!(client.len(), 2);
        tokio::time::sleep(ms(1000)).await;
        assert_eq!(pool.connections().await.unwrap().len(), 2, "still open");
        assert_eq!(exchange(&mut peer, b"alive\n"), b"ALIVE\n");
    });
}

/// Answers every line in capitals.
struct Shout {
    client: Client,
}

impl Actor for Shout {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Shout {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.client
            .send_line(&msg.line.to_ascii_uppercase())
            .unwrap();
    }
}

switchboard::session!(Shout);

// The peer's end.

/// XAS-48.
#[test]
fn xas_48_an_unfinished_line_is_not_delivered_but_handed_back() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.arm(RecvLine::once()).unwrap();
        peer.write_all(b"abc").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.unread, "abc");
    });
}

/// XAS-49: the part with a receive armed.
#[test]
fn xas_49_a_peer_that_leaves_a_waiting_receive_is_noticed_at_once() {
    with_pool(|pool| async move {
        for (resets, reason) in [
            (false, ClosedReason::ClosedByPeer),
            (true, ClosedReason::Error),
        ] {
            let (peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
            client.arm(RecvLine::once()).unwrap();
            until(|| client.info().activity.receiving).await;
            if resets {
                reset_on_close(&peer);
            }
            let left = Instant::now();
            drop(peer);
            let closed = expect!(trace, Closed);
            let took = left.elapsed();
            assert!(took < ms(200), "{took:?}");
            assert_eq!(closed.reason, reason);
        }
    });
}

/// XAS-49, AMB-04: unread bytes come first.
#[test]
fn xas_49_what_a_leaving_peer_had_sent_is_delivered_before_its_end() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        peer.write_all(b"last\nwords\n").unwrap();
        drop(peer);
        for line in ["last", "words"] {
            client.arm(RecvLine::once()).unwrap();
            assert_eq!(text(&mut trace).await, line);
        }
        // Whether the end was seen together with the last line or not, it is told as the peer's.
        let _ = client.arm(RecvLine::once());
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
    });
}

/// XAS-49: what comes before the peer's end, or before its mistake, is answered.
#[test]
fn xas_49_the_last_line_before_an_end_or_a_mistake_is_answered() {
    with_pool(|pool| async move {
        for (script, finishes) in [("one\ntwo\n", true), ("one\ntwo\nmuch too long\n", false)] {
            let listen = Listen::tcp(ANY).max_line(3).lines();
            let mut peer = serve_with(&pool, listen, |client| Shout { client }).await;
            peer.write_all(script.as_bytes()).unwrap();
            if finishes {
                peer.shutdown(Shutdown::Write).unwrap();
            }
            assert_eq!(read_all(&mut peer), b"ONE\nTWO\n", "{script:?}");
        }
    });
}

/// AIO-37.
#[test]
fn aio_37_a_half_closed_peer_that_is_kept_gets_everything_and_then_the_end() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve_full(&pool, Listen::tcp(ANY).data()).await;
        peer.write_all(b"request").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "request");
        expect!(trace, PeerFinished).keep_open();
        assert_eq!(client.arm(RecvLine::once()), Err(ArmError::PeerFinished));
        client.send_with(pattern(MIB), Token(1)).unwrap();
        let reader = std::thread::spawn(move || {
            let got = read_all(&mut peer);
            (peer, got)
        });
        loop {
            match trace.next().await {
                ClientEvent::Sent(sent) => break assert_eq!(sent.bytes, MIB),
                ClientEvent::WritePaused(_) | ClientEvent::WriteResumed(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        assert!(!client.is_closed(), "it stays until we close it");
        client.close();
        let closed = loop {
            match trace.next().await {
                ClientEvent::Closed(closed) => break closed,
                ClientEvent::WriteResumed(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        };
        assert_eq!(closed.reason, ClosedReason::ClosedByHost);
        let (_peer, got) = reader.join().unwrap();
        assert!(got == pattern(MIB), "not the bytes that were sent");
    });
}

/// AIO-37.
#[test]
fn aio_37_without_an_answer_the_peers_end_closes_the_connection() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve_full(&pool, Listen::tcp(ANY).data()).await;
        peer.write_all(b"x").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, DataReceived).data, "x");
        drop(expect!(trace, PeerFinished));
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
        assert_eq!(read_all(&mut peer), b"");
    });
}

// What a session cannot take.

/// Takes bytes, and nothing else.
struct BytesOnly {
    events: mpsc::UnboundedSender<ClientEvent>,
}

impl Actor for BytesOnly {
    type Context = Context<Self>;
}

impl Handler<DataReceived> for BytesOnly {
    type Result = ();

    fn handle(&mut self, event: DataReceived, _: &mut Self::Context) {
        self.events.send(ClientEvent::DataReceived(event)).unwrap();
    }
}

impl Handler<Closed> for BytesOnly {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        self.events.send(ClientEvent::Closed(event)).unwrap();
    }
}

switchboard::session!(BytesOnly);

/// The first connection of a pool.
async fn first_of(pool: &Pool) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(info) = pool.connections().await.unwrap().first() {
            return pool.connection(info.id).await.unwrap();
        }
        assert!(Instant::now() < deadline, "no connection comes");
        // Nothing tells a session without `Accepted` of its connection.
        tokio::time::sleep(ms(1)).await;
    }
}

/// A clear error, never silence.
#[test]
fn arming_what_the_session_does_not_handle_is_refused_by_name() {
    with_pool(|pool| async move {
        let (events, mut seen) = trace();
        let mut peer = serve_with(&pool, Listen::tcp(ANY), move |_| BytesOnly {
            events: events.clone(),
        })
        .await;
        let client = first_of(&pool).await;
        for (refused, event) in [
            (client.arm(RecvLine::once()), "LineReceived"),
            (client.arm(RecvMsg::once()), "MessageReceived"),
            (client.set_interest(true, false), "Readable"),
            (client.set_interest(false, true), "Writable"),
        ] {
            assert_eq!(refused, Err(ArmError::NoHandler { event }));
        }
        client.arm(RecvData::available()).unwrap();
        peer.write_all(b"fine").unwrap();
        assert_eq!(expect!(seen, DataReceived).data, "fine");
    });
}

/// The same when the receive is preset.
#[test]
fn listening_for_what_the_session_does_not_handle_is_refused_by_name() {
    with_pool(|pool| async move {
        let (events, _seen) = trace();
        let session = move |_| BytesOnly {
            events: events.clone(),
        };
        let error = pool.listen(Listen::tcp(ANY).lines(), session).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains("does not handle LineReceived"), "{error}");
    });
}

/// What a list of recipients takes is only known when a peer is there.
#[test]
fn handlers_that_cannot_take_the_preset_receive_end_the_connection_by_name() {
    with_pool(|pool| async move {
        let (events, mut seen) = trace();
        let address = BytesOnly { events }.start();
        let mut peer = serve_with(&pool, Listen::tcp(ANY).lines(), move |_| {
            let handlers = Handlers::new().data(address.clone().recipient());
            handlers.closed(address.clone().recipient())
        })
        .await;
        let closed = expect!(seen, Closed);
        assert_eq!(closed.reason, ClosedReason::Error);
        let event = "LineReceived";
        assert_eq!(closed.detail.cause, Cause::NoHandler { event });
        drop(closed);
        assert_eq!(read_all(&mut peer), b"");
    });
}

// Readiness mode.

/// Takes what is readable, so many bytes at a time.
struct Taker {
    client: Client,
    most: usize,
    taken: mpsc::UnboundedSender<Bytes>,
}

impl Actor for Taker {
    type Context = Context<Self>;
}

impl Handler<Readable> for Taker {
    type Result = ();

    fn handle(&mut self, _: Readable, _: &mut Self::Context) {
        if let Some(bytes) = self.client.try_recv(self.most).unwrap() {
            self.taken.send(bytes).unwrap();
        }
    }
}

switchboard::session!(Taker);

async fn taker(pool: &Pool, most: usize) -> (TcpStream, Client, mpsc::UnboundedReceiver<Bytes>) {
    let (taken, seen) = mpsc::unbounded_channel();
    let peer = serve_with(pool, Listen::tcp(ANY), move |client| Taker {
        client,
        most,
        taken: taken.clone(),
    })
    .await;
    let client = first_of(pool).await;
    (peer, client, seen)
}

/// AC-04.
#[test]
fn ac_04_readable_is_told_again_while_bytes_are_left() {
    with_pool(|pool| async move {
        let (mut peer, client, mut taken) = taker(&pool, 4).await;
        client.set_interest(true, false).unwrap();
        peer.write_all(b"0123456789").unwrap();
        for expected in ["0123", "4567", "89"] {
            assert_eq!(taken.recv().await.unwrap(), expected);
        }
        peer.write_all(b"ab").unwrap();
        assert_eq!(taken.recv().await.unwrap(), "ab");
    });
}

/// AC-11.
#[test]
fn ac_11_without_interest_the_peers_bytes_stay_in_the_kernel() {
    with_pool(|pool| async move {
        let (peer, client, mut taken) = taker(&pool, usize::MAX).await;
        let script = pattern(64 * MIB);
        let (peer, sent, script) = peer_stuffs(peer, script).await;
        assert!(sent < script.len(), "the window closes");
        assert_eq!(client.info().activity.bytes_in, 0);
        client.set_interest(true, false).unwrap();
        let mut got = Vec::new();
        while got.len() < sent {
            got.extend_from_slice(&taken.recv().await.unwrap());
        }
        assert!(got == script[..sent], "not the bytes that were sent");
        // Off again: nothing is told any more.
        client.set_interest(false, false).unwrap();
        (&peer).write_all(b"later").unwrap();
        tokio::time::timeout(ms(100), taken.recv())
            .await
            .unwrap_err();
    });
}

async fn peer_stuffs(stream: TcpStream, bytes: Vec<u8>) -> (TcpStream, usize, Vec<u8>) {
    peer(move || {
        let sent = stuff(&stream, &bytes);
        (stream, sent, bytes)
    })
    .await
}

/// AC-15.
#[test]
fn ac_15_taking_when_nothing_is_there_is_none_and_no_end() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        assert_eq!(client.try_recv(10), Ok(None));
        assert!(!client.is_closed());
        client.set_interest(true, false).unwrap();
        peer.write_all(b"abc").unwrap();
        expect!(trace, Readable);
        assert_eq!(client.try_recv(0), Ok(None));
        assert_eq!(client.try_recv(2).unwrap().unwrap(), "ab");
        assert_eq!(client.try_recv(10).unwrap().unwrap(), "c");
        assert_eq!(client.try_recv(10), Ok(None));
        drop(peer);
        let closed = loop {
            match trace.next().await {
                ClientEvent::Readable(_) => {}
                ClientEvent::Closed(closed) => break closed,
                other => panic!("unexpected {other:?}"),
            }
        };
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(client.try_recv(10), Err(ArmError::Closed));
    });
}

/// Sends a byte whenever there is room, so many times; then it has no interest any more.
struct Pump {
    client: Client,
    left: usize,
    told: Arc<AtomicUsize>,
}

impl Actor for Pump {
    type Context = Context<Self>;
}

impl Handler<Writable> for Pump {
    type Result = ();

    fn handle(&mut self, _: Writable, _: &mut Self::Context) {
        self.told.fetch_add(1, Ordering::Relaxed);
        self.client.send(b"x").unwrap();
        self.left -= 1;
        if self.left == 0 {
            self.client.set_interest(false, false).unwrap();
        }
    }
}

switchboard::session!(Pump);

/// AC-05.
#[test]
fn ac_05_writable_is_told_while_the_interest_is_on_and_costs_nothing_when_off() {
    if !alone("ac_05_writable_is_told_while_the_interest_is_on_and_costs_nothing_when_off") {
        return;
    }
    with_pool(|pool| async move {
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let mut peer = serve_with(&pool, Listen::tcp(ANY), move |client| Pump {
            client,
            left: 100,
            told: Arc::clone(&count),
        })
        .await;
        let client = first_of(&pool).await;
        tokio::time::sleep(ms(50)).await;
        assert_eq!(told.load(Ordering::Relaxed), 0, "nobody is interested yet");
        client.set_interest(false, true).unwrap();
        assert_eq!(read_exact(&mut peer, 100), [b'x'; 100]);
        let before = processor_time();
        // A busy loop would use all of this time.
        tokio::time::sleep(ms(300)).await;
        let spent = processor_time() - before;
        assert_eq!(told.load(Ordering::Relaxed), 100);
        assert!(spent < ms(30), "{spent:?} of 300 ms were spent on nothing");
    });
}

// Back-pressure.

/// T-02, XAS-30.
#[test]
fn t_02_with_nothing_armed_the_peers_writes_stall() {
    with_pool(|pool| async move {
        let (peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let (_peer, sent, script) = peer_stuffs(peer, pattern(64 * MIB)).await;
        assert!(sent < script.len(), "all {sent} bytes were taken");
        assert_eq!(client.info().activity.bytes_in, 0);
        client.arm(RecvData::available().always()).unwrap();
        let mut got = Vec::new();
        while got.len() < sent {
            got.extend_from_slice(&expect!(trace, DataReceived).data);
        }
        assert!(got == script[..sent], "not the bytes that were sent");
    });
}

/// T-03: bytes and lines counted, not stored.
struct Counter {
    seen: Arc<AtomicUsize>,
    next: usize,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Counter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let number: usize = msg.line.text().unwrap().parse().unwrap();
        assert_eq!(number, self.next, "a line is lost, doubled or out of order");
        self.next += 1;
        self.seen.store(self.next, Ordering::Relaxed);
    }
}

impl Handler<DataReceived> for Counter {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        self.seen.fetch_add(msg.data.len(), Ordering::Relaxed);
    }
}

switchboard::session!(Counter);

fn numbered_lines(count: usize) -> Vec<u8> {
    let lines: String = (0..count).map(|n| format!("{n}\n")).collect();
    lines.into_bytes()
}

/// T-03.
#[test]
fn t_03_a_burst_of_a_hundred_thousand_lines_arrives_whole_and_in_order() {
    const LINES: usize = 100_000;
    with_pool(|pool| async move {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let stream = serve_with(&pool, Listen::tcp(ANY).lines(), move |_| Counter {
            seen: Arc::clone(&count),
            next: 0,
        })
        .await;
        let script = numbered_lines(LINES);
        let total = script.len();
        let flood = Flood::begin(&stream, script, total);
        until(|| seen.load(Ordering::Relaxed) == LINES).await;
        assert_eq!(flood.written(), total);
        flood.end();
    });
}

/// T-03: the same through recipients, each event a message of its own.
#[test]
fn t_03_a_burst_to_handlers_arrives_whole_and_in_order() {
    const LINES: usize = 20_000;
    with_pool(|pool| async move {
        let seen = Arc::new(AtomicUsize::new(0));
        let session = Counter {
            seen: Arc::clone(&seen),
            next: 0,
        };
        let address = session.start();
        let stream = serve_with(&pool, Listen::tcp(ANY).lines(), move |_| {
            Handlers::new().line(address.clone().recipient())
        })
        .await;
        let script = numbered_lines(LINES);
        let total = script.len();
        let flood = Flood::begin(&stream, script, total);
        until(|| seen.load(Ordering::Relaxed) == LINES).await;
        flood.end();
    });
}

/// AIO-03.
#[test]
fn aio_03_a_paused_connection_holds_its_peer_back_and_resumes_without_loss() {
    const TOTAL: usize = 10 * MIB;
    if !alone("aio_03_a_paused_connection_holds_its_peer_back_and_resumes_without_loss") {
        return;
    }
    with_pool(|pool| async move {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let stream = serve_with(&pool, Listen::tcp(ANY).data(), move |_| Counter {
            seen: Arc::clone(&count),
            next: 0,
        })
        .await;
        let client = first_of(&pool).await;
        client.pause_reading();
        client.pause_reading();
        assert!(client.info().activity.reading_paused);
        // The kernel's own memory for the connection does not count as ours, but is bounded.
        let small = socket2::SockRef::from(&stream).set_send_buffer_size(256 * 1024);
        small.unwrap();
        let flood = Flood::begin(&stream, pattern(64 * 1024), TOTAL);
        let mut grown = growth_until(|| flood.written() > 0).await;
        let held = flood.stalls().await;
        assert!(held < TOTAL, "all {held} bytes were taken");
        assert_eq!(seen.load(Ordering::Relaxed), 0, "delivered while paused");
        client.resume_reading();
        client.resume_reading();
        grown = grown.max(growth_until(|| seen.load(Ordering::Relaxed) == TOTAL).await);
        assert!(grown < MIB, "memory grew by {grown} bytes");
        flood.end();
    });
}

/// AIO-03: what was read already is not delivered while paused either.
#[test]
fn aio_03_nothing_is_delivered_while_reading_is_paused() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        peer.write_all(b"before\n").unwrap();
        assert_eq!(text(&mut trace).await, "before");
        client.pause_reading();
        peer.write_all(b"during\n").unwrap();
        trace.nothing_for(ms(100)).await;
        client.resume_reading();
        assert_eq!(text(&mut trace).await, "during");
    });
}

/// Takes its time over every event.
struct Slow {
    pace: Duration,
    /// Whether it keeps its whole thread waiting meanwhile.
    blocks: bool,
    seen: Arc<AtomicUsize>,
}

impl Actor for Slow {
    type Context = Context<Self>;
}

impl Handler<DataReceived> for Slow {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) -> Self::Result {
        let pace = self.pace;
        if self.blocks {
            std::thread::sleep(pace);
        }
        let waits = if self.blocks { Duration::ZERO } else { pace };
        let work = tokio::time::sleep(waits).into_actor(self);
        AtomicResponse::new(Box::pin(work.map(move |(), session, _| {
            session.seen.fetch_add(msg.data.len(), Ordering::Relaxed);
        })))
    }
}

switchboard::session!(Slow);

/// T-01: how much memory a flood of so many bytes costs when its session does not keep up.
fn flood_of(total: usize, pace: Duration, blocks: bool, by_handlers: bool) {
    with_pool(|pool| async move {
        let seen = Arc::new(AtomicUsize::new(0));
        let session = {
            let seen = Arc::clone(&seen);
            move || Slow {
                pace,
                blocks,
                seen: Arc::clone(&seen),
            }
        };
        let listen = Listen::tcp(ANY).data();
        let stream = if by_handlers {
            let address = session().start();
            let handlers = move |_| Handlers::new().data(address.clone().recipient());
            serve_with(&pool, listen, handlers).await
        } else {
            serve_with(&pool, listen, move |_| session()).await
        };
        let flood = Flood::begin(&stream, pattern(64 * 1024), total);
        // What a connection in full flow needs is there once it has flown for a while.
        until(|| seen.load(Ordering::Relaxed) > MIB).await;
        let grown = growth_until(|| seen.load(Ordering::Relaxed) >= total).await;
        assert!(grown < MIB, "memory grew by {grown} bytes");
        assert_eq!(seen.load(Ordering::Relaxed), flood.written());
        flood.end();
    });
}

/// T-01: the session waits, others run meanwhile.
#[test]
fn t_01_a_session_that_waits_over_every_event_bounds_memory() {
    if alone("t_01_a_session_that_waits_over_every_event_bounds_memory") {
        flood_of(48 * MIB, ms(1), false, false);
    }
}

/// T-01: the session blocks its thread.
#[test]
fn t_01_a_session_that_blocks_over_every_event_bounds_memory() {
    if alone("t_01_a_session_that_blocks_over_every_event_bounds_memory") {
        flood_of(24 * MIB, ms(1), true, false);
    }
}

/// T-01: a mailbox that anybody may send to without a bound is bounded by credit.
#[test]
fn t_01_a_slow_shared_handler_bounds_memory() {
    if alone("t_01_a_slow_shared_handler_bounds_memory") {
        flood_of(24 * MIB, ms(1), false, true);
    }
}

/// T-01: a session that stays with one event while 200 MiB are offered, be it in large frames or in
/// small ones.
#[test]
fn t_01_a_session_that_does_not_come_back_holds_its_peer_and_no_memory() {
    if !alone("t_01_a_session_that_does_not_come_back_holds_its_peer_and_no_memory") {
        return;
    }
    with_pool(|pool| async move {
        for receive in [RecvData::available(), RecvData::exact(size(16))] {
            let seen = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&seen);
            let listen = Listen::tcp(ANY).receive(receive.always());
            let stream = serve_with(&pool, listen, move |_| Slow {
                pace: ms(1500),
                blocks: false,
                seen: Arc::clone(&count),
            })
            .await;
            let client = first_of(&pool).await;
            let before = resident();
            let flood = Flood::begin(&stream, pattern(64 * 1024), 200 * MIB);
            let held = flood.stalls().await;
            let grown = resident().saturating_sub(before);
            assert_eq!(seen.load(Ordering::Relaxed), 0, "the pace is too quick");
            assert!(held < 100 * MIB, "the peer was not held back");
            let read = client.info().activity.bytes_in;
            assert!(read < 1024 * 1024, "{read} bytes were read ahead");
            assert!(grown < MIB, "memory grew by {grown} bytes");
            client.abort();
            flood.end();
            until(|| seen.load(Ordering::Relaxed) > 0).await;
        }
    });
}

/// Waits over each line for a time that depends on the line.
struct Thoughtful {
    seen: mpsc::UnboundedSender<String>,
}

impl Actor for Thoughtful {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Thoughtful {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) -> Self::Result {
        let line: String = msg.line.text().unwrap().into();
        let pace = Duration::from_micros(line.len() as u64 % 3 * 500);
        let work = tokio::time::sleep(pace).into_actor(self);
        AtomicResponse::new(Box::pin(work.map(move |(), session, _| {
            session.seen.send(line).unwrap();
        })))
    }
}

impl Handler<Closed> for Thoughtful {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        self.seen.send("closed".into()).unwrap();
    }
}

switchboard::session!(Thoughtful);

/// AIO-35: events that follow wait for a handler that waits, the last one too.
#[test]
fn a_handler_that_waits_keeps_the_order_of_events() {
    with_pool(|pool| async move {
        let (seen, mut lines) = mpsc::unbounded_channel();
        let mut peer = serve_with(&pool, Listen::tcp(ANY).lines(), move |_| Thoughtful {
            seen: seen.clone(),
        })
        .await;
        let expected: Vec<_> = (0..300)
            .map(|n| "x".repeat(n % 7) + &n.to_string())
            .collect();
        peer.write_all((expected.join("\n") + "\n").as_bytes())
            .unwrap();
        drop(peer);
        for line in expected.iter().map(String::as_str).chain(["closed"]) {
            assert_eq!(lines.recv().await.unwrap(), line);
        }
    });
}

/// AIO-01: once it is closing, input is no event any more; and a peer that goes on is no obstacle.
#[test]
fn aio_01_after_close_no_data_is_delivered() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        peer.write_all(b"one\n").unwrap();
        assert_eq!(text(&mut trace).await, "one");
        client.close();
        // The peer may be told of the end while it writes.
        match peer.write_all(b"two\n") {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        }
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByHost);
        assert_eq!(client.arm(RecvLine::once()), Err(ArmError::Closed));
    });
}
