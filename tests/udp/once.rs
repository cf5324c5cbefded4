//! One datagram, or a question and its answer, over a socket that is gone afterwards.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use switchboard::prelude::*;
use switchboard::udp::{OnceError, Request, SendToError, recv_once, request, send_once};
use switchboard::{Address, DatagramError};

use super::peer;
use super::recording::{beside, run_simply, run_without_leaks};

/// What a wait of 100 ms may take on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(2);

fn free_port() -> u16 {
    // Below those that the system gives to whoever asks for any: no other test gets it meanwhile.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// A peer that answers once, from a socket of this address.
fn answers(from: &str) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    let peer = UdpSocket::bind(from).unwrap();
    peer.set_read_timeout(Some(super::PATIENCE)).unwrap();
    let at = peer.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let mut received = [0; 100];
        let (count, from) = peer.recv_from(&mut received).unwrap();
        peer.send_to(&received[..count], from).unwrap();
    });
    (at, answering)
}

async fn nothing_is_left(pool: &Pool) {
    assert_eq!(pool.connections().await.unwrap().len(), 0);
}

/// UA-29.
#[test]
fn ua_29_a_datagram_is_sent_and_no_socket_is_left() {
    run_simply(|pool| async move {
        let one = peer();
        let to = one.local_addr().unwrap();
        assert_eq!(send_once(&pool, "hello", to, None).await.unwrap(), 5);
        nothing_is_left(&pool).await;
        let named = format!("localhost:{}", to.port());
        let wait = Some(SOON);
        assert_eq!(send_once(&pool, "", named, wait).await.unwrap(), 0);
        nothing_is_left(&pool).await;
        let counts = beside(move || {
            let mut received = [0; 100];
            [(); 2].map(|()| one.recv(&mut received).unwrap())
        })
        .await;
        assert_eq!(counts, [5, 0]);

        let error = send_once(&pool, vec![0; 70_000], to, wait).await;
        let error = error.unwrap_err();
        let failed = OnceError::Send(SendToError::Failed(DatagramError::Io {
            kind: std::io::Error::from_raw_os_error(90).kind(),
            errno: Some(90),
        }));
        assert_eq!(error.to_string(), failed.to_string());
        let error = send_once(&pool, "x", "no.such.name.invalid:9", wait).await;
        let error = error.unwrap_err();
        assert!(
            matches!(
                error,
                OnceError::Send(SendToError::Failed(DatagramError::Unresolved { .. }))
            ),
            "{error}"
        );
        nothing_is_left(&pool).await;
    });
}

/// UA-30.
#[test]
fn ua_30_one_datagram_is_waited_for_or_none_comes() {
    run_simply(|pool| async move {
        let port = free_port();
        let began = Instant::now();
        assert!(recv_once(&pool, port, None).await.unwrap().is_none());
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(100) && took < SOON,
            "{took:?}"
        );
        nothing_is_left(&pool).await;

        let one = peer();
        let from = one.local_addr().unwrap();
        one.set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let sending = std::thread::spawn(move || {
            // Until the socket is there nobody receives it.
            while !one.recv(&mut [0; 8]).is_ok_and(|count| count == 0) {
                one.send_to(b"hello", ("127.0.0.1", port)).unwrap();
            }
        });
        let received = recv_once(&pool, port, Some(SOON)).await.unwrap();
        let (data, sender) = received.unwrap();
        assert_eq!((&*data, sender), (&b"hello"[..], Address::from(from)));
        nothing_is_left(&pool).await;
        peer().send_to(b"", from).unwrap();
        sending.join().unwrap();

        let taken = UdpSocket::bind(("0.0.0.0", port)).unwrap();
        let error = recv_once(&pool, port, None).await.unwrap_err();
        assert!(matches!(error, OnceError::Bind(_)), "{error}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        drop(taken);
        // Neither is one of our own shared.
        let own = pool.open_udp(BindUdp::port(port)).await.unwrap();
        let error = recv_once(&pool, port, None).await.unwrap_err();
        assert!(matches!(error, OnceError::Bind(_)), "{error}");
        own.close();
    });
}

