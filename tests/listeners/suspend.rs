//! Taking nobody for a while, in two ways.

use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream};

use switchboard::testkit::Simulation;
use switchboard::{
    CloseServer, ListenPhase, ListenState, Resume, Suspend, SuspendError, SwapSession,
};
use switchboard_tests::*;

use super::*;

#[test]
fn a_closed_port_refuses_and_opens_again_as_the_same_one() {
    for shards in [0, 2] {
        with(Pool::builder().shards(shards), async |pool| {
            let server = pool.listen(local(), greets("hello")).await.unwrap();
            let address = server.local_addr();
            let mut old = peer(move || {
                let mut old = dial(address);
                assert_eq!(read_exact(&mut old, 6), b"hello\n");
                old
            })
            .await;
            for _ in 0..3 {
                server.suspend(Suspend::ClosePort).await.unwrap();
                let how = ListenState::Suspended(Suspend::ClosePort);
                assert_eq!(server.info().state, how);
                assert!(server.is_listening());
                let refused = TcpStream::connect(address).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
                server.resume().await.unwrap();
                assert_eq!(server.info().state, ListenState::Accepting);
                assert_eq!(server.local_addr(), address);
                old = peer(move || {
                    assert_eq!(exchange(&mut old, b"still here\n"), b"still here\n");
                    assert_eq!(read_exact(&mut dial(address), 6), b"hello\n");
                    old
                })
                .await;
            }
            assert_eq!(server.info().restarts, 0, "nothing has failed");
        });
    }
}

#[test]
fn who_comes_while_nobody_is_accepted_waits_in_the_backlog() {
    with_pool(async |pool| {
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let address = server.local_addr();
        server.suspend(Suspend::StopAccepting).await.unwrap();
        let mut waiting = peer(move || (0..10).map(|_| dial(address)).collect::<Vec<_>>()).await;
        waiting = peer(move || {
            // Long enough for a greeting to come, if one came.
            let moment = Duration::from_millis(50);
            waiting[0].set_read_timeout(Some(moment)).unwrap();
            let error = waiting[0].read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            waiting[0].set_read_timeout(Some(PATIENCE)).unwrap();
            waiting
        })
        .await;
        assert_eq!(server.info().accepted, 0);
        // Suspended again in the same way, nobody is lost.
        server.suspend(Suspend::StopAccepting).await.unwrap();
        server.resume().await.unwrap();
        server.resume().await.unwrap();
        peer(move || {
            for mut waiting in waiting {
                assert_eq!(read_exact(&mut waiting, 6), b"hello\n");
            }
        })
        .await;
    });
}

#[test]
fn resuming_fails_while_the_port_is_taken_and_can_be_tried_again() {
    with_pool(async |pool| {
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let address = server.local_addr();
        server.suspend(Suspend::ClosePort).await.unwrap();
        let thief = TcpListener::bind(address).unwrap();
        for attempt in 0..2 {
            let error = match attempt {
                0 => server.resume().await,
                _ => server.suspend(Suspend::StopAccepting).await,
            };
            let Err(SuspendError::Listen(error)) = error else {
                panic!("{error:?}");
            };
            assert_eq!(error.phase, ListenPhase::Bind);
            assert_eq!(error.source.kind(), ErrorKind::AddrInUse);
            assert_eq!(error.target, address.to_string());
            let how = ListenState::Suspended(Suspend::ClosePort);
            assert_eq!(server.info().state, how);
        }
        drop(thief);
        server.resume().await.unwrap();
        peer(move || assert_eq!(read_exact(&mut dial(address), 6), b"hello\n")).await;
    });
}

/// The one way turns into the other, on a network in memory.
#[test]
fn one_way_of_suspending_can_follow_the_other() {
    Simulation::seeded(11).run(|world| async move {
        let pool = world.pool();
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let net = world.net();
        let address = server.local_addr();
        server.suspend(Suspend::ClosePort).await.unwrap();
        net.connect(address).await.unwrap_err();
        server.suspend(Suspend::StopAccepting).await.unwrap();
        let mut lost = net.connect(address).await.unwrap();
        server.suspend(Suspend::ClosePort).await.unwrap();
        let error = lost.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        net.connect(address).await.unwrap_err();
        server.suspend(Suspend::StopAccepting).await.unwrap();
        let mut waiting = net.connect(address).await.unwrap();
        server.resume().await.unwrap();
        assert_eq!(line(&mut waiting).await, "hello\n");
        assert_eq!(server.info().accepted, 1);
        drop(waiting);
        pool.stop().await;
    });
}

#[test]
fn a_closed_listener_cannot_be_suspended_or_changed() {
    with_pool(async |pool| {
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        server.suspend(Suspend::ClosePort).await.unwrap();
        server.close().await;
        let suspended = server.suspend(Suspend::StopAccepting).await;
        assert!(matches!(suspended, Err(SuspendError::Closed)));
        assert!(matches!(server.resume().await, Err(SuspendError::Closed)));
        server.swap_session(greets("new")).unwrap_err();
        server.set_options(|_| {}).unwrap_err();
    });
}

/// Every command is a message, too.
#[test]
fn the_actor_of_a_listener_takes_the_same_commands() {
    with_pool(async |pool| {
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let address = server.local_addr();
        let actor = server.addr().unwrap();
        actor.send(Suspend::ClosePort).await.unwrap().unwrap();
        TcpStream::connect(address).unwrap_err();
        actor.send(Resume).await.unwrap().unwrap();
        let swap = SwapSession::new(greets("other"));
        actor.send(swap).await.unwrap().unwrap();
        peer(move || assert_eq!(read_exact(&mut dial(address), 6), b"other\n")).await;
        actor.send(CloseServer).await.unwrap();
        TcpStream::connect(address).unwrap_err();
        assert_eq!(server.info().state, ListenState::Closed);
        within(server.wait_closed()).await;
        server.close().await;
        assert!(server.addr().is_none());
    });
}

/// A pool that stops does not wait for what is suspended.
#[test]
fn a_suspended_listener_ends_with_its_pool() {
    for how in [Suspend::ClosePort, Suspend::StopAccepting] {
        with(Pool::builder().shards(2), async |pool| {
            let server = pool.listen(local(), greets("hello")).await.unwrap();
            server.suspend(how).await.unwrap();
            let waiting = server.clone();
            let waiting = actix_rt::spawn(async move { waiting.wait_drained().await });
            pool.stop().await;
            within(waiting).await.unwrap();
            assert_eq!(server.info().state, ListenState::Closed);
        });
    }
}

/// An end that the actor was asked for is none that anybody has to hear of.
#[test]
fn a_listener_that_is_closed_by_a_message_ends_without_a_panic() {
    if !alone("suspend::a_listener_that_is_closed_by_a_message_ends_without_a_panic") {
        return;
    }
    let panics = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&panics);
    std::panic::set_hook(Box::new(move |_| {
        seen.fetch_add(1, SeqCst);
    }));
    with_pool(async |pool| {
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        server.addr().unwrap().send(CloseServer).await.unwrap();
        until(|| server.addr().is_none()).await;
        // Its thread has its turns meanwhile.
        for _ in 0..10 {
            pool.status().await.unwrap();
        }
        server.close().await;
    });
    assert_eq!(panics.load(SeqCst), 0);
}
