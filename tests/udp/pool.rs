//! A pool lists, counts, limits, drains and stops sockets as it does connections.

use std::io::ErrorKind;

use switchboard::message::*;
use switchboard::{Cause, ChannelKind, Drain, Handle, PoolEvent};
use switchboard_tests::{Probe, expect, next_pool_event, watch, with, with_pool};

use super::*;

/// A socket is found by its id and told what it is.
#[test]
fn a_socket_is_listed_and_found() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let Some(Handle::Udp(found)) = pool.find(udp.id()).await else {
            panic!("not found");
        };
        assert_eq!(found, udp);
        let listed = pool.connections().await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].id, listed[0].kind), (udp.id(), ChannelKind::Udp));
        assert_eq!(listed[0].local_addr, Some(address(&udp)));
        udp.abort();
        udp.wait_closed().await;
        assert!(pool.find(udp.id()).await.is_none());
        let totals = pool.status().await.unwrap().totals;
        assert_eq!(
            (totals.opened, totals.live, totals.closed_in_all()),
            (1, 0, 1)
        );
    });
}

/// A pool that is full opens no more sockets, until one is gone.
#[test]
fn a_full_pool_refuses() {
    with(Pool::builder().shards(1).max_connections(1), async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let error = pool.open_udp(local()).await.unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::QuotaExceeded);
        udp.close();
        udp.wait_closed().await;
        switchboard_tests::until(|| udp.addr().is_none()).await;
        pool.open_udp(local()).await.unwrap();
    });
}

/// A failed opening takes no place.
#[test]
fn a_failed_opening_takes_no_place() {
    with(Pool::builder().shards(1).max_connections(1), async |pool| {
        for _ in 0..3 {
            pool.open_udp(BindUdp::new("192.0.2.1:0"))
                .await
                .unwrap_err();
        }
        pool.open_udp(local()).await.unwrap();
    });
}

/// A drain tells sessions, lets them finish, and closes the rest at its deadline.
#[test]
fn a_drain_tells_and_then_closes() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let finishes = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let stays = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let untold = pool.open_udp(local()).await.unwrap();
        let report = pool.drain(Drain::within(Duration::from_millis(300)));
        let report = actix_rt::spawn(report);
        for _ in 0..2 {
            expect!(probe, Draining);
        }
        let error = pool.open_udp(local()).await.unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::NotConnected);
        // It can still talk.
        let peer = peer();
        finishes
            .send_to_with("bye", peer.local_addr().unwrap(), 1)
            .unwrap();
        probe.of(finishes.id()).expect_sent(1).await;
        finishes.close();
        let closed = probe
            .of(finishes.id())
            .expect_closed(ClosedReason::ClosedByHost)
            .await;
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        let closed = probe.of(stays.id()).expect::<Closed>().await;
        assert_eq!(closed.detail.cause, Cause::Drained);
        untold.wait_closed().await;
        let report = report.await.unwrap();
        assert_eq!(report.live, 3, "{report}");
        assert_eq!((report.totals.live, report.totals.closed_in_all()), (0, 3));
    });
}

/// A stop tells every session its end.
#[test]
fn a_stop_tells_the_end() {
    let mut probe = Probe::new();
    let make = probe.full_session_for();
    let totals = with(Pool::builder().shards(2), async |pool| {
        for _ in 0..20 {
            pool.bind_udp(local(), make.clone()).await.unwrap();
        }
        let waiting = pool.open_udp(local()).await.unwrap();
        let waits = actix_rt::spawn(async move { waiting.recv(10, None).await });
        pool.stop().await;
        assert!(waits.await.unwrap().is_err());
        for _ in 0..20 {
            assert_eq!(
                probe.expect::<Closed>().await.detail.cause,
                Cause::PoolStopped
            );
        }
        let error = pool.open_udp(local()).await.unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::NotConnected);
    });
    assert_eq!((totals.opened, totals.closed_in_all()), (21, 21));
    probe.finish();
}

/// Ends the thread that it is on.
struct Assassin;

impl Actor for Assassin {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for Assassin {
    type Result = ();

    fn handle(&mut self, _: DatagramReceived, _: &mut Self::Context) {
        actix_rt::Arbiter::current().stop();
    }
}

session!(Assassin);

/// A shard whose thread ends takes its sockets along, and tells sessions elsewhere.
#[test]
fn a_shard_that_dies_tells_the_end_of_its_sockets() {
    with(Pool::builder().shards(1), async |pool| {
        let mut events = watch(&pool);
        let mut probe = Probe::new().partial();
        let desk = Desk(probe.recorder()).start();
        let make = move |_| desk.clone();
        let survivor = pool.bind_udp(local(), make.clone()).await.unwrap();
        let bare = pool.open_udp(local()).await.unwrap();
        let killer = pool.bind_udp(local(), |_| Assassin).await.unwrap();
        let waiting = bare.clone();
        let waits = actix_rt::spawn(async move { waiting.recv(10, None).await });
        tokio::task::yield_now().await;
        peer().send_to(b"die", address(&killer)).unwrap();
        let closed = probe.expect::<Closed>().await;
        assert_eq!(closed.detail.cause, Cause::RuntimeFailed);
        assert_eq!(closed.reason, ClosedReason::Error);
        assert!(waits.await.unwrap().is_err());
        for udp in [&survivor, &bare, &killer] {
            udp.wait_closed().await;
            assert!(udp.is_closed());
        }
        next_pool_event(&mut events, |event| {
            matches!(event, PoolEvent::ShardRestarted { .. }).then_some(())
        })
        .await;
        let udp = pool.bind_udp(local(), make).await.unwrap();
        peer().send_to(b"hello", address(&udp)).unwrap();
        assert_eq!(&*probe.expect::<DatagramReceived>().await.data, b"hello");
    });
}

/// A session of the test's own thread, for sockets of any.
struct Desk(switchboard_tests::Recorder);

impl Actor for Desk {
    type Context = Context<Self>;
}

impl Handler<DatagramReceived> for Desk {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
        self.0.record(msg);
    }
}

impl Handler<Closed> for Desk {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.0.record(msg);
    }
}

session!(Desk);
