//! How a process is started, and when it cannot be.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use switchboard::prelude::*;
use switchboard::{CrashPolicy, Process, SpawnProcess, Stdio};
use switchboard_tests::{Probe, with, with_pool};

use super::{all, lines, spawned};

async fn refused(pool: &Pool, spawn: SpawnProcess) -> (ErrorKind, String) {
    let probe = Probe::new();
    let outcome = pool.spawn(spawn, probe.full_session_for()).await;
    let error = outcome.expect_err("it was started");
    (error.source.kind(), error.to_string())
}

/// AIO-24: the error names the program, and nothing is left or counted.
#[test]
fn aio_24_what_cannot_be_started_is_an_error_and_nothing_else() {
    let totals = with_pool(async |pool| {
        let missing = refused(&pool, SpawnProcess::new("no-such-program-here")).await;
        assert_eq!(missing.0, ErrorKind::NotFound);
        assert!(missing.1.contains("no-such-program-here"), "{}", missing.1);

        let file = std::env::temp_dir().join(format!("switchboard-plain-{}", std::process::id()));
        std::fs::write(&file, "no program\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let denied = refused(&pool, SpawnProcess::new(&file)).await;
        std::fs::remove_file(file).unwrap();
        assert_eq!(denied.0, ErrorKind::PermissionDenied);

        let nowhere = SpawnProcess::new("true").current_dir("/no/such/directory");
        assert_eq!(refused(&pool, nowhere).await.0, ErrorKind::NotFound);

        let nameless = refused(&pool, SpawnProcess::new("")).await;
        assert_eq!(nameless.0, ErrorKind::InvalidInput);
        let nul = refused(&pool, SpawnProcess::new("true").arg("a\0b")).await;
        assert_eq!(nul.0, ErrorKind::InvalidInput);
        let nothing = refused(&pool, SpawnProcess::new("true").max_line(0)).await;
        assert_eq!(nothing.0, ErrorKind::InvalidInput);
        assert!(pool.connections().await.unwrap().is_empty());
    });
    assert_eq!(totals.opened, 0);
}

/// A pipe has no second link and no second session: to be supervised is how a process comes back.
#[test]
fn policies_that_a_process_cannot_follow_are_refused() {
    with_pool(async |pool| {
        let policy = CrashPolicy::Restart {
            max: 3,
            within: std::time::Duration::from_secs(9),
        };
        let restart = refused(&pool, SpawnProcess::new("true").on_crash(policy)).await;
        assert_eq!(restart.0, ErrorKind::InvalidInput);
        assert!(restart.1.contains("supervise"), "{}", restart.1);
    });
}

#[test]
fn a_full_draining_or_stopped_pool_starts_nothing() {
    with(Pool::builder().shards(1).max_connections(1), async |pool| {
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        let full = refused(&pool, SpawnProcess::new("cat")).await;
        assert_eq!(full.0, ErrorKind::QuotaExceeded);
        process.write_eof().unwrap();
        all(&mut probe).await;
        // Its place is given back with its actor.
        switchboard_tests::until(|| process.addr().is_none()).await;
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        let draining = pool.drain(Drain::within(std::time::Duration::from_secs(9)));
        let refusal = refused(&pool, SpawnProcess::new("cat")).await;
        assert_eq!(refusal.0, ErrorKind::NotConnected);
        process.write_eof().unwrap();
        all(&mut probe).await;
        draining.await;
        pool.stop().await;
        let stopped = refused(&pool, SpawnProcess::new("cat")).await;
        assert_eq!(stopped.0, ErrorKind::NotConnected);
    });
}

async fn said(pool: &Pool, spawn: SpawnProcess) -> Vec<String> {
    let (_, mut probe): (Process, _) = spawned(pool, spawn).await;
    lines(&all(&mut probe).await, 1)
}

#[test]
fn its_environment_and_directory_are_as_asked() {
    with_pool(async |pool| {
        let shell = || SpawnProcess::shell("echo $A-$B-${PATH:+path}; pwd");
        let set = shell().env("A", "1").env("B", "2").env_remove("B");
        assert_eq!(said(&pool, set.current_dir("/")).await, ["1--path", "/"]);
        let cleared = SpawnProcess::new("/usr/bin/env").env_clear().env("A", "1");
        assert_eq!(said(&pool, cleared).await, ["A=1"]);
        let arguments = SpawnProcess::new("printf").args(["%s\n", "a b", "", "c"]);
        assert_eq!(said(&pool, arguments).await, ["a b", "", "c"]);
    });
}

#[test]
fn nothing_and_ours_are_what_they_say() {
    with_pool(async |pool| {
        let line = "readlink /proc/self/fd/0; readlink /proc/self/fd/2; wc -c";
        let spawn = SpawnProcess::shell(line)
            .stdin(Stdio::Null)
            .stderr(Stdio::Inherit);
        let ours = std::fs::read_link("/proc/self/fd/2").unwrap();
        let expected = ["/dev/null", ours.to_str().unwrap(), "0"];
        assert_eq!(said(&pool, spawn).await, expected);
    });
}

/// Its pipes are its own: no other process gets them, nor anything else of ours that was opened meanwhile.
#[test]
fn it_inherits_no_descriptor_of_ours() {
    with_pool(async |pool| {
        let list = || SpawnProcess::shell("for fd in /proc/$$/fd/*; do echo ${fd##*/}; done");
        let before = said(&pool, list()).await;
        let mut others = Vec::new();
        for _ in 0..5 {
            others.push(spawned(&pool, SpawnProcess::new("cat")).await);
        }
        assert_eq!(said(&pool, list()).await, before);
        for (other, mut probe) in others {
            other.write_eof().unwrap();
            all(&mut probe).await;
        }
    });
}
