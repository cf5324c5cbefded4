//! Closing and aborting a process, whatever it and its children do about it.

use std::time::{Duration, Instant};

use switchboard::prelude::*;
use switchboard::{Cause, Process, SpawnProcess};
use switchboard_core::{ClosePhase, TimeoutKind};
use switchboard_tests::{until, with_pool};

use super::{STUBBORN, all, end, end_of, exit_of, is_dead, is_reaped, lines, spawned, up, up_as};

const GRACE: Duration = Duration::from_millis(300);

fn is_flush(cause: Option<&Cause>) -> bool {
    let flush = TimeoutKind::Flush;
    matches!(cause, Some(Cause::Timeout { kind, .. }) if *kind == flush)
}

/// AIO-20, AMB-13.
#[test]
fn aio_20_who_ignores_sigterm_is_killed_after_the_grace() {
    with_pool(async |pool| {
        let (process, mut probe) = up_as(&pool, SpawnProcess::shell(STUBBORN).grace(GRACE)).await;
        let since = Instant::now();
        assert!(process.close());
        assert!(!process.close(), "it is under way");
        assert!(process.is_closed());
        let events = all(&mut probe).await;
        let took = since.elapsed();
        assert!(took >= GRACE && took < GRACE * 6, "{took:?}");
        assert_eq!(exit_of(&events), -9);
        let closed = end(&events);
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        assert_eq!(closed.reason, ClosedReason::ClosedByHost);
        assert!(is_flush(closed.detail.cut_short.as_ref()));
        assert!(is_reaped(process.pid()));
    });
}

/// AIO-20.
#[test]
fn aio_20_who_handles_sigterm_may_clean_up() {
    with_pool(async |pool| {
        let marker = std::env::temp_dir().join(format!("switchboard-term-{}", std::process::id()));
        let line = format!(
            "trap 'echo bye > {}; exit 7' TERM; echo up; while :; do sleep 0.05; done",
            marker.display()
        );
        let (process, mut probe) = up(&pool, &line).await;
        process.close();
        let events = all(&mut probe).await;
        assert_eq!(exit_of(&events), 7);
        assert!(end(&events).detail.cut_short.is_none());
        assert_eq!(std::fs::read_to_string(&marker).unwrap(), "bye\n");
        std::fs::remove_file(marker).unwrap();
    });
}

