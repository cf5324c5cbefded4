//! Sessions, factories and threads that fail on workers.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use switchboard::Cause;

use super::stopping::in_the_making;
use super::*;

/// A panic on a worker ends its own connection and nothing else there.
#[test]
fn a_panic_on_a_worker_closes_its_own_connection_only() {
    let (shop, _doorman) = shop();
    let totals = with(Pool::builder().shards(1).workers(1), |pool| async move {
        let mut events = watch(&pool);
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut fragile = dial(server.local_addr());
        let mut neighbour = dial(server.local_addr());
        assert_eq!(exchange(&mut neighbour, b"before\n"), b"before\n");
        fragile.write_all(b"panic\n").unwrap();
        assert_eq!(peer(move || read_all(&mut fragile)).await, b"");
        let failed = next_pool_event(&mut events, |event| match event {
            PoolEvent::SessionFailed { event, text, .. } => Some((*event, text.clone())),
            _ => None,
        });
        let expected = (Some("LineReceived"), "as it was told".to_owned());
        assert_eq!(failed.await, expected);
        assert_eq!(exchange(&mut neighbour, b"after\n"), b"after\n");
        drop(neighbour);
        all_gone(&pool).await;
        assert_eq!(pool.status().await.unwrap().workers[0].restarts, 0);
    });
    assert_eq!(totals.closed, [1, 0, 1, 0]);
}

#[test]
fn a_factory_that_panics_on_a_worker_closes_its_own_connection_only() {
    let totals = with(Pool::builder().shards(2).workers(1), |pool| async move {
        let mut events = watch(&pool);
        let made = AtomicUsize::new(0);
        let make = move |client| {
            let number = made.fetch_add(1, Ordering::Relaxed);
            assert!(number.is_multiple_of(2), "an odd one");
            Echo { client }
        };
        let server = pool.listen(local().lines(), make).await.unwrap();
        for _ in 0..4 {
            let mut good = dial(server.local_addr());
            assert_eq!(exchange(&mut good, b"hello\n"), b"hello\n");
            let mut bad = dial(server.local_addr());
            assert_eq!(peer(move || read_all(&mut bad)).await, b"");
            let failed = next_pool_event(&mut events, |event| match event {
                PoolEvent::SessionFailed { event, text, .. } => Some((*event, text.clone())),
                _ => None,
            });
            assert_eq!(failed.await, (None, "an odd one".to_owned()));
        }
        all_gone(&pool).await;
    });
    assert_eq!(totals.closed, [4, 0, 4, 0]);
}

/// A handler stops its thread's arbiter: the sessions there are gone, their connections close, the other
/// worker notices nothing, and the thread is started again.
#[test]
fn a_worker_whose_thread_ends_is_started_again() {
    let (shop, _doorman) = shop();
    let totals = with(Pool::builder().shards(1).workers(2), |pool| async move {
        let mut events = watch(&pool);
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut peers: Vec<_> = (0..4)
            .map(|_| {
                let mut stream = dial(server.local_addr());
                assert_eq!(exchange(&mut stream, b"here\n"), b"here\n");
                stream
            })
            .collect();
        assert_eq!(shop.threads(), 2);
        let mut elsewhere = vec![peers.remove(3), peers.remove(1)];
        peers[0].write_all(b"stop\n").unwrap();
        for mut stream in peers {
            assert_eq!(peer(move || read_all(&mut stream)).await, b"");
        }
        for stream in &mut elsewhere {
            assert_eq!(exchange(stream, b"still here\n"), b"still here\n");
        }
        let ended = next_pool_event(&mut events, |event| match event {
            PoolEvent::WorkerEnded { worker, restart_in } => Some((*worker, restart_in.is_some())),
            _ => None,
        });
        assert_eq!(ended.await, (0, true));
        let restarted = next_pool_event(&mut events, |event| match event {
            PoolEvent::WorkerRestarted { worker, restarts } => Some((*worker, *restarts)),
            _ => None,
        });
        assert_eq!(restarted.await, (0, 1));
        let status = pool.status().await.unwrap();
        assert!(status.workers[0].running && status.workers[0].restarts == 1);
        // The fewest sessions are on the new thread.
        let mut fresh = dial(server.local_addr());
        assert_eq!(exchange(&mut fresh, b"new\n"), b"new\n");
        assert_eq!(shop.threads(), 3);
        drop((fresh, elsewhere));
        all_gone(&pool).await;
    });
    assert_eq!(totals.closed, [2, 0, 3, 0]);
}

