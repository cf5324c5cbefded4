//! A session for each peer of one socket.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use switchboard::message::ClientEvent;
use switchboard::prelude::*;
use switchboard::testkit::Probe;
use switchboard::{Address, Cause, ChannelKind, CrashPolicy, Handle, Peers, TimeoutKind};

use super::recording::{Recording, beside, run, run_simply, run_without_leaks, until};
use super::{PATIENCE, address, peer};

/// Answers its peer with how many datagrams there were and the last one; some words are orders.
struct Conversation {
    peer: Udp,
    count: u32,
    log: Log,
}

/// Who was told what.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(ClientId, String)>>>);

impl Log {
    fn note(&self, id: ClientId, what: impl Into<String>) {
        self.0.lock().unwrap().push((id, what.into()));
    }

    fn all(&self) -> Vec<(ClientId, String)> {
        self.0.lock().unwrap().clone()
    }

    fn of(&self, what: &str) -> Vec<ClientId> {
        let told = self.all();
        let of = told.iter().filter(|(_, event)| event == what);
        of.map(|(id, _)| *id).collect()
    }

    fn session(&self) -> impl Fn(Udp) -> Conversation + Send + Sync + 'static + use<> {
        let log = self.clone();
        move |peer| {
            log.note(peer.id(), "made");
            Conversation {
                peer,
                count: 0,
                log: log.clone(),
            }
        }
    }
}

impl Actor for Conversation {
    type Context = Context<Self>;
}

impl Handler<DatagramReceived> for Conversation {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, ctx: &mut Self::Context) {
        assert_eq!(self.peer.peer_addr().as_ref(), Some(&msg.from));
        self.count += 1;
        match &*msg.data {
            b"boom" => std::panic::resume_unwind(Box::new("as it was told")),
            b"pause" => self.peer.pause_reading(),
            b"sleep" => {
                // A session that is slow, and not its thread.
                let asleep = tokio::time::sleep(Duration::from_millis(300));
                ctx.wait(asleep.into_actor(self));
            }
            _ => {}
        }
        let text = format!("{}:{}", self.count, String::from_utf8_lossy(&msg.data));
        let _ = self.peer.send(text);
        if *msg.data == *b"bye" {
            self.peer.close();
        }
    }
}

impl Handler<Draining> for Conversation {
    type Result = ();

    fn handle(&mut self, _: Draining, _: &mut Self::Context) {
        self.log.note(self.peer.id(), "draining");
        self.peer.send("leaving").unwrap();
        self.peer.close();
    }
}

impl Handler<Adopted> for Conversation {
    type Result = ();

    fn handle(&mut self, _: Adopted, _: &mut Self::Context) {
        self.log.note(self.peer.id(), "adopted");
    }
}

impl Handler<Closed> for Conversation {
    type Result = ();

    fn handle(&mut self, msg: Closed, _: &mut Self::Context) {
        self.log.note(self.peer.id(), format!("{:?}", msg.reason));
        if let Cause::Timeout { kind, .. } = msg.detail.cause {
            assert_eq!(kind, TimeoutKind::Idle);
            self.log.note(self.peer.id(), "idle");
        }
    }
}

session!(Conversation);

async fn serve(pool: &Pool, peers: Peers) -> (Udp, Log) {
    let log = Log::default();
    let bind = BindUdp::new("127.0.0.1:0");
    let udp = pool.serve_udp(bind, peers, log.session()).await.unwrap();
    (udp, log)
}

fn dial(to: SocketAddr) -> UdpSocket {
    let peer = peer();
    peer.connect(to).unwrap();
    peer
}

fn hear(peer: &UdpSocket) -> String {
    let mut received = [0; 2048];
    let count = peer.recv(&mut received).unwrap();
    String::from_utf8_lossy(&received[..count]).into_owned()
}

fn ask(peer: &UdpSocket, text: &str) -> String {
    peer.send(text.as_bytes()).unwrap();
    hear(peer)
}

#[test]
fn each_peer_has_a_session_of_its_own_and_its_own_order() {
    run_simply(|pool| async move {
        let (udp, log) = serve(&pool, Peers::default()).await;
        let to = address(&udp);
        beside(move || {
            let (one, other) = (dial(to), dial(to));
            for round in 0..20 {
                one.send(format!("a{round}").as_bytes()).unwrap();
                other.send(format!("b{round}").as_bytes()).unwrap();
            }
            for round in 0..20 {
                assert_eq!(hear(&one), format!("{}:a{round}", round + 1));
                assert_eq!(hear(&other), format!("{}:b{round}", round + 1));
            }
        })
        .await;
        assert_eq!(log.of("made").len(), 2);
        assert_eq!(udp.dropped(), 0);
    });
}

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
fn a_slow_session_loses_only_its_own_datagrams() {
    for word in ["pause", "sleep"] {
        run_simply(|pool| async move {
            let log = Log::default();
            let bind = BindUdp::new("127.0.0.1:0").recv_limits(4, 1024 * 1024);
            let udp = pool
                .serve_udp(bind, Peers::default(), log.session())
                .await
                .unwrap();
            let to = address(&udp);
            let (slow, quick) = (dial(to), dial(to));
            let slow = beside(move || {
                assert_eq!(ask(&slow, word), format!("1:{word}"));
                slow
            })
            .await;
            let id = log.of("made")[0];
            let Some(Handle::Udp(handle)) = pool.find(id).await else {
                panic!("it is not found");
            };
            let began = Instant::now();
            for number in 0..10 {
                slow.send(format!("{number}").as_bytes()).unwrap();
            }
            let most = 6;
            until("what has no room is dropped", || handle.dropped() == most).await;
            beside(move || assert_eq!(ask(&quick, "hello"), "1:hello")).await;
            assert!(
                word == "pause" || began.elapsed() < Duration::from_millis(300),
                "the other one has waited"
            );
            handle.resume_reading();
            let kept = 10 - most;
            beside(move || {
                for number in 0..kept {
                    assert_eq!(hear(&slow), format!("{}:{number}", number + 2));
                }
                assert_eq!(ask(&slow, "fine"), format!("{}:fine", kept + 2));
            })
            .await;
            assert_eq!((udp.dropped(), handle.dropped()), (0, most));
        });
    }
}

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
    type Context = Context<Self>;
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
        beside(move || {
            for _ in 0..20 {
                assert_eq!(ask(&dial(to), "hello"), "1:hello");
            }
        })
        .await;
        assert_eq!(pool.connections().await.unwrap().len(), 21);
        udp.close();
        udp.wait_closed().await;
        drop(UdpSocket::bind(to).unwrap());
        until("all are told", || log.of("ClosedByHost").len() == 20).await;
        assert_eq!(pool.connections().await.unwrap().len(), 0);
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

