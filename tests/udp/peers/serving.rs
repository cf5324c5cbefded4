//! Each peer is served by itself, and found.

use std::time::Instant;

use switchboard::message::ClientEvent;
use switchboard::testkit::Probe;
use switchboard::{Address, ChannelKind, Handle};

use super::*;
use crate::recording::Recording;

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
                word == "pause" || began.elapsed() < Duration::from_millis(1_000),
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
