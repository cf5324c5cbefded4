//! What is closed, when, and how it is counted.

use std::io::ErrorKind;
use std::net::IpAddr;

use switchboard::{ConnectPhase, ListenPhase, PoolDraining};
use switchboard_tests::{Probe, expect};
use tokio::io::AsyncWriteExt;

use super::*;

/// Nothing is closed before the deadline; then what is queued is sent, for so long, and then reset.
#[test]
fn the_deadline_closes_with_a_flush_and_then_resets() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        pool.listen(lines(), trace.session()).await.unwrap();
        let mut reader = dial(&world).await;
        let first = expect!(trace, Accepted).handle;
        let mut deaf = dial(&world).await;
        let second = expect!(trace, Accepted).handle;
        for client in [&first, &second] {
            client.send(vec![7; 200_000]).unwrap();
        }
        let drain = Drain::within(seconds(10)).flush(seconds(3));
        let report = pool.drain(drain);
        // The simulation's time until just before the deadline, in which nothing is closed.
        tokio::time::sleep(Duration::from_millis(9_999)).await;
        trace.no_more(Duration::ZERO).await;
        // Past it, while there is time to flush: the reader reads late.
        tokio::time::sleep(seconds(2)).await;
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len(), 200_000);
        drop(reader);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.client, first.id());
        assert_eq!((closed.detail.unsent, &closed.detail.cut_short), (0, &None));
        let closed = expect!(trace, Closed);
        assert_eq!(world.elapsed(), seconds(13));
        assert_eq!(closed.detail.cause, Cause::Drained);
        assert!(closed.detail.unsent > 0 && closed.detail.cut_short.is_some());
        let mut bytes = Vec::new();
        let end = deaf.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        let report = report.await;
        assert_sums(&report);
        assert_eq!((report.live, report.overdue, report.aborted), (2, 1, 1));
        trace.ended().await;
    });
}

/// A session that closes by itself with a patience of its own cannot hold up the drain.
#[test]
fn a_close_that_is_under_way_gets_no_more_time_than_the_others() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        pool.listen(lines(), trace.session()).await.unwrap();
        let _deaf = dial(&world).await;
        let client = expect!(trace, Accepted).handle;
        client.send(vec![7; 200_000]).unwrap();
        client.close_with(true, Some(seconds(3600)));
        let drain = Drain::within(seconds(10)).flush(seconds(3));
        let report = pool.drain(drain).await;
        assert_sums(&report);
        assert_eq!(report.aborted, 1);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        assert!(world.elapsed() < seconds(14), "{:?}", world.elapsed());
    });
}

/// Without time to flush what is left is reset at the deadline.
#[test]
fn a_drain_without_time_to_flush_resets_at_the_deadline() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        pool.listen(lines(), trace.session()).await.unwrap();
        let mut peer = dial(&world).await;
        expect!(trace, Accepted);
        let drain = Drain::within(seconds(2)).flush(Duration::ZERO);
        let report = pool.drain(drain);
        let end = peer.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        assert_eq!(world.elapsed(), seconds(2));
        assert_eq!(expect!(trace, Closed).detail.cause, Cause::Drained);
        let report = report.await;
        assert_sums(&report);
        assert_eq!((report.live, report.aborted), (1, 1));
    });
}

/// From the call on nothing is opened, and what is being opened is given up.
#[test]
fn a_draining_pool_opens_nothing() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        let silent: IpAddr = "10.0.0.9".parse().unwrap();
        world.net().set_silent(silent, true);
        pool.listen(lines(), trace.session()).await.unwrap();
        let _peer = dial(&world).await;
        expect!(trace, Accepted);
        let waits = Connect::tcp("10.0.0.9:1").timeout(seconds(3600));
        let attempt = pool.connect(waits.clone().lines(), trace.session());
        // A while of the simulation's time, in which the attempt goes on.
        tokio::time::sleep(seconds(1)).await;
        assert!(pool.is_running() && !pool.is_draining());
        assert!(!pool.status().await.unwrap().draining);

        let report = pool.drain(Drain::within(seconds(5)));
        assert!(!pool.is_running() && pool.is_draining());
        let refused = pool.listen(Listen::tcp("10.0.0.1:2").lines(), trace.session());
        let refused = refused.await.unwrap_err();
        assert_eq!(refused.phase, ListenPhase::Listen);
        assert!(refused.source.get_ref().unwrap().is::<PoolDraining>());
        let refused = pool.connect(waits.lines(), trace.session()).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.phase, ConnectPhase::Options);
        assert_eq!(refused.message, PoolDraining.to_string());
        let given_up = attempt.await.unwrap_err();
        assert_eq!(given_up.kind, ErrorKind::Interrupted);
        let status = pool.status().await.unwrap();
        assert!(status.draining && !status.running);
        assert_eq!((status.servers, status.totals.live), (0, 1));
        let refused = world.net().connect(ADDRESS).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(world.elapsed() < seconds(2), "all of it at once");

        let report = report.await;
        assert_sums(&report);
        assert_eq!((report.live, report.given_up, report.overdue), (2, 1, 1));
        assert!(!pool.is_draining());
    });
}

/// Peers that have connected and are not accepted yet get an end, one way or the other.
#[test]
fn peers_in_the_backlog_are_not_left_hanging() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let (make, _told) = last();
        pool.listen(lines(), make).await.unwrap();
        let mut peers = Vec::new();
        for _ in 0..40 {
            peers.push(dial(&world).await);
        }
        let report = pool.drain(Drain::within(Duration::ZERO)).await;
        for peer in &mut peers {
            // A byte that nobody takes may make it a reset.
            let _ = peer.write_all(b"x").await;
            let _ = peer.read_to_end(&mut Vec::new()).await;
        }
        assert_sums(&report);
        assert!(world.elapsed() < seconds(5), "{:?}", world.elapsed());
    });
}

/// Nothing to wait for.
#[test]
fn a_pool_without_connections_drains_at_once() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let (make, _told) = last();
        pool.listen(lines(), make).await.unwrap();
        let drain = Drain::within(Duration::MAX).pace(1).flush(Duration::MAX);
        let report = pool.drain(drain).await;
        assert_eq!(report, DrainReport::default());
        assert_eq!(world.elapsed(), Duration::ZERO);
    });
}
