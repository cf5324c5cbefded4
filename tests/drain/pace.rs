//! A pace: so many per second, the longest idle first, busy ones last.

use switchboard_tests::{Echo, Probe, expect};
use tokio::io::AsyncWriteExt;

use super::*;

/// 30 connections at 4 per second: one each 250 ms, and none at the start.
#[test]
fn a_pace_closes_one_after_the_other_without_bursts() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let (make, mut told) = last();
        pool.listen(lines(), make).await.unwrap();
        let ends = Ends::default();
        for number in 0..30 {
            watch_end(&world, number, dial(&world).await, &ends);
        }
        tokio::time::sleep(seconds(1)).await;
        let report = pool.drain(Drain::within(seconds(60)).pace(4)).await;
        assert_sums(&report);
        assert_eq!((report.live, report.paced), (30, 30));
        let step = Duration::from_millis(250);
        for (nth, (number, at)) in (0_u32..).zip(ends.borrow().iter()) {
            assert_eq!(*at, seconds(1) + step * (nth + 1), "the end of {number}");
        }
        while let Some((_, detail)) = told.recv().await {
            assert_eq!((detail.cause, detail.unsent), (Cause::Drained, 0));
        }
    });
}

/// The order is that of the last moved byte, not that of opening.
#[test]
fn the_longest_idle_goes_first() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        pool.listen(lines(), |client| Echo { client })
            .await
            .unwrap();
        let mut peers = Vec::new();
        for _ in 0..5 {
            peers.push(dial(&world).await);
        }
        tokio::time::sleep(seconds(1)).await;
        for number in [3, 0, 4, 2] {
            peers[number].write_all(b"x\n").await.unwrap();
            peers[number].read_exact(&mut [0; 2]).await.unwrap();
            tokio::time::sleep(seconds(1)).await;
        }
        let ends = Ends::default();
        let mut first = None;
        for (number, peer) in peers.into_iter().enumerate() {
            if number == 3 {
                first = Some(peer);
            } else {
                watch_end(&world, number, peer, &ends);
            }
        }
        let report = pool.drain(Drain::within(seconds(60)).pace(1));
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        // Moves a byte while it is its turn next: it is the last one now.
        let mut peer = first.unwrap();
        peer.write_all(b"y\n").await.unwrap();
        watch_end(&world, 3, peer, &ends);
        let report = report.await;
        assert_eq!(report.paced, 5);
        let order: Vec<_> = ends.borrow().iter().map(|(number, _)| *number).collect();
        assert_eq!(order, [1, 0, 4, 2, 3]);
    });
}

/// Who has something queued is the last, however long nothing has moved.
#[test]
fn busy_ones_go_last_and_the_deadline_ends_the_pace() {
    Simulation::seeded(1).run(|world| async move {
        let pool = world.pool();
        let mut trace = Probe::new();
        pool.listen(lines(), trace.session()).await.unwrap();
        let ends = Ends::default();
        let deaf = dial(&world).await;
        let busy = expect!(trace, Accepted).handle;
        busy.send(vec![7; 100_000]).unwrap();
        for number in 1..4 {
            let mut peer = dial(&world).await;
            expect!(trace, Accepted);
            peer.write_all(b"hello\n").await.unwrap();
            expect!(trace, LineReceived);
            watch_end(&world, number, peer, &ends);
        }
        let drain = Drain::within(Duration::from_millis(3_500)).pace(1);
        let report = pool.drain(drain);
        for nth in 1..=3 {
            assert_ne!(expect!(trace, Closed).client, busy.id());
            assert_eq!(world.elapsed(), seconds(nth));
        }
        drop(deaf);
        let report = report.await;
        assert_sums(&report);
        assert_eq!((report.live, report.paced), (4, 3));
    });
}

/// All shards together keep the pace.
#[test]
fn several_shards_share_one_pace() {
    use switchboard_tests::{dial, with};
    let builder = Pool::builder().shards(3);
    with(builder, |pool| async move {
        let (make, mut told) = last();
        let listen = Listen::tcp("127.0.0.1:0").lines();
        let server = pool.listen(listen, make).await.unwrap();
        let peers: Vec<_> = (0..30).map(|_| dial(server.local_addr())).collect();
        while pool.status().await.unwrap().totals.live < 30 {
            tokio::task::yield_now().await;
        }
        let begun = std::time::Instant::now();
        let report = pool.drain(Drain::within(seconds(20)).pace(40));
        for _ in 0..30 {
            told.recv().await.unwrap();
        }
        // The first comes after 25 ms, and a late one may be followed sooner by the next.
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(700), "{took:?}");
        drop(peers);
        let report = report.await;
        assert_sums(&report);
        assert_eq!(report.paced, 30);
    });
}
