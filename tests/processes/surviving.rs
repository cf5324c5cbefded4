//! Whatever becomes of the pool, its threads and its sessions: no child of ours is left, not even a zombie.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::System;
use switchboard::prelude::*;
use switchboard::testkit::LeakCheck;
use switchboard::{Cause, Process, SpawnProcess};
use switchboard_tests::*;

use super::{STUBBORN, all, children, end, exit_of, is_reaped, spawned, up, up_as};

#[test]
fn a_stop_of_the_pool_ends_processes_within_its_grace() {
    for (line, grace, code) in [
        ("echo up; exec sleep 60", Duration::from_secs(5), -15),
        (STUBBORN, Duration::from_millis(200), -9),
        (STUBBORN, Duration::ZERO, -9),
    ] {
        with_pool(async |pool| {
            let (process, mut probe) = up(&pool, line).await;
            let since = Instant::now();
            let totals = pool.stop_within(grace).await;
            assert!(since.elapsed() < Duration::from_secs(3));
            assert_eq!(totals.live, 0);
            assert!(is_reaped(process.pid()));
            let events = all(&mut probe).await;
            assert_eq!(exit_of(&events), code);
            assert_eq!(end(&events).detail.cause, Cause::PoolStopped);
        });
    }
}

#[test]
fn a_drain_is_told_and_waits_until_its_deadline() {
    with_pool(async |pool| {
        let (quick, mut first) = spawned(&pool, SpawnProcess::new("cat")).await;
        let (slow, mut second) = up(&pool, STUBBORN).await;
        let draining =
            pool.drain(Drain::within(Duration::from_millis(400)).flush(Duration::from_millis(100)));
        assert_eq!(expect!(first, Draining).client, quick.id());
        expect!(second, Draining);
        quick.write_eof().unwrap();
        let report = draining.await;
        assert_eq!((report.live, report.finished, report.aborted), (2, 1, 1));
        assert_eq!(exit_of(&all(&mut first).await), 0);
        let events = all(&mut second).await;
        assert_eq!(exit_of(&events), -9);
        assert_eq!(end(&events).detail.cause, Cause::Drained);
        assert!(is_reaped(slow.pid()));
    });
}

/// As with connections: whoever is not told has nothing to finish.
#[test]
fn a_drain_closes_at_once_whose_session_is_not_told() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let spawn = SpawnProcess::new("sleep").arg("60");
        let process: Process = pool.spawn(spawn, probe.session_for()).await.unwrap();
        let drain = Drain::within(Duration::from_secs(60)).close_untold(true);
        let report = pool.drain(drain).await;
        assert_eq!((report.live, report.untold), (1, 1));
        assert_eq!(process.returncode(), Some(-15));
        assert_eq!(exit_of(&all(&mut probe).await), -15);
    });
}

/// A process that was started but whose pipes could not be opened is ended again, and the error is told.
#[test]
fn without_descriptors_nothing_is_left_either() {
    const TEST: &str = "surviving::without_descriptors_nothing_is_left_either";
    if !is_rerun() {
        let output = rerun(TEST, Some(48)).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains("1 passed"),
            "{told}"
        );
        return;
    }
    with_pool(async |pool| {
        let mut running = Vec::new();
        for spare in 0..12 {
            // Ever fewer are free, so that it fails at every step.
            let taken: Vec<_> = (0..spare)
                .map_while(|_| std::fs::File::open("/dev/null").ok())
                .collect();
            loop {
                let probe = Probe::new();
                let spawn = SpawnProcess::new("cat");
                match pool.spawn(spawn, probe.full_session_for::<Process>()).await {
                    Ok(process) => running.push((process, probe)),
                    Err(error) => {
                        assert_eq!(error.source.raw_os_error(), Some(24), "{error}");
                        break;
                    }
                }
            }
            drop(taken);
            for (process, mut probe) in running.drain(..) {
                process.send("x\n").unwrap();
                expect!(probe, PipeLine);
                process.write_eof().unwrap();
                all(&mut probe).await;
                until(|| process.addr().is_none()).await;
            }
            assert!(pool.connections().await.unwrap().is_empty());
        }
        let since = Instant::now();
        while !children().is_empty() {
            assert!(since.elapsed() < PATIENCE, "{:?}", children());
            // Asks again shortly whether they are gone.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// Nobody stops anything: the system just goes.
#[test]
fn a_system_that_is_dropped_leaves_no_child() {
    if !alone("surviving::a_system_that_is_dropped_leaves_no_child") {
        return;
    }
    for shards in [0, 1] {
        let system = System::new();
        let pids = system.block_on(async move {
            let pool = Pool::builder().shards(shards).start().unwrap();
            let mut pids = Vec::new();
            for _ in 0..5 {
                let (process, probe) = up(&pool, STUBBORN).await;
                pids.push(process.pid());
                std::mem::forget(probe);
            }
            System::current().stop();
            pids
        });
        drop(system);
        let since = Instant::now();
        while !children().is_empty() {
            assert!(since.elapsed() < PATIENCE, "{:?} of {pids:?}", children());
            // Asks again shortly whether all are gone.
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Descriptors, threads, tasks, children: as before.
#[test]
fn nothing_is_left_of_many_processes() {
    if !alone("surviving::nothing_is_left_of_many_processes") {
        return;
    }
    with_pool(async |pool| {
        let (_, mut first) = spawned(&pool, SpawnProcess::new("true")).await;
        all(&mut first).await;
        let leaks = LeakCheck::begin().pool(&pool);
        let lines = ["true", "exec cat", "sleep 0.1 & exit 0", "exit 1", STUBBORN];
        for line in lines.into_iter().cycle().take(40) {
            let spawn = SpawnProcess::shell(line).grace(Duration::from_millis(50));
            let (process, mut probe) = spawned(&pool, spawn).await;
            if line.contains("cat") || line == STUBBORN {
                process.close();
            }
            all(&mut probe).await;
            let _ = pool
                .spawn(SpawnProcess::new("/no/such"), probe.full_session_for())
                .await;
        }
        assert_eq!(children(), []);
        leaks.settle().await;
        // A whole crowd, each stopped by the pool.
        let crowd = Arc::new(std::sync::Mutex::new(Vec::new()));
        for _ in 0..20 {
            let one = up_as(&pool, SpawnProcess::shell(STUBBORN)).await;
            crowd.lock().unwrap().push(one);
        }
        pool.stop_within(Duration::from_millis(100)).await;
        assert_eq!(children(), []);
    });
}
