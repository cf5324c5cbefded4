//! Processes among the other things of a pool.

use switchboard::message::{Close, SendData, WriteEof};
use switchboard::prelude::*;
use switchboard::{ChannelKind, Handle, SpawnProcess};
use switchboard_core::ConnectionState;
use switchboard_tests::{expect, with_pool};

use super::{all, end, exit_of, spawned};

/// One process is one entry, whatever pipes it has.
#[test]
fn it_is_listed_found_and_counted_as_one() {
    let totals = with_pool(async |pool| {
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        let listed = pool.connections().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].id, process.id());
        assert_eq!(listed[0].kind, ChannelKind::Process);
        let found = pool.find(process.id()).await;
        assert_eq!(found, Some(Handle::Process(process.clone())));
        for fd in 0..3 {
            let pipe = process.pipe(fd).unwrap();
            assert_eq!(pool.find(pipe.id()).await, None);
        }
        let totals = pool.status().await.unwrap().totals;
        assert_eq!((totals.opened, totals.live), (1, 1));
        process.send("hello\n").unwrap();
        assert_eq!(expect!(probe, PipeLine).line.as_ref(), b"hello");
        let info = process.info();
        assert_eq!(info.activity.state, ConnectionState::Open);
        assert_eq!((info.activity.bytes_out, info.activity.bytes_in), (6, 6));
        process.write_eof().unwrap();
        let events = all(&mut probe).await;
        let detail = &end(&events).detail;
        assert_eq!((detail.bytes_out, detail.bytes_in), (6, 6));
        assert_eq!(process.info().activity.state, ConnectionState::Closed);
        assert_eq!(pool.find(process.id()).await, None);
    });
    assert_eq!((totals.opened, totals.live), (1, 0));
    assert_eq!(totals.closed[ClosedReason::ClosedByPeer as usize], 1);
}

#[test]
fn its_commands_are_messages_too() {
    with_pool(async |pool| {
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        let actor = process.addr().unwrap();
        let send = SendData {
            data: "hello\n".into(),
            token: Some(Token(4)),
        };
        actor.send(send).await.unwrap().unwrap();
        actor.send(WriteEof {}).await.unwrap().unwrap();
        let events = all(&mut probe).await;
        assert_eq!(super::lines(&events, 1), ["hello"]);
        assert_eq!(exit_of(&events), 0);
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        let actor = process.addr().unwrap();
        assert!(actor.send(Close::default()).await.unwrap());
        let events = all(&mut probe).await;
        assert_eq!(end(&events).reason, ClosedReason::ClosedByHost);
    });
}

/// A probe knows that nothing opens a process, and that one which was started has to close.
#[test]
fn a_probe_misses_the_end_of_a_process() {
    with_pool(async |pool| {
        let (process, probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        let finish = std::panic::AssertUnwindSafe(|| probe.finish());
        let missed = std::panic::catch_unwind(finish).unwrap_err();
        let text = missed.downcast_ref::<String>().unwrap();
        assert!(text.contains("open are"), "{text}");
        assert!(text.contains(&process.id().to_string()), "{text}");
        process.close();
        process.wait_closed().await;
        let (process, mut probe) = spawned(&pool, SpawnProcess::new("cat")).await;
        process.close();
        all(&mut probe).await;
        probe.ended().await;
        probe.finish();
    });
}

/// Every one ends under the reason that it has, and the counters add up (see `with_pool`).
#[test]
fn two_hundred_at_once_all_end() {
    let totals = with_pool(async |pool| {
        let mut running = Vec::new();
        for _ in 0..200 {
            running.push(spawned(&pool, SpawnProcess::new("cat")).await);
        }
        for (process, _) in &running {
            process.send("x\n").unwrap();
        }
        for (process, probe) in &mut running {
            assert_eq!(expect!(probe, PipeLine).line.as_ref(), b"x");
            process.write_eof().unwrap();
        }
        for (process, mut probe) in running {
            assert_eq!(exit_of(&all(&mut probe).await), 0);
            assert!(super::is_reaped(process.pid()));
        }
    });
    assert_eq!(totals.opened, 200);
    assert_eq!(totals.closed[ClosedReason::ClosedByPeer as usize], 200);
}
