//! How a process ended, and the signals that it gets.

use std::time::Duration;

use switchboard::SignalError;
use switchboard::process::{Kill, Signal, Terminate};
use switchboard::{SpawnProcess, message::GetInfo};
use switchboard_tests::{PATIENCE, with_pool};

use super::{all, exit_of, is_reaped, spawned, up};

/// AIO-17.
#[test]
fn aio_17_there_is_no_code_before_the_exit_and_its_own_after_it() {
    with_pool(async |pool| {
        let (process, mut probe) = up(&pool, "echo up; read line; exit 3").await;
        assert_eq!(process.returncode(), None);
        assert!(std::fs::exists(format!("/proc/{}", process.pid())).unwrap());
        process.send("go\n").unwrap();
        assert_eq!(process.wait().await, 3);
        assert_eq!(process.returncode(), Some(3));
        assert_eq!(exit_of(&all(&mut probe).await), 3);
        assert_eq!(process.wait_closed().await, 3);
        assert!(is_reaped(process.pid()));
    });
}

/// AIO-19: each is told as minus its number.
#[test]
fn aio_19_signals_end_it_and_are_its_code() {
    with_pool(async |pool| {
        for (number, code) in [(9, -9), (15, -15), (2, -2), (10, -10)] {
            // Whoever runs the tests in the background ignores SIGINT, and so would its children.
            let sleep = SpawnProcess::new("env").args(["--default-signal=INT", "sleep", "60"]);
            let (process, mut probe) = spawned(&pool, sleep).await;
            while process.returncode().is_none() {
                let sent = match number {
                    9 => process.kill(),
                    15 => process.terminate(),
                    _ => process.signal(number),
                };
                assert!(matches!(sent, Ok(()) | Err(SignalError::NoSuchProcess)));
                // Until `env` has come so far.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(process.wait().await, code);
            assert_eq!(exit_of(&all(&mut probe).await), code);
        }
    });
}

/// AMB-13: it may handle it.
#[test]
fn amb_13_terminate_only_asks() {
    with_pool(async |pool| {
        let (process, mut probe) = up(
            &pool,
            "trap 'echo asked' TERM; echo up; read line; read line",
        )
        .await;
        process.terminate().unwrap();
        let asked = switchboard_tests::expect!(probe, PipeLine);
        assert_eq!(asked.line.as_ref(), b"asked");
        assert_eq!(process.returncode(), None);
        assert!(!process.is_closed());
        process.write_eof().unwrap();
        assert!(exit_of(&all(&mut probe).await) >= 0);
    });
}

/// AIO-19.
#[test]
fn aio_19_no_signal_after_the_exit() {
    with_pool(async |pool| {
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("true")).await;
        assert_eq!(process.wait().await, 0);
        assert_eq!(process.terminate(), Err(SignalError::NoSuchProcess));
        assert_eq!(process.kill(), Err(SignalError::NoSuchProcess));
        assert_eq!(process.signal(10), Err(SignalError::NoSuchProcess));
        all(&mut probe).await;
        assert!(!process.close() && !process.abort());
    });
}

#[test]
fn a_signal_that_is_none_is_refused() {
    with_pool(async |pool| {
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        for number in [-1, 0, 999] {
            let unknown = SignalError::UnknownSignal(number);
            assert_eq!(process.signal(number), Err(unknown));
        }
        process.write_eof().unwrap();
        assert_eq!(exit_of(&all(&mut probe).await), 0);
    });
}

/// Commands are messages too.
#[test]
fn its_actor_obeys_messages() {
    with_pool(async |pool| {
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("sleep").arg("60")).await;
        let actor = process.addr().unwrap();
        let info = actor.send(GetInfo {}).await.unwrap();
        assert_eq!(info.id, process.id());
        let unknown = actor.send(Signal(999)).await.unwrap();
        assert_eq!(unknown, Err(SignalError::UnknownSignal(999)));
        actor.send(Terminate).await.unwrap().unwrap();
        assert_eq!(process.wait().await, -15);
        // It may be gone by now; if not, it says so.
        if let Ok(answer) = actor.send(Kill).await {
            assert_eq!(answer, Err(SignalError::NoSuchProcess));
        }
        all(&mut probe).await;
        let gone = tokio::time::timeout(PATIENCE, process.wait_closed()).await;
        assert_eq!(gone, Ok(-15));
    });
}
