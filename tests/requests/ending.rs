//! The end of a connection, for everybody who asks.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::future::join_all;
use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{
    Cause, Connect, ConnectionOptions, Listen, Pool, RecvError, SentError, TimeoutKind,
};
use switchboard_tests::certificates::Authority;
use switchboard_tests::{PATIENCE, listener, peer, reset_on_close, stalled, with, with_pool};

use super::{SOON, open, open_with};

/// Nobody to be woken.
struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn everybody_hears_of_the_end_though_the_first_does_not_look() {
    with_pool(async |pool| {
        let (client, _stream) = open(&pool).await;
        let mut idle = Box::pin(client.recv_line());
        assert!(futures_util::poll!(idle.as_mut()).is_pending());
        let others: Vec<_> = (0..3).map(|_| actix::spawn(client.recv_line())).collect();
        tokio::task::yield_now().await;
        client.abort();
        for other in tokio::time::timeout(PATIENCE / 4, join_all(others))
            .await
            .expect("they wait for one who does not look")
        {
            let cause = Cause::LocalAbort;
            let partial = "".into();
            assert_eq!(other.unwrap(), Err(RecvError::Closed { cause, partial }));
        }
        assert!(idle.await.is_err());
    });
}

#[test]
fn a_protected_connection_closes_by_itself_when_its_peer_finishes() {
    with_pool(async |pool| {
        let authority = Authority::new("test authority");
        let identity = authority.issue(&["127.0.0.1"]).identity();
        let server = TlsServer::builder(identity).build().unwrap();
        let client = TlsClient::builder(authority.roots()).build().unwrap();
        for asks in [false, true] {
            let (ended, mut ends) = tokio::sync::mpsc::unbounded_channel();
            let serve = move |client: switchboard::Client| {
                let ended = ended.clone();
                async move {
                    assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"hello");
                    if asks {
                        let error = client.recv_line().await.unwrap_err();
                        assert!(matches!(error, RecvError::Finished { .. }), "{error:?}");
                    }
                    let _ = ended.send(client.closed().await);
                }
            };
            let listen = Listen::tcp("127.0.0.1:0").tls(server.clone());
            let server = pool.serve(listen, serve).await.unwrap();
            let connect = Connect::tcp(server.local_addr()).tls(client.clone());
            let near = pool.open(connect).await.unwrap();
            near.sent("hello\n").await.unwrap();
            near.close();
            let end = tokio::time::timeout(Duration::from_secs(2), ends.recv()).await;
            let detail = end.expect("it stays half open").unwrap().unwrap();
            assert_eq!(detail.cause, Cause::PeerFinished);
        }
    });
}

/// Whoever asks from another thread just when it fails hears the same as everybody.
#[test]
fn a_failed_attempt_is_told_the_same_at_every_moment() {
    with_pool(async |pool| {
        for _ in 0..300 {
            let (listener, address) = listener();
            drop(listener);
            let connecting = pool.open(Connect::tcp(address));
            let client = connecting.client().clone();
            let asking = std::thread::spawn(move || {
                let waker = Waker::from(Arc::new(Nobody));
                let mut cx = Context::from_waker(&waker);
                let mut line = Box::pin(client.recv_line());
                let mut sent = Box::pin(client.sent("x"));
                let began = std::time::Instant::now();
                let (mut heard, mut told) = (None, None);
                while heard.is_none() || told.is_none() {
                    assert!(began.elapsed() < PATIENCE, "nobody answers");
                    if heard.is_none()
                        && let Poll::Ready(ready) = line.as_mut().poll(&mut cx)
                    {
                        heard = Some(ready);
                    }
                    if told.is_none()
                        && let Poll::Ready(ready) = sent.as_mut().poll(&mut cx)
                    {
                        told = Some(ready);
                    }
                }
                (heard.unwrap(), told.unwrap())
            });
            connecting.await.unwrap_err();
            let (line, sent) = asking.join().unwrap();
            assert!(matches!(line, Err(RecvError::ConnectFailed(_))), "{line:?}");
            assert!(matches!(sent, Err(SentError::ConnectFailed(_))), "{sent:?}");
        }
    });
}

