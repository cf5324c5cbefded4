//! Faults that a seed chooses.

use std::collections::HashSet;
use std::io::Write;

use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::testkit::Faults;
use switchboard::testkit::faults::Rates;
use switchboard_tests::*;

use super::{ANY, echoes, faulty, ms};

/// How many lines are 200 KB.
const MANY_LINES: usize = 1900;

#[test]
fn random_faults_without_resets_lose_nothing() {
    for seed in 0..4 {
        let faults = Faults::random(seed);
        with(faulty(&faults), |pool| async move {
            echoes(&pool, MANY_LINES).await;
        });
        let counts = faults.counts();
        assert!(counts.blocks > 0 && counts.short_reads > 0, "{counts}");
        assert_eq!(counts.resets, 0);
    }
}

#[test]
fn random_faults_move_along_to_other_shards() {
    let faults = Faults::random(11);
    with(faulty(&faults).shards(2), |pool| async move {
        let listen = Listen::tcp(ANY).lines();
        let session = |client| Echo { client };
        let server = pool.listen(listen, session).await.unwrap();
        for _ in 0..4 {
            let mut stream = dial(server.local_addr());
            assert_eq!(exchange(&mut stream, b"hello\n"), b"hello\n");
        }
    });
}

/// Every connection ends once, whatever happens to it, and the counters add up (`with` checks them).
#[test]
fn whatever_happens_each_connection_ends_once() {
    const CONNECTIONS: usize = 40;
    let rates = Rates {
        stall: 0,
        reset: 30,
        eof: 20,
        accept_error: 0,
        ..Rates::harsh()
    };
    let faults = Faults::none().at_random(3, rates);
    let totals = with(faulty(&faults), |pool| async move {
        let mut trace = Probe::new();
        let session = trace.session();
        let server = pool
            .listen(Listen::tcp(ANY).lines(), session)
            .await
            .unwrap();
        let address = server.local_addr();
        let peers = peer(move || {
            for _ in 0..CONNECTIONS {
                let mut stream = dial(address);
                // It may be reset at any time.
                let _ = stream.write_all("some line\n".repeat(50).as_bytes());
            }
        });
        peers.await;
        let mut ended = HashSet::new();
        while ended.len() < CONNECTIONS {
            if let ClientEvent::Closed(closed) = trace.next().await {
                assert!(ended.insert(closed.client), "it ended twice");
            }
        }
        server.close().await;
        trace.no_more(ms(50)).await;
    });
    assert_eq!(totals.accepted, CONNECTIONS as u64);
    let counts = faults.counts();
    assert!(counts.resets > 0 && counts.eofs > 0, "{counts}");
}

/// Both ends live in the pool and meet every fault there is; `with` checks that the counters add up
/// and that nothing is left.
#[test]
fn with_every_fault_at_both_ends_each_session_is_told_one_beginning_and_one_end() {
    const CALLS: usize = 25;
    let (mut resets, mut stalls) = (0, 0);
    for seed in 0..3 {
        let faults = Faults::none().at_random(seed, Rates::harsh());
        with(faulty(&faults).shards(2), |pool| async move {
            // What stands still ends by these.
            let (idle, flush) = (ms(200), ms(200));
            let listen = Listen::tcp(ANY).lines().idle_timeout(idle);
            let listen = listen.flush_timeout(flush).linger_timeout(flush);
            let session = |client| Echo { client };
            let server = pool.listen(listen, session).await.unwrap();
            let mut trace = Probe::new();
            for _ in 0..CALLS {
                let connect = Connect::tcp(server.local_addr()).lines().timeout(ms(500));
                let connect = connect.idle_timeout(idle).flush_timeout(flush);
                let session = trace.session();
                // Its session is told the same.
                if let Ok(client) = pool.connect(connect.linger_timeout(flush), session).await {
                    let _ = client.send("some line\n".repeat(100));
                }
            }
            let (mut began, mut ended) = (HashSet::new(), HashSet::new());
            while ended.len() < CALLS {
                match trace.next().await {
                    ClientEvent::Connected(event) => {
                        assert!(began.insert(event.client), "it began twice");
                    }
                    ClientEvent::LineReceived(event) => {
                        assert!(began.contains(&event.client), "a line before the beginning");
                        assert!(!ended.contains(&event.client), "a line after the end");
                        assert_eq!(event.line.as_bytes(), b"some line");
                    }
                    ClientEvent::Closed(event) => {
                        assert!(began.contains(&event.client), "an end before the beginning");
                        assert!(ended.insert(event.client), "it ended twice");
                    }
                    ClientEvent::ConnectFailed(event) => {
                        assert!(!began.contains(&event.client), "it failed after it began");
                        assert!(ended.insert(event.client), "it failed twice");
                    }
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            trace.no_more(ms(20)).await;
        });
        let counts = faults.counts();
        resets += counts.resets;
        stalls += counts.stalls;
    }
    assert!(resets > 0 && stalls > 0, "{resets} resets, {stalls} stalls");
}
