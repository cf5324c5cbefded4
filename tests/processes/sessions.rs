//! Every form of session, and sessions that fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use actix_rt::Arbiter;
use switchboard::prelude::*;
use switchboard::{Process, SpawnProcess};
use switchboard_tests::{next_pool_event, watch, with_pool};
use tokio::sync::mpsc;

use super::*;

/// Fails as it is told: at an event, or by stopping.
struct Failing {
    process: Process,
    at: &'static str,
    told: mpsc::UnboundedSender<&'static str>,
}

impl Actor for Failing {
    type Context = Context<Self>;
}

macro_rules! fails {
    ($($event:ident)*) => {
        $(impl Handler<$event> for Failing {
            type Result = ();

            fn handle(&mut self, _: $event, ctx: &mut Self::Context) {
                let _ = self.told.send(stringify!($event));
                if self.at == stringify!($event) {
                    // A panic of which the hook makes no noise.
                    std::panic::resume_unwind(Box::new("as it was told"));
                } else if self.at == "stop" {
                    ctx.stop();
                } else if self.at == "PipeClosed" || self.at == "Closed" {
                    self.process.close();
                }
            }
        })*
        const EVENTS: &[&str] = &[$(stringify!($event)),*];
    };
}

fails! { PipeLine PipeClosed ProcessExited Closed }

session!(Failing);

async fn session_failed(
    pool_events: &mut mpsc::UnboundedReceiver<PoolEvent>,
) -> (ClientId, Option<&'static str>) {
    next_pool_event(pool_events, |event| match event {
        PoolEvent::SessionFailed { client, event, .. } => Some((*client, *event)),
        _ => None,
    })
    .await
}

/// It is told once, with the process's id and the event, and the process is closed and waited for.
#[test]
fn a_session_that_panics_takes_its_process_with_it() {
    for &at in EVENTS {
        for shared in [false, true] {
            let totals = with_pool(async |pool| {
                let mut events = watch(&pool);
                let (told, _words) = mpsc::unbounded_channel();
                let line = "echo one; trap 'exit 0' TERM; while :; do sleep 0.05; done";
                let spawn = SpawnProcess::shell(line);
                let arbiter = Arbiter::new();
                let elsewhere = arbiter.handle();
                let session = move |process| Failing { process, at, told };
                let process = if shared {
                    let started = move |process| {
                        Failing::start_in_arbiter(&elsewhere, move |_| session(process))
                    };
                    pool.spawn(spawn, started).await
                } else {
                    pool.spawn(spawn, session).await
                };
                let process = process.unwrap();
                if !matches!(at, "PipeLine" | "PipeClosed" | "Closed") {
                    process.terminate().unwrap();
                }
                let failed = session_failed(&mut events).await;
                assert_eq!(failed, (process.id(), Some(at)));
                let over = tokio::time::timeout(Duration::from_secs(10), process.wait_closed());
                over.await.unwrap_or_else(|_| panic!("it never ends: {at}"));
                assert!(is_reaped(process.pid()));
                switchboard_tests::until(|| process.addr().is_none()).await;
                pool.status().await.unwrap();
                while let Ok(event) = events.try_recv() {
                    assert!(
                        !matches!(event, PoolEvent::SessionFailed { .. }),
                        "told twice"
                    );
                }
                arbiter.stop();
            });
            assert_eq!(totals.opened, 1);
        }
    }
}

#[test]
fn a_session_that_stops_takes_its_process_with_it() {
    let totals = with_pool(async |pool| {
        let (told, mut words) = mpsc::unbounded_channel();
        let spawn = SpawnProcess::shell("echo one; exec sleep 60");
        let session = |process| Failing {
            process,
            at: "stop",
            told,
        };
        let process = pool.spawn(spawn, session).await.unwrap();
        assert_eq!(process.wait_closed().await, -15);
        assert!(is_reaped(process.pid()));
        assert_eq!(words.recv().await, Some("PipeLine"));
        assert_eq!(words.recv().await, None);
    });
    assert_eq!(totals.closed_in_all(), 1);
}

/// The process runs by then: it is ended.
#[test]
fn a_factory_that_panics_leaves_no_process() {
    with_pool(async |pool| {
        let mut events = watch(&pool);
        let factory = |_: Process| -> Witness { std::panic::resume_unwind(Box::new("no")) };
        let spawn = SpawnProcess::new("sleep").arg("60");
        let process = pool.spawn(spawn, factory).await.unwrap();
        assert_eq!(session_failed(&mut events).await, (process.id(), None));
        assert_eq!(process.wait_closed().await, -15);
        assert!(is_reaped(process.pid()));
        // Nobody who would hear anything: the same.
        let spawn = SpawnProcess::new("sleep").arg("60");
        let process = pool.spawn(spawn, |_| Handlers::new()).await.unwrap();
        assert_eq!(process.wait_closed().await, -15);
    });
}

/// Serves several processes, and writes down what it is told of each, in words.
struct Operator(mpsc::UnboundedSender<(ClientId, String)>);