/// UA-31.
#[test]
fn ua_31_a_question_gets_its_answer_and_the_port_is_free() {
    run_simply(|pool| async move {
        for from in ["127.0.0.1:0", "[::1]:0"] {
            let (to, answering) = answers(from);
            let port = free_port();
            let question = Request::new("ping", to).port(port).wait(SOON);
            let (data, sender) = request(&pool, question).await.unwrap().unwrap();
            assert_eq!((&*data, sender), (&b"ping"[..], Address::from(to)));
            nothing_is_left(&pool).await;
            drop(UdpSocket::bind(("0.0.0.0", port)).unwrap());
            answering.join().unwrap();
        }
        let (to, answering) = answers("127.0.0.1:0");
        let named = Request::new("ping", format!("localhost:{}", to.port()));
        let answer = request(&pool, named.wait(SOON).most(2)).await.unwrap();
        assert_eq!(&*answer.unwrap().0, b"pi");
        answering.join().unwrap();

        let silent = peer();
        let to = silent.local_addr().unwrap();
        let port = free_port();
        let began = Instant::now();
        let answer = request(&pool, Request::new("ping", to).port(port)).await;
        assert!(answer.unwrap().is_none());
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(100) && took < SOON,
            "{took:?}"
        );
        drop(UdpSocket::bind(("0.0.0.0", port)).unwrap());
        nothing_is_left(&pool).await;

        // Nobody is there: what ICMP says is no answer.
        let gone = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
        assert!(
            request(&pool, Request::new("ping", gone))
                .await
                .unwrap()
                .is_none()
        );
    });
}

/// AMB-10.
#[test]
fn amb_10_any_sender_answers_unless_only_the_destination_may() {
    run_simply(|pool| async move {
        for strict in [false, true] {
            let right = peer();
            let to = right.local_addr().unwrap();
            let stranger = peer();
            let strange = stranger.local_addr().unwrap();
            let answering = std::thread::spawn(move || {
                let mut received = [0; 100];
                let (_, from) = right.recv_from(&mut received).unwrap();
                stranger.send_to(b"wrong", from).unwrap();
                right.send_to(b"right", from).unwrap();
            });
            let mut question = Request::new("who?", to).wait(SOON);
            if strict {
                question = question.only_from_destination();
            }
            let (data, from) = request(&pool, question).await.unwrap().unwrap();
            let expected = if strict {
                (&b"right"[..], Address::from(to))
            } else {
                (&b"wrong"[..], Address::from(strange))
            };
            assert_eq!((&*data, from), expected);
            answering.join().unwrap();
        }
    });
}

#[test]
fn who_gives_up_leaves_no_socket_behind() {
    let name = "once::who_gives_up_leaves_no_socket_behind";
    run_without_leaks(name, |pool| async move {
        let silent = peer();
        let to = silent.local_addr().unwrap();
        for pause in [0_u64, 0, 0, 1, 5, 20] {
            let port = free_port();
            let asking = request(&pool, Request::new("x", to).port(port).wait(SOON));
            let given_up = tokio::time::timeout(Duration::from_millis(pause), asking).await;
            assert!(given_up.is_err());
            let mut asking = Box::pin(recv_once(&pool, free_port(), Some(SOON)));
            // At its first poll it asks for the socket, at the second one it would have it.
            for _ in 0..pause.min(2) {
                tokio::select! {
                    biased;
                    _ = &mut asking => panic!("nothing was sent"),
                    () = tokio::task::yield_now() => {}
                }
            }
            drop(asking);
        }
        // While its name is looked up, and when it is there and not yet taken.
        for turns in 0..40 {
            let mut opening = Box::pin(pool.open_udp(BindUdp::new("localhost:0")));
            for _ in 0..turns {
                tokio::select! {
                    biased;
                    opened = &mut opening => {
                        opened.unwrap().close();
                        break;
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
            drop(opening);
        }
        drop(silent);
    });
}

#[cfg(unix)]
#[test]
fn a_unix_socket_can_be_told_something_and_not_be_asked() {
    run_simply(|pool| async move {
        let directory = super::unix::Directory::new("once");
        let path = directory.file("to");
        let to = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        assert_eq!(
            send_once(&pool, "hello", path.clone(), None).await.unwrap(),
            5
        );
        let mut received = [0; 16];
        assert_eq!(to.recv(&mut received).unwrap(), 5);
        let error = request(&pool, Request::new("x", path)).await.unwrap_err();
        assert!(error.to_string().contains("another family"), "{error}");
        nothing_is_left(&pool).await;
    });
}
