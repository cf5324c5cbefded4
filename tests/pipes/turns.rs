//! What a session sends in its turn on a channel over pipes: it goes out whole and in order, or is counted.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::panic::resume_unwind;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{
    Cause, Client, ConnectionOptions, CrashPolicy, Pool, SendRefusal, SessionContext, Token,
    WatchFd, session,
};
use switchboard_tests::*;

use super::pipes;

/// Does this with every line, in its turn.
type Act = dyn Fn(&Client, &LineReceived) + Send;

/// A session that does as the test says, and tells what it hears.
struct Acting {
    client: Client,
    act: Box<Act>,
    hears: Sender<Heard>,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Sent(Token, usize),
    /// Why; accepted and not sent; sent.
    Closed(Cause, usize, u64),
}

impl Actor for Acting {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Acting {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        (self.act)(&self.client, &event);
    }
}

impl Handler<Sent> for Acting {
    type Result = ();

    fn handle(&mut self, event: Sent, _: &mut Self::Context) {
        let _ = self.hears.send(Heard::Sent(event.token, event.bytes));
    }
}

impl Handler<Closed> for Acting {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        let detail = event.detail;
        let heard = Heard::Closed(detail.cause, detail.unsent, detail.bytes_out);
        let _ = self.hears.send(heard);
    }
}

session!(Acting);

/// The peer's ends of a channel whose session does this with every line, its handle, and what the session hears.
struct Stage {
    to_us: PipeWriter,
    from_us: PipeReader,
    client: Client,
    heard: Receiver<Heard>,
}

async fn acting(
    pool: &Pool,
    policy: CrashPolicy,
    act: impl Fn(&Client, &LineReceived) + Send + 'static,
) -> Stage {
    let (read, write, to_us, from_us) = pipes();
    let watch = WatchFd::read_write(&read, &write).unwrap();
    let (hears, heard) = mpsc::channel();
    let make = move |client| Acting {
        client,
        act: Box::new(act),
        hears,
    };
    let watch = watch.lines().on_crash(policy);
    let client = pool.watch_fd(watch, make).await.unwrap();
    Stage {
        to_us,
        from_us,
        client,
        heard,
    }
}

/// All that comes until the end.
fn read_to_end(mut pipe: PipeReader) -> Vec<u8> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    bytes
}

/// All that the session hears until it is gone.
async fn all_of(heard: Receiver<Heard>) -> Vec<Heard> {
    peer(move || {
        let mut all = Vec::new();
        loop {
            match heard.recv_timeout(PATIENCE) {
                Ok(event) => all.push(event),
                Err(RecvTimeoutError::Disconnected) => return all,
                Err(RecvTimeoutError::Timeout) => panic!("its session stays: {all:?}"),
            }
        }
    })
    .await
}

/// AC-21: more than a pipe holds, and every notice once.
#[test]
fn ac_21_what_a_turn_sends_through_a_pipe_comes_whole_and_in_order() {
    const LINES: u64 = 20_000;
    const EACH: u64 = 1_000;
    with_pool(|pool| async move {
        let mut stage = acting(&pool, CrashPolicy::Close, |client, event| {
            let name = event.line.text().unwrap();
            for number in 0..LINES {
                client.send_line(&format!("{name} {number}")).unwrap();
                if number.is_multiple_of(EACH) {
                    client.send_with("told\n", number).unwrap();
                }
            }
            if name == "last" {
                client.close();
            }
        })
        .await;
        let got = peer(move || {
            stage.to_us.write_all(b"first\nlast\n").unwrap();
            read_to_end(stage.from_us)
        })
        .await;
        let (mut expected, mut told) = (String::new(), Vec::new());
        for name in ["first", "last"] {
            for number in 0..LINES {
                expected += &format!("{name} {number}\n");
                if number.is_multiple_of(EACH) {
                    expected += "told\n";
                    told.push(Heard::Sent(Token(number), 5));
                }
            }
        }
        assert!(
            got == expected.as_bytes(),
            "{} of {}",
            got.len(),
            expected.len()
        );
        told.push(Heard::Closed(Cause::LocalClose, 0, got.len() as u64));
        assert_eq!(all_of(stage.heard).await, told);
    });
}

