//! Receiving by request.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use switchboard::{ArmError, Cause, Connect, ConnectPhase, ConnectionOptions, RecvError};
use switchboard_tests::{PATIENCE, pattern, peer, reset_on_close, with_pool};

use super::{SOON, open, open_with};

#[test]
fn aco_14_a_connection_is_used_in_sequence_without_any_actor() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        client.sent("hello\n").await.unwrap();
        let mut hello = [0; 6];
        stream.read_exact(&mut hello).unwrap();
        assert_eq!(&hello, b"hello\n");
        stream
            .write_all(b"one\r\ntwo\nabc\0\0\0\x02hia;b;")
            .unwrap();
        assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"one");
        assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"two");
        assert_eq!(client.recv_exact(3).await.unwrap(), "abc");
        assert_eq!(client.recv_msg().await.unwrap(), "hi");
        assert_eq!(client.recv_until(";").await.unwrap(), "a");
        assert_eq!(client.recv_exact(0).await.unwrap(), "");
        assert_eq!(client.recv_available().await.unwrap(), "b;");
        client.close();
        assert_eq!(client.closed().await.unwrap().cause, Cause::LocalClose);
    });
}

#[test]
fn aco_05_what_has_come_is_taken_in_parts() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        stream.write_all(b"0123456789").unwrap();
        assert_eq!(client.recv_exact(1).await.unwrap(), "0");
        assert_eq!(client.recv_up_to(4).await.unwrap(), "1234");
        assert_eq!(client.recv_up_to(100).await.unwrap(), "56789");
        drop(stream);
        let end = client.recv_up_to(100).await.unwrap_err();
        assert_eq!(end, RecvError::Finished { partial: "".into() });
    });
}

#[test]
fn aco_05_aco_07_the_end_is_the_same_when_this_side_has_finished_before() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        client.write_eof().unwrap();
        stream.write_all(b"abc").unwrap();
        assert_eq!(client.recv_exact(2).await.unwrap(), "ab");
        let finishing = peer(move || drop(stream));
        let (end, ()) = tokio::join!(client.recv_exact(5), finishing);
        let partial = "c".into();
        assert_eq!(end.unwrap_err(), RecvError::Finished { partial });
        // It is nowhere else any more.
        for _ in 0..2 {
            let end = client.recv_available().await.unwrap_err();
            assert_eq!(end, RecvError::Finished { partial: "".into() });
            client.closed().await.unwrap();
        }
    });
}

#[test]
fn what_nobody_has_received_is_told_at_once_after_an_abort_and_later() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        stream.write_all(b"abc").unwrap();
        assert_eq!(client.recv_exact(1).await.unwrap(), "a");
        client.abort();
        assert_eq!(client.recv_exact(5).await.unwrap_err().partial(), b"bc");
        client.closed().await.unwrap();
        assert_eq!(client.recv_exact(5).await.unwrap_err().partial(), b"bc");
    });
}

#[test]
fn aco_07_an_end_in_the_middle_hands_over_what_had_come_and_leaves_the_other_direction_open() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        stream.write_all(b"1234").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let end = client.recv_exact(5).await.unwrap_err();
        assert_eq!(end.partial(), b"1234");
        assert!(matches!(end, RecvError::Finished { .. }));
        // It is nowhere else any more.
        assert_eq!(client.recv_line().await.unwrap_err().partial(), b"");
        client.sent("still open").await.unwrap();
        client.close();
        let answer = peer(move || {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        assert_eq!(answer.await.unwrap(), "still open");
    });
}

#[test]
fn aco_10_a_message_that_the_peer_does_not_finish_ends_the_connection() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        stream.write_all(b"\0\0\0\x05abc").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let RecvError::Closed { cause, partial } = client.recv_msg().await.unwrap_err() else {
            panic!("the connection should be closed");
        };
        assert_eq!(cause, Cause::TruncatedMessage { received: 7 });
        assert_eq!(partial, &b"\0\0\0\x05abc"[..]);
    });
}

