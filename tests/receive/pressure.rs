//! Back-pressure.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{ArmError, ClosedReason, ConnectionOptions, Handlers, Listen, SessionContext};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, Flood, MIB, first_of, growth_until, ms, peer_stuffs, size, text};

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
    if !alone("pressure::aio_03_a_paused_connection_holds_its_peer_back_and_resumes_without_loss") {
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
        trace.no_more(ms(100)).await;
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
            // The session's work, which holds its thread.
            std::thread::sleep(pace);
        }
        let waits = if self.blocks { Duration::ZERO } else { pace };
        // The same work without holding the thread.
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
    if alone("pressure::t_01_a_session_that_waits_over_every_event_bounds_memory") {
        flood_of(48 * MIB, ms(1), false, false);
    }
}

/// T-01: the session blocks its thread.
#[test]
fn t_01_a_session_that_blocks_over_every_event_bounds_memory() {
    if alone("pressure::t_01_a_session_that_blocks_over_every_event_bounds_memory") {
        flood_of(24 * MIB, ms(1), true, false);
    }
}

/// T-01: a mailbox that anybody may send to without a bound is bounded by credit.
#[test]
fn t_01_a_slow_shared_handler_bounds_memory() {
    if alone("pressure::t_01_a_slow_shared_handler_bounds_memory") {
        flood_of(24 * MIB, ms(1), false, true);
    }
}

/// T-01: a session that stays with one event while 200 MiB are offered, be it in large frames or in
/// small ones.
#[test]
fn t_01_a_session_that_does_not_come_back_holds_its_peer_and_no_memory() {
    if !alone("pressure::t_01_a_session_that_does_not_come_back_holds_its_peer_and_no_memory") {
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
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Thoughtful {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) -> Self::Result {
        let line: String = msg.line.text().unwrap().into();
        let pace = Duration::from_micros(line.len() as u64 % 3 * 500);
        // Its thinking, a different time for each line.
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
