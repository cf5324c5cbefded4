//! Shards whose threads end.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use switchboard::testkit::LeakCheck;
use switchboard::{
    Cause, ClientId, ClosedReason, Connect, ConnectionOptions, ListenState, Suspend,
};
use switchboard_tests::*;

use super::*;

use super::{Assassin, adds_up, greeted, ids, lives, quick};

/// Remembers how connections ended, from outside of their shard.
struct Coroner {
    seen: Arc<Mutex<Vec<Closed>>>,
}

impl Actor for Coroner {
    type Context = Context<Self>;
}

impl Handler<LineReceived> for Coroner {
    type Result = ();

    fn handle(&mut self, _: LineReceived, _: &mut Self::Context) {}
}

impl Handler<Closed> for Coroner {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.seen.lock().unwrap().push(msg);
    }
}

switchboard::session!(Coroner);

/// A thread's end takes its own connections with it and nothing else: its listeners keep their ports and
/// who waits there, and it takes commands again.
#[test]
fn a_shard_whose_thread_ends_comes_back_with_its_listeners() {
    with(quick(Pool::builder().shards(2)), async |pool| {
        let mut events = watch(&pool);
        let server = pool
            .listen(local(), |client| Assassin { client })
            .await
            .unwrap();
        let address = server.local_addr();
        let mut peers = peer(move || (0..8).map(|_| greeted(address)).collect::<Vec<_>>()).await;
        let before = ids(&pool, &peers).await;

        // Peers come all the time, and none is refused.
        let done = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&done);
        let coming = tokio::task::spawn_blocking(move || {
            let mut came = 0;
            while !over.load(SeqCst) {
                // One that had been accepted dies with the shard.
                let mut peer = dial(address);
                let _ = peer.read(&mut [0; 6]);
                came += 1;
            }
            came
        });
        let home = server.id().shard();
        let on_shard = |id: &&ClientId| id.shard() == home;
        let killer = before.iter().position(|id| id.shard() == home).unwrap();
        peers[killer].write_all(b"die\n").unwrap();
        let restarted = events_until(&mut events, is_shard_restarted);
        let (seen, ()) = tokio::join!(restarted, async {
            for _ in 0..50 {
                assert!(adds_up(&pool).await);
                tokio::task::yield_now().await;
            }
        });
        assert!(seen.iter().any(
            |event| matches!(event, PoolEvent::ShardFailed { shard, restart_in: Some(_), .. } if *shard == home)
        ));
        assert!(seen.iter().any(is_server_restarted), "{seen:?}");
        assert!(!seen.iter().any(is_server_closed), "{seen:?}");
        done.store(true, SeqCst);
        assert!(coming.await.unwrap() > 0);

        let alive = peer(move || {
            let alive: Vec<_> = peers.iter_mut().map(lives).collect();
            (peers, alive)
        })
        .await;
        let (peers, alive) = alive;
        let expected: Vec<_> = before.iter().map(|id| id.shard() != home).collect();
        assert_eq!(alive, expected);
        assert_eq!(server.info().state, ListenState::Accepting);
        assert_eq!(server.info().restarts, 1);
        let died = before.iter().filter(on_shard).count() as u64;
        let errors = server.info().closed[ClosedReason::Error as usize];
        assert!(errors >= died, "{errors} of {died}");

        until(|| server.info().live == 8 - died).await;
        let more = peer(move || (0..8).map(|_| greeted(address)).collect::<Vec<_>>()).await;
        let after = ids(&pool, &more).await;
        let shards: HashSet<_> = after.iter().map(|id| id.shard()).collect();
        assert_eq!(shards.len(), 2, "both shards are used");
        let gone: HashSet<_> = before.iter().filter(on_shard).collect();
        assert!(after.iter().all(|id| !gone.contains(id)), "ids come once");
        assert!(adds_up(&pool).await);
        let other = pool.listen(local(), greets("other")).await.unwrap();
        let address = other.local_addr();
        peer(move || assert_eq!(read_exact(&mut dial(address), 6), b"other\n")).await;
        drop((peers, more));
    });
}

/// Every connection of a thread that ends is told to whoever is elsewhere, once.
#[test]
fn connections_of_a_dead_shard_get_closed_with_runtime_failed() {
    with(quick(Pool::builder().shards(1)), async |pool| {
        let mut events = watch(&pool);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let coroner = Coroner { seen: told }.start();
        let watched = pool
            .listen(local(), move |_| coroner.clone())
            .await
            .unwrap();
        let server = pool
            .listen(local(), |client| Assassin { client })
            .await
            .unwrap();
        let (first, second) = (watched.local_addr(), server.local_addr());
        let peers = peer(move || (0..5).map(|_| dial(first)).collect::<Vec<_>>()).await;
        until(|| watched.info().live == 5).await;
        let mut assassin = peer(move || greeted(second)).await;
        assassin.write_all(b"die\n").unwrap();
        events_until(&mut events, is_shard_restarted).await;
        until(|| seen.lock().unwrap().len() == 5).await;
        for closed in seen.lock().unwrap().iter() {
            assert_eq!(closed.reason, ClosedReason::Error);
            assert_eq!(closed.detail.cause, Cause::RuntimeFailed);
        }
        assert_eq!(watched.info().closed[ClosedReason::Error as usize], 5);
        let totals = pool.status().await.unwrap().totals;
        assert_eq!((totals.accepted, totals.live), (6, 0));
        assert_eq!(totals.closed[ClosedReason::Error as usize], 6);
        drop(peers);
    });
}