#[test]
fn a_line_over_the_limit_ends_the_connection_and_says_so() {
    with_pool(async |pool| {
        let (client, mut stream) = open_with(&pool, |connect| connect.max_line(8)).await;
        stream.write_all(b"0123456789").unwrap();
        let error = client.recv_line().await.unwrap_err();
        assert!(
            matches!(
                &error,
                RecvError::Closed {
                    cause: Cause::Frame(_),
                    ..
                }
            ),
            "{error:?}"
        );
    });
}

#[test]
fn aco_12_a_receive_that_takes_too_long_leaves_what_has_come() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        stream.write_all(b"abc").unwrap();
        let began = Instant::now();
        let late = client.recv_exact(5).timeout(SOON).await.unwrap_err();
        assert!(began.elapsed() >= SOON);
        assert!(
            matches!(&late, RecvError::TimedOut { partial, after } if partial == "abc" && *after == SOON)
        );
        stream.write_all(b"de").unwrap();
        assert_eq!(client.recv_exact(5).await.unwrap(), "abcde");
        for silent in [
            client.recv_line().timeout(SOON).await.err(),
            client.recv_msg().timeout(SOON).await.err(),
            client.recv_up_to(1).timeout(SOON).await.err(),
            client.recv_until(";").timeout(SOON).await.err(),
            client.recv_available().timeout(SOON).await.err(),
        ] {
            assert!(
                matches!(silent, Some(RecvError::TimedOut { partial, .. }) if partial.is_empty())
            );
        }
        assert!(!client.is_closed());
    });
}

#[test]
fn requests_take_turns_in_their_order_and_one_that_is_dropped_takes_nothing() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let first = Box::pin(client.recv_line());
        let mut waiting = vec![first];
        for _ in 0..4 {
            waiting.push(Box::pin(client.recv_line()));
        }
        // All ask, in this order; then the first and the third give up.
        for asking in &mut waiting {
            assert!(futures_util::poll!(asking.as_mut()).is_pending());
        }
        stream.write_all(b"on").unwrap();
        drop(waiting.remove(2));
        drop(waiting.remove(0));
        stream.write_all(b"e\ntwo\nthree\nfour\n").unwrap();
        let lines = join_all(waiting).await;
        let lines: Vec<_> = lines.into_iter().map(|line| line.unwrap()).collect();
        assert_eq!(lines[0].as_bytes(), b"one");
        assert_eq!(lines[1].as_bytes(), b"two");
        assert_eq!(lines[2].as_bytes(), b"three");
        assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"four");
    });
}

#[test]
fn waiting_for_the_turn_counts_as_time() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let mut first = Box::pin(client.recv_line());
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let late = client.recv_line().timeout(SOON).await.unwrap_err();
        assert!(matches!(late, RecvError::TimedOut { .. }));
        stream.write_all(b"mine\n").unwrap();
        assert_eq!(first.await.unwrap().as_bytes(), b"mine");
    });
}

#[test]
fn a_request_asks_before_there_is_a_connection() {
    with_pool(async |pool| {
        let (listener, address) = switchboard_tests::listener();
        let connecting = pool.open(Connect::tcp(address));
        let client = connecting.client().clone();
        let asked = actix::spawn(async move { client.recv_line().await });
        peer(move || listener.accept().unwrap().0.write_all(b"early\n").unwrap()).await;
        connecting.await.unwrap();
        assert_eq!(asked.await.unwrap().unwrap().as_bytes(), b"early");
    });
}

#[test]
fn aco_04_a_connection_that_never_comes_to_be_fails_everybody_who_asks() {
    with_pool(async |pool| {
        let (listener, address) = switchboard_tests::listener();
        drop(listener);
        let connecting = pool.open(Connect::tcp(address));
        let client = connecting.client().clone();
        let (line, sent, end) = tokio::join!(client.recv_line(), client.sent("x"), client.closed());
        let error = connecting.await.unwrap_err();
        assert_eq!(error.kind, std::io::ErrorKind::ConnectionRefused);
        assert!(
            matches!(line, Err(RecvError::ConnectFailed(why)) if why.phase == ConnectPhase::Connect)
        );
        assert!(matches!(
            sent,
            Err(switchboard::SentError::ConnectFailed(_))
        ));
        assert_eq!(end.unwrap_err().kind, error.kind);
        assert!(matches!(
            client.recv_line().await,
            Err(RecvError::ConnectFailed(_))
        ));
    });
}

