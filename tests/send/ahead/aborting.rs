//! A session panics in the turn in which it has sent, where a panic resets the connection: its peer gets nothing
//! of that turn, and all of it is counted.

use std::io::{ErrorKind, Read};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchboard::{Cause, CrashPolicy, Handlers, PoolEvent, SendRefusal};
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

/// What it sends before it panics.
type Sends = fn(&Client);

/// Echoes lines; at `panic` it sends and panics, and when it is dropped it tries to send once more.
struct Broken {
    client: Client,
    sends: Sends,
    late: Sender<Result<(), SendRefusal>>,
    hears: Sender<Heard>,
}

impl Actor for Broken {
    type Context = Context<Self>;
}

impl Drop for Broken {
    fn drop(&mut self) {
        let _ = self.late.send(self.client.send_line("late"));
    }
}

impl Handler<LineReceived> for Broken {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        self.client.send_line(&event.line).unwrap();
        if event.line.as_bytes() == b"panic" {
            (self.sends)(&self.client);
            crash();
        }
    }
}

impl Handler<Sent> for Broken {
    type Result = ();

    fn handle(&mut self, event: Sent, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Sent(event.token, event.bytes));
    }
}

impl Handler<Closed> for Broken {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        let (unsent, bytes_out) = (event.detail.unsent, event.detail.bytes_out);
        let _ = self.hears.send(Heard::Closed(unsent, bytes_out));
    }
}

session!(Broken);

/// Panics without any noise of the hook.
fn crash() -> ! {
    resume_unwind(Box::new("as it was told"))
}

/// What comes until the reset, which comes.
async fn until_reset(mut stream: TcpStream) -> Vec<u8> {
    peer(move || {
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        got
    })
    .await
}

/// One session has failed, which is told once.
async fn one_failed(pool: &Pool, events: &mut UnboundedReceiver<PoolEvent>) {
    let failed = next_pool_event(events, |event| match event {
        PoolEvent::SessionFailed { event, .. } => Some(*event),
        _ => None,
    });
    assert_eq!(failed.await, Some("LineReceived"));
    // A second report would come before this one.
    let other = pool
        .listen(lines(), |client| Echo { client })
        .await
        .unwrap();
    next_pool_event(events, |event| match event {
        PoolEvent::SessionFailed { .. } => panic!("told again"),
        PoolEvent::ServerOpened { server, .. } => (*server == other.id()).then_some(()),
        _ => None,
    })
    .await;
}

/// AC-09: however the turn has sent.
#[test]
fn ac_09_an_abort_after_a_panic_sends_nothing_of_the_turn_and_counts_it() {
    // What it sends, how many bytes that is, and the tokens of it.
    let turns: [(Sends, usize, &[Token]); 6] = [
        (|_| {}, 0, &[]),
        (
            |client| (0..10).for_each(|_| client.send_line("line").unwrap()),
            50,
            &[],
        ),
        (
            |client| {
                client.send_line("line").unwrap();
                client.send(vec![b'x'; 9 * KIB]).unwrap();
                client.send("more").unwrap();
            },
            9 + 9 * KIB,
            &[],
        ),
        (
            |client| {
                client.send("noted").unwrap();
                client.send_with("told", 7).unwrap();
                client.send("noted").unwrap();
                client.send_with("told", 8).unwrap();
                client.send("noted").unwrap();
            },
            23,
            &[Token(7), Token(8)],
        ),
        (
            |client| {
                client.send("noted").unwrap();
                assert_eq!(client.write_buffer_size(), 11);
            },
            5,
            &[],
        ),
        // More than is ever noted at once.
        (
            |client| (0..5_000).for_each(|_| client.send("12345").unwrap()),
            25_000,
            &[],
        ),
    ];
    for (number, (sends, bytes, tokens)) in turns.into_iter().enumerate() {
        let totals = with_pool(|pool| async move {
            let mut events = watch(&pool);
            let (hears, heard) = mpsc::channel();
            let (late, tried) = mpsc::channel();
            let (handles, handle) = mpsc::channel();
            let make = move |client: Client| {
                handles.send(client.clone()).unwrap();
                let (late, hears) = (late.clone(), hears.clone());
                Broken {
                    client,
                    sends,
                    late,
                    hears,
                }
            };
            let listen = lines().on_crash(CrashPolicy::Abort);
            let mut stream = serve_with(&pool, listen, make).await;
            let stream = peer(move || {
                assert_eq!(exchange(&mut stream, b"one\n"), b"one\n");
                stream.write_all(b"panic\nnever\n").unwrap();
                stream
            })
            .await;
            assert_eq!(until_reset(stream).await, b"", "{number}");
            let client = handle.recv().unwrap();
            let detail = client.closed().await.unwrap();
            assert!(matches!(detail.cause, Cause::SessionPanicked { .. }));
            assert_eq!(
                (detail.bytes_out, detail.unsent),
                (4, bytes + 6),
                "{number}"
            );
            assert_eq!(detail.unsent_tokens, tokens, "{number}");
            one_failed(&pool, &mut events).await;
            assert_eq!(tried.try_recv().unwrap(), Err(SendRefusal::Closed));
            assert!(heard.try_recv().is_err(), "it is gone, and told nothing");
        });
        assert_eq!(totals.closed, [1, 0, 0, 0]);
    }
}

