//! Sessions of peers that panic, and sockets that close under them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use switchboard::CrashPolicy;

use super::*;
use crate::PATIENCE;

#[test]
fn a_session_that_panics_hurts_only_itself() {
    run_simply(|pool| async move {
        let (udp, log) = serve(&pool, Peers::default()).await;
        let to = address(&udp);
        let (one, other) = (dial(to), dial(to));
        let (one, other) = beside(move || {
            assert_eq!(ask(&one, "hello"), "1:hello");
            assert_eq!(ask(&other, "hello"), "1:hello");
            one.send(b"boom").unwrap();
            (one, other)
        })
        .await;
        let first = log.of("made")[0];
        let mut there = true;
        while there {
            there = pool.find(first).await.is_some();
        }
        beside(move || {
            assert_eq!(ask(&other, "still"), "2:still");
            assert_eq!(ask(&one, "again"), "1:again");
        })
        .await;
        assert_eq!(log.of("made").len(), 3);
        assert!(!udp.is_closed());
    });
}

#[test]
fn a_successor_gets_what_came_while_there_was_no_session() {
    run_simply(|pool| async move {
        let log = Log::default();
        let bind = BindUdp::new("127.0.0.1:0").on_crash(CrashPolicy::Restart {
            max: 3,
            within: Duration::from_secs(60),
        });
        let udp = pool
            .serve_udp(bind, Peers::default(), log.session())
            .await
            .unwrap();
        let to = address(&udp);
        beside(move || {
            let one = dial(to);
            assert_eq!(ask(&one, "hello"), "1:hello");
            for text in ["boom", "x", "y", "z"] {
                one.send(text.as_bytes()).unwrap();
            }
            for reply in ["1:x", "2:y", "3:z"] {
                assert_eq!(hear(&one), reply);
            }
        })
        .await;
        assert_eq!(log.of("made").len(), 2);
        assert_eq!(log.of("adopted"), log.of("made")[..1]);
    });
}

/// A factory that panics once, as it may.
#[test]
fn a_datagram_waits_for_a_session_that_is_made_at_the_second_try() {
    run_simply(|pool| async move {
        let log = Log::default();
        let make = log.session();
        let tries = AtomicU64::new(0);
        let bind = BindUdp::new("127.0.0.1:0").on_crash(CrashPolicy::Restart {
            max: 3,
            within: Duration::from_secs(60),
        });
        let session = move |peer| {
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                std::panic::resume_unwind(Box::new("as it was told"));
            }
            make(peer)
        };
        let udp = pool
            .serve_udp(bind, Peers::default(), session)
            .await
            .unwrap();
        let to = address(&udp);
        beside(move || {
            let one = dial(to);
            assert_eq!(ask(&one, "hello"), "1:hello");
            assert_eq!(ask(&one, "more"), "2:more");
        })
        .await;
        assert_eq!(log.of("made").len(), 1);
    });
}

/// Closes the socket of all before it answers.
struct LastWords {
    peer: Udp,
    all: Arc<OnceLock<Udp>>,
}

impl Actor for LastWords {
    type Context = SessionContext<Self>;
}

impl Handler<DatagramReceived> for LastWords {
    type Result = ();

    fn handle(&mut self, _: DatagramReceived, _: &mut Self::Context) {
        self.all.get().unwrap().close();
        self.peer.send("last words").unwrap();
    }
}

session!(LastWords);

#[test]
fn closing_the_socket_closes_all_peers_with_what_they_have_queued() {
    run_simply(|pool| async move {
        let all = Arc::new(OnceLock::new());
        let of_all = Arc::clone(&all);
        let bind = BindUdp::new("127.0.0.1:0");
        let session = move |peer| LastWords {
            peer,
            all: Arc::clone(&of_all),
        };
        let udp = pool
            .serve_udp(bind, Peers::default(), session)
            .await
            .unwrap();
        all.set(udp.clone()).unwrap();
        let to = address(&udp);
        beside(move || assert_eq!(ask(&dial(to), "hello"), "last words")).await;
        udp.wait_closed().await;
        // Nobody holds the address any more.
        drop(UdpSocket::bind(to).unwrap());

        let (udp, log) = serve(&pool, Peers::default()).await;
        let to = address(&udp);
        // All are kept, for a port that is free again may come to the next one.
        let peers = beside(move || {
            let peers: Vec<_> = (0..20).map(|_| dial(to)).collect();
            for peer in &peers {
                assert_eq!(ask(peer, "hello"), "1:hello");
            }
            peers
        })
        .await;
        assert_eq!(pool.connections().await.unwrap().len(), 21);
        udp.close();
        udp.wait_closed().await;
        drop(UdpSocket::bind(to).unwrap());
        until("all are told", || log.of("ClosedByHost").len() == 20).await;
        assert_eq!(pool.connections().await.unwrap().len(), 0);
        drop(peers);
    });
}

#[test]
fn in_a_drain_the_peers_may_finish_and_the_socket_closes_behind_them() {
    actix::System::new().block_on(async {
        let pool = Pool::builder().shards(1).start().unwrap();
        let (udp, log) = serve(&pool, Peers::default()).await;
        let to = address(&udp);
        let peers = beside(move || {
            let peers = [dial(to), dial(to)];
            for peer in &peers {
                assert_eq!(ask(peer, "hello"), "1:hello");
            }
            peers
        })
        .await;
        let report = pool.drain(Drain::within(PATIENCE)).await;
        assert_eq!((report.live, report.finished), (3, 3), "{report}");
        assert_eq!(log.of("draining").len(), 2);
        beside(move || {
            for peer in &peers {
                assert_eq!(hear(peer), "leaving");
            }
        })
        .await;
        udp.wait_closed().await;
    });
}
