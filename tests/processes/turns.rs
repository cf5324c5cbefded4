//! What a session sends to its child in the turns of the child's input: it goes out in order, or is counted.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    ClosedDetail, ConnectionOptions, CrashPolicy, Process, SessionContext, SpawnProcess, session,
};
use switchboard_tests::with_pool;
use tokio::sync::mpsc;

use super::story;

/// What it does when a send with this number is sent: that is the turn of the input.
type Act = dyn Fn(&Process, u64) + Send;

/// Sends a first line, then what the test says, and tells in words what it hears.
struct Feeder {
    process: Process,
    act: Box<Act>,
    told: mpsc::UnboundedSender<String>,
}

impl Actor for Feeder {
    type Context = SessionContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.process.send_with("start\n", 0).unwrap();
    }
}

impl Handler<Sent> for Feeder {
    type Result = ();

    fn handle(&mut self, event: Sent, _: &mut Self::Context) {
        let _ = self
            .told
            .send(format!("sent {}: {}", event.token.0, event.bytes));
        (self.act)(&self.process, event.token.0);
    }
}

impl Handler<PipeLine> for Feeder {
    type Result = ();

    fn handle(&mut self, event: PipeLine, _: &mut Self::Context) {
        let _ = self.told.send(event.line.text().unwrap().into());
    }
}

impl Handler<PipeClosed> for Feeder {
    type Result = ();

    fn handle(&mut self, event: PipeClosed, _: &mut Self::Context) {
        let ClosedDetail {
            bytes_out, unsent, ..
        } = &*event.detail;
        let fd = event.fd;
        let _ = self
            .told
            .send(format!("closed {fd}: {bytes_out} sent, {unsent} not"));
    }
}

impl Handler<Closed> for Feeder {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        let _ = self.told.send("end".into());
    }
}

session!(Feeder);

/// A feeder's factory, and what it is told.
fn feeder(
    act: impl Fn(&Process, u64) + Send + 'static,
) -> (
    impl FnOnce(Process) -> Feeder + Send,
    mpsc::UnboundedReceiver<String>,
) {
    let (told, words) = mpsc::unbounded_channel();
    let make = move |process| Feeder {
        process,
        act: Box::new(act),
        told,
    };
    (make, words)
}

/// AIO-18: and every notice comes once.
#[test]
fn what_is_sent_in_the_turns_of_the_input_comes_whole_and_in_order() {
    const ROUNDS: u64 = 500;
    const LINES: u64 = 20;
    with_pool(async |pool| {
        let (make, words) = feeder(|process, round| {
            if round == ROUNDS {
                process.write_eof().unwrap();
                return;
            }
            for number in 0..LINES {
                process
                    .send_line(&format!("line {round} {number}"))
                    .unwrap();
            }
            process
                .send_with(format!("round {round}\n"), round + 1)
                .unwrap();
            process.send_line("behind").unwrap();
        });
        let process = pool.spawn(SpawnProcess::new("cat"), make).await.unwrap();
        let mut expected = vec!["start".to_owned()];
        let mut notices = vec!["sent 0: 6".to_owned()];
        for round in 0..ROUNDS {
            let told = format!("round {round}");
            notices.push(format!("sent {}: {}", round + 1, told.len() + 1));
            expected.extend((0..LINES).map(|number| format!("line {round} {number}")));
            expected.extend([told, "behind".into()]);
        }
        let size: usize = expected.iter().map(|line| line.len() + 1).sum();
        let story = story(words).await;
        let (sent, rest): (Vec<_>, Vec<_>) = story
            .into_iter()
            .partition(|word| word.starts_with("sent "));
        assert!(sent == notices, "{sent:?}");
        let (ends, lines): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|word| word.starts_with("closed") || word == "end");
        assert!(lines == expected, "out of order");
        assert!(
            ends.contains(&format!("closed 0: {size} sent, 0 not")),
            "{ends:?}"
        );
        assert_eq!(process.wait_closed().await, 0);
    });
}

/// A child goes while it is sent to.
#[test]
fn what_a_child_that_goes_was_sent_in_turns_is_sent_or_counted() {
    with_pool(async |pool| {
        let accepted = Arc::new(AtomicU64::new(6));
        let count = Arc::clone(&accepted);
        let (make, words) = feeder(move |process, round| {
            for number in 0..100 {
                let line = format!("{round} {number}");
                if process.send_line(&line).is_ok() {
                    count.fetch_add(line.len() as u64 + 1, SeqCst);
                }
            }
            if process.send_with("next\n", round + 1).is_ok() {
                count.fetch_add(5, SeqCst);
            }
        });
        let spawn = SpawnProcess::shell("read a; read b; read c; exit 3");
        let process = pool.spawn(spawn, make).await.unwrap();
        assert_eq!(process.wait_closed().await, 3);
        let story = story(words).await;
        let input = story
            .iter()
            .find_map(|word| word.strip_prefix("closed 0: "));
        let counts: Vec<u64> = input
            .expect("the end of the input is not told")
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        assert_eq!(
            counts.iter().sum::<u64>(),
            accepted.load(SeqCst),
            "{input:?}"
        );
    });
}

/// AC-09 for a child's input.
#[test]
fn ac_09_what_was_sent_to_a_child_in_the_turn_before_a_panic_meets_its_policy() {
    for policy in [CrashPolicy::Close, CrashPolicy::Abort] {
        with_pool(async |pool| {
            let (make, _words) = feeder(|process, _| {
                for _ in 0..10 {
                    process.send_line("line").unwrap();
                }
                resume_unwind(Box::new("as it was told"));
            });
            let spawn = SpawnProcess::shell("cat >/dev/null").on_crash(policy);
            let process = pool.spawn(spawn, make).await.unwrap();
            let detail = process.pipe(0).unwrap().closed().await.unwrap();
            let counts = (detail.bytes_out, detail.unsent);
            if policy == CrashPolicy::Abort {
                assert_eq!(counts, (6, 50));
            } else {
                assert_eq!(counts, (56, 0));
            }
            process.wait_closed().await;
        });
    }
}
