//! New sessions and options for new connections, and waiting for the last of them.

use std::net::TcpStream;
use std::sync::atomic::AtomicBool;

use switchboard::testkit::Simulation;
use switchboard::{ChangeError, Handlers, SessionContext};
use switchboard_tests::*;

use super::*;

/// Livery's issue 77 and others: the queue is lost when a listener is replaced by another one.
#[test]
fn a_swap_under_load_loses_nobody() {
    const PEERS: usize = 150;
    with(Pool::builder().shards(2), async |pool| {
        let server = pool.listen(local(), greets("old")).await.unwrap();
        let address = server.local_addr();
        let mut first = peer(move || {
            let mut first = dial(address);
            assert_eq!(read_exact(&mut first, 4), b"old\n");
            first
        })
        .await;
        let swapped = Arc::new(AtomicBool::new(false));
        let mut coming = Vec::new();
        for _ in 0..3 {
            let swapped = Arc::clone(&swapped);
            coming.push(tokio::task::spawn_blocking(move || {
                let mut counts = [0; 2];
                for _ in 0..PEERS {
                    let must_be_new = swapped.load(SeqCst);
                    let mut peer: TcpStream = dial(address);
                    match &read_exact(&mut peer, 4)[..] {
                        b"old\n" => {
                            assert!(!must_be_new, "an old session after the swap");
                            counts[0] += 1;
                        }
                        b"new\n" => counts[1] += 1,
                        other => panic!("{other:?}"),
                    }
                }
                counts
            }));
        }
        until(|| server.info().accepted > 50).await;
        server.swap_session(greets("new")).unwrap();
        swapped.store(true, SeqCst);
        let mut counts = [0; 2];
        for coming in coming {
            let [old, new] = coming.await.unwrap();
            counts = [counts[0] + old, counts[1] + new];
        }
        assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
        assert_eq!(counts[0] + counts[1], 3 * PEERS);
        until(|| server.info().live == 1).await;
        assert_eq!(server.info().accepted, 3 * PEERS as u64 + 1);
        peer(move || assert_eq!(exchange(&mut first, b"echo\n"), b"echo\n")).await;
    });
}

#[test]
fn a_swap_that_new_connections_could_not_live_with_changes_nothing() {
    Simulation::seeded(21).run(|world| async move {
        let pool = world.pool();
        let server = pool.listen(local(), greets("old")).await.unwrap();
        let address = server.local_addr();

        // A session without a handler for what it would be sent from the start.
        struct Deaf;
        impl Actor for Deaf {
            type Context = SessionContext<Self>;
        }
        switchboard::session!(Deaf);
        let error = server.swap_session(|_| Deaf).unwrap_err();
        let event = "LineReceived";
        assert_eq!(error, ChangeError::Unhandled { event });
        let error = server.set_options(|config| {
            config.first_receive = Some(RecvMsg::once().into());
        });
        let event = "MessageReceived";
        assert_eq!(error, Err(ChangeError::Unhandled { event }));
        let error = server.set_options(|config| config.recv_buffer = 1);
        assert!(matches!(error, Err(ChangeError::Config(_))), "{error:?}");
        let mut peer = world.net().connect(address).await.unwrap();
        assert_eq!(line(&mut peer).await, "old\n");
        assert!(echoes(&mut peer).await);

        // In the right order it works.
        server
            .set_options(|config| config.first_receive = None)
            .unwrap();
        server.swap_session(|_| Deaf).unwrap();
        server.swap_session(|_| Handlers::new()).unwrap();
        assert!(echoes(&mut peer).await);
        drop(peer);
        pool.stop().await;
    });
}

/// Uses its listener once more when it goes.
struct Holder(switchboard::Server);

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.set_options(|_| {}).unwrap();
    }
}

/// What a refused factory has captured may do anything when it is dropped.
#[test]
fn a_factory_that_is_refused_is_let_go_of_without_a_lock() {
    with_pool(async |pool| {
        let server = pool.listen(local(), greets("old")).await.unwrap();
        struct Deaf;
        impl Actor for Deaf {
            type Context = SessionContext<Self>;
        }
        switchboard::session!(Deaf);
        let (refused, told) = std::sync::mpsc::channel();
        let swapping = std::thread::spawn(move || {
            let holder = Holder(server.clone());
            let swapped = server.swap_session(move |_| {
                let _ = &holder;
                Deaf
            });
            refused.send(swapped).unwrap();
        });
        let swapped = peer(move || told.recv_timeout(PATIENCE)).await;
        swapped.expect("it hangs").unwrap_err();
        swapping.join().unwrap();
    });
}

#[test]
fn options_that_change_are_those_of_new_connections() {
    Simulation::seeded(22).run(|world| async move {
        let pool = world.pool();
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let mut old = world.net().connect(server.local_addr()).await.unwrap();
        assert_eq!(line(&mut old).await, "hello\n");
        server.set_options(|config| config.max_line = 300).unwrap();
        let mut new = world.net().connect(server.local_addr()).await.unwrap();
        assert_eq!(line(&mut new).await, "hello\n");
        let long = [b'x'; 400];
        for (peer, lives) in [(&mut old, true), (&mut new, false)] {
            peer.write_all(&long).await.unwrap();
            peer.write_all(b"\n").await.unwrap();
            let first = within(peer.read_u8()).await;
            assert_eq!(first.is_ok(), lives, "{first:?}");
        }
        drop((old, new));
        pool.stop().await;
    });
}

/// AIO-41.
#[test]
fn aio_41_a_listener_is_closed_before_it_is_drained() {
    with(Pool::builder().shards(2), async |pool| {
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let address = server.local_addr();
        let mut live = peer(move || {
            (0..2)
                .map(|_| {
                    let mut live = dial(address);
                    assert_eq!(read_exact(&mut live, 6), b"hello\n");
                    live
                })
                .collect::<Vec<_>>()
        })
        .await;
        let (closed, drained) = (server.clone(), server.clone());
        let closed = actix_rt::spawn(async move { closed.wait_closed().await });
        let drained = actix_rt::spawn(async move { drained.wait_drained().await });
        tokio::task::yield_now().await;
        assert!(!closed.is_finished() && !drained.is_finished());
        server.close().await;
        within(closed).await.unwrap();
        within(server.wait_closed()).await;
        for stays in [1, 0] {
            assert!(!drained.is_finished());
            live.pop();
            until(|| server.info().live == stays).await;
        }
        within(drained).await.unwrap();
        within(server.wait_drained()).await;
        assert!(pool.is_running());
    });
}

/// AIO-41, with a listener that has no connections, and in virtual time.
#[test]
fn aio_41_waiting_takes_no_time_of_its_own() {
    Simulation::seeded(23).run(|world| async move {
        let pool = world.pool();
        let server = pool.listen(local(), greets("hello")).await.unwrap();
        let mut peer = world.net().connect(server.local_addr()).await.unwrap();
        assert_eq!(line(&mut peer).await, "hello\n");
        server.close().await;
        server.wait_closed().await;
        let waiting = server.clone();
        let drained = actix_rt::spawn(async move { waiting.wait_drained().await });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(!drained.is_finished());
        let left_at = world.elapsed();
        drop(peer);
        drained.await.unwrap();
        assert!(world.elapsed() - left_at < Duration::from_millis(1));
        let empty = pool.listen(local(), greets("hello")).await.unwrap();
        empty.close().await;
        empty.wait_drained().await;
        pool.stop().await;
    });
}
