//! One datagram at a time, for those who have no session.

use std::time::Instant;

use switchboard::udp::{RecvFromError, SendToError};
use switchboard::{DatagramError, DatagramRefusal};
use switchboard_tests::{Probe, expect, with_pool};

use super::*;

const WAIT: Option<Duration> = Some(PATIENCE);

/// UA-26: when nothing comes, the answer is nothing, in time, and the socket lives.
#[test]
fn nothing_in_time_is_none_and_the_socket_lives() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let began = Instant::now();
        let none = udp.recv_from(100, Some(Duration::from_millis(200))).await;
        assert_eq!(none.unwrap(), None);
        let took = began.elapsed().as_millis();
        assert!((200..300).contains(&took), "{took} ms");
        let peer = peer();
        peer.send_to(b"hello", address(&udp)).unwrap();
        let (data, from) = udp.recv_from(100, WAIT).await.unwrap().unwrap();
        assert_eq!(&*data, b"hello");
        assert_eq!(from.inet(), Some(peer.local_addr().unwrap()));
        // No more than asked for.
        peer.send_to(b"hello", address(&udp)).unwrap();
        assert_eq!(&*udp.recv(2, WAIT).await.unwrap().unwrap(), b"he");
        peer.send_to(b"", address(&udp)).unwrap();
        assert_eq!(udp.recv(2, WAIT).await.unwrap().unwrap().len(), 0);
    });
}

/// UA-27: the answer is the number of bytes, or why not.
#[test]
fn a_send_in_sequence_says_how_many_bytes_went() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let peer = peer();
        let to = peer.local_addr().unwrap();
        assert_eq!(udp.sent_to("hello", to, WAIT).await, Ok(5));
        assert_eq!(received(&peer), b"hello");
        assert_eq!(udp.sent_to("", to, None).await, Ok(0));
        assert_eq!(received(&peer), b"");
        let error = udp.sent_to(vec![0; 70_000], to, WAIT).await.unwrap_err();
        assert!(matches!(
            error,
            SendToError::Failed(DatagramError::Io {
                errno: Some(90),
                ..
            })
        ));
        let name = format!("localhost:{}", to.port());
        assert_eq!(udp.sent_to("named", name.as_str(), WAIT).await, Ok(5));
        assert_eq!(received(&peer), b"named");
        let error = udp
            .sent_to("x", "no-such-host.invalid:1", WAIT)
            .await
            .unwrap_err();
        assert!(matches!(
            error,
            SendToError::Failed(DatagramError::Unresolved { .. })
        ));
        let error = udp.sent("x", WAIT).await.unwrap_err();
        assert_eq!(error, SendToError::Refused(DatagramRefusal::NoDestination));
    });
}

/// ACO-11: a request and its answer with a plain socket.
#[test]
fn a_request_has_its_answer() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let server = peer();
        let to = server.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let mut buffer = [0; 100];
            let (count, from) = server.recv_from(&mut buffer).unwrap();
            buffer[..count].reverse();
            server.send_to(&buffer[..count], from).unwrap();
        });
        assert_eq!(udp.sent_to("abc", to, WAIT).await, Ok(3));
        let (answer, from) = udp.recv_from(100, WAIT).await.unwrap().unwrap();
        assert_eq!((&*answer, from.inet()), (&b"cba"[..], Some(to)));
        switchboard_tests::peer(move || serving.join().unwrap()).await;
    });
}

/// UA-28: who waits is told of the end, and the port is free then.
#[test]
fn a_close_ends_waiting_and_frees_the_port() {
    with_pool(async |pool| {
        for abort in [true, false] {
            let udp = pool.open_udp(local()).await.unwrap();
            let at = address(&udp);
            let waiting = udp.clone();
            let waiting = actix_rt::spawn(async move { waiting.recv_from(10, None).await });
            tokio::task::yield_now().await;
            assert!(if abort { udp.abort() } else { udp.close() });
            assert_eq!(waiting.await.unwrap(), Err(RecvFromError::Closed));
            udp.wait_closed().await;
            std::net::UdpSocket::bind(at).unwrap();
            assert_eq!(udp.recv(10, None).await, Err(RecvFromError::Closed));
            let error = udp.sent_to("x", at, None).await.unwrap_err();
            assert_eq!(error, SendToError::Refused(DatagramRefusal::Closed));
        }
    });
}

/// UA-28: a close that has still to wait for a name keeps no receiver waiting: nothing can come any more.
#[test]
fn a_receiver_does_not_wait_for_what_a_close_still_sends() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let waiting = udp.clone();
        let waiting = actix_rt::spawn(async move { waiting.recv(10, None).await });
        tokio::task::yield_now().await;
        // The look-up ends on another thread, and this one does not hear of it before it lets go.
        udp.send_to("x", "localhost:9").unwrap();
        udp.close();
        assert_eq!(udp.recv(10, None).await, Err(RecvFromError::Closed));
        assert_eq!(waiting.await.unwrap(), Err(RecvFromError::Closed));
    });
}