/// However often a thread ends, nothing of it is left over.
#[test]
fn shards_that_died_leave_no_descriptors_threads_or_tasks_behind() {
    if !alone("shard::thread::shards_that_died_leave_no_descriptors_threads_or_tasks_behind") {
        return;
    }
    system().block_on(async {
        let leaks = LeakCheck::begin().patience(PATIENCE);
        let pool = quick(Pool::builder().shards(2)).start().unwrap();
        let mut events = watch(&pool);
        let server = pool
            .listen(local(), |client| Assassin { client })
            .await
            .unwrap();
        let address = server.local_addr();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut most = 0;
        for round in 0..30 {
            let mut peers =
                peer(move || (0..3).map(|_| greeted(address)).collect::<Vec<_>>()).await;
            // Whichever way in there is, it is there again once.
            match round % 3 {
                0 => {}
                1 => server.suspend(Suspend::StopAccepting).await.unwrap(),
                _ => server.suspend(Suspend::ClosePort).await.unwrap(),
            }
            peers[0].write_all(b"die\n").unwrap();
            events_until(&mut events, is_shard_restarted).await;
            server.resume().await.unwrap();
            drop(peers);
            until(|| server.info().live == 0).await;
            if round < 3 {
                most = most.max(descriptors());
            }
            until(|| descriptors() <= most).await;
        }
        server.close().await;
        TcpStream::connect(address).unwrap_err();
        let totals = pool.stop().await;
        assert_eq!((totals.accepted, totals.closed_in_all()), (90, 90));
        drop((events, server, pool));
        leaks.settle().await;
    });
}

/// What is asked of a pool whose only shard is down waits for it.
#[test]
fn opening_waits_for_a_shard_that_is_down() {
    let builder = Pool::builder()
        .shards(1)
        .backoff(every(Duration::from_millis(200)));
    with(builder, async |pool| {
        let mut events = watch(&pool);
        let server = pool
            .listen(local(), |client| Assassin { client })
            .await
            .unwrap();
        server.suspend(Suspend::StopAccepting).await.unwrap();
        let address = server.local_addr();
        let mut waiting = peer(move || dial(address)).await;
        let victim = pool
            .listen(local(), |client| Assassin { client })
            .await
            .unwrap();
        let door = victim.local_addr();
        let mut assassin = peer(move || greeted(door)).await;
        assassin.write_all(b"die\n").unwrap();
        events_until(&mut events, |event| {
            matches!(event, PoolEvent::ShardFailed { .. })
        })
        .await;

        assert!(pool.connections().await.unwrap().is_empty());
        assert!(adds_up(&pool).await);
        let status = pool.status().await.unwrap();
        assert_eq!((status.servers, status.totals.live), (2, 0));
        assert_eq!(victim.info().state, ListenState::Restarting);
        victim.close().await;
        assert_eq!(victim.info().state, ListenState::Closed);
        TcpStream::connect(door).unwrap_err();

        let (there, target) = listener();
        let connecting = pool.connect(Connect::tcp(target).lines(), |client| Echo { client });
        let opened = pool.listen(local(), greets("hello"));
        let (client, opened) = tokio::join!(connecting, opened);
        let (mut stream, _) = there.accept().unwrap();
        assert_eq!(exchange(&mut stream, b"line\n"), b"line\n");
        assert_eq!(client.unwrap().id().shard(), 0);
        let address = opened.unwrap().local_addr();
        peer(move || assert_eq!(read_exact(&mut dial(address), 6), b"hello\n")).await;

        let how = Suspend::StopAccepting;
        assert_eq!(server.info().state, ListenState::Suspended(how));
        assert_eq!(server.info().accepted, 0, "it is still suspended");
        assert!(!victim.is_listening());
        server.resume().await.unwrap();
        peer(move || assert_eq!(read_exact(&mut waiting, 6), b"hello\n")).await;
    });
}

#[test]
fn shards_that_fail_too_often_stop_the_pool_in_order() {
    let builder = Pool::builder()
        .shards(2)
        .intensity(0, Duration::from_secs(60));
    let totals = with(builder, async |pool| {
        let mut events = watch(&pool);
        let server = pool
            .listen(local(), |client| Assassin { client })
            .await
            .unwrap();
        let address = server.local_addr();
        let mut peers = peer(move || (0..4).map(|_| greeted(address)).collect::<Vec<_>>()).await;
        // The second one is on the other shard: the listener's own lives.
        peers[1].write_all(b"die\n").unwrap();
        let seen = events_until(&mut events, |event| {
            matches!(event, PoolEvent::Escalated { supervisor } if supervisor.starts_with("shard "))
        })
        .await;
        assert!(seen.iter().any(|event| matches!(
            event,
            PoolEvent::ShardFailed {
                restart_in: None,
                ..
            }
        )));
        within(pool.stopped()).await;
        within(server.wait_drained()).await;
        assert_eq!(server.info().state, ListenState::Closed);
        TcpStream::connect(address).unwrap_err();
        let late = pool.connect(Connect::tcp(address), |client| Echo { client });
        late.await.unwrap_err();
    });
    assert_eq!((totals.accepted, totals.closed_in_all()), (4, 4));
}

/// The listener's own shard is the one that dies, and does not come back.
#[test]
fn a_listener_whose_shard_does_not_come_back_is_closed() {
    let builder = Pool::builder()
        .shards(1)
        .intensity(0, Duration::from_secs(60));
    with(builder, async |pool| {
        let server = pool
            .listen(local(), |client| Assassin { client })
            .await
            .unwrap();
        let address = server.local_addr();
        let mut assassin = peer(move || greeted(address)).await;
        assassin.write_all(b"die\n").unwrap();
        within(server.wait_closed()).await;
        within(pool.stopped()).await;
        assert_eq!(server.info().state, ListenState::Closed);
        assert!(server.resume().await.is_err());
        server.close().await;
        TcpStream::connect(address).unwrap_err();
    });
}
