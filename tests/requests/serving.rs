//! Connections that are served by a task each.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use switchboard::prelude::*;
use switchboard::{Cause, HandlerFailed};
use switchboard_tests::{dial, exchange, peer, read_all, until, with_pool};
use tokio::sync::mpsc;

async fn echo(client: Client) {
    while let Ok(line) = client.recv_line().await {
        if client.sent_line(&line).await.is_err() {
            break;
        }
    }
}

#[test]
fn ua_13_fifty_peers_are_served_at_once() {
    with_pool(async |pool| {
        let server = pool.serve(Listen::tcp("127.0.0.1:0"), echo).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            let mut peers: Vec<_> = (0..50).map(|_| dial(address)).collect();
            for round in 0..5 {
                for (number, stream) in peers.iter_mut().enumerate() {
                    let line = format!("{round} {number}\n");
                    assert_eq!(exchange(stream, line.as_bytes()), line.as_bytes());
                }
            }
        })
        .await;
    });
}

#[test]
fn the_end_of_the_task_closes_its_connection_with_all_that_was_queued() {
    with_pool(async |pool| {
        let serve = async |client: Client| {
            let _ = client.send(vec![7; 3 << 20]);
        };
        let server = pool.serve(Listen::tcp("127.0.0.1:0"), serve).await.unwrap();
        let address = server.local_addr();
        let got = peer(move || read_all(&mut dial(address))).await;
        assert_eq!(got.len(), 3 << 20);
        until(|| server.info().live == 0).await;
    });
}

#[test]
fn ua_13_a_panic_ends_its_connection_only_and_is_told() {
    struct Failures(mpsc::UnboundedSender<HandlerFailed>);
    impl Actor for Failures {
        type Context = Context<Self>;
    }
    impl Handler<HandlerFailed> for Failures {
        type Result = ();
        fn handle(&mut self, failed: HandlerFailed, _: &mut Self::Context) {
            let _ = self.0.send(failed);
        }
    }
    with_pool(async |pool| {
        let (failures, mut told) = mpsc::unbounded_channel();
        pool.set_failure_handler(Some(Failures(failures).start().recipient()));
        let serve = async |client: Client| {
            while let Ok(line) = client.recv_line().await {
                assert!(line.as_bytes() != b"panic", "told to");
                let _ = client.sent_line(&line).await;
            }
        };
        let server = pool.serve(Listen::tcp("127.0.0.1:0"), serve).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            let (mut calm, mut doomed) = (dial(address), dial(address));
            assert_eq!(exchange(&mut calm, b"a\n"), b"a\n");
            doomed.write_all(b"panic\n").unwrap();
            assert_eq!(read_all(&mut doomed), b"");
            assert_eq!(exchange(&mut calm, b"b\n"), b"b\n");
        })
        .await;
        let failed = told.recv().await.unwrap();
        assert!(failed.text.contains("told to"), "{}", failed.text);
    });
}

#[test]
fn a_panic_before_the_first_wait_ends_its_connection_only() {
    with_pool(async |pool| {
        let count = Arc::new(AtomicUsize::new(0));
        let serve = move |client: Client| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(number != 0, "the first one fails");
                echo(client).await;
            }
        };
        let server = pool.serve(Listen::tcp("127.0.0.1:0"), serve).await.unwrap();
        let address = server.local_addr();
        peer(move || {
            assert_eq!(read_all(&mut dial(address)), b"");
            assert_eq!(exchange(&mut dial(address), b"b\n"), b"b\n");
        })
        .await;
    });
}

#[test]
fn a_task_hears_of_the_stop_and_one_that_does_not_end_holds_it_up_a_moment_only() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    with_pool(async |pool| {
        let serve = move |client: Client| {
            let heard = heard.clone();
            async move {
                let end = client.recv_line().await.unwrap_err();
                let _ = heard.send(end);
                std::future::pending::<()>().await;
            }
        };
        let server = pool.serve(Listen::tcp("127.0.0.1:0"), serve).await.unwrap();
        let address = server.local_addr();
        let stream = peer(move || dial(address)).await;
        until(|| server.info().live == 1).await;
        let began = std::time::Instant::now();
        pool.stop().await;
        assert!(began.elapsed() < Duration::from_secs(5));
        drop(stream);
    });
    let end = hears.blocking_recv().unwrap();
    assert!(
        matches!(
            end,
            switchboard::RecvError::Closed {
                cause: Cause::PoolStopped,
                ..
            }
        ),
        "{end:?}"
    );
}

#[test]
fn a_half_close_is_kept_open_until_the_task_ends() {
    with_pool(async |pool| {
        let serve = async |client: Client| {
            let mut all = Vec::new();
            while let Ok(bytes) = client.recv_available().await {
                all.extend_from_slice(&bytes);
            }
            all.reverse();
            let _ = client.sent(all).await;
        };
        let server = pool.serve(Listen::tcp("127.0.0.1:0"), serve).await.unwrap();
        let address = server.local_addr();
        let answer = peer(move || {
            let mut stream = dial(address);
            stream.write_all(b"drawer").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        assert_eq!(answer.await, "reward");
    });
}

#[test]
fn a_preset_receive_is_refused_since_nobody_would_get_it() {
    with_pool(async |pool| {
        let lines = Listen::tcp("127.0.0.1:0").lines();
        let refused = pool.serve(lines, echo).await.unwrap_err();
        assert!(refused.to_string().contains("LineReceived"), "{refused}");
        let opened = pool.open(Connect::tcp("127.0.0.1:1").lines()).await;
        assert!(opened.unwrap_err().message.contains("LineReceived"));
    });
}
