//! When a place is taken: not before there is somebody for it.

use std::sync::{Arc, Mutex, OnceLock};

use switchboard::prelude::*;
use switchboard::testkit::{MemoryListener, MemoryStream, World};
use switchboard::{Connecting, RejectReason, Suspend};
use switchboard_tests::watch;

use super::network::Rigged;
use super::{END, Greeter, HERE, Seen, dial_from, greet, next_rejected, sees, settle, simulate};

/// A pool with one place, whose listener waits at the limit; when that has looked for a peer, and found
/// one or not, an outbound connection asks for the place.
struct Contest {
    pool: Pool,
    server: Server,
    outbound: Arc<Mutex<Option<Connecting>>>,
    _there: MemoryListener,
}

impl Contest {
    async fn begin(world: &World, when_one_is_found: bool) -> Self {
        let there = world.net().listen("10.0.0.9:1").unwrap();
        let network = Rigged::new(world.net().clone());
        let known = Arc::new(OnceLock::<Pool>::new());
        let outbound = Arc::new(Mutex::new(None));
        let (pool, asked) = (Arc::clone(&known), Arc::clone(&outbound));
        let mut once = Some(());
        network.hook(move |found| {
            if found == when_one_is_found && once.take().is_some() {
                let connect = Connect::tcp("10.0.0.9:1").lines();
                let connecting = pool
                    .get()
                    .unwrap()
                    .connect(connect, |client| Greeter { client });
                *asked.lock().unwrap() = Some(connecting);
            }
        });
        let builder = Pool::builder().shards(0).max_connections(1);
        let pool = builder.network(network).start().unwrap();
        known.set(pool.clone()).unwrap();
        let server = greet(&pool, Listen::tcp(HERE).at_limit(AtLimit::Wait)).await;
        Self {
            pool,
            server,
            outbound,
            _there: there,
        }
    }

    /// A peer that was accepted before its place was lost.
    async fn loser(world: &World) -> (Self, MemoryStream, Client) {
        let contest = Self::begin(world, true).await;
        let mut peer = dial_from(world.net(), "10.1.0.1").await;
        assert_eq!(sees(&mut peer).await, Seen::Nothing);
        let outbound = contest.outbound.lock().unwrap().take().unwrap();
        let outbound = outbound.await.unwrap();
        (contest, peer, outbound)
    }
}

#[test]
fn a_listener_that_only_looks_takes_nobodys_place() {
    simulate(async |world| {
        let contest = Contest::begin(&world, false).await;
        settle().await;
        let outbound = contest.outbound.lock().unwrap().take().unwrap();
        outbound.await.unwrap();
    });
}

#[test]
fn a_peer_whose_place_was_taken_meanwhile_waits_in_hand() {
    simulate(async |world| {
        let (contest, mut peer, outbound) = Contest::loser(&world).await;
        assert_eq!(contest.pool.connections().await.unwrap().len(), 1);
        outbound.abort();
        assert_eq!(sees(&mut peer).await, Seen::LetIn);
        let info = contest.server.info();
        assert_eq!((info.accepted, info.rejected, info.gone), (1, 0, 0));
    });
}

#[test]
fn a_peer_in_hand_that_leaves_takes_no_place() {
    simulate(async |world| {
        let (contest, peer, outbound) = Contest::loser(&world).await;
        drop(peer);
        outbound.abort();
        settle().await;
        let info = contest.server.info();
        assert_eq!((info.accepted, info.gone), (0, 1));
        let mut next = dial_from(world.net(), "10.1.0.1").await;
        assert_eq!(sees(&mut next).await, Seen::LetIn);
    });
}

#[test]
fn a_peer_in_hand_is_turned_away_when_the_listener_closes() {
    simulate(async |world| {
        let (contest, mut peer, _outbound) = Contest::loser(&world).await;
        let mut events = watch(&contest.pool);
        contest.server.close().await;
        assert_eq!(sees(&mut peer).await, END);
        let told = next_rejected(&mut events).await;
        assert_eq!(told, (Some(peer.local_addr()), RejectReason::Limit));
        assert_eq!(contest.server.info().rejections.limit, 1);
    });
}

/// Whoever is in hand when the port closes is not kept for as long as that lasts.
#[test]
fn a_peer_in_hand_is_turned_away_when_the_port_closes() {
    simulate(async |world| {
        let (contest, mut peer, outbound) = Contest::loser(&world).await;
        contest.server.suspend(Suspend::ClosePort).await.unwrap();
        assert_eq!(sees(&mut peer).await, END);
        assert_eq!(contest.server.info().rejections.limit, 1);
        contest.server.resume().await.unwrap();
        outbound.abort();
        let mut next = dial_from(world.net(), "10.1.0.1").await;
        assert_eq!(sees(&mut next).await, Seen::LetIn);
    });
}

#[test]
fn a_peer_in_hand_waits_while_nobody_is_accepted() {
    simulate(async |world| {
        let (contest, mut peer, outbound) = Contest::loser(&world).await;
        contest
            .server
            .suspend(Suspend::StopAccepting)
            .await
            .unwrap();
        outbound.abort();
        assert_eq!(sees(&mut peer).await, Seen::Nothing);
        contest.server.resume().await.unwrap();
        assert_eq!(sees(&mut peer).await, Seen::LetIn);
    });
}
