//! How many may be in at once, and what becomes of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use switchboard::{AtLimit, BufferSlots, ConnectionOptions, Listen, Pool, Server};
use switchboard_tests::*;

use super::{ANY, Greeter, greet, is_let_in, is_rejected, waits};

/// XAS-25: the original closes who finds no slot without a word.
#[test]
fn xas_25_peers_beyond_the_slots_are_rejected_and_told_of() {
    const PLACES: usize = 4;
    with(Pool::builder().shards(2), async |pool| {
        let mut events = watch(&pool);
        let slots = BufferSlots::new(2 * PLACES, 4096, true).unwrap();
        let listen = Listen::tcp(ANY)
            .slots(slots.clone())
            .at_limit(AtLimit::Reject);
        let server = greet(&pool, listen).await;
        let address = server.local_addr();
        let mut peers = peer(move || {
            let mut peers: Vec<_> = (0..PLACES + 3).map(|_| dial(address)).collect();
            for (index, peer) in peers.iter_mut().enumerate() {
                assert_eq!(is_let_in(peer), index < PLACES, "peer {index}");
            }
            peers
        })
        .await;
        for rejected in peers.drain(PLACES..) {
            let told = next_pool_event(&mut events, is_rejected).await;
            assert_eq!(told, Some(rejected.local_addr().unwrap()));
        }
        let info = server.info();
        assert_eq!((info.accepted, info.live, info.rejected), (4, 4, 3));
        assert_eq!(slots.available(), 0);

        drop(peers.pop());
        until(|| slots.available() == 2).await;
        let mut next = dial(address);
        assert!(peer(move || is_let_in(&mut next)).await);
        peers.clear();
        until(|| slots.available() == 2 * PLACES).await;
    });
}

/// XAS-25, the other policy.
#[test]
fn xas_25_peers_beyond_the_slots_wait_until_one_is_free() {
    const PLACES: usize = 4;
    with(Pool::builder().shards(2), async |pool| {
        let slots = BufferSlots::new(2 * PLACES, 4096, true).unwrap();
        let listen = Listen::tcp(ANY).slots(slots.clone());
        let server = greet(&pool, listen).await;
        let address = server.local_addr();
        peer(move || {
            let mut peers: Vec<_> = (0..PLACES + 3).map(|_| dial(address)).collect();
            for peer in &mut peers[..PLACES] {
                assert!(is_let_in(peer));
            }
            for next in 0..3 {
                assert!(waits(&mut peers[PLACES]), "there is no slot for it yet");
                drop(peers.remove(0));
                assert!(is_let_in(&mut peers[PLACES - 1]), "{next}");
            }
        })
        .await;
        let info = server.info();
        assert_eq!((info.accepted, info.rejected), (7, 0));
        until(|| slots.available() == 2 * PLACES).await;
    });
}

/// Greeters that count how many of them there are.
async fn counted(pool: &Pool, listen: Listen) -> (Server, Arc<(AtomicUsize, AtomicUsize)>) {
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counts = Arc::clone(&inside);
    let server = pool
        .listen(listen.lines(), move |client| {
            let now = counts.0.fetch_add(1, SeqCst) + 1;
            counts.1.fetch_max(now, SeqCst);
            let inside = Some(Arc::clone(&counts));
            Greeter { client, inside }
        })
        .await
        .unwrap();
    (server, inside)
}

const STAMPEDE: usize = 300;

const LIMIT: usize = 10;

/// Both places where the limit can be: with the listener, with the pool.
fn with_limits(test: impl AsyncFn(Pool, Listen)) {
    let listen = Listen::tcp(ANY).backlog(STAMPEDE as u32);
    let limited = listen.clone().max_connections(LIMIT);
    let pool = || Pool::builder().shards(2);
    with(pool(), async |pool| test(pool, limited).await);
    with(pool().max_connections(LIMIT), async |pool| {
        test(pool, listen).await;
    });
}