/// What an earlier turn has sent may be out, or not; what the peer gets has no hole.
#[test]
fn what_was_sent_before_the_turn_of_a_panic_is_out_or_counted() {
    for _ in 0..100 {
        with_pool(|pool| async move {
            let (handles, handle) = mpsc::channel();
            let listen = lines().on_crash(CrashPolicy::Abort);
            let (mut stream, _heard) = acting(&pool, listen, move |client, event, _| {
                let _ = handles.send(client.clone());
                for _ in 0..3 {
                    client.send_line(&event.line).unwrap();
                }
                if event.line.as_bytes() == b"panic" {
                    crash();
                }
            })
            .await;
            let said = b"a\nb\nc\npanic\nnever\n";
            stream.write_all(said).unwrap();
            let got = until_reset(stream).await;
            let client = handle.recv().unwrap();
            let detail = client.closed().await.unwrap();
            assert!(b"a\na\na\nb\nb\nb\nc\nc\nc\n".starts_with(&got));
            assert_eq!(detail.bytes_out, got.len() as u64);
            assert_eq!(detail.unsent, 18 + 18 - got.len());
        });
    }
}

/// Others send while it does, and after: what they were not refused is counted too.
#[test]
fn what_others_send_beside_a_turn_that_ends_in_an_abort_is_counted() {
    for _ in 0..100 {
        with_pool(|pool| async move {
            let accepted = Arc::new(AtomicUsize::new(0));
            let (own, others) = (Arc::clone(&accepted), Arc::clone(&accepted));
            let (handles, handle) = mpsc::channel();
            let other = Other::new(move |client, _| {
                // Until the connection has ended.
                while client.send("other").is_ok() {
                    others.fetch_add(5, Ordering::SeqCst);
                    thread::yield_now();
                }
                handles.send(client).unwrap();
            });
            let listen = lines().on_crash(CrashPolicy::Abort);
            let (mut stream, _heard) = acting(&pool, listen, move |client, _, _| {
                other.tell(client, 0);
                for _ in 0..50 {
                    client.send_line("own").unwrap();
                    own.fetch_add(4, Ordering::SeqCst);
                }
                crash();
            })
            .await;
            stream.write_all(b"go\n").unwrap();
            assert_eq!(until_reset(stream).await, b"");
            let client = peer(move || handle.recv_timeout(PATIENCE).unwrap()).await;
            let detail = client.closed().await.unwrap();
            assert_eq!(detail.bytes_out, 0);
            assert_eq!(detail.unsent, accepted.load(Ordering::SeqCst));
        });
    }
}

/// Its handlers are several, and another one than the one that panicked is told the end: once.
#[test]
fn the_end_by_an_abort_is_told_once_to_the_handlers_that_live() {
    struct Closer(Sender<(Cause, usize, u64)>);
    impl Actor for Closer {
        type Context = Context<Self>;
    }
    impl Handler<Closed> for Closer {
        type Result = ();
        fn handle(&mut self, event: Closed, _: &mut Self::Context) {
            let detail = event.detail;
            let _ = self.0.send((detail.cause, detail.unsent, detail.bytes_out));
        }
    }

    let totals = with_pool(|pool| async move {
        let (told, ends) = mpsc::channel();
        let closer = Closer(told).start();
        // Of those that handle lines, which live on the connection's thread, each is for one connection.
        let make = move |client: Client| {
            let (hears, _) = mpsc::channel();
            let act: Arc<Act> = Arc::new(|client, event, _| {
                client.send_line(&event.line).unwrap();
                client.send("more").unwrap();
                crash();
            });
            let lines = Acting { client, act, hears }.start();
            Handlers::new()
                .line(lines.recipient())
                .closed(closer.clone().recipient())
        };
        let listen = lines().on_crash(CrashPolicy::Abort);
        let mut stream = serve_with(&pool, listen, make).await;
        stream.write_all(b"go\n").unwrap();
        let got = until_reset(stream).await;
        let (ends, end) = peer(move || {
            let end = ends.recv_timeout(PATIENCE).unwrap();
            (ends, end)
        })
        .await;
        let (cause, unsent, bytes_out) = end;
        assert!(matches!(cause, Cause::SessionPanicked { .. }), "{cause}");
        assert_eq!((bytes_out, unsent), (got.len() as u64, 7 - got.len()));
        pool.stop().await;
        assert!(ends.try_recv().is_err(), "told twice");
    });
    assert_eq!(totals.closed, [1, 0, 0, 0]);
}