/// AC-21: one that is nearly full takes a part of a turn's short sends; the rest waits, or is counted.
#[cfg(target_os = "linux")]
#[test]
fn ac_21_what_a_pipe_that_is_nearly_full_does_not_take_waits_or_is_counted() {
    use std::io::ErrorKind;
    use switchboard::IoOperation;
    // A pipe holds 64 KiB.
    const BLOCK: usize = 61 * 1024;
    const LINES: usize = 150;
    const ALL: usize = BLOCK + LINES * 100;
    with_pool(|pool| async move {
        for reads in [true, false] {
            let mut stage = acting(&pool, CrashPolicy::Close, |client, event| {
                if event.line.as_bytes() == b"block" {
                    client.send(pattern(BLOCK)).unwrap();
                    return;
                }
                for number in 0..LINES {
                    client.send_line(&format!("{number:099}")).unwrap();
                }
            })
            .await;
            let moved = || {
                let activity = stage.client.info().activity;
                (activity.bytes_out as usize, activity.write_buffer)
            };
            stage.to_us.write_all(b"block\n").unwrap();
            until(|| moved() == (BLOCK, 0)).await;
            stage.to_us.write_all(b"lines\n").unwrap();
            until(|| moved().0 > BLOCK).await;
            let (out, queued) = moved();
            assert!(out + queued == ALL && queued > 0, "{out} {queued}");
            if reads {
                stage.client.close();
                let got = peer(move || read_to_end(stage.from_us)).await;
                let lines: String = (0..LINES).map(|n| format!("{n:099}\n")).collect();
                assert!(got == [pattern(BLOCK), lines.into_bytes()].concat());
                let closed = Heard::Closed(Cause::LocalClose, 0, ALL as u64);
                assert_eq!(all_of(stage.heard).await, [closed]);
            } else {
                drop(stage.from_us);
                let heard = all_of(stage.heard).await;
                let [Heard::Closed(cause, unsent, bytes_out)] = &heard[..] else {
                    panic!("{heard:?}");
                };
                assert!(matches!(
                    cause,
                    Cause::Io {
                        operation: IoOperation::Write,
                        kind: ErrorKind::BrokenPipe,
                        ..
                    }
                ));
                assert_eq!((*unsent, *bytes_out), (queued, out as u64));
            }
        }
    });
}

/// AC-21: a close that drops what is queued, in the same turn or by others, leaves no hole.
#[test]
fn ac_21_a_close_without_flush_in_a_turn_counts_what_it_drops() {
    with_pool(|pool| async move {
        let mut stage = acting(&pool, CrashPolicy::Close, |client, event| {
            client.send_line(&event.line).unwrap();
            if event.line.as_bytes() == b"close" {
                client.send("12345").unwrap();
                assert!(client.close_with(false, None));
                assert_eq!(client.send("6").unwrap_err().refusal, SendRefusal::Closed);
            }
        })
        .await;
        let got = peer(move || {
            stage.to_us.write_all(b"first\n").unwrap();
            let mut first = [0; 6];
            stage.from_us.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"first\n");
            stage.to_us.write_all(b"close\n").unwrap();
            read_to_end(stage.from_us)
        })
        .await;
        assert_eq!(got, b"");
        let closed = Heard::Closed(Cause::LocalClose, 11, 6);
        assert_eq!(all_of(stage.heard).await, [closed]);
    });
}

/// AC-09 on a pipe: what was sent in the turn goes out, or none of it does.
#[test]
fn ac_09_what_a_turn_sent_through_a_pipe_before_a_panic_meets_its_policy() {
    for policy in [CrashPolicy::Close, CrashPolicy::Abort] {
        let totals = with_pool(|pool| async move {
            let mut stage = acting(&pool, policy, |client, event| {
                client.send_line(&event.line).unwrap();
                if event.line.as_bytes() == b"panic" {
                    client.send_with("half", 1).unwrap();
                    client.send("more").unwrap();
                    resume_unwind(Box::new("as it was told"));
                }
            })
            .await;
            let got = peer(move || {
                stage.to_us.write_all(b"first\n").unwrap();
                let mut first = [0; 6];
                stage.from_us.read_exact(&mut first).unwrap();
                stage.to_us.write_all(b"panic\n").unwrap();
                read_to_end(stage.from_us)
            })
            .await;
            let detail = stage.client.closed().await.unwrap();
            assert!(matches!(detail.cause, Cause::SessionPanicked { .. }));
            if policy == CrashPolicy::Abort {
                assert_eq!(got, b"");
                assert_eq!((detail.bytes_out, detail.unsent), (6, 14));
                assert_eq!(detail.unsent_tokens, [Token(1)]);
            } else {
                assert_eq!(got, b"panic\nhalfmore");
                assert_eq!((detail.bytes_out, detail.unsent), (20, 0));
            }
            assert_eq!(all_of(stage.heard).await, [], "it is gone");
        });
        assert_eq!(totals.closed, [1, 0, 0, 0]);
    }
}
