//! Who is asked for, and who gets whom.

use std::collections::HashSet;
use std::net::TcpListener;

use switchboard::testkit::Simulation;
use switchboard::{ChangeError, ListenPhase};

use super::*;

/// ACO-03.
#[test]
fn aco_03_the_second_peer_waits_in_the_backlog_until_it_is_asked_for() {
    with_pool(async |pool| {
        let (acceptor, address) = open(&pool, local()).await;
        let mut peers = peer(move || {
            let mut peers = [dial(address), dial(address)];
            assert!(waits(&mut peers[0]));
            peers
        })
        .await;
        assert_eq!(acceptor.server().info().accepted, 0);
        for asked in 1..=2 {
            let client = next(&acceptor).await;
            peers = peer(move || {
                assert!(are_ends(&client, &mut peers[asked - 1]));
                assert!(asked == 2 || waits(&mut peers[1]));
                peers
            })
            .await;
            assert_eq!(acceptor.server().info().accepted, asked as u64);
            assert_eq!(pool.connections().await.unwrap().len(), asked);
        }
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
    });
}

/// ACO-03, in virtual time.
#[test]
fn aco_03_nobody_is_taken_however_long_nobody_asks() {
    Simulation::seeded(41).run(|world| async move {
        let pool = world.pool();
        let (acceptor, address) = open(&pool, local()).await;
        let mut peers = Vec::new();
        for asked in 0..3 {
            peers.push(world.net().connect(address).await.unwrap());
            peers.push(world.net().connect(address).await.unwrap());
            // An hour of the simulation's time, in which somebody could be taken.
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(acceptor.server().info().accepted, asked);
            next(&acceptor).await;
        }
        pool.stop().await;
    });
}

#[test]
fn aco_03_threads_that_accept_at_once_each_get_another_peer() {
    const THREADS: usize = 8;
    const EACH: usize = 10;
    with(Pool::builder().shards(2), async |pool| {
        let (acceptor, address) = open(&pool, local()).await;
        let acceptor = Arc::new(acceptor);
        let accepting: Vec<_> = (0..THREADS)
            .map(|_| {
                let acceptor = Arc::clone(&acceptor);
                std::thread::spawn(move || {
                    let accept = |_| {
                        let client = block_on(acceptor.accept()).unwrap();
                        client.send("hello\n").unwrap();
                        client.id()
                    };
                    (0..EACH).map(accept).collect::<Vec<_>>()
                })
            })
            .collect();
        let peers = peer(move || {
            let mut peers: Vec<_> = (0..THREADS * EACH).map(|_| dial(address)).collect();
            for peer in &mut peers {
                assert_eq!(read_exact(peer, 6), b"hello\n");
            }
            let ids = accepting.into_iter().flat_map(|ids| ids.join().unwrap());
            let ids: HashSet<ClientId> = ids.collect();
            assert_eq!(ids.len(), THREADS * EACH);
            peers
        })
        .await;
        assert_eq!(acceptor.server().info().accepted, peers.len() as u64);
    });
}

#[test]
fn who_asks_first_gets_the_first() {
    with_pool(async |pool| {
        let (acceptor, address) = open(&pool, local()).await;
        let mut first = Box::pin(acceptor.accept());
        let mut second = Box::pin(acceptor.accept());
        assert!(look(&mut first).is_pending() && look(&mut second).is_pending());
        let mut peers = peer(move || [dial(address), dial(address)]).await;
        let second = within(second).await.unwrap();
        let first = within(first).await.unwrap();
        peer(move || {
            assert!(are_ends(&first, &mut peers[0]));
            assert!(are_ends(&second, &mut peers[1]));
        })
        .await;
    });
}

#[test]
fn an_accept_that_is_dropped_takes_nobody_from_the_backlog() {
    with_pool(async |pool| {
        let (acceptor, address) = open(&pool, local()).await;
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        drop(asking);
        let mut waiting = peer(move || {
            let mut waiting = dial(address);
            assert!(waits(&mut waiting));
            waiting
        })
        .await;
        assert_eq!(acceptor.server().info().accepted, 0);
        let client = next(&acceptor).await;
        peer(move || assert!(are_ends(&client, &mut waiting))).await;
    });
}

#[test]
fn the_peer_of_an_accept_that_is_dropped_goes_to_the_next() {
    with_pool(async |pool| {
        let (acceptor, address) = open(&pool, local()).await;
        for other_asks in [false, true] {
            let mut asking = Box::pin(acceptor.accept());
            assert!(look(&mut asking).is_pending());
            let before = acceptor.server().info().accepted;
            let mut dialled = peer(move || dial(address)).await;
            until(|| acceptor.server().info().accepted == before + 1).await;
            let mut other = Box::pin(acceptor.accept());
            assert!(!other_asks || look(&mut other).is_pending());
            drop(asking);
            let client = within(other).await.unwrap();
            dialled = peer(move || {
                assert!(are_ends(&client, &mut dialled));
                dialled
            })
            .await;
            assert_eq!(acceptor.server().info().accepted, before + 1);
            drop(dialled);
        }
    });
}

/// Each accept is given up after a moment, most of them while a peer is on its way.
#[test]
fn accepts_that_are_given_up_all_the_time_lose_nobody() {
    const PEERS: usize = 200;
    with(Pool::builder().shards(2), async |pool| {
        let (acceptor, address) = open(&pool, local()).await;
        let coming = tokio::task::spawn_blocking(move || {
            let serve = |_| read_exact(&mut dial(address), 6);
            (0..PEERS).map(serve).for_each(|word| {
                assert_eq!(word, b"hello\n");
            });
        });
        let mut ids = HashSet::new();
        let (mut given_up, mut moment) = (0, 0);
        let accepting = async {
            while ids.len() < PEERS {
                moment = (moment + 7) % 100;
                let mut asking = Box::pin(acceptor.accept());
                let polls = (0..moment).find_map(|_| {
                    std::thread::yield_now();
                    match look(&mut asking) {
                        Poll::Ready(client) => Some(client.unwrap()),
                        Poll::Pending => None,
                    }
                });
                match polls {
                    None => given_up += 1,
                    Some(client) => {
                        assert!(ids.insert(client.id()), "it came twice");
                        client.send("hello\n").unwrap();
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        within(accepting).await;
        assert!(given_up > 0);
        within(coming).await.unwrap();
        assert_eq!(acceptor.server().info().accepted, PEERS as u64);
    });
}

#[test]
fn a_listener_in_pull_mode_that_cannot_open_says_why() {
    with_pool(async |pool| {
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = Listen::tcp(busy.local_addr().unwrap());
        let error = pool.open_listener(listen).await.unwrap_err();
        assert_eq!(error.phase, ListenPhase::Bind);
        assert_eq!(error.source.kind(), ErrorKind::AddrInUse);
        for wrong in [local().backlog(0), local().lines()] {
            let error = pool.open_listener(wrong).await.unwrap_err();
            assert_eq!(error.phase, ListenPhase::Options);
        }

        let (acceptor, _) = open(&pool, local()).await;
        let swapped = acceptor.server().swap_session(|client| Echo { client });
        assert_eq!(swapped, Err(ChangeError::NoSessions));
    });
}
