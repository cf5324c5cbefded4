//! Pools that run beside others, in the background, or for a while.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::{Pool, default_pool};
use switchboard_tests::*;

use super::echo_server;

/// XAS-08.
#[test]
fn xas_08_a_background_pool_is_ready_when_the_call_returns() {
    let background = Pool::builder().shards(1).background().unwrap();
    let pool = background.pool().clone();
    let server = background
        .block_on(async move { echo_server(&pool).await })
        .unwrap();
    let mut peer = dial(server.local_addr());
    assert_eq!(exchange(&mut peer, b"at once\n"), b"at once\n");
    let stopping = std::thread::spawn(move || background.stop());
    assert_eq!(read_all(&mut peer), b"");
    drop(peer);
    let totals = stopping.join().unwrap();
    assert_eq!((totals.accepted, totals.live), (1, 0));
    assert!(TcpStream::connect(server.local_addr()).is_err());
}

/// AC-01.
#[test]
fn ac_01_running_ends_when_idle_or_after_so_many_passes() {
    with_pool(async |pool| {
        pool.run_until_idle().await.unwrap();
        let passes = pool.run_passes(3, PATIENCE).await.unwrap();
        assert_eq!(passes, 0, "an empty pool returns at once");

        let server = echo_server(&pool).await;
        let address = server.local_addr();
        let dialled = peer(move || dial(address));
        let (passes, stream) = tokio::join!(pool.run_passes(1, PATIENCE), dialled);
        assert_eq!(passes.unwrap(), 1, "the peer was accepted");
        until(|| server.info().live == 1).await;

        let since = Instant::now();
        let nothing = pool.run_passes(2, Duration::from_millis(50)).await.unwrap();
        let took = since.elapsed();
        assert_eq!(nothing, 0, "nothing happens, twice");
        assert!(took >= Duration::from_millis(100), "{took:?}");
        assert!(took < Duration::from_secs(2), "{took:?}");

        let idle = pool.run_until_idle();
        tokio::pin!(idle);
        // The peer is still there, so it goes on for as long as it is looked at.
        let early = tokio::time::timeout(Duration::from_millis(50), &mut idle);
        assert!(early.await.is_err());
        drop(stream);
        tokio::time::timeout(PATIENCE, idle).await.unwrap().unwrap();
        assert_eq!(server.info().live, 0);
    });
}

/// AC-02.
#[test]
fn ac_02_stopping_one_pool_leaves_the_other() {
    with_pool(async |pool| {
        let other = Pool::builder().shards(1).name("other").start().unwrap();
        let (ours, theirs) = (echo_server(&pool).await, echo_server(&other).await);
        let mut stays = dial(ours.local_addr());
        let mut goes = dial(theirs.local_addr());
        until(|| ours.info().live == 1 && theirs.info().live == 1).await;
        let ended = peer(move || read_all(&mut goes));
        let (totals, ended) = tokio::join!(other.stop(), ended);
        assert_eq!((totals.accepted, ended), (1, Vec::new()));
        assert!(!other.is_running() && pool.is_running());
        peer(move || assert_eq!(exchange(&mut stays, b"still here\n"), b"still here\n")).await;
    });
}

/// AC-02.
#[test]
fn ac_02_each_thread_has_one_default_pool_that_comes_back_after_a_stop() {
    let name = || {
        System::new().block_on(async {
            let pool = default_pool().unwrap();
            let address = echo_server(&pool).await.local_addr();
            let same = default_pool().unwrap();
            let servers = same.status().await.unwrap().servers;
            assert_eq!(servers, 1, "it is the same pool");
            peer(move || assert_eq!(exchange(&mut dial(address), b"x\n"), b"x\n")).await;
            pool.stop().await;
            let next = default_pool().unwrap();
            assert!(next.is_running() && !pool.is_running());
            assert_eq!(next.status().await.unwrap().servers, 0);
            next.stop().await;
        });
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(name), scope.spawn(name)];
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
