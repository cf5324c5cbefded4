//! A listener that closes when its guard is dropped.

use std::sync::atomic::Ordering::SeqCst;

use switchboard::testkit::Simulation;
use switchboard::transport::{Connected, Listener, LocalFuture, Network};
use switchboard::{
    ConnectError, ConnectTarget, ListenError, ListenState, ListenTarget, ServerGuard,
};
use switchboard_tests::failing::FailOnAccept;

use super::*;

/// A listener of echoes, and a peer of it.
async fn echoing(pool: &Pool) -> (ServerGuard, SocketAddr, TcpStream) {
    let server = pool
        .listen(local().lines(), |client| Echo { client })
        .await
        .unwrap();
    let address = server.local_addr();
    let peer = peer(move || {
        let mut peer = dial(address);
        assert_eq!(exchange(&mut peer, b"echo\n"), b"echo\n");
        peer
    });
    (server.guard(), address, peer.await)
}

/// UA-21.
#[test]
fn ua_21_a_closed_listener_refuses_and_its_old_stream_still_echoes() {
    with(Pool::builder().shards(2), async |pool| {
        let (server, address, mut old) = echoing(&pool).await;
        server.close().await;
        peer(move || {
            let error = TcpStream::connect(address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(exchange(&mut old, b"echo\n"), b"echo\n");
        })
        .await;
        within(server.wait_closed()).await;
        within(server.wait_drained()).await;
    });
}

/// UA-21, on any thread.
#[test]
fn ua_21_dropping_the_guard_does_the_same() {
    for elsewhere in [false, true] {
        with(Pool::builder().shards(2), async |pool| {
            let (guard, address, mut old) = echoing(&pool).await;
            let server = Server::clone(&guard);
            if elsewhere {
                peer(move || drop(guard)).await;
            } else {
                drop(guard);
            }
            within(server.wait_closed()).await;
            assert!(!server.is_listening());
            peer(move || {
                let error = TcpStream::connect(address).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                assert_eq!(exchange(&mut old, b"echo\n"), b"echo\n");
                old
            })
            .await;
            within(server.wait_drained()).await;
        });
    }
}

#[test]
fn a_listener_outlives_a_guard_that_lets_it_live_and_any_other_handle() {
    with(Pool::builder().shards(2), async |pool| {
        let (guard, address, mut old) = echoing(&pool).await;
        drop(Server::clone(&guard));
        let server = guard.into_inner();
        assert_eq!(server.info().state, ListenState::Accepting);
        let id = server.id();
        drop(server);
        peer(move || {
            assert_eq!(exchange(&mut dial(address), b"echo\n"), b"echo\n");
            assert_eq!(exchange(&mut old, b"echo\n"), b"echo\n");
        })
        .await;
        assert_eq!(pool.status().await.unwrap().servers, 1, "{id}");
    });
}

/// Its actor is down for long, and nobody waits for that.
#[test]
fn a_guard_closes_a_listener_that_is_restarting() {
    Simulation::seeded(42).run(|world| async move {
        let (net, faults) = FailOnAccept::over(world.net().clone());
        let pool = Pool::builder().shards(0).network(net).start().unwrap();
        let listen = local().backoff(every(Duration::from_secs(3600)));
        let guard = pool.listen(listen, |client| Echo { client }).await;
        let guard = guard.unwrap().guard();
        let server = Server::clone(&guard);
        faults.panics.fetch_add(1, SeqCst);
        let _peer = world.net().connect(server.local_addr()).await.unwrap();
        while server.info().state != ListenState::Restarting {
            // Looks again when the simulation has gone on: until the actor has panicked.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let begun = world.elapsed();
        drop(guard);
        server.wait_closed().await;
        assert!(world.elapsed() - begun < Duration::from_millis(1));
        pool.stop().await;
    });
}

/// A network that takes a second to open a listener.
#[derive(Debug)]
struct Slow<N>(Arc<N>);

impl<N: Network> Network for Slow<N> {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let net = Arc::clone(&self.0);
        Box::pin(async move {
            // A network that takes longer to open a port than the test waits, in the simulation's time.
            tokio::time::sleep(Duration::from_secs(1)).await;
            net.listen(target).await
        })
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        self.0.connect(target)
    }
}

/// Nobody has a handle to close it with.
#[test]
fn a_listener_that_opens_when_nobody_waits_for_it_any_more_closes() {
    for pulls in [false, true] {
        Simulation::seeded(43).run(|world| async move {
            let slow = Slow(Arc::new(world.net().clone()));
            let pool = Pool::builder().shards(0).network(slow).start().unwrap();
            let patience = Duration::from_millis(500);
            let given_up = if pulls {
                timeout(patience, pool.open_listener(local()))
                    .await
                    .is_err()
            } else {
                let listening = pool.listen(local(), |client| Echo { client });
                timeout(patience, listening).await.is_err()
            };
            assert!(given_up);
            // Until the slow network has opened the port, in the simulation's time.
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(pool.status().await.unwrap().servers, 0);
            pool.stop().await;
        });
    }
}
