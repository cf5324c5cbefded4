//! A listener that fails does what it is told while it is down, and stays as it was told when it is back.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use switchboard::testkit::Simulation;
use switchboard::transport::Connected;
use switchboard::{
    AccessList, AtLimit, CloseServer, Drain, ListenState, ServerLimits, Suspend, SwapSession,
};
use switchboard_tests::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// What is commanded while the actor is down is obeyed at once.
#[test]
fn a_listener_that_is_down_obeys() {
    Simulation::seeded(7).run(|world| async move {
        let (pool, faults) = shaky(world.net());
        let pool = pool.start().unwrap();
        let mut events = watch(&pool);
        let pause = Duration::from_secs(30);
        for command in 0..4 {
            let listen = local().backoff(every(pause));
            let server = pool.listen(listen, greets("hello")).await.unwrap();
            let address = server.local_addr();
            faults.panics.store(1, SeqCst);
            let mut waiting = world.net().connect(address).await.unwrap();
            events_until(&mut events, is_server_failed).await;
            let begun = world.elapsed();
            match command {
                0 => server.close().await,
                1 => {
                    server.suspend(Suspend::ClosePort).await.unwrap();
                    assert_eq!(server.info().state, ListenState::Restarting);
                }
                2 => server.suspend(Suspend::StopAccepting).await.unwrap(),
                _ => server.swap_session(greets("new")).unwrap(),
            }
            assert_eq!(world.elapsed(), begun);
            match command {
                0 => {
                    world.net().connect(address).await.unwrap_err();
                    server.close().await;
                    assert_eq!(server.info().state, ListenState::Closed);
                    continue;
                }
                1 => {
                    world.net().connect(address).await.unwrap_err();
                    events_until(&mut events, is_server_restarted).await;
                    world.net().connect(address).await.unwrap_err();
                    server.resume().await.unwrap();
                    waiting = world.net().connect(address).await.unwrap();
                }
                2 => {
                    events_until(&mut events, is_server_restarted).await;
                    let how = Suspend::StopAccepting;
                    assert_eq!(server.info().state, ListenState::Suspended(how));
                    assert_eq!(server.info().accepted, 0);
                    server.resume().await.unwrap();
                }
                _ => {}
            }
            let word = if command == 3 { "new\n" } else { "hello\n" };
            assert_eq!(line(&mut waiting).await, word);
            assert_eq!(server.info().state, ListenState::Accepting);
            server.close().await;
            drop(waiting);
        }
        pool.stop().await;
    });
}

/// What was changed is what the next actor goes by, not what the listener was opened with.
#[test]
fn limits_that_were_changed_are_those_of_the_next_actor() {
    Simulation::seeded(9).run(|world| async move {
        let (pool, faults) = shaky(world.net());
        let pool = pool.start().unwrap();
        let mut events = watch(&pool);
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let address = server.local_addr();
        let mut first = world.net().connect(address).await.unwrap();
        assert_eq!(line(&mut first).await, "hello\n");
        let limits = ServerLimits::new().max_connections(2).max_per_ip(3);
        let limits = limits.at_limit(AtLimit::Reject);
        server.set_limits(limits).unwrap();
        for _ in 0..3 {
            faults.panics.store(1, SeqCst);
            let mut second = world.net().connect(address).await.unwrap();
            events_until(&mut events, is_server_restarted).await;
            assert_eq!(line(&mut second).await, "hello\n");
            let mut third = world.net().connect(address).await.unwrap();
            within(third.read_u8()).await.unwrap_err();
            drop(second);
            while server.info().live == 2 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(server.info().rejections.limit, 3);
        // While there is none, they are those of the next one.
        faults.panics.store(1, SeqCst);
        let mut second = world.net().connect(address).await.unwrap();
        events_until(&mut events, is_server_failed).await;
        let nobody = AccessList::new().deny("0.0.0.0/0".parse().unwrap());
        let limits = ServerLimits::new().access(nobody);
        server.set_limits(limits).unwrap();
        within(second.read_u8()).await.unwrap_err();
        assert_eq!(server.info().rejections.denied, 1);
        pool.stop().await;
    });
}

/// Panics when it is let go of.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("panic on drop");
    }
}

