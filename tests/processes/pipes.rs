//! What comes through the pipes, and when they close.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use switchboard::message::ClientEvent;
use switchboard::prelude::*;
use switchboard::{Cause, Process, SpawnProcess, Stdio};
use switchboard_tests::{Probe, expect, with_pool};
use tokio::sync::mpsc;

use super::{all, end, end_of, exit_of, lines, spawned, up};

/// AIO-18.
#[test]
fn aio_18_pipes_are_those_that_lead_here() {
    with_pool(async |pool| {
        let spawn = SpawnProcess::new("cat")
            .stdout(Stdio::Null)
            .stderr(Stdio::Inherit);
        let (process, mut probe) = spawned(&pool, spawn).await;
        assert!(process.pipe(0).is_some());
        for fd in [1, 2, 3, 7, -1, i32::MAX, i32::MIN] {
            assert!(process.pipe(fd).is_none(), "{fd}");
        }
        process.send("thrown away\n").unwrap();
        process.write_eof().unwrap();
        let events = all(&mut probe).await;
        end_of(&events, 0);
        assert_eq!(events.len(), 3, "{events:?}");
        let spawn = SpawnProcess::new("cat").stdin(Stdio::Null);
        let (process, mut probe) = spawned(&pool, spawn).await;
        assert!(process.pipe(0).is_none());
        assert!(process.send("nowhere").is_err());
        assert!(process.write_eof().is_err());
        assert_eq!(exit_of(&all(&mut probe).await), 0);
    });
}

/// AIO-21.
#[test]
fn aio_21_output_and_errors_are_told_apart() {
    with_pool(async |pool| {
        let line = "for i in 1 2 3; do echo out $i; echo err $i >&2; done";
        let (_, mut probe) = spawned(&pool, SpawnProcess::shell(line)).await;
        let events = all(&mut probe).await;
        assert_eq!(lines(&events, 1), ["out 1", "out 2", "out 3"]);
        assert_eq!(lines(&events, 2), ["err 1", "err 2", "err 3"]);
    });
}

#[test]
fn a_last_line_without_an_end_is_unread_of_its_pipe() {
    with_pool(async |pool| {
        let line = "printf 'whole\\nhalf'; printf broken >&2";
        let (_, mut probe) = spawned(&pool, SpawnProcess::shell(line)).await;
        let events = all(&mut probe).await;
        assert_eq!(lines(&events, 1), ["whole"]);
        assert_eq!(&end_of(&events, 1).unread[..], b"half");
        assert_eq!(&end_of(&events, 2).unread[..], b"broken");
        assert_eq!(exit_of(&events), 0);
        assert_eq!(end(&events).detail.bytes_in, 10 + 6);
    });
}

/// The others live on.
#[test]
fn a_line_that_is_too_long_closes_its_pipe_only() {
    with_pool(async |pool| {
        let line = "echo short; echo 'much longer than this'; echo err >&2; cat >&2";
        let spawn = SpawnProcess::shell(line).max_line(8);
        let (process, mut probe) = spawned(&pool, spawn).await;
        let closed = loop {
            if let ClientEvent::PipeClosed(closed) = probe.next().await {
                break closed;
            }
        };
        assert_eq!(closed.fd, 1);
        assert_eq!(closed.detail.cause.reason(), ClosedReason::Error);
        process.send("more\n").unwrap();
        process.write_eof().unwrap();
        let events = all(&mut probe).await;
        assert_eq!(lines(&events, 2).last().unwrap(), "more");
        assert_eq!(exit_of(&events), 0);
        assert_eq!(end(&events).reason, ClosedReason::ClosedByPeer);
    });
}

/// Takes bytes only.
struct Bytewise(mpsc::UnboundedSender<(i32, Vec<u8>)>);

impl Actor for Bytewise {
    type Context = SessionContext<Self>;
}

impl Handler<PipeData> for Bytewise {
    type Result = ();

    fn handle(&mut self, msg: PipeData, _: &mut Self::Context) {
        assert!(!msg.data.is_empty());
        let _ = self.0.send((msg.fd, msg.data.to_vec()));
    }
}

session!(Bytewise);

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

async fn bytewise(pool: &Pool, spawn: SpawnProcess) -> Vec<(i32, Vec<u8>)> {
    let (told, mut data) = mpsc::unbounded_channel();
    pool.spawn(spawn, |_| Bytewise(told)).await.unwrap();
    let mut all = Vec::new();
    while let Some(one) = data.recv().await {
        all.push(one);
    }
    all
}

