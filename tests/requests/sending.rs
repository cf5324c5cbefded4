//! Sending by request.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use switchboard::{Cause, ConnectionOptions, SendRefusal, SentError};
use switchboard_tests::{pattern, peer, read_all, read_exact, reset_on_close, until, with_pool};

use super::{SOON, open, open_with};

#[test]
fn aco_06_a_send_is_done_when_the_system_has_taken_it_all() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let all = pattern(8 << 20);
        let mut sending = Box::pin(client.sent(all.clone()));
        let early = tokio::time::timeout(SOON, sending.as_mut()).await;
        assert!(early.is_err(), "nobody has read yet");
        let wanted = all.clone();
        let reading = peer(move || {
            let got = read_exact(&mut stream, wanted.len());
            assert!(got == wanted);
            stream
        });
        let (sent, _stream) = tokio::join!(sending, reading);
        sent.unwrap();
        assert_eq!(client.write_buffer_size(), 0);
    });
}

#[test]
fn aco_06_a_reset_midway_says_how_much_was_taken() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let mut sending = Box::pin(client.sent(pattern(32 << 20).split_off(16 << 20)));
        let early = tokio::time::timeout(SOON, sending.as_mut()).await;
        assert!(early.is_err(), "nobody has read yet");
        let read = read_exact(&mut stream, 100_000).len();
        reset_on_close(&stream);
        drop(stream);
        let SentError::Closed { sent, cause } = sending.await.unwrap_err() else {
            panic!("the connection should be closed");
        };
        assert!(sent >= read && sent < 16 << 20, "{sent} bytes were sent");
        assert!(matches!(cause, Cause::Io { .. }), "{cause}");
        let detail = client.closed().await.unwrap();
        assert_eq!(detail.unsent, (16 << 20) - sent);
    });
}

#[test]
fn more_than_the_capacity_is_sent_in_pieces() {
    with_pool(async |pool| {
        let options = |connect: switchboard::Connect| connect.write_capacity(100_000);
        let (client, mut stream) = open_with(&pool, options).await;
        let all = pattern(5 << 20);
        let wanted = all.clone();
        let reading = peer(move || assert!(read_exact(&mut stream, wanted.len()) == wanted));
        let (sent, ()) = tokio::join!(client.sent(all), reading);
        sent.unwrap();
    });
}

#[test]
fn a_send_waits_for_room_and_none_is_mixed_with_another() {
    with_pool(async |pool| {
        let options = |connect: switchboard::Connect| connect.write_capacity(64 * 1024);
        let (client, mut stream) = open_with(&pool, options).await;
        let senders: Vec<_> = (0..16_u8)
            .map(|number| {
                let client = client.clone();
                actix::spawn(async move { client.sent_msg(vec![number; 60_000]).await })
            })
            .collect();
        let reading = peer(move || {
            let mut seen = Vec::new();
            for _ in 0..16 {
                assert_eq!(read_exact(&mut stream, 4), 60_000_u32.to_be_bytes());
                let body = read_exact(&mut stream, 60_000);
                assert!(body.iter().all(|byte| *byte == body[0]));
                seen.push(body[0]);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..16).collect::<Vec<_>>());
            stream
        });
        let _stream = reading.await;
        for sender in senders {
            sender.await.unwrap().unwrap();
        }
    });
}

#[test]
fn aco_12_a_send_that_takes_too_long_says_how_much_went_and_the_rest_stays_queued() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let all = pattern(12 << 20);
        let began = Instant::now();
        let late = client.sent(all.clone()).timeout(SOON).await.unwrap_err();
        assert!(began.elapsed() >= SOON);
        let SentError::TimedOut { sent, after } = late else {
            panic!("{late:?}");
        };
        assert_eq!(after, SOON);
        assert_eq!(sent + client.write_buffer_size(), all.len());
        assert!(client.flushed().await_briefly().await.is_none());
        let wanted = all.clone();
        let reading = peer(move || assert!(read_exact(&mut stream, wanted.len()) == wanted));
        let (flushed, ()) = tokio::join!(client.flushed(), reading);
        flushed.unwrap();
    });
}

/// A future that should not be ready yet.
trait Briefly: Future + Sized {
    async fn await_briefly(self) -> Option<Self::Output> {
        tokio::time::timeout(SOON, self).await.ok()
    }
}

impl<F: Future> Briefly for F {}

