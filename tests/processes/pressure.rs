//! A child that does not read, and a session that is slower than its child.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::{Cause, Process, SpawnProcess};
use switchboard_core::SendRefusal;
use switchboard_tests::{alone, expect, processor_time, resident, until, with, with_pool};

use super::{all, end, end_of, exit_of, spawned};

/// What a pipe holds in the kernel.
const KERNEL: usize = 64 * 1024;

/// AIO-39: 64 KiB with the system, then ours, then no more.
#[test]
fn aio_39_an_input_that_is_not_read_pauses_and_then_refuses() {
    with_pool(async |pool| {
        let spawn = SpawnProcess::new("sleep").arg("60");
        let spawn = spawn.write_limits(20_000, 5_000).write_capacity(50_000);
        let (process, mut probe) = spawned(&pool, spawn).await;
        let input = process.pipe(0).unwrap();
        for part in 0..16_u64 {
            process.send_with(vec![b'x'; KERNEL / 16], part).unwrap();
            expect!(probe, Sent);
        }
        assert_eq!(input.write_buffer_size(), 0);
        process.send_with(vec![b'y'; 20_001], 77_u64).unwrap();
        assert_eq!(expect!(probe, WritePaused).client, process.id());
        process.send(vec![b'y'; 29_999]).unwrap();
        let refused = process.send("more").unwrap_err();
        assert!(matches!(refused.refusal, SendRefusal::Full { .. }));
        assert_eq!(process.info().activity.write_buffer, 50_000);
        process.kill().unwrap();
        let events = all(&mut probe).await;
        assert_eq!(exit_of(&events), -9);
        let input = end_of(&events, 0);
        assert_eq!(input.unsent, 50_000);
        assert_eq!(input.unsent_tokens, [Token(77)]);
        let detail = &end(&events).detail;
        assert_eq!((detail.unsent, detail.bytes_out), (50_000, KERNEL as u64));
    });
}

/// AIO-39: and resumes in pairs.
#[test]
fn aio_39_an_input_that_is_read_again_resumes() {
    with_pool(async |pool| {
        let (process, mut probe) =
            super::up(&pool, "echo up; read go <&2 || sleep 0.2; wc -c").await;
        process.send(vec![b'x'; 200_000]).unwrap();
        expect!(probe, WritePaused);
        expect!(probe, WriteResumed);
        process.write_eof().unwrap();
        let events = all(&mut probe).await;
        assert_eq!(super::lines(&events, 1), ["200000"]);
        let levels = |event: &&switchboard::message::ClientEvent| {
            use switchboard::message::ClientEvent::{WritePaused, WriteResumed};
            matches!(event, WritePaused(_) | WriteResumed(_))
        };
        assert_eq!(events.iter().filter(levels).count(), 0);
    });
}

/// Takes its time over the first pieces.
struct Slow {
    bytes: Arc<AtomicU64>,
    pauses: u32,
}

impl Actor for Slow {
    type Context = SessionContext<Self>;
}

impl Handler<PipeData> for Slow {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, msg: PipeData, _: &mut Self::Context) -> Self::Result {
        self.bytes.fetch_add(msg.data.len() as u64, SeqCst);
        let pause = Duration::from_millis(if self.pauses == 0 { 0 } else { 100 });
        self.pauses = self.pauses.saturating_sub(1);
        let work = async move {
            if !pause.is_zero() {
                // The slow work of a session.
                tokio::time::sleep(pause).await;
            }
        };
        AtomicResponse::new(Box::pin(work.into_actor(self)))
    }
}

session!(Slow);

/// A child writes far more than anybody takes: it waits, and nothing is lost.
#[test]
fn a_child_that_writes_much_waits_for_its_session() {
    const ALL: u64 = 100_000_000;
    if !alone("pressure::a_child_that_writes_much_waits_for_its_session") {
        return;
    }
    with_pool(async |pool| {
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        let spawn = SpawnProcess::new("head").args(["-c", "100000000", "/dev/zero"]);
        let session = |_| Slow {
            bytes: counted,
            pauses: 5,
        };
        let process = pool.spawn(spawn, session).await.unwrap();
        until(|| bytes.load(SeqCst) > 0).await;
        let before = resident();
        process.pipe(1).unwrap().pause_reading();
        // What it may do wrong needs time: read on though it shall not.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let paused_at = bytes.load(SeqCst);
        assert!(paused_at < 10_000_000, "{paused_at}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(bytes.load(SeqCst), paused_at);
        assert_eq!(process.returncode(), None);
        let mut most = resident();
        process.pipe(1).unwrap().resume_reading();
        until(|| {
            most = most.max(resident());
            bytes.load(SeqCst) == ALL
        })
        .await;
        assert!(most < before + 16_000_000, "{before} {most}");
        assert_eq!(process.wait_closed().await, 0);
        assert_eq!(process.info().activity.bytes_in, ALL);
    });
}

/// Neither a process that does nothing nor one that has exited and left its pipes to a child costs
/// processor time.
#[test]
fn an_idle_process_costs_nothing() {
    if !alone("pressure::an_idle_process_costs_nothing") {
        return;
    }
    with_pool(async |pool| {
        let (idle, mut first) = super::up(&pool, "echo up; exec sleep 60").await;
        let (closing, mut second) =
            super::up(&pool, "trap '' TERM; echo up; sleep 30 & wait; wait").await;
        let (_, mut third) = spawned(&pool, SpawnProcess::shell("sleep 2 & exit 0")).await;
        // Its exit, and its input, of which its child has nothing.
        third.next().await;
        third.next().await;
        closing.close();
        // What is measured: time in which nothing happens.
        let settle = Duration::from_millis(200);
        tokio::time::sleep(settle).await;
        let before = processor_time();
        tokio::time::sleep(Duration::from_millis(1000)).await;
        let spent = processor_time().saturating_sub(before);
        assert!(spent < Duration::from_millis(30), "{spent:?}");
        idle.kill().unwrap();
        closing.abort();
        all(&mut first).await;
        all(&mut second).await;
        all(&mut third).await;
    });
}

/// The pool's memory budget is for the pipes of processes too: over it they are read no more, and one that does
/// not get better is ended.
#[test]
fn pipes_keep_to_the_memory_budget() {
    let builder = Pool::builder().shards(1).memory_budget(256 * 1024);
    with(builder, async |pool| {
        let line = "head -c 8000000 /dev/zero";
        let spawn = SpawnProcess::shell(line).max_line(16_000_000);
        let (_, mut probe) = spawned(&pool, spawn).await;
        let events = all(&mut probe).await;
        let output = end_of(&events, 1);
        assert_eq!(output.cause, Cause::MemoryPressure);
        assert!(output.bytes_in < 1_000_000, "{}", output.bytes_in);
        exit_of(&events);
    });
}

/// What the session does not handle holds nobody up.
#[test]
fn output_that_nobody_takes_is_thrown_away() {
    struct Deaf;
    impl Actor for Deaf {
        type Context = SessionContext<Self>;
    }
    impl Handler<ProcessExited> for Deaf {
        type Result = ();
        fn handle(&mut self, _: ProcessExited, _: &mut Self::Context) {}
    }
    session!(Deaf);
    with_pool(async |pool| {
        let spawn = SpawnProcess::new("head").args(["-c", "1000000", "/dev/zero"]);
        let process: Process = pool.spawn(spawn, |_| Deaf).await.unwrap();
        assert_eq!(process.wait_closed().await, 0);
        assert_eq!(process.info().activity.bytes_in, 1_000_000);
    });
}