/// A limit is exact, whoever runs into it.
#[test]
fn of_a_stampede_exactly_so_many_are_let_in_and_the_others_are_rejected() {
    with_limits(async |pool, listen| {
        let mut events = watch(&pool);
        let (server, inside) = counted(&pool, listen.at_limit(AtLimit::Reject)).await;
        let address = server.local_addr();
        let let_in = peer(move || {
            let threads: Vec<_> = (0..6)
                .map(|_| {
                    std::thread::spawn(move || {
                        let peers = (0..STAMPEDE / 6).map(|_| dial(address));
                        let mut peers: Vec<_> = peers.collect();
                        peers.retain_mut(is_let_in);
                        peers
                    })
                })
                .collect();
            let let_in = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            let_in.collect::<Vec<_>>()
        })
        .await;
        assert_eq!(let_in.len(), LIMIT);
        assert_eq!(inside.1.load(SeqCst), LIMIT);
        let info = server.info();
        assert_eq!((info.accepted, info.live), (LIMIT as u64, LIMIT as u64));
        assert_eq!(info.rejected, (STAMPEDE - LIMIT) as u64);
        for _ in 0..STAMPEDE - LIMIT {
            next_pool_event(&mut events, is_rejected).await;
        }
        drop(let_in);
        until(|| inside.0.load(SeqCst) == 0).await;
    });
}

/// A limit of the pool is exact between listeners too: one that merely looks for its next peer takes
/// nobody's place.
#[test]
fn two_listeners_with_two_places_never_reject_two_peers() {
    with(Pool::builder().shards(2).max_connections(2), async |pool| {
        let listen = || Listen::tcp(ANY).at_limit(AtLimit::Reject);
        let servers = [greet(&pool, listen()).await, greet(&pool, listen()).await];
        for round in 0..300 {
            let dialling = servers.clone().map(|server| {
                let address = server.local_addr();
                actix_rt::spawn(peer(move || {
                    let mut peer = dial(address);
                    (is_let_in(&mut peer), peer)
                }))
            });
            for dialled in dialling {
                let (let_in, peer) = dialled.await.unwrap();
                assert!(let_in, "in round {round}");
                reset_on_close(&peer);
            }
            // A place is free when the connection's actor has ended, of which nobody is told.
            let live = async || pool.connections().await.unwrap().len();
            while live().await > 0 {}
            // The actor ends in the turn after it was taken off the list.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// The other policy: all are served, so many at a time.
#[test]
fn of_a_stampede_all_are_served_and_never_more_than_so_many_at_once() {
    with_limits(async |pool, listen| {
        let (server, inside) = counted(&pool, listen.at_limit(AtLimit::Wait)).await;
        let address = server.local_addr();
        peer(move || {
            let threads: Vec<_> = (0..30)
                .map(|_| {
                    std::thread::spawn(move || {
                        for _ in 0..STAMPEDE / 30 {
                            let mut peer = dial(address);
                            assert!(is_let_in(&mut peer));
                            assert_eq!(exchange(&mut peer, b"echo\n"), b"echo\n");
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        })
        .await;
        assert_eq!(inside.1.load(SeqCst), LIMIT, "the limit was used and kept");
        let info = server.info();
        assert_eq!((info.accepted, info.rejected), (STAMPEDE as u64, 0));
        until(|| server.info().live == 0).await;
    });
}

/// A limit can be moved while peers wait.
#[test]
fn a_raised_limit_lets_waiting_peers_in_at_once() {
    with_pool(async |pool| {
        let server = greet(&pool, Listen::tcp(ANY).max_connections(1)).await;
        let address = server.local_addr();
        let mut peers = peer(move || {
            let mut peers = [dial(address), dial(address), dial(address)];
            assert!(is_let_in(&mut peers[0]));
            assert!(waits(&mut peers[1]));
            peers
        })
        .await;
        server.set_max_connections(2);
        peer(move || {
            assert!(is_let_in(&mut peers[1]));
            assert!(waits(&mut peers[2]));
        })
        .await;
        until(|| server.info().live == 0).await;
    });
}