impl Actor for Operator {
    type Context = Context<Self>;
}

macro_rules! operates {
    ($($event:ident: |$msg:ident| $words:expr,)*) => {
        $(impl Handler<$event> for Operator {
            type Result = ();

            fn handle(&mut self, $msg: $event, _: &mut Self::Context) {
                let _ = self.0.send(($msg.client, $words));
            }
        })*
    };
}

operates! {
    PipeLine: |msg| format!("{}: {}", msg.fd, String::from_utf8_lossy(&msg.line)),
    PipeClosed: |msg| format!("closed {}", msg.fd),
    ProcessExited: |msg| format!("exited {}", msg.code),
    Sent: |msg| format!("sent {}", msg.token.0),
    Closed: |msg| format!("end: {}", msg.reason),
}

session!(Operator);

/// Each process's events in their own order, to one actor.
#[test]
fn one_actor_serves_several_processes() {
    for handlers in [false, true] {
        with_pool(async |pool| {
            let (told, mut words) = mpsc::unbounded_channel();
            let operator = Operator(told).start();
            let mut processes = Vec::new();
            for code in 0..5 {
                let spawn = SpawnProcess::shell(format!("echo line {code}; cat; exit {code}"));
                let operator = operator.clone();
                let process = if handlers {
                    let session = move |_| {
                        Handlers::new()
                            .pipe_line(operator.clone().recipient())
                            .pipe_closed(operator.clone().recipient())
                            .process_exited(operator.clone().recipient())
                            .sent(operator.clone().recipient())
                            .closed(operator.recipient())
                    };
                    pool.spawn(spawn, session).await
                } else {
                    pool.spawn(spawn, move |_| operator).await
                };
                processes.push(process.unwrap());
            }
            for process in &processes {
                process.send_with("back\n", 3_u64).unwrap();
                process.write_eof().unwrap();
            }
            let mut stories = HashMap::<_, Vec<_>>::new();
            for _ in 0..5 * 8 {
                let (id, word) = words.recv().await.unwrap();
                stories.entry(id).or_default().push(word);
            }
            for (code, process) in processes.iter().enumerate() {
                let story = stories.get_mut(&process.id()).unwrap();
                assert_eq!(story.pop().unwrap(), "end: closed by peer");
                let lines: Vec<_> = story.iter().filter(|word| word.starts_with("1:")).collect();
                assert_eq!(lines, [&format!("1: line {code}"), "1: back"]);
                story.sort_unstable();
                let rest = [
                    "closed 0",
                    "closed 1",
                    "closed 2",
                    &format!("exited {code}"),
                    "sent 3",
                ];
                assert_eq!(story[2..], rest);
            }
        });
    }
}

/// Counts, and waits over each line.
struct Counter(Arc<AtomicUsize>, Arc<tokio::sync::Semaphore>);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Handler<PipeLine> for Counter {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, line: PipeLine, _: &mut Self::Context) -> Self::Result {
        let (count, gate) = (Arc::clone(&self.0), Arc::clone(&self.1));
        let work = async move {
            gate.acquire().await.unwrap().forget();
            count.fetch_add(1, SeqCst);
            drop(line);
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

/// How much may be with handlers at once is bounded; the child waits for the rest.
#[test]
fn handlers_that_are_slow_hold_the_child_back() {
    with_pool(async |pool| {
        let count = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let counter = Counter(Arc::clone(&count), Arc::clone(&gate)).start();
        let spawn = SpawnProcess::shell("seq 1000000 | head -100000");
        let session = move |_| Handlers::new().pipe_line(counter.recipient());
        let process = pool.spawn(spawn, session).await.unwrap();
        // What it may do wrong needs time: read on though nothing is done.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(process.returncode(), None);
        let taken = process.info().activity.bytes_in;
        assert!(taken < 200_000, "{taken}");
        gate.add_permits(200_000);
        assert_eq!(process.wait_closed().await, 0);
        switchboard_tests::until(|| count.load(SeqCst) == 100_000).await;
    });
}

/// A handler that panics is as a session that does.
#[test]
fn a_shared_handler_that_panics_ends_the_process_of_the_event() {
    with_pool(async |pool| {
        let mut events = watch(&pool);
        let (told, _words) = mpsc::unbounded_channel();
        let spawn = SpawnProcess::shell("echo one; exec sleep 60");
        let session = move |process| {
            let at = "PipeLine";
            let failing = Failing { process, at, told };
            Handlers::new().pipe_line(failing.start().recipient())
        };
        let process = pool.spawn(spawn, session).await.unwrap();
        let failed = next_pool_event(&mut events, |event| match event {
            PoolEvent::SessionFailed { client, .. } => Some(*client),
            _ => None,
        });
        let _ = tokio::time::timeout(Duration::from_secs(5), failed).await;
        assert_eq!(process.wait_closed().await, -15);
        assert!(is_reaped(process.pid()));
    });
}