/// An actor that is started again while its listener is suspended takes nobody.
#[test]
fn a_suspended_listener_whose_actor_dies_stays_suspended() {
    for how in [Suspend::StopAccepting, Suspend::ClosePort] {
        Simulation::seeded(10).run(|world| async move {
            let pool = world.pool();
            let mut events = watch(&pool);
            let bomb = Bomb;
            let make = move |client| {
                let _ = &bomb;
                greets("old")(client)
            };
            let server = pool.listen(local(), make).await.unwrap();
            let address = server.local_addr();
            server.suspend(how).await.unwrap();
            let waiting = world.net().connect(address).await.ok();
            assert_eq!(waiting.is_some(), how == Suspend::StopAccepting);
            let swap = SwapSession::new(greets("new"));
            server.addr().unwrap().send(swap).await.unwrap_err();
            events_until(&mut events, is_server_restarted).await;
            assert_eq!(server.info().state, ListenState::Suspended(how));
            tokio::time::sleep(MINUTE).await;
            assert_eq!(server.info().accepted, 0);
            server.resume().await.unwrap();
            let late = world.net().connect(address).await.ok();
            for mut peer in waiting.into_iter().chain(late) {
                assert_eq!(line(&mut peer).await, "new\n");
            }
            assert!(server.info().accepted > 0);
            pool.stop().await;
        });
    }
}

/// A network that opens so many listeners, and then never answers again.
#[derive(Debug)]
struct Stuck<N> {
    inner: N,
    left: AtomicUsize,
}

impl<N: Network> Network for Stuck<N> {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        if self.left.load(SeqCst) == 0 {
            return Box::pin(std::future::pending());
        }
        self.left.fetch_sub(1, SeqCst);
        self.inner.listen(target)
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        self.inner.connect(target)
    }
}

/// What a listener waits for to come back is not waited for when it is to close, and keeps nobody from
/// its end.
#[test]
fn a_listener_whose_network_does_not_answer_ends_at_once() {
    for command in 0..4 {
        Simulation::seeded(8).run(|world| async move {
            let (net, faults) = FailOnAccept::over(world.net().clone());
            let left = AtomicUsize::new(2);
            let pool = on(Stuck { inner: net, left }).start().unwrap();
            let mut events = watch(&pool);
            let mut servers = Vec::new();
            for _ in 0..2 {
                let listen = local().backoff(every(Duration::from_millis(20)));
                servers.push(pool.listen(listen, greets("hello")).await.unwrap());
            }
            if command == 3 {
                for server in &servers {
                    server.suspend(Suspend::ClosePort).await.unwrap();
                    let server = server.clone();
                    actix_rt::spawn(async move { server.resume().await.unwrap_err() });
                }
            } else {
                faults.deaths.store(2, SeqCst);
                for server in &servers {
                    let _peer = world.net().connect(server.local_addr()).await.unwrap();
                    events_until(&mut events, is_server_failed).await;
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let begun = world.elapsed();
            match command {
                0 => {
                    for server in &servers {
                        server.close().await;
                    }
                }
                1 => {
                    pool.drain(Drain::within(Duration::ZERO)).await;
                }
                2 => {
                    pool.stop().await;
                }
                _ => {
                    for server in &servers {
                        let actor = server.addr().unwrap();
                        actor.send(CloseServer).await.unwrap();
                        server.wait_drained().await;
                    }
                }
            }
            assert!(world.elapsed() - begun < Duration::from_millis(100));
            for server in &servers {
                assert_eq!(server.info().state, ListenState::Closed);
            }
            pool.stop().await;
            while let Ok(event) = events.try_recv() {
                assert!(!is_server_failed(&event), "{event:?}");
            }
        });
    }
}