/// AIO-21.
#[test]
fn aio_21_who_handles_bytes_only_gets_bytes() {
    with_pool(async |pool| {
        let told = bytewise(&pool, SpawnProcess::shell("printf 'a\\nb'; printf c >&2")).await;
        let of = |fd| {
            let of = told.iter().filter(|(of, _)| *of == fd);
            of.flat_map(|(_, data)| data.clone()).collect::<Vec<_>>()
        };
        assert_eq!((of(1), of(2)), (b"a\nb".to_vec(), b"c".to_vec()));
    });
}

#[test]
fn frames_are_cut_as_it_is_asked() {
    with_pool(async |pool| {
        let four = SpawnProcess::shell("printf abcdefgh").receive(RecvData::exact(FOUR).always());
        let told = bytewise(&pool, four).await;
        assert_eq!(told, [(1, b"abcd".to_vec()), (1, b"efgh".to_vec())]);
        let line = "printf '\\000\\000\\000\\003abc\\000\\000\\000\\001d'";
        let told = bytewise(&pool, SpawnProcess::shell(line).messages()).await;
        assert_eq!(told, [(1, b"abc".to_vec()), (1, b"d".to_vec())]);
    });
}

/// AIO-22.
#[test]
fn aio_22_a_pipe_that_it_closes_is_told_before_its_exit() {
    with_pool(async |pool| {
        let (process, mut probe) = up(&pool, "echo up; exec 1>&-; sleep 0.3").await;
        let closed = expect!(probe, PipeClosed);
        assert_eq!(closed.fd, 1);
        assert_eq!(closed.detail.cause, Cause::PeerFinished);
        assert_eq!(process.returncode(), None);
        assert_eq!(exit_of(&all(&mut probe).await), 0);
    });
}

/// An input that is closed at the other end is an error only if something was to be sent still.
#[test]
fn aio_22_the_end_of_its_input_is_no_error_when_all_was_sent() {
    with_pool(async |pool| {
        let (_, mut probe) = spawned(&pool, SpawnProcess::new("true")).await;
        let events = all(&mut probe).await;
        assert_eq!(end_of(&events, 0).cause, Cause::PeerFinished);
        let (process, mut probe) = up(&pool, "echo up; read line; exec 0<&-; sleep 0.1").await;
        process.send(vec![b'x'; 200_000]).unwrap();
        process.send("\n").unwrap();
        process.kill().unwrap();
        let events = all(&mut probe).await;
        let input = end_of(&events, 0);
        assert!(matches!(input.cause, Cause::Io { .. }), "{input:?}");
        assert!(input.unsent > 0);
    });
}

/// AIO-23.
#[test]
fn aio_23_pipes_that_its_children_hold_outlive_it() {
    with_pool(async |pool| {
        let since = Instant::now();
        let (process, mut probe) = spawned(
            &pool,
            SpawnProcess::shell("exec 3<&0; sleep 1 <&3 & exit 0"),
        )
        .await;
        assert_eq!(expect!(probe, ProcessExited).code, 0);
        let exited = since.elapsed();
        assert!(exited < Duration::from_millis(900), "{exited:?}");
        // It is there still: listed, found, and its pipes are open.
        assert!(pool.find(process.id()).await.is_some());
        assert!(!process.pipe(1).unwrap().is_closed());
        assert!(!process.is_closed());
        let events = all(&mut probe).await;
        for fd in 0..3 {
            end_of(&events, fd);
        }
        assert_eq!(end(&events).reason, ClosedReason::ClosedByPeer);
        let over = since.elapsed();
        assert!(over > Duration::from_millis(950), "{over:?}");
        assert!(pool.find(process.id()).await.is_none());
    });
}

/// What one of its pipes does is told as the process's, whoever asked for it.
#[test]
fn events_carry_the_process_and_never_a_pipe() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let session = probe.full_session_for::<Process>();
        let spawn = SpawnProcess::new("cat").idle_report(Duration::from_millis(20));
        let process = pool.spawn(spawn, session).await.unwrap();
        let pipe = process.pipe(0).unwrap();
        pipe.send_with("x\n", 1_u64).unwrap();
        pipe.send_urgent(1).unwrap_err();
        let mut told = vec![probe.next().await, probe.next().await];
        // A report of idleness of a pipe is nothing that a process tells.
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(probe.so_far().is_empty());
        process.write_eof().unwrap();
        told.extend(all(&mut probe).await);
        assert_eq!(lines(&told, 1), ["x"]);
        assert!(
            told.iter()
                .any(|event| matches!(event, ClientEvent::Sent(_)))
        );
        assert_eq!(pool.connections().await.unwrap().len(), 0);
    });
}