#[test]
fn aio_26_27_draining_waits_only_while_writing_is_paused() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        client.send(vec![1; 1024]).unwrap();
        assert!(client.drained().await_briefly().await.is_some());
        let total = 12 << 20;
        client.send(vec![1; total - 1024]).unwrap();
        assert!(client.drained().await_briefly().await.is_none());
        let left = 1 << 20;
        let reading = peer(move || {
            read_exact(&mut stream, total - left);
            stream
        });
        let (drained, stream) = tokio::join!(client.drained(), reading);
        drained.unwrap();
        let (_, low) = client.info().activity.write_limits;
        assert!(client.write_buffer_size() <= low);
        client.send(vec![2; total]).unwrap();
        let (drained, ()) = tokio::join!(client.drained(), async {
            tokio::task::yield_now().await;
            client.abort();
        });
        assert!(matches!(
            drained,
            Err(SentError::Closed {
                cause: Cause::LocalAbort,
                ..
            })
        ));
        drop(stream);
    });
}

#[test]
fn flushing_waits_for_all_that_was_queued_before_and_fails_with_it() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        client.flushed().await.unwrap();
        client.send("hello").unwrap();
        client.flushed().await.unwrap();
        assert_eq!(read_exact(&mut stream, 5), b"hello");
        client.send(pattern(12 << 20)).unwrap();
        let mut flushing = Box::pin(client.flushed());
        assert!(tokio::time::timeout(SOON, flushing.as_mut()).await.is_err());
        reset_on_close(&stream);
        drop(stream);
        assert!(matches!(flushing.await, Err(SentError::Closed { .. })));
        client.closed().await.unwrap();
        assert!(client.flushed().await.is_err(), "it was never sent");
    });
}

#[test]
fn flushing_fails_at_once_when_what_was_queued_is_thrown_away() {
    with_pool(async |pool| {
        for aborts in [false, true] {
            let (client, _stream) = open(&pool).await;
            client.send(vec![0; 8 << 20]).unwrap();
            if aborts {
                client.abort();
            } else {
                client.close_with(false, None);
            }
            client.flushed().await.unwrap_err();
            client.closed().await.unwrap();
            client.flushed().await.unwrap_err();
        }
    });
}

#[test]
fn what_cannot_be_sent_is_refused() {
    with_pool(async |pool| {
        let options = |connect: switchboard::Connect| connect.max_message(10);
        let (client, mut stream) = open_with(&pool, options).await;
        client.sent("").await.unwrap();
        client.sent_msg("").await.unwrap();
        client.sent_line("a line").await.unwrap();
        let long = client.sent_msg("01234567890").await.unwrap_err();
        assert!(matches!(
            long,
            SentError::Refused {
                refusal: SendRefusal::MessageTooLong { .. },
                sent: 0
            }
        ));
        client.write_eof().unwrap();
        let after = client.sent("more").await.unwrap_err();
        assert!(matches!(
            after,
            SentError::Refused {
                refusal: SendRefusal::WriteClosed,
                sent: 0
            }
        ));
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got, b"\0\0\0\0a line\n");
    });
}

#[test]
fn a_send_that_is_dropped_while_it_waits_for_room_has_sent_nothing() {
    with_pool(async |pool| {
        let options = |connect: switchboard::Connect| connect.write_capacity(8 << 20);
        let (client, mut stream) = open_with(&pool, options).await;
        client.send(vec![b'a'; 8 << 20]).unwrap();
        until(|| client.write_buffer_size() < 8 << 20).await;
        let before = client.write_buffer_size();
        let mut sending = Box::pin(client.sent(vec![b'b'; 8 << 20]));
        assert!(tokio::time::timeout(SOON, sending.as_mut()).await.is_err());
        drop(sending);
        assert!(client.write_buffer_size() <= before);
        client.close();
        let got = peer(move || read_all(&mut stream)).await;
        assert_eq!(got.len(), 8 << 20);
        assert!(got.iter().all(|byte| *byte == b'a'));
    });
}

#[test]
fn the_end_is_told_to_everybody_who_waits_for_it_and_later_too() {
    with_pool(async |pool| {
        let (client, mut stream) = open(&pool).await;
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let client = client.clone();
                actix::spawn(async move { client.closed().await })
            })
            .collect();
        tokio::task::yield_now().await;
        stream.write_all(b"unread").unwrap();
        client.sent("x").await.unwrap();
        client.close();
        for end in waiting {
            let detail = end.await.unwrap().unwrap();
            assert_eq!(detail.cause, Cause::LocalClose);
        }
        assert_eq!(client.closed().await.unwrap().bytes_out, 1);
        let mut byte = [0];
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.read_exact(&mut byte).unwrap();
    });
}
