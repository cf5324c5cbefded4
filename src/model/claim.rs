//! The hand-over of frames: each is begun with by the session or recalled, never both, never neither.

use std::time::Instant;

use loom::sync::{Arc, Mutex};
use loom::thread;

use super::check;
use crate::config::ConnectionConfig;
use crate::connection::{Batch, Claim, Connection, Ending, Event, Interests, Permit};
use crate::line::Line;
use crate::now::Now;
use crate::reason::Cause;
use crate::receive::{Receive, ReceiveKind};

/// A connection as its session and those who command it share it.
struct Shared {
    claim: Claim,
    machine: Mutex<Connection>,
}

impl Shared {
    /// An established connection that has received this input.
    fn with_lines(input: &str) -> Arc<Self> {
        let mut machine = Connection::accepted(ConnectionConfig::default().into());
        machine.set_interests(Interests::ALL);
        machine.adopt(&mut now()).unwrap();
        assert!(machine.poll_notice().is_some());
        let lines = Receive::always(ReceiveKind::Line {
            rule: None,
            encoding: None,
            max: None,
        });
        machine.arm(&lines, &mut now()).unwrap();
        machine.handle_data(&mut input.as_bytes().into(), &mut now());
        Arc::new(Self {
            claim: Claim::new(),
            machine: Mutex::new(machine),
        })
    }

    /// What every command does first. The session is elsewhere.
    fn command_elsewhere(&self, run: impl FnOnce(&mut Connection)) {
        let mut machine = self.machine.lock().unwrap();
        if machine.has_batch() {
            machine.recall(self.claim.recall_elsewhere(), &mut now());
        }
        run(&mut machine);
    }

    /// The same, by the session itself.
    fn command_here<R>(&self, run: impl FnOnce(&mut Connection) -> R) -> R {
        let mut machine = self.machine.lock().unwrap();
        if machine.has_batch() {
            machine.end_batch(self.claim.recall_here(), &mut now());
        }
        run(&mut machine)
    }

    /// What the session gets next, once it is done with what it has; `None` at the end of the input or
    /// of the connection.
    fn next(&self, back: Permit) -> Option<Next> {
        self.command_here(|machine| {
            machine.give_back(back, &mut now());
            if machine.ending().is_some() {
                return None;
            }
            if let Some(batch) = machine.poll_batch(&mut now()) {
                self.claim.start();
                return Some(Next::Many(batch));
            }
            match machine.poll_event(&mut now())? {
                (Event::Line(line), permit) => Some(Next::One(line, permit)),
                (event, _) => panic!("{event:?}"),
            }
        })
    }

    /// A session that begins with all it gets and then does `after_each`: the lines, in its order.
    fn handle_all(&self, mut after_each: impl FnMut(&Line)) -> String {
        let mut begun = String::new();
        let mut back = Permit::NONE;
        let mut handle = |line: Line| {
            begun.extend([&*line.text().unwrap(), "\n"]);
            after_each(&line);
        };
        while let Some(next) = self.next(std::mem::replace(&mut back, Permit::NONE)) {
            match next {
                Next::One(line, permit) => {
                    handle(line);
                    back = permit;
                }
                Next::Many(batch) => {
                    let mut claimed = 0;
                    while let Some((line, permit)) = batch.line(self.claim.begin(&mut claimed)) {
                        handle(line);
                        back = back.join(permit);
                    }
                }
            }
        }
        begun
    }
}

enum Next {
    One(Line, Permit),
    Many(Batch),
}

fn now() -> Now {
    Now::ask(Instant::now)
}

/// So many lines, each of them its own number.
fn lines(count: usize) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

/// While a session handles so many lines, as many threads command as there are numbers, each so often.
fn each_once_and_in_order(count: usize, commands: &'static [usize]) {
    check(None, move || {
        let shared = Shared::with_lines(&lines(count));
        let others: Vec<_> = commands
            .iter()
            .map(|&times| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for _ in 0..times {
                        shared.command_elsewhere(|_| {});
                    }
                })
            })
            .collect();
        assert_eq!(shared.handle_all(|_| {}), lines(count));
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn each_frame_is_begun_with_once_while_another_thread_recalls() {
    each_once_and_in_order(3, &[1]);
    each_once_and_in_order(10, &[1]);
    each_once_and_in_order(18, &[2]);
}

#[test]
fn each_frame_is_begun_with_once_while_two_threads_recall() {
    each_once_and_in_order(10, &[1, 1]);
}

/// The connection ends under the session: what it has begun with and what is unread is everything.
#[test]
fn what_was_not_begun_with_is_unread_when_another_thread_aborts() {
    const COUNT: usize = 18;
    check(None, || {
        let shared = Shared::with_lines(&lines(COUNT));
        let aborting = Arc::clone(&shared);
        let other = thread::spawn(move || {
            aborting.command_elsewhere(|machine| {
                machine.abort(Cause::LocalAbort);
            });
        });
        let begun = shared.handle_all(|_| {});
        other.join().unwrap();
        let machine = shared.machine.lock().unwrap();
        let Some(Ending::Closed(detail)) = machine.ending() else {
            panic!("not closed");
        };
        let unread = std::str::from_utf8(&detail.unread).unwrap();
        assert_eq!(begun + unread, lines(COUNT));
    });
}

#[test]
fn the_session_recalls_while_another_thread_does() {
    check(None, || {
        let shared = Shared::with_lines(&lines(10));
        let commanding = Arc::clone(&shared);
        let other = thread::spawn(move || commanding.command_elsewhere(|_| {}));
        let begun = shared.handle_all(|line| {
            if line.text().is_ok_and(|text| text == "1") {
                // It meets a connection of which two lines were taken, whoever recalls first.
                shared.command_here(|machine| assert_eq!(machine.snapshot().frames_in, 2));
            }
        });
        assert_eq!(begun, lines(10));
        other.join().unwrap();
    });
}
