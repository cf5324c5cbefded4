//! Requests of a connection that is established again.

use std::io::Write;
use std::time::Duration;

use switchboard::{Cause, Connect, ReconnectConfig, RecvError, SentError};
use switchboard_tests::{PATIENCE, listener, peer, read_exact, reset_on_close, with_pool};

use super::SOON;

fn again() -> ReconnectConfig {
    let mut again = ReconnectConfig::default();
    again.backoff.min = Duration::from_millis(50);
    again.backoff.max = Duration::from_millis(50);
    again.backoff.jitter = 0.0;
    again
}

#[test]
fn who_waits_for_an_answer_hears_that_its_link_is_lost() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let client = pool
            .open(Connect::tcp(address).reconnect(again()))
            .await
            .unwrap();
        let (mut first, listener) = peer(move || (listener.accept().unwrap().0, listener)).await;
        client.sent("question\n").await.unwrap();
        let asked = actix::spawn(client.recv_line());
        let behind = actix::spawn(client.recv_line());
        tokio::task::yield_now().await;
        first.write_all(b"ans").unwrap();
        tokio::time::sleep(SOON).await;
        reset_on_close(&first);
        drop(first);
        let lost = tokio::time::timeout(PATIENCE / 4, asked).await;
        let lost = lost.expect("the answer never comes").unwrap();
        let Err(RecvError::Closed { cause, partial }) = lost else {
            panic!("{lost:?}");
        };
        assert!(matches!(cause, Cause::Io { .. }), "{cause:?}");
        assert_eq!(partial, "ans");
        let lost = tokio::time::timeout(PATIENCE / 4, behind).await;
        let lost = lost.expect("the answer never comes").unwrap();
        assert!(matches!(lost, Err(RecvError::Closed { .. })), "{lost:?}");
        // What is asked now is asked of the next link.
        let asked = actix::spawn(client.recv_line());
        let (mut second, _listener) = peer(move || (listener.accept().unwrap().0, listener)).await;
        second.write_all(b"answer\n").unwrap();
        assert_eq!(asked.await.unwrap().unwrap().as_bytes(), b"answer");
        client.close();
        assert_eq!(client.closed().await.unwrap().cause, Cause::LocalClose);
    });
}

#[test]
fn a_send_that_a_lost_link_cuts_off_says_why() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let client = pool
            .open(Connect::tcp(address).reconnect(again()))
            .await
            .unwrap();
        let (mut first, _listener) = peer(move || (listener.accept().unwrap().0, listener)).await;
        let sending = actix::spawn(client.sent(vec![1; 12 << 20]));
        let flushing = {
            let client = client.clone();
            actix::spawn(async move { client.flushed().await })
        };
        tokio::time::sleep(SOON).await;
        assert_eq!(read_exact(&mut first, 1000).len(), 1000);
        reset_on_close(&first);
        drop(first);
        let lost = sending.await.unwrap().unwrap_err();
        assert!(
            matches!(&lost, SentError::Closed { cause: Cause::Io { .. }, sent } if *sent >= 1000),
            "{lost:?}"
        );
        let lost = flushing.await.unwrap().unwrap_err();
        assert!(
            matches!(
                &lost,
                SentError::Closed {
                    cause: Cause::Io { .. },
                    ..
                }
            ),
            "{lost:?}"
        );
        assert!(!client.is_closed());
    });
}