#[test]
fn a_reset_comes_after_what_was_complete_before_it() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        stream.write_all(b"whole\npart").unwrap();
        assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"whole");
        reset_on_close(&stream);
        drop(stream);
        let RecvError::Closed { cause, partial } = client.recv_line().await.unwrap_err() else {
            panic!("the connection should be closed");
        };
        assert!(
            matches!(cause, Cause::Io { kind, .. } if kind == std::io::ErrorKind::ConnectionReset)
        );
        assert_eq!(partial, "part");
    });
}

#[test]
fn what_cannot_be_received_is_refused() {
    with_pool(async |pool| {
        let (client, _stream) = open(&pool).await;
        let much = client.recv_exact(17 << 20).await.unwrap_err();
        assert!(matches!(
            much,
            RecvError::Refused(ArmError::TooLarge { .. })
        ));
        let nothing = client.recv_until("").await.unwrap_err();
        assert_eq!(nothing, RecvError::Refused(ArmError::EmptyDelimiter));
        assert!(!client.is_closed());
    });
}

#[test]
fn use_after_close_says_why_it_was_closed() {
    with_pool(async |pool| {
        let (client, stream) = open(&pool).await;
        let asking = actix::spawn({
            let client = client.clone();
            async move { client.recv_line().await }
        });
        tokio::task::yield_now().await;
        client.close();
        let asked = tokio::time::timeout(PATIENCE, asking)
            .await
            .unwrap()
            .unwrap();
        assert!(matches!(
            asked,
            Err(RecvError::Closed {
                cause: Cause::LocalClose,
                ..
            })
        ));
        client.closed().await.unwrap();
        let after = client.recv_line().await.unwrap_err();
        assert!(matches!(
            after,
            RecvError::Closed {
                cause: Cause::LocalClose,
                ..
            }
        ));
        assert_eq!(after.io_kind(), std::io::ErrorKind::NotConnected);
        drop(stream);
    });
}

#[test]
fn a_peer_that_leaves_while_nobody_asks_is_noticed() {
    with_pool(async |pool| {
        let (client, stream) = open(&pool).await;
        reset_on_close(&stream);
        drop(stream);
        let end = tokio::time::timeout(PATIENCE, client.closed()).await;
        assert!(matches!(end.unwrap().unwrap().cause, Cause::Io { .. }));
    });
}

#[test]
fn nothing_is_read_that_nobody_asks_for() {
    with_pool(async |pool| {
        let (client, stream) = open(&pool).await;
        let all = pattern(64 << 20);
        let stuffed = switchboard_tests::stuff(&stream, &all);
        assert!(stuffed < all.len(), "the kernel takes it all");
        assert_eq!(client.info().activity.bytes_in, 0);
        assert_eq!(client.recv_exact(1000).await.unwrap(), all[..1000]);
        let read = client.info().activity.bytes_in;
        assert!(read <= 1 << 20, "{read} bytes were read for 1000");
        client.abort();
    });
}

#[test]
fn pausing_holds_a_request_back() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        client.pause_reading();
        stream.write_all(b"later\n").unwrap();
        let late = client.recv_line().timeout(SOON).await;
        assert!(matches!(late, Err(RecvError::TimedOut { .. })));
        client.resume_reading();
        assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"later");
    });
}

#[test]
fn eight_threads_ask_one_connection_and_each_message_goes_to_one_of_them() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .build()
                        .unwrap();
                    runtime.block_on(async move {
                        let mut got = Vec::new();
                        while let Ok(message) = client.recv_msg().await {
                            got.push(u32::from_be_bytes(message[..].try_into().unwrap()));
                        }
                        got
                    })
                })
            })
            .collect();
        let all = peer(move || {
            for number in 0..4000_u32 {
                stream.write_all(&4_u32.to_be_bytes()).unwrap();
                stream.write_all(&number.to_be_bytes()).unwrap();
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let mut all = Vec::new();
            for thread in threads {
                let got = thread.join().unwrap();
                assert!(got.is_sorted(), "one asker gets them in order");
                all.extend(got);
            }
            all
        });
        let mut all = tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .unwrap();
        all.sort_unstable();
        assert_eq!(all, (0..4000).collect::<Vec<_>>());
    });
}
