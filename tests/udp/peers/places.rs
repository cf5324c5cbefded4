//! How many peers there may be, and when their places are free again.

use super::*;
use crate::recording::{run, run_without_leaks};

#[test]
fn peers_beyond_the_most_are_dropped_and_counted_until_there_is_a_place() {
    run_simply(|pool| async move {
        let (udp, log) = serve(&pool, Peers::default().most(1)).await;
        let to = address(&udp);
        let (one, other) = (dial(to), dial(to));
        let one = beside(move || {
            assert_eq!(ask(&one, "hello"), "1:hello");
            one
        })
        .await;
        for _ in 0..3 {
            other.send(b"me too").unwrap();
        }
        until("three are dropped", || udp.dropped() == 3).await;
        let one = beside(move || {
            assert_eq!(ask(&one, "still"), "2:still");
            assert_eq!(ask(&one, "bye"), "3:bye");
            one
        })
        .await;
        until("it is closed", || log.of("ClosedByHost").len() == 1).await;
        beside(move || assert_eq!(ask(&other, "now"), "1:now")).await;
        one.send(b"again").unwrap();
        until("the other has the place", || udp.dropped() == 4).await;
    });
}

#[test]
fn each_peer_takes_a_place_in_the_pool() {
    run(
        Pool::builder().shards(1).max_connections(2),
        |pool| async move {
            let (udp, _) = serve(&pool, Peers::default()).await;
            let to = address(&udp);
            let one = beside(move || {
                let one = dial(to);
                assert_eq!(ask(&one, "hello"), "1:hello");
                one
            })
            .await;
            let other = dial(to);
            other.send(b"me too").unwrap();
            until("there is no place", || udp.dropped() == 1).await;
            beside(move || assert_eq!(ask(&one, "bye"), "2:bye")).await;
            let mut live = 2;
            while live == 2 {
                live = pool.connections().await.unwrap().len();
            }
            beside(move || assert_eq!(ask(&other, "now"), "1:now")).await;
        },
    );
}

#[test]
fn an_idle_peer_is_closed_and_its_next_datagram_makes_another_session() {
    run_simply(|pool| async move {
        let (udp, log) = serve(&pool, Peers::default().idle(Duration::from_millis(150))).await;
        let to = address(&udp);
        let one = dial(to);
        let one = beside(move || {
            // Each exchange begins the time anew.
            for round in 1..=4 {
                assert_eq!(ask(&one, "hello"), format!("{round}:hello"));
                std::thread::sleep(Duration::from_millis(60));
            }
            one
        })
        .await;
        until("it is idle for long enough", || log.of("idle").len() == 1).await;
        assert_eq!(log.of("Timeout").len(), 1);
        beside(move || assert_eq!(ask(&one, "again"), "1:again")).await;
        let made = log.of("made");
        assert_eq!(made.len(), 2);
        assert_ne!(made[0], made[1]);
        assert!(!udp.is_closed());
    });
}

#[test]
fn a_thousand_peers_come_and_go() {
    let name = "peers::places::a_thousand_peers_come_and_go";
    run_without_leaks(name, |pool| async move {
        let (udp, log) = serve(&pool, Peers::default().idle(Duration::from_millis(100))).await;
        let to = address(&udp);
        beside(move || {
            for _ in 0..1000 {
                // Rarely one has the port of an earlier one.
                assert!(ask(&dial(to), "hello").ends_with(":hello"));
            }
        })
        .await;
        let made = log.of("made").len();
        assert!(made > 900, "{made}");
        until("all are idle", || log.of("idle").len() == made).await;
        assert_eq!(pool.connections().await.unwrap().len(), 1);
        assert_eq!(udp.dropped(), 0);
        udp.close();
        udp.wait_closed().await;
    });
}
