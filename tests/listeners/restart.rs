//! A listener whose actor panics, or whose socket dies.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use switchboard::message::*;
use switchboard::testkit::{LeakCheck, Simulation};
use switchboard::transport::TcpNetwork;
use switchboard::{ClosedReason, ConnectionOptions, Listen, ListenState, OnEscalation, Pool};
use switchboard_tests::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// T-05: an actor that panics is started again on the same socket, as often as it is allowed to.
#[test]
fn t_05_over_fifty_restarts_no_peer_is_refused_and_no_connection_hurt() {
    const RESTARTS: usize = 50;
    if !alone("restart::t_05_over_fifty_restarts_no_peer_is_refused_and_no_connection_hurt") {
        return;
    }
    system().block_on(async {
        let leaks = LeakCheck::begin().patience(PATIENCE);
        let (net, faults) = FailOnAccept::over(TcpNetwork);
        let pool = Pool::builder().shards(0).network(net).start().unwrap();
        let mut events = watch(&pool);
        let listen = local()
            .intensity(100, MINUTE)
            .backoff(every(Duration::from_millis(2)));
        let server = pool.listen(listen, greets("hello")).await.unwrap();
        let address = server.local_addr();
        let mut first = peer(move || dial(address)).await;
        for _ in 0..RESTARTS {
            faults.panics.fetch_add(1, SeqCst);
            first = peer(move || {
                let mut next = dial(address);
                assert_eq!(exchange(&mut next, b"hello\n"), b"hello\n");
                first
            })
            .await;
        }
        first = peer(move || {
            assert_eq!(exchange(&mut first, b"hello\n"), b"hello\n");
            first
        })
        .await;
        let mut failed = 0;
        let seen = events_until(&mut events, |event| {
            matches!(event, PoolEvent::ServerRestarted { restarts: 50, .. })
        });
        for event in seen.await {
            if let PoolEvent::ServerFailed { text, .. } = event {
                assert_eq!(text, "panic on accept");
                failed += 1;
            }
        }
        assert_eq!(failed, RESTARTS);
        let info = server.info();
        assert_eq!((info.restarts, info.accepted), (50, 51));
        assert_eq!(info.state, ListenState::Accepting);
        assert_eq!(server.local_addr(), address);
        drop(first);
        until(|| server.info().live == 0).await;
        let totals = pool.stop().await;
        assert_eq!((totals.accepted, totals.closed_in_all()), (51, 51));
        drop(events);
        leaks.settle().await;
    });
}

/// T-05.
#[test]
fn t_05_who_waits_in_the_backlog_while_the_actor_is_down_is_served_after_the_restart() {
    Simulation::seeded(3).run(|world| async move {
        let (pool, faults) = shaky(world.net());
        let pool = pool.start().unwrap();
        let mut events = watch(&pool);
        let listen = local().backoff(every(Duration::from_secs(10)));
        let server = pool.listen(listen, greets("hello")).await.unwrap();
        let mut old = world.net().connect(server.local_addr()).await.unwrap();
        assert_eq!(line(&mut old).await, "hello\n");

        faults.panics.fetch_add(1, SeqCst);
        let failed_at = world.elapsed();
        let mut waiting = vec![world.net().connect(server.local_addr()).await.unwrap()];
        let seen = events_until(&mut events, is_server_failed).await;
        let Some(PoolEvent::ServerFailed { restart_in, .. }) = seen.last() else {
            unreachable!()
        };
        assert_eq!(*restart_in, Some(Duration::from_secs(10)));
        assert_eq!(server.info().state, ListenState::Restarting);
        assert!(server.addr().is_none());
        for _ in 0..20 {
            waiting.push(world.net().connect(server.local_addr()).await.unwrap());
        }
        assert!(echoes(&mut old).await, "its connections notice nothing");
        assert_eq!(world.elapsed(), failed_at);
        for waiting in &mut waiting {
            assert_eq!(line(waiting).await, "hello\n");
        }
        assert_eq!(world.elapsed() - failed_at, Duration::from_secs(10));
        assert_eq!(server.info().restarts, 1);
        assert!(server.addr().is_some(), "another actor");
        pool.stop().await;
    });
}