#[test]
fn what_was_queued_for_a_connection_that_never_came_was_not_flushed() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        drop(listener);
        let client = loop {
            let connecting = pool.open(Connect::tcp(address));
            let client = connecting.client().clone();
            let queued = client.send("queued").is_ok();
            connecting.await.unwrap_err();
            // Else it was refused before we came to that.
            if queued {
                break client;
            }
        };
        let later = client.flushed().await;
        assert!(
            matches!(later, Err(SentError::ConnectFailed(_))),
            "{later:?}"
        );
        let later = client.drained().await;
        assert!(
            matches!(later, Err(SentError::ConnectFailed(_))),
            "{later:?}"
        );
    });
}

#[test]
fn an_attempt_that_is_given_up_answers_everybody() {
    with_pool(async |pool| {
        let nobody = stalled();
        for abort in [false, true] {
            let connecting = pool.open(Connect::tcp(nobody.address));
            let client = connecting.client().clone();
            let asking = {
                let client = client.clone();
                actix::spawn(async move {
                    tokio::join!(client.recv_line(), client.sent("x"), client.closed())
                })
            };
            tokio::task::yield_now().await;
            let _ = if abort {
                client.abort()
            } else {
                client.close()
            };
            let told = tokio::time::timeout(PATIENCE, asking).await.unwrap();
            let (line, sent, closed) = told.unwrap();
            let all_failed = line.is_err() && sent.is_err() && closed.is_err();
            assert!(all_failed, "{abort}: {line:?}, {sent:?}, {closed:?}");
            let _ = connecting.await;
        }
    });
}

/// How each of the ends is told to one who receives, one who sends, one who waits for room, one who waits for
/// all to be sent and one who waits for the end, from the connection's thread and from others.
#[test]
fn every_end_is_told_once_to_everybody() {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum End {
        Close,
        CloseUnflushed,
        Abort,
        Reset,
        Stop,
    }
    for end in [
        End::Close,
        End::CloseUnflushed,
        End::Abort,
        End::Reset,
        End::Stop,
    ] {
        with_pool(async |pool| {
            let short = |connect: Connect| {
                connect
                    .write_capacity(8 << 20)
                    .flush_timeout(Duration::from_millis(300))
            };
            let (client, stream) = open_with(&pool, short).await;
            client.send(vec![7; 8 << 20]).unwrap();
            let ask = |client: switchboard::Client| async move {
                tokio::join!(
                    client.recv_line(),
                    client.sent(vec![1; 8 << 20]),
                    client.sent(vec![1; 20 << 20]),
                    client.drained(),
                    client.flushed(),
                    client.closed(),
                )
            };
            let near = actix::spawn(ask(client.clone()));
            let far = {
                let client = client.clone();
                std::thread::spawn(move || futures_executor(ask(client)))
            };
            tokio::time::sleep(SOON).await;
            match end {
                End::Close => drop(client.close()),
                End::CloseUnflushed => drop(client.close_with(false, None)),
                End::Abort => drop(client.abort()),
                End::Reset => {
                    reset_on_close(&stream);
                    drop(stream);
                }
                End::Stop => {
                    pool.stop_within(SOON).await;
                }
            }
            let near = tokio::time::timeout(PATIENCE, near).await;
            let near = near.expect("somebody is not told").unwrap();
            let far = peer(move || far.join().unwrap()).await;
            for (line, whole, pieces, drained, flushed, closed) in [near, far] {
                let detail = closed.unwrap();
                assert!(
                    matches!(&line, Err(RecvError::Closed { cause, .. }) if *cause == detail.cause),
                    "{end:?}: {line:?}"
                );
                for sent in [whole, pieces] {
                    assert!(
                        matches!(&sent, Err(SentError::Closed { cause, sent: 0 }) if *cause == detail.cause),
                        "{end:?}: {sent:?}, {:?}",
                        detail.cause
                    );
                }
                assert!(drained.is_err() && flushed.is_err(), "{end:?}");
            }
        });
    }
}

/// Runs a future on a thread that has no runtime.
fn futures_executor<T>(future: impl Future<Output = T>) -> T {
    struct Parked(std::thread::Thread, AtomicBool);
    impl Wake for Parked {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }
    let parked = Arc::new(Parked(std::thread::current(), AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&parked));
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let began = std::time::Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "nobody wakes this thread");
        if parked.1.swap(false, Ordering::AcqRel) {
            if let Poll::Ready(ready) = future.as_mut().poll(&mut cx) {
                return ready;
            }
        } else {
            std::thread::park_timeout(PATIENCE / 4);
        }
    }
}

