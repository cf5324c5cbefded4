//! Processes as supervised children.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use switchboard::prelude::*;
use switchboard::{
    BackoffConfig, ChildSpec, OnEscalation, Process, Restart, SpawnProcess, Supervise,
};
use switchboard_tests::{PATIENCE, next_pool_event, until, watch, with_pool};
use tokio::sync::mpsc;

use super::{STUBBORN, Witness, is_reaped};

fn every(pause: Duration) -> BackoffConfig {
    let mut config = BackoffConfig::default();
    (config.min, config.max, config.jitter) = (pause, pause, 0.0);
    config
}

fn supervise() -> Supervise {
    Supervise::new("top").backoff(every(Duration::from_millis(20)))
}

/// The processes that a child's factory was given, and what their sessions are told.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<Vec<Process>>>);

impl Runs {
    fn session(&self) -> impl Fn(Process) -> Witness + Send + Sync + 'static + use<> {
        let runs = Arc::clone(&self.0);
        move |process| {
            runs.lock().unwrap().push(process.clone());
            let (told, _) = mpsc::unbounded_channel();
            Witness { process, told }
        }
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn get(&self, run: usize) -> Process {
        self.0.lock().unwrap()[run].clone()
    }

    fn all_reaped(&self) -> bool {
        self.0
            .lock()
            .unwrap()
            .iter()
            .all(|run| is_reaped(run.pid()))
    }
}

/// A new process each time, with a session of its own, after a pause.
#[test]
fn a_crashing_process_is_started_again() {
    with_pool(async |pool| {
        let mut events = watch(&pool);
        let runs = Runs::default();
        let spawn = SpawnProcess::new("sleep").arg("60");
        let child = ChildSpec::process("worker", &pool, spawn, runs.session());
        let child = child.restart(Restart::Transient);
        let supervisor = pool.supervise(supervise().child(child)).await.unwrap();
        until(|| runs.count() == 1).await;
        runs.get(0).kill().unwrap();
        let (text, pause) = next_pool_event(&mut events, |event| match event {
            PoolEvent::ChildFailed {
                text, restart_in, ..
            } => Some((text.clone(), *restart_in)),
            _ => None,
        })
        .await;
        assert!(text.contains("-9"), "{text}");
        assert_eq!(pause, Some(Duration::from_millis(20)));
        until(|| runs.count() == 2).await;
        let (first, second) = (runs.get(0), runs.get(1));
        assert_ne!(first.pid(), second.pid());
        assert_ne!(first.id(), second.id());
        assert!(is_reaped(first.pid()));
        assert_eq!(supervisor.status().await[0].restarts, 1);
        supervisor.stop().await;
        assert!(runs.all_reaped());
        assert_eq!(second.returncode(), Some(-15));
        assert_eq!(pool.connections().await.unwrap().len(), 0);
        // To be stopped is no failure.
        pool.status().await.unwrap();
        while let Ok(event) = events.try_recv() {
            assert!(!matches!(event, PoolEvent::ChildFailed { .. }), "{event:?}");
        }
    });
}

/// A transient one that ended well, and a temporary one whatever it did, stay down; a permanent one does not.
#[test]
fn restarts_follow_the_kind_of_child() {
    let cases = [
        (Restart::Permanent, "exit 0", true),
        (Restart::Permanent, "exit 1", true),
        (Restart::Transient, "exit 0", false),
        (Restart::Transient, "exit 1", true),
        (Restart::Transient, "kill -9 $$", true),
        (Restart::Temporary, "exit 0", false),
        (Restart::Temporary, "exit 1", false),
    ];
    for (restart, line, again) in cases {
        with_pool(async |pool| {
            let runs = Runs::default();
            let spawn = SpawnProcess::shell(line);
            let child = ChildSpec::process("worker", &pool, spawn, runs.session());
            let top = supervise()
                .on_escalation(OnEscalation::StopChildren)
                .child(child.restart(restart));
            let supervisor = pool.supervise(top).await.unwrap();
            if again {
                until(|| runs.count() >= 2).await;
            } else {
                until(|| runs.count() == 1 && runs.get(0).returncode().is_some()).await;
                // What it may do wrong needs time: start it again.
                tokio::time::sleep(Duration::from_millis(150)).await;
                assert_eq!(runs.count(), 1, "{restart:?} {line}");
                assert!(!supervisor.status().await[0].running);
            }
            supervisor.stop().await;
            until(|| runs.all_reaped()).await;
        });
    }
}

/// To fail too often, or not to start at all, goes up.
#[test]
fn too_many_failures_escalate() {
    for spawn in [
        SpawnProcess::shell("exit 1"),
        SpawnProcess::new("no-such-program-here"),
    ] {
        with_pool(async |pool| {
            let mut events = watch(&pool);
            let runs = Runs::default();
            let child = ChildSpec::process("worker", &pool, spawn, runs.session());
            let top = supervise()
                .intensity(3, Duration::from_secs(60))
                .on_escalation(OnEscalation::StopChildren)
                .child(child.restart(Restart::Transient));
            let supervisor = pool.supervise(top).await.unwrap();
            let failures = AtomicUsize::new(0);
            next_pool_event(&mut events, |event| match event {
                PoolEvent::ChildFailed { .. } => {
                    failures.fetch_add(1, SeqCst);
                    None
                }
                PoolEvent::Escalated { .. } => Some(()),
                _ => None,
            })
            .await;
            assert_eq!(failures.load(SeqCst), 4);
            until(|| !supervisor.is_running()).await;
            assert!(runs.count() == 4 || runs.count() == 0);
            until(|| runs.all_reaped()).await;
        });
    }
}

/// A stop closes it within its own grace, and what is stubborn is ended at the end of it, or of the child's.
#[test]
fn a_stop_takes_its_process_along() {
    let (short, long) = (Duration::from_millis(200), Duration::from_secs(30));
    for (own, childs) in [(short, long), (long, short)] {
        with_pool(async |pool| {
            let (told, mut words) = mpsc::unbounded_channel();
            let session = move |process| Witness {
                process,
                told: told.clone(),
            };
            let runs = Runs::default();
            let seen = Arc::clone(&runs.0);
            let session = move |process: Process| {
                seen.lock().unwrap().push(process.clone());
                session(process)
            };
            let spawn = SpawnProcess::shell(STUBBORN).grace(own);
            let child = ChildSpec::process("worker", &pool, spawn, session).grace(childs);
            let supervisor = pool.supervise(supervise().child(child)).await.unwrap();
            assert_eq!(words.recv().await.unwrap(), "1: up");
            let since = Instant::now();
            supervisor.stop().await;
            assert!(
                since.elapsed() < Duration::from_secs(5),
                "{own:?} {childs:?}"
            );
            let process = runs.get(0);
            let over = tokio::time::timeout(PATIENCE, process.wait_closed()).await;
            assert_eq!(over, Ok(-9));
            assert!(is_reaped(process.pid()));
        });
    }
}