/// A peer that comes at the very moment of a restart is not refused either.
#[test]
fn peers_that_come_all_the_time_are_never_refused_by_a_listener_that_fails_all_the_time() {
    let (net, faults) = FailOnAccept::over(TcpNetwork);
    with(Pool::builder().shards(2).network(net), async |pool| {
        let listen = local()
            .intensity(10_000, MINUTE)
            .backoff(every(Duration::from_millis(1)));
        let server = pool.listen(listen, greets("hello")).await.unwrap();
        let address = server.local_addr();
        let mut peers = Vec::new();
        for _ in 0..4 {
            let faults = Arc::clone(&faults);
            peers.push(tokio::task::spawn_blocking(move || {
                for turn in 0..50 {
                    if turn % 3 == 0 {
                        faults.panics.fetch_add(1, SeqCst);
                    }
                    let mut peer: TcpStream = dial(address);
                    assert_eq!(read_exact(&mut peer, 6), b"hello\n");
                }
            }));
        }
        for peer in peers {
            peer.await.unwrap();
        }
        until(|| server.info().live == 0).await;
        assert_eq!(server.info().accepted, 200);
        assert!(server.info().restarts > 0);
    });
}

/// Trap 15 of those that others fell into: a restart loop that is hot, or never ends.
#[test]
fn trap_15_a_restart_storm_is_bounded_by_intensity() {
    Simulation::seeded(4).run(|world| async move {
        let (pool, faults) = shaky(world.net());
        let pool = pool.start().unwrap();
        let leaks = LeakCheck::begin().only_shown().pool(&pool).net(world.net());
        let mut events = watch(&pool);
        let listen = local().intensity(5, MINUTE);
        let server = pool.listen(listen, greets("hello")).await.unwrap();
        let mut old = world.net().connect(server.local_addr()).await.unwrap();
        assert_eq!(line(&mut old).await, "hello\n");

        faults.panics.store(usize::MAX, SeqCst);
        let storm = world.net().connect(server.local_addr()).await.unwrap();
        within(server.wait_closed()).await;
        let seen = events_until(&mut events, is_server_closed).await;
        let pauses: Vec<_> = seen
            .iter()
            .filter_map(|event| match event {
                PoolEvent::ServerFailed { restart_in, .. } => Some(*restart_in),
                _ => None,
            })
            .collect();
        assert_eq!(pauses.len(), 6, "{seen:?}");
        assert!(pauses[..5].iter().all(Option::is_some), "{pauses:?}");
        assert_eq!(pauses[5], None);
        let [
            ..,
            PoolEvent::Escalated { supervisor },
            PoolEvent::ServerClosed { server: id, reason },
        ] = &seen[..]
        else {
            panic!("{seen:?}");
        };
        assert_eq!(*supervisor, format!("server {}", server.id()));
        assert_eq!((*id, *reason), (server.id(), ClosedReason::Error));
        assert_eq!(server.info().restarts, 5);
        assert_eq!(server.info().state, ListenState::Closed);
        world.net().connect(server.local_addr()).await.unwrap_err();
        assert!(echoes(&mut old).await, "its connections stay");
        drop((old, storm));

        assert!(pool.is_running(), "a pool does not stop for a listener");
        faults.panics.store(0, SeqCst);
        let again = Listen::tcp(server.local_addr()).lines();
        let again = pool.listen(again, greets("again")).await.unwrap();
        let mut peer = world.net().connect(again.local_addr()).await.unwrap();
        assert_eq!(line(&mut peer).await, "again\n");
        drop(peer);
        again.close().await;
        within(again.wait_drained()).await;
        leaks.settle().await;
        pool.stop().await;
    });
}