#[test]
fn a_grace_of_zero_kills_at_once() {
    with_pool(async |pool| {
        let spawn = SpawnProcess::shell(STUBBORN).grace(Duration::ZERO);
        let (process, mut probe) = up_as(&pool, spawn).await;
        let since = Instant::now();
        process.close();
        assert_eq!(exit_of(&all(&mut probe).await), -9);
        assert!(since.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn a_second_close_shortens_the_grace() {
    with_pool(async |pool| {
        let (process, mut probe) = up(&pool, STUBBORN).await;
        let since = Instant::now();
        process.close();
        process.close_within(Some(Duration::from_millis(100)));
        assert_eq!(exit_of(&all(&mut probe).await), -9);
        assert!(since.elapsed() < Duration::from_secs(3));
    });
}

/// Queues more for its input than the pipe takes.
fn overfill(process: &Process) {
    // The high mark lets one send pass it.
    process.send_with(vec![b'x'; 300_000], 9_u64).unwrap();
}

/// AIO-20: with unsent bytes.
#[test]
fn a_close_with_a_full_input_takes_no_longer_than_the_grace() {
    with_pool(async |pool| {
        let (process, mut probe) = up_as(&pool, SpawnProcess::shell(STUBBORN).grace(GRACE)).await;
        overfill(&process);
        let since = Instant::now();
        process.close();
        let events = all(&mut probe).await;
        assert!(since.elapsed() < GRACE * 6, "{:?}", since.elapsed());
        let (input, closed) = (end_of(&events, 0), end(&events));
        assert_eq!(input.unsent, 300_000 - 65_536);
        assert_eq!(input.unsent_tokens, [Token(9)]);
        assert_eq!(closed.detail.unsent, input.unsent);
        assert_eq!(closed.detail.unsent_tokens, [Token(9)]);
        assert_eq!(closed.detail.bytes_out, 65_536);
    });
}

/// It has ended, but a child of its own holds its input and does not read.
#[test]
fn nor_does_one_whose_input_a_grandchild_holds() {
    with_pool(async |pool| {
        let line = "exec 3<&0; sleep 4 <&3 3<&- >/dev/null 2>&1 & exec 3<&-; echo up; read line; exec sleep 60";
        let (process, mut probe) = up_as(&pool, SpawnProcess::shell(line).grace(GRACE)).await;
        overfill(&process);
        let since = Instant::now();
        process.close();
        let events = all(&mut probe).await;
        let took = since.elapsed();
        assert_eq!(exit_of(&events), -15);
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(is_flush(end_of(&events, 0).cut_short.as_ref()));
        assert!(end(&events).detail.unsent > 0);
    });
}

/// AIO-23: nobody is left to wait for.
#[test]
fn a_close_after_the_exit_ends_at_once() {
    for abort in [false, true] {
        with_pool(async |pool| {
            let spawn = SpawnProcess::shell("sleep 4 & exit 5");
            let (process, mut probe) = spawned(&pool, spawn).await;
            assert_eq!(process.wait().await, 5);
            let since = Instant::now();
            assert!(if abort {
                process.abort()
            } else {
                process.close()
            });
            let events = all(&mut probe).await;
            assert!(since.elapsed() < Duration::from_secs(2));
            assert_eq!(exit_of(&events), 5);
            assert_eq!(end(&events).detail.phase, ClosePhase::Exited);
            assert_eq!(end(&events).reason, ClosedReason::ClosedByHost);
        });
    }
}

#[test]
fn an_abort_kills_and_drops_what_is_queued() {
    with_pool(async |pool| {
        let (process, mut probe) = up(&pool, STUBBORN).await;
        overfill(&process);
        let since = Instant::now();
        assert!(process.abort());
        assert!(!process.abort());
        let events = all(&mut probe).await;
        assert!(since.elapsed() < Duration::from_secs(2));
        assert_eq!(exit_of(&events), -9);
        assert_eq!(end(&events).detail.cause, Cause::LocalAbort);
        assert!(end(&events).detail.unsent > 200_000);
    });
}

#[test]
fn an_abort_cuts_a_close_short() {
    with_pool(async |pool| {
        let (process, mut probe) = up(&pool, STUBBORN).await;
        process.close();
        assert!(process.abort());
        let events = all(&mut probe).await;
        assert_eq!(exit_of(&events), -9);
        let detail = &end(&events).detail;
        assert_eq!(detail.cause, Cause::LocalClose);
        assert_eq!(detail.cut_short, Some(Cause::LocalAbort));
    });
}

/// What was queued for its input is sent before it closes.
#[test]
fn a_close_sends_what_is_queued_first() {
    with_pool(async |pool| {
        let file = std::env::temp_dir().join(format!("switchboard-sent-{}", std::process::id()));
        let line = format!("trap '' TERM; echo up; cat > {}", file.display());
        let (process, mut probe) = up(&pool, &line).await;
        process.send(vec![b'y'; 200_000]).unwrap();
        process.close();
        let events = all(&mut probe).await;
        assert_eq!(exit_of(&events), 0);
        assert_eq!(end(&events).detail.unsent, 0);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 200_000);
        std::fs::remove_file(file).unwrap();
    });
}

/// A group of its own gets the signals too; otherwise only the process does.
#[test]
fn signals_reach_its_own_children_in_a_group() {
    for group in [true, false] {
        with_pool(async |pool| {
            let spawn =
                SpawnProcess::shell("sleep 3 >/dev/null 2>&1 </dev/null & echo up; echo $!; wait");
            let (process, mut probe) = up_as(&pool, spawn.process_group(group)).await;
            let line = switchboard_tests::expect!(probe, PipeLine).line;
            let grandchild = String::from_utf8_lossy(&line).parse().unwrap();
            process.close();
            let events = all(&mut probe).await;
            assert_eq!(exit_of(&events), -15);
            assert!(lines(&events, 1).is_empty());
            if group {
                until(|| is_dead(grandchild)).await;
            } else {
                assert!(!is_dead(grandchild), "it was not told to end");
            }
        });
    }
}