#[test]
fn peers_are_listed_and_found_like_any_other() {
    run_simply(|pool| async move {
        let (udp, log) = serve(&pool, Peers::default()).await;
        let to = address(&udp);
        let one = beside(move || {
            let one = dial(to);
            ask(&one, "hello");
            one
        })
        .await;
        let from = one.local_addr().unwrap();
        let listed = pool.connections().await.unwrap();
        let parent = listed.iter().find(|info| info.id == udp.id()).unwrap();
        assert_eq!((parent.kind, parent.peer_addr), (ChannelKind::Udp, None));
        let id = log.of("made")[0];
        let info = listed.iter().find(|info| info.id == id).unwrap();
        assert_eq!((info.kind, info.peer_addr), (ChannelKind::Udp, Some(from)));
        assert_eq!(info.local_addr, Some(to));
        assert_eq!((info.activity.bytes_in, info.activity.bytes_out), (5, 7));
        let Some(Handle::Udp(handle)) = pool.find(id).await else {
            panic!("it is not found");
        };
        assert_eq!(handle.peer_addr(), Some(Address::from(from)));
        assert!(handle.send_to("x", to).is_err(), "that is not its peer");
        handle.send_to("here", from).unwrap();
        beside(move || assert_eq!(hear(&one), "here")).await;
        handle.abort();
        handle.wait_closed().await;
        assert!(pool.find(id).await.is_none());
        assert!(!udp.is_closed());
    });
}

#[test]
fn a_thousand_peers_come_and_go() {
    let name = "peers::a_thousand_peers_come_and_go";
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

#[test]
fn the_answers_of_a_hundred_peers_at_once_go_to_the_right_ones() {
    run_simply(|pool| async move {
        let (udp, log) = serve(&pool, Peers::default()).await;
        let to = address(&udp);
        beside(move || {
            let peers: Vec<_> = (0..100).map(|_| dial(to)).collect();
            for round in 0..3 {
                for (number, peer) in peers.iter().enumerate() {
                    peer.send(format!("{number}/{round}").as_bytes()).unwrap();
                }
                for (number, peer) in peers.iter().enumerate() {
                    assert_eq!(hear(peer), format!("{}:{number}/{round}", round + 1));
                }
            }
        })
        .await;
        assert_eq!(log.of("made").len(), 100);
    });
}

#[test]
fn one_actor_or_several_can_serve_all_peers() {
    run_simply(|pool| async move {
        let mut probe = Probe::new().partial();
        let recorder = probe.recorder();
        let shared = Recording { recorder }.start();
        let bind = || BindUdp::new("127.0.0.1:0");
        let of_actor = shared.clone();
        let one = pool
            .serve_udp(bind(), Peers::default(), move |_| of_actor.clone())
            .await
            .unwrap();
        let other = pool
            .serve_udp(bind(), Peers::default(), move |_| {
                Handlers::new()
                    .datagram(shared.clone().recipient())
                    .closed(shared.clone().recipient())
            })
            .await
            .unwrap();
        for udp in [one, other] {
            let (first, second) = (dial(address(&udp)), dial(address(&udp)));
            let mut ids = Vec::new();
            for peer in [&first, &second, &first] {
                peer.send(b"hello").unwrap();
                let told = probe.expect::<DatagramReceived>().await;
                assert_eq!(told.from, peer.local_addr().unwrap());
                ids.push(told.client);
            }
            assert_eq!(ids[0], ids[2]);
            assert_ne!(ids[0], ids[1]);
            udp.close();
            for _ in 0..2 {
                let closed = probe.expect::<Closed>().await;
                assert!(ids.contains(&closed.client));
            }
        }
        let left: Vec<ClientEvent> = probe.within(Duration::ZERO).so_far();
        assert!(
            left.iter()
                .all(|event| !matches!(event, ClientEvent::DatagramReceived(_)))
        );
    });
}

#[test]
fn what_cannot_have_peers_is_refused() {
    run_simply(|pool| async move {
        let one = || BindUdp::new("127.0.0.1:0");
        let zero = Duration::ZERO;
        let mut cases = vec![
            (one(), Peers::default().most(0), "at most 0 peers"),
            (one(), Peers::default().idle(zero), "idle time of zero"),
            (BindUdp::send_only(), Peers::default(), "unbound"),
            (one().connect("127.0.0.1:9"), Peers::default(), "connected"),
        ];
        #[cfg(unix)]
        cases.push((BindUdp::unix_unnamed(), Peers::default(), "Unix socket"));
        for (bind, peers, why) in cases.drain(..) {
            let log = Log::default();
            let outcome = pool.serve_udp(bind, peers, log.session()).await;
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(pool.connections().await.unwrap().len(), 0);
    });
}