/// Who comes while no worker runs waits for one.
#[test]
fn connections_wait_for_the_only_worker_to_be_started_again() {
    let (shop, _doorman) = shop();
    with(Pool::builder().shards(1).workers(1), |pool| async move {
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut fatal = dial(server.local_addr());
        fatal.write_all(b"stop\n").unwrap();
        assert_eq!(read_all(&mut fatal), b"");
        let address = server.local_addr();
        peer(move || {
            for _ in 0..5 {
                let mut stream = dial(address);
                assert_eq!(exchange(&mut stream, b"there\n"), b"there\n");
            }
        })
        .await;
        assert_eq!(shop.threads(), 2);
        all_gone(&pool).await;
    });
}

/// Who waits at a worker whose thread ends gets a session from another one.
#[test]
fn those_who_wait_at_a_worker_that_ends_go_to_another() {
    let (shop, doorman) = shop();
    with(Pool::builder().shards(1).workers(2), |pool| async move {
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut fatal = dial(server.local_addr());
        fatal.write_all(b"halt\n").unwrap();
        let doorman = doorman.someone().await;
        let peers: Vec<_> = (0..9).map(|_| dial(server.local_addr())).collect();
        let sessions = async || {
            let status = pool.status().await.unwrap();
            let workers = status.workers.iter();
            workers.map(|worker| worker.sessions).collect::<Vec<_>>()
        };
        while sessions().await != [5, 5] {
            tokio::task::yield_now().await;
        }
        doorman.open();
        let served = peer(move || {
            let ask = |mut stream: std::net::TcpStream| {
                stream.write_all(b"there\n").is_ok()
                    && std::io::Read::read(&mut stream, &mut [0; 6]).is_ok_and(|count| count > 0)
            };
            peers.into_iter().map(ask).filter(|served| *served).count()
        });
        // Five were with the other worker from the start, four waited here. A few of them may have got a
        // session at the last moment, which went with the thread.
        let served = served.await;
        assert!(served > 5, "{served} were served");
        all_gone(&pool).await;
    });
}

/// The connection's own thread ends while a worker makes its session.
#[test]
fn a_session_that_outlives_its_shard_is_told_the_end() {
    with(Pool::builder().shards(1).workers(1), |pool| async move {
        let (mut stream, client, doorman, seen) = in_the_making(&pool).await;
        client
            .with_socket(|_| Arbiter::current().stop())
            .await
            .unwrap();
        // The end of the connection, whether in order or by a reset.
        let _ = peer(move || std::io::Read::read(&mut stream, &mut [0])).await;
        doorman.open();
        let cause = peer(move || seen.recv_timeout(PATIENCE).unwrap()).await;
        assert_eq!(cause, Cause::RuntimeFailed);
    });
}

/// Threads that end again and again are not started for ever: the pool stops and says why.
#[test]
fn threads_that_end_too_often_stop_the_pool() {
    let (shop, _doorman) = shop();
    with(Pool::builder().shards(1).workers(8), |pool| async move {
        let mut events = watch(&pool);
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let address = server.local_addr();
        let crash = move || {
            while let Ok(mut stream) = std::net::TcpStream::connect(address) {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                // The pool may be at its end already.
                let _ = stream.write_all(b"stop\n");
                let _ = std::io::Read::read(&mut stream, &mut [0]);
            }
        };
        let crashing = std::thread::spawn(crash);
        let (mut started, mut given_up) = (0, 0);
        let escalated = next_pool_event(&mut events, |event| match event {
            PoolEvent::WorkerEnded { restart_in, .. } => {
                started += u32::from(restart_in.is_some());
                given_up += u32::from(restart_in.is_none());
                None
            }
            PoolEvent::Escalated { supervisor } => Some(supervisor.clone()),
            _ => None,
        });
        assert_eq!(escalated.await, "workers");
        assert_eq!((started, given_up), (10, 1));
        pool.stopped().await;
        peer(move || crashing.join().unwrap()).await;
    });
}

/// Nobody makes the sessions that were waited for then, and nobody waits for them.
#[test]
fn who_waits_for_a_worker_that_does_not_come_back_holds_up_no_stop() {
    let (shop, mut doorman) = shop();
    with(Pool::builder().shards(1).workers(1), |pool| async move {
        let mut events = watch(&pool);
        let server = pool.listen(local().lines(), shop.servant()).await.unwrap();
        let mut peers = Vec::new();
        for round in 0..11 {
            let mut fatal = dial(server.local_addr());
            fatal.write_all(b"halt\n").unwrap();
            doorman = doorman.someone().await;
            peers.push(dial(server.local_addr()));
            until(|| server.info().accepted == 2 * (round + 1)).await;
            doorman.open.send(()).unwrap();
            next_pool_event(&mut events, |event| {
                matches!(event, PoolEvent::WorkerEnded { .. }).then_some(())
            })
            .await;
        }
        let ended = std::time::Instant::now();
        let totals = pool.stopped().await;
        let took = ended.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!((totals.accepted, totals.closed_in_all()), (22, 22));
    });
}
