//! The traps that others fell into, at the door.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use switchboard::prelude::*;
use switchboard::testkit::{LeakCheck, MemoryNet, MemoryStream};
use switchboard::transport::TcpNetwork;
use switchboard::{Alarm, BufferSlots, Gate};
use switchboard_tests::*;
use tokio::io::AsyncWriteExt;

use super::network::Rigged;
use super::{Greeter, HERE, Seen, sees};

/// Greeters, of which one in five panics before it is there, while `storm` is set.
fn fragile(storm: &Arc<AtomicBool>) -> impl Fn(Client) -> Greeter + Send + Sync + 'static + use<> {
    let (storm, made) = (Arc::clone(storm), AtomicUsize::new(0));
    move |client| {
        let unlucky = made.fetch_add(1, SeqCst) % 5 == 0;
        assert!(!(unlucky && storm.load(SeqCst)), "as it was told");
        Greeter { client }
    }
}

/// Trap 2: a reset before the accept, and a session that cannot be made.
#[test]
fn trap_02_one_connection_cannot_kill_the_listener() {
    with(Pool::builder().shards(2), async |pool| {
        let (waiting, address) = listener();
        for _ in 0..5 {
            reset_on_close(&dial(address));
        }
        let storm = Arc::new(AtomicBool::new(true));
        let listen = Listen::adopt(waiting).lines();
        let server = pool.listen(listen, fragile(&storm)).await.unwrap();
        peer(move || {
            let mut greeted = 0;
            for _ in 0..20 {
                let mut peer = dial(address);
                let _ = peer.write_all(b"hi\n");
                let mut greeting = Vec::new();
                // One that cannot be served may see a reset, for what it sent is never read.
                let _ = std::io::Read::read_to_end(
                    &mut std::io::Read::take(&mut peer, 6),
                    &mut greeting,
                );
                greeted += usize::from(greeting == b"hello\n");
            }
            assert_eq!(greeted, 16, "one in five cannot be served");
        })
        .await;
        assert!(server.is_listening());
        let info = server.info();
        assert_eq!(info.accepted + info.faults, 25);
    });
}

/// Trap 3: whatever happens to a peer between its accept and its session, its descriptor is closed.
#[test]
fn trap_03_no_descriptor_is_lost_between_accept_and_adoption() {
    if !alone("traps::trap_03_no_descriptor_is_lost_between_accept_and_adoption") {
        return;
    }
    let network = Rigged::new(TcpNetwork);
    network.rig.loses.store(true, SeqCst);
    with(Pool::builder().shards(2).network(network), async |pool| {
        let leaks = LeakCheck::begin().pool(&pool);
        let storm = Arc::new(AtomicBool::new(true));
        let (mut lost, mut gone, mut rejected) = (0, 0, 0);
        for policy in [
            AtLimit::Wait,
            AtLimit::Reject,
            AtLimit::Reset,
            AtLimit::Answer("busy\n".into()),
        ] {
            let listen = Listen::tcp("127.0.0.1:0").lines().at_limit(policy);
            let (few, few_each) = (listen.clone().max_connections(4), listen.max_per_ip(4));
            let servers = [
                pool.listen(few, fragile(&storm)).await.unwrap(),
                pool.listen(few_each, |_| Handlers::new()).await.unwrap(),
            ];
            let peers = servers.clone().map(|server| {
                let address = server.local_addr();
                thread::spawn(move || {
                    // One that is reset at once may learn of it as it connects, and one that was
                    // turned away can be told nothing.
                    let dial = || TcpStream::connect(address);
                    for round in 0..60 {
                        let peers = [dial(), dial(), dial()];
                        if let Ok(mut peer) = peers[0].as_ref() {
                            let _ = peer.write_all(b"panic\n");
                        }
                        if let (0, Ok(peer)) = (round % 2, &peers[1]) {
                            reset_on_close(peer);
                        }
                    }
                    // These are on their way when the listener closes.
                    for _ in 0..20 {
                        drop(dial());
                    }
                })
            });
            let done = || peers.iter().all(thread::JoinHandle::is_finished);
            until(done).await;
            for (server, peer) in servers.into_iter().zip(peers) {
                server.close().await;
                peer.join().unwrap();
                let info = server.info();
                lost += info.faults;
                gone += info.gone;
                rejected += info.rejected;
            }
        }
        let ways = (lost, gone, rejected);
        assert!(
            lost + gone > 0 && rejected > 0,
            "lost, gone, rejected: {ways:?}"
        );
        leaks.settle().await;
    });
}

/// Trap 11: a storm of panics, resets and connections that are lost; then every place is there again,
/// and not one more.
#[test]
fn trap_11_limit_slots_never_leak() {
    const PLACES: usize = 8;
    let net = MemoryNet::new();
    let network = Rigged::new(net.clone());
    let rig = Arc::clone(&network.rig);
    let (shared, slots) = (
        Gate::new(PLACES),
        BufferSlots::new(2 * PLACES, 4096, true).unwrap(),
    );
    let builder = Pool::builder().shards(2).network(network);
    let builder = builder.share_limit(shared.clone()).max_connections(PLACES);
    with(builder, async |pool| {
        let storm = Arc::new(AtomicBool::new(true));
        rig.loses.store(true, SeqCst);
        let listen = Listen::tcp(HERE)
            .lines()
            .max_connections(PLACES)
            .max_per_ip(PLACES)
            .slots(slots.clone())
            .alarm(Alarm { high: 5, low: 2 })
            .at_limit(AtLimit::Reject);
        let server = pool.listen(listen, fragile(&storm)).await.unwrap();
        let mut kept: Vec<MemoryStream> = Vec::new();
        let raged = || {
            let info = server.info();
            info.accepted > 100 && info.rejected > 0 && info.faults > 0
        };
        // How many come in depends on how busy the machine is.
        for round in (0_usize..).take_while(|round| *round < 600 || !raged()) {
            let mut peer = net.connect(HERE).await.unwrap();
            match round % 4 {
                0 => peer.reset(),
                // A peer that was turned away can be told nothing.
                1 => drop(peer.write_all(b"panic\n").await),
                2 => kept.push(peer),
                _ => {
                    let _ = peer.shutdown().await;
                    kept.push(peer);
                }
            }
            if kept.len() > 12 {
                kept.clear();
                // Lets some of them in again; the loop is the same with any other pause.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        kept.clear();
        until(|| shared.live() == 0 && server.info().live == 0).await;
        assert_eq!(slots.available(), 2 * PLACES);
        assert!(!server.info().alarm_raised);
        assert!(raged(), "{:?}", server.info());

        storm.store(false, SeqCst);
        rig.loses.store(false, SeqCst);
        for index in 0..PLACES + 3 {
            let mut peer = net.connect(HERE).await.unwrap();
            let seen = sees(&mut peer).await;
            assert_eq!(
                seen == Seen::LetIn,
                index < PLACES,
                "peer {index}: {seen:?}"
            );
            kept.push(peer);
        }
        assert_eq!((shared.live(), slots.available()), (PLACES, 0));
        kept.clear();
        until(|| shared.live() == 0 && slots.available() == 2 * PLACES).await;
    });
}