#[test]
fn the_thread_of_a_connection_may_end_before_it() {
    for _ in 0..10 {
        with(Pool::builder().shards(2), async |pool| {
            let (client, mut stream) = open(&pool).await;
            let asking = {
                let client = client.clone();
                std::thread::spawn(move || {
                    futures_executor(
                        async move { tokio::join!(client.recv_line(), client.closed()) },
                    )
                })
            };
            stream.write_all(b"part").unwrap();
            pool.stop().await;
            let (line, closed) = peer(move || asking.join().unwrap()).await;
            assert!(matches!(line, Err(RecvError::Closed { .. })), "{line:?}");
            assert_eq!(closed.unwrap().cause, Cause::PoolStopped);
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        });
    }
}

#[test]
fn a_timeout_of_the_connection_is_told_by_its_kind() {
    with_pool(async |pool| {
        let (client, mut stream) = open_with(&pool, |connect| connect.idle_timeout(SOON)).await;
        stream.write_all(b"part").unwrap();
        let RecvError::Closed { cause, partial } = client.recv_line().await.unwrap_err() else {
            panic!("the connection should be closed");
        };
        let kind = TimeoutKind::Idle;
        assert_eq!(cause, Cause::Timeout { kind, after: SOON });
        assert_eq!(partial, "part");
        let sent = client.sent("x").await.unwrap_err();
        assert_eq!(sent.io_kind(), std::io::ErrorKind::TimedOut);
    });
}

/// One that was asked and is not looked at any more has the socket's attention: whoever waits for the end hears
/// of it all the same, whether it began to wait before or after.
#[test]
fn the_end_is_heard_though_a_receive_is_kept_and_not_looked_at() {
    with_pool(async |pool| {
        for before in [false, true] {
            let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
            let serve = move |client: switchboard::Client| {
                let told = told.clone();
                async move {
                    let mut waiting = Box::pin(client.closed());
                    if before {
                        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
                    }
                    // Whatever its actor had to do at the beginning is done.
                    tokio::time::sleep(SOON).await;
                    let mut kept = Box::pin(client.recv_line());
                    assert!(futures_util::poll!(kept.as_mut()).is_pending());
                    tokio::time::sleep(SOON).await;
                    client.send("ready").unwrap();
                    let _ = told.send(waiting.await);
                    drop(kept);
                }
            };
            let listen = switchboard::Listen::tcp("127.0.0.1:0");
            let server = pool.serve(listen, serve).await.unwrap();
            let address = server.local_addr();
            peer(move || {
                let mut stream = switchboard_tests::dial(address);
                assert_eq!(switchboard_tests::read_exact(&mut stream, 5), b"ready");
                std::thread::sleep(SOON);
                reset_on_close(&stream);
            })
            .await;
            let end = tokio::time::timeout(PATIENCE / 4, ends.recv()).await;
            let detail = end.expect("nobody noticed").unwrap().unwrap();
            assert!(matches!(detail.cause, Cause::Io { .. }), "{}", detail.cause);
        }
    });
}

/// A peer that is too slow is judged though nobody but the socket wakes who has asked.
#[test]
fn a_peer_that_dribbles_is_noticed_while_somebody_asks() {
    with_pool(async |pool| {
        let (told, mut ends) = tokio::sync::mpsc::unbounded_channel();
        let serve = move |client: switchboard::Client| {
            let told = told.clone();
            async move {
                assert_eq!(client.recv_line().await.unwrap().as_bytes(), b"first");
                let _ = told.send(client.recv_line().await);
            }
        };
        let listen = switchboard::Listen::tcp("127.0.0.1:0")
            .read_rate(switchboard::RateRule::new(1000, SOON));
        let server = pool.serve(listen, serve).await.unwrap();
        let mut stream = switchboard_tests::dial(server.local_addr());
        stream.write_all(b"first\nse").unwrap();
        let end = tokio::time::timeout(PATIENCE / 4, ends.recv()).await;
        let end = end.expect("nobody noticed").unwrap().unwrap_err();
        let kind = TimeoutKind::ReadRate;
        assert!(
            matches!(&end, RecvError::Closed { cause: Cause::Timeout { kind: of, .. }, partial }
                if *of == kind && partial == "se"),
            "{end:?}"
        );
    });
}