#[test]
fn a_pool_stops_for_a_listener_that_fails_too_often_if_it_is_told_to() {
    Simulation::seeded(5).run(|world| async move {
        let (pool, faults) = shaky(world.net());
        let pool = pool.start().unwrap();
        let listen = local().intensity(0, MINUTE);
        let listen = listen.on_escalation(OnEscalation::StopPool);
        let server = pool.listen(listen, greets("hello")).await.unwrap();
        faults.panics.store(1, SeqCst);
        let _peer = world.net().connect(server.local_addr()).await.unwrap();
        let totals = within(pool.stopped()).await;
        assert_eq!(totals.accepted, 0);
        assert!(!server.is_listening());
    });
}

/// T-05: a socket that died is bound again; a port of 0 that has become a real one stays that one.
#[test]
fn t_05_a_listening_socket_that_dies_is_bound_again_at_the_same_address() {
    for builder in [Pool::builder().shards(0), Pool::builder().shards(1)] {
        with(builder, async |pool| {
            let mut events = watch(&pool);
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = socket.local_addr().unwrap();
            let listen = Listen::adopt(socket.try_clone().unwrap()).lines();
            let listen = listen.backoff(every(Duration::from_millis(1)));
            let server = pool.listen(listen, greets("hello")).await.unwrap();
            let mut old = peer(move || {
                let mut old = dial(address);
                assert_eq!(read_exact(&mut old, 6), b"hello\n");
                old
            })
            .await;
            // Linux: a listening socket that is shut down accepts nobody any more (EINVAL).
            socket2::SockRef::from(&socket)
                .shutdown(Shutdown::Both)
                .unwrap();
            drop(socket);
            let seen = events_until(&mut events, is_server_restarted).await;
            assert!(seen.iter().any(is_server_failed), "{seen:?}");
            assert!(!seen.iter().any(is_server_closed), "{seen:?}");
            assert_eq!(server.local_addr(), address);
            assert_eq!(server.info().restarts, 1);
            peer(move || {
                assert_eq!(exchange(&mut old, b"still here\n"), b"still here\n");
                let mut new = dial(address);
                assert_eq!(read_exact(&mut new, 6), b"hello\n");
            })
            .await;
        });
    }
}

#[test]
fn an_address_that_stays_taken_ends_the_listener_by_intensity() {
    Simulation::seeded(6).run(|world| async move {
        let (pool, faults) = shaky(world.net());
        let pool = pool.start().unwrap();
        let mut events = watch(&pool);
        let listen = local().intensity(3, MINUTE);
        let listen = listen.backoff(every(Duration::from_secs(1)));
        let server = pool.listen(listen, greets("hello")).await.unwrap();
        faults.deaths.store(1, SeqCst);
        let _peer = world.net().connect(server.local_addr()).await.unwrap();
        events_until(&mut events, is_server_failed).await;
        let thief = world.net().listen(server.local_addr()).unwrap();
        let begun = world.elapsed();
        let seen = events_until(&mut events, is_server_closed).await;
        assert_eq!(world.elapsed() - begun, Duration::from_secs(3));
        let attempts = seen.iter().filter(|event| is_server_failed(event)).count();
        assert_eq!(attempts, 3, "{seen:?}");
        assert_eq!(server.info().restarts, 0, "it never came back");
        drop(thief);
        pool.stop().await;
    });
}

/// The pauses are checked with the other options.
#[test]
fn pauses_that_cannot_work_are_refused_before_anything_is_opened() {
    with_pool(async |pool| {
        let listen = local().backoff(every(Duration::ZERO));
        let error = pool.listen(listen, greets("hello")).await.unwrap_err();
        assert!(error.to_string().contains("above zero"), "{error}");
    });
    let refused = Pool::builder()
        .shards(0)
        .backoff(every(Duration::ZERO))
        .start();
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("above zero"), "{text}");
}