/// Receivers that give up lose nothing and hold nobody up; each datagram goes to one of them.
#[test]
fn receivers_that_give_up_lose_nothing() {
    with_pool(async |pool| {
        let udp = pool.open_udp(local()).await.unwrap();
        let peer = peer();
        for round in 0..200_u32 {
            let mut waiting: Vec<_> = (0..4)
                .map(|_| {
                    let udp = udp.clone();
                    actix_rt::spawn(async move { udp.recv(10, None).await })
                })
                .collect();
            tokio::task::yield_now().await;
            peer.send_to(&round.to_be_bytes(), address(&udp)).unwrap();
            peer.send_to(&round.to_be_bytes(), address(&udp)).unwrap();
            // Two leave, perhaps just when they were called.
            for _ in 0..round % 5 {
                tokio::task::yield_now().await;
            }
            let mut got = 0;
            for one in waiting.drain(..2) {
                one.abort();
                got += usize::from(one.await.is_ok());
            }
            let rest = 2 - got;
            for one in waiting.drain(..rest) {
                let data = tokio::time::timeout(PATIENCE, one)
                    .await
                    .expect("lost")
                    .unwrap();
                assert_eq!(*data.unwrap().unwrap(), round.to_be_bytes());
            }
            waiting.iter().for_each(tokio::task::JoinHandle::abort);
        }
    });
}

/// Whatever receivers, pauses and the session do at the same time, each datagram goes to exactly one of them,
/// and none is forgotten.
#[test]
fn each_datagram_has_exactly_one_taker() {
    with_pool(async |pool| {
        for own in [true, false] {
            let mut probe = Probe::new().partial();
            let bind = local()
                .recv_buffer_size(4 << 20)
                .budget(3)
                .recv_limits(5, 1 << 20);
            let udp = if own {
                pool.bind_udp(bind, probe.full_session_for()).await.unwrap()
            } else {
                let desk = super::sessions::Desk(probe.recorder()).start();
                let make = move |_| switchboard::Handlers::new().datagram(desk.clone().recipient());
                pool.bind_udp(bind, make).await.unwrap()
            };
            let to = address(&udp);
            let sending = std::thread::spawn(move || {
                let peer = peer();
                for number in 0..2_000_u32 {
                    peer.send_to(&number.to_be_bytes(), to).unwrap();
                    if number % 7 == 0 {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                }
            });
            let takers: Vec<_> = (0..3_u64)
                .map(|taker| {
                    let udp = udp.clone();
                    actix_rt::spawn(async move {
                        let mut taken = Vec::new();
                        while let Ok(got) = udp.recv(4, Some(Duration::from_millis(taker))).await {
                            taken.extend(got);
                            if taken.len() % 5 == 4 {
                                udp.pause_reading();
                                tokio::task::yield_now().await;
                                udp.resume_reading();
                            }
                        }
                        taken
                    })
                })
                .collect();
            switchboard_tests::peer(move || sending.join().unwrap()).await;
            let drops = udp.kernel_drops().unwrap();
            switchboard_tests::until(|| udp.counts().received + drops == 2_000).await;
            // What waits is taken before the end.
            switchboard_tests::until(|| udp.info().activity.unread == 0).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            udp.close();
            udp.wait_closed().await;
            let mut all = Vec::new();
            let mut shares = Vec::new();
            for taker in takers {
                let taken = taker.await.unwrap();
                shares.push(taken.len());
                all.extend(taken);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            for event in probe.so_far() {
                if let switchboard::message::ClientEvent::DatagramReceived(got) = event {
                    all.push(got.data);
                }
            }
            all.sort_unstable();
            let count = all.len();
            all.dedup();
            assert_eq!(
                (all.len(), count),
                (count, 2_000 - usize::try_from(drops).unwrap()),
                "{shares:?}"
            );
        }
    });
}

/// UA-26: what is asked for comes before the session gets any more, which gets all the rest.
#[test]
fn a_receiver_comes_before_the_session() {
    with_pool(async |pool| {
        let mut probe = Probe::new();
        let udp = pool
            .bind_udp(local(), probe.full_session_for())
            .await
            .unwrap();
        let peer = peer();
        let waiting = udp.clone();
        let waiting = actix_rt::spawn(async move { waiting.recv(10, WAIT).await });
        tokio::task::yield_now().await;
        for data in [b"one", b"two"] {
            peer.send_to(data, address(&udp)).unwrap();
        }
        assert_eq!(&*waiting.await.unwrap().unwrap().unwrap(), b"one");
        assert_eq!(&*expect!(probe, DatagramReceived).data, b"two");
        // One that gave up leaves what comes to the session.
        assert_eq!(
            udp.recv(10, Some(Duration::from_millis(10))).await,
            Ok(None)
        );
        peer.send_to(b"three", address(&udp)).unwrap();
        assert_eq!(&*expect!(probe, DatagramReceived).data, b"three");
    });
}
