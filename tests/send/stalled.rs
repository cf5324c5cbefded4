//! A peer that does not read.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use switchboard::message::*;
use switchboard::{
    Client, ClosedReason, ConnectionOptions, ConnectionState, LimitsError, Listen, SendError,
    SendRefusal, SessionContext, Token,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

use super::{ANY, KIB, MIB, clog, drain, ms, narrow};

/// AC-14, ACO-05.
#[test]
fn ac_14_try_send_takes_what_fits_and_says_how_much() {
    with_pool(|pool| async move {
        let (stream, client, _trace) = serve(&pool, narrow()).await;
        let block = pattern(251 * 256);
        let (mut sum, mut partial, mut refused) = (0, 0, 0);
        let deadline = Instant::now() + PATIENCE;
        // Nothing more fits when it has taken nothing for a while.
        while refused < 100 {
            assert!(Instant::now() < deadline, "the system takes everything");
            let at = sum % 251;
            match client.try_send(&block[at..]).unwrap() {
                0 => {
                    refused += 1;
                    // Asks again shortly: the system may still move bytes on.
                    tokio::time::sleep(ms(2)).await;
                }
                count => {
                    partial += usize::from(count < block[at..].len());
                    (sum, refused) = (sum + count, 0);
                }
            }
        }
        assert!(partial > 0, "never a part");
        assert_eq!(client.try_send(b"x"), Ok(0));
        assert!(!client.is_closed(), "no room is no error");
        assert!(client.write_buffer_size() <= 64 * KIB);
        let (stream, got) = drain(stream, sum).await;
        assert!(got == pattern(sum), "not the bytes that were counted");
        until(|| client.write_buffer_size() == 0).await;
        assert_eq!(client.try_send(b"again"), Ok(5));
        // Kept: a peer that leaves is noticed.
        let (_stream, again) = drain(stream, 5).await;
        assert_eq!(again, b"again");
        assert_eq!(client.try_send(b""), Ok(0));
        client.close();
        assert_eq!(client.try_send(b"x"), Err(SendRefusal::Closed));
    });
}

/// AIO-05.
#[test]
fn aio_05_write_eof_ends_sending_after_all_is_sent_and_receiving_goes_on() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).lines()).await;
        assert!(client.can_write_eof());
        client.send(pattern(MIB)).unwrap();
        client.write_eof().unwrap();
        client.write_eof().unwrap();
        let error = client.send_with("late", Token(1)).unwrap_err();
        assert_eq!(error.refusal, SendRefusal::WriteClosed);
        assert_eq!(error.into_payload(), "late");
        assert_eq!(client.try_send(b"late"), Err(SendRefusal::WriteClosed));
        assert_eq!(client.send_line("late"), Err(SendRefusal::WriteClosed));
        assert!(read_all(&mut peer) == pattern(MIB), "all, then the end");
        until(|| client.info().activity.state == ConnectionState::HalfClosed).await;
        peer.write_all(b"reply\n").unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"reply");
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
        assert_eq!(client.write_eof(), Err(SendRefusal::Closed));
    });
}

/// AIO-06.
#[test]
fn aio_06_the_write_buffer_grows_while_a_peer_stalls_and_is_empty_after() {
    with_pool(|pool| async move {
        let (stream, client, _trace) = serve(&pool, narrow()).await;
        assert_eq!(client.write_buffer_size(), 0);
        let clogged = clog(&client).await;
        let before = client.write_buffer_size();
        client.send([b'x'; 1000]).unwrap();
        assert_eq!(client.write_buffer_size(), before + 1000);
        assert_eq!(client.info().activity.write_buffer, before + 1000);
        let (_stream, _) = drain(stream, clogged + 1000).await;
        until(|| client.write_buffer_size() == 0).await;
    });
}

/// AIO-07, AIO-08.
#[test]
fn aio_08_write_limits_start_at_the_defaults_and_are_derived() {
    with_pool(|pool| async move {
        let (_peer, client, _trace) = serve(&pool, Listen::tcp(ANY)).await;
        let limits = || client.info().activity.write_limits;
        assert_eq!(limits(), (65_536, 16_384));
        for (high, low, expected) in [
            (Some(0), None, (0, 0)),
            (None, Some(100), (400, 100)),
            (Some(100), None, (100, 25)),
            (Some(10), Some(10), (10, 10)),
            (None, None, (65_536, 16_384)),
        ] {
            client.set_write_limits(high, low).unwrap();
            assert_eq!(limits(), expected, "{high:?} {low:?}");
        }
        let error = client.set_write_limits(Some(10), Some(20)).unwrap_err();
        assert_eq!(error, LimitsError { high: 10, low: 20 });
        assert_eq!(limits(), (65_536, 16_384), "a refused pair changes nothing");
        let high = Some(5);
        let by_message = client
            .addr()
            .unwrap()
            .send(SetWriteLimits { high, low: None });
        by_message.await.unwrap().unwrap();
        assert_eq!(limits(), (5, 1));
    });
}

/// AIO-09.
#[test]
fn aio_09_writing_pauses_above_the_high_mark_and_not_at_it() {
    with_pool(|pool| async move {
        let listen = narrow().write_limits(16 * MIB, 0);
        let (stream, client, mut trace) = serve_full(&pool, listen).await;
        let clogged = clog(&client).await;
        let queued = client.write_buffer_size();
        let (high, low) = (queued + 10, queued);
        client.set_write_limits(Some(high), Some(low)).unwrap();
        client.send([b'x'; 10]).unwrap();
        trace.no_more(ms(50)).await;
        assert_eq!(client.write_buffer_size(), high, "the peer reads");
        client.send("y").unwrap();
        expect!(trace, WritePaused);
        assert!(client.info().activity.write_paused);
        let (_stream, _) = drain(stream, clogged + 11).await;
        expect!(trace, WriteResumed);
    });
}

/// AIO-08: changing the marks can pause and resume by itself.
#[test]
fn aio_08_changing_the_limits_can_pause_and_resume() {
    with_pool(|pool| async move {
        let listen = narrow().write_limits(16 * MIB, 0);
        let (_stream, client, mut trace) = serve_full(&pool, listen).await;
        clog(&client).await;
        assert!(trace.so_far().is_empty());
        client.set_write_limits(Some(0), None).unwrap();
        expect!(trace, WritePaused);
        let queued = client.write_buffer_size();
        client
            .set_write_limits(Some(queued), Some(queued - 1))
            .unwrap();
        trace.no_more(ms(50)).await;
        client.set_write_limits(Some(queued), Some(queued)).unwrap();
        expect!(trace, WriteResumed);
        client.abort();
        expect!(trace, Closed);
    });
}

/// AIO-10.
#[test]
fn aio_10_pauses_and_resumes_strictly_alternate() {
    with_pool(|pool| async move {
        let listen = narrow().write_limits(16 * KIB, 4 * KIB);
        let (stream, client, mut trace) = serve_full(&pool, listen).await;
        let reader = std::thread::spawn(move || {
            let (mut stream, mut buffer, mut total) = (stream, vec![0; 64 * KIB], 0);
            // A fixed pseudo-random sequence of lengths.
            let mut seed = 99_u32;
            loop {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let most = 1 + (seed >> 16) as usize;
                match stream.read(&mut buffer[..most]).unwrap() {
                    0 => return total,
                    count => total += count,
                }
                // The peer's pace: slower than the sender.
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let (mut seed, mut total) = (7_u32, 0);
        for n in 0..10_000 {
            if n % 500 == 0 {
                until(|| client.write_buffer_size() == 0).await;
            }
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let size = 1 + (seed >> 19) as usize;
            total += size;
            let mut data = vec![b'x'; size];
            // The marks are advice only; the capacity is not.
            while let Err(error) = client.send(data) {
                assert!(error.is_full(), "{error}");
                data = error.into_payload();
                // Until the peer has taken some; it is read at its own pace.
                tokio::time::sleep(ms(1)).await;
            }
        }
        client.close();
        let mut paused = false;
        let mut pauses = 0;
        loop {
            match trace.next().await {
                ClientEvent::WritePaused(_) => {
                    assert!(!paused, "a second pause");
                    paused = true;
                    pauses += 1;
                }
                ClientEvent::WriteResumed(_) => {
                    assert!(paused, "a resume without a pause");
                    paused = false;
                }
                ClientEvent::Closed(_) => break,
                other => panic!("unexpected {other:?}"),
            }
        }
        assert!(pauses >= 20, "only {pauses} pauses");
        assert_eq!(reader.join().unwrap(), total);
    });
}

/// Says how much is queued whenever writing resumes.
struct AtResume {
    client: Client,
    queued: mpsc::UnboundedSender<usize>,
}

impl Actor for AtResume {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for AtResume {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.client.send(pattern(8 * MIB)).unwrap();
    }
}

impl Handler<WriteResumed> for AtResume {
    type Result = ();

    fn handle(&mut self, _: WriteResumed, _: &mut Self::Context) {
        self.queued.send(self.client.write_buffer_size()).unwrap();
    }
}

switchboard::session!(AtResume);

/// AIO-11, AIO-09: resumed at the low mark, which may be 0.
#[test]
fn aio_11_writing_resumes_at_the_low_mark_and_not_before() {
    with_pool(|pool| async move {
        for (high, low) in [(0, 0), (64 * KIB, 0), (64 * KIB, 16 * KIB)] {
            let (queued, mut at_resume) = mpsc::unbounded_channel();
            let listen = narrow().write_limits(high, low);
            let stream = serve_with(&pool, listen, move |client| AtResume {
                client,
                queued: queued.clone(),
            })
            .await;
            tokio::time::timeout(ms(100), at_resume.recv())
                .await
                .expect_err("resumed although the peer does not read");
            let (_stream, _) = drain(stream, 8 * MIB).await;
            let left = at_resume.recv().await.unwrap();
            assert!(left <= low, "{left} bytes were left, the low mark is {low}");
        }
    });
}

/// AIO-11: with a high mark of 0 a single byte pauses.
#[test]
fn aio_11_with_a_high_mark_of_zero_one_byte_pauses_and_resumes() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).write_limits(0, 0);
        let (mut peer, client, mut trace) = serve_full(&pool, listen).await;
        for _ in 0..3 {
            client.send("x").unwrap();
            expect!(trace, WritePaused);
            expect!(trace, WriteResumed);
        }
        assert_eq!(read_exact(&mut peer, 3), b"xxx");
    });
}

/// AIO-12.
#[test]
fn aio_12_a_full_queue_refuses_and_hands_back_until_it_drains() {
    with_pool(|pool| async move {
        let (stream, client, _trace) = serve(&pool, narrow().write_capacity(MIB)).await;
        let clogged = clog(&client).await;
        let queued = client.write_buffer_size();
        client.send(vec![b'x'; MIB - queued]).unwrap();
        let error = client.send(Bytes::from_static(b"y")).unwrap_err();
        let (capacity, asked) = (MIB, 1);
        let queued = MIB;
        let full = SendRefusal::Full {
            queued,
            capacity,
            asked,
        };
        assert_eq!(error.refusal, full);
        assert!(error.is_full());
        assert_eq!(error.into_payload(), "y");
        assert_eq!(client.try_send(b"y"), Ok(0));
        let refused = client.send_many(vec![Bytes::from_static(b"y"); 2], None);
        assert_eq!(refused.unwrap_err().payload.len(), 2);
        assert_eq!(client.write_buffer_size(), MIB, "nothing of it was queued");
        let whole = clogged + MIB - client_queue(clogged, &client);
        let (stream, _) = drain(stream, whole).await;
        until(|| client.write_buffer_size() == 0).await;
        client.send("accepted").unwrap();
        assert_eq!(drain(stream, 8).await.1, b"accepted");
    });
}

/// What of the clogging was still queued when the queue was filled up.
fn client_queue(clogged: usize, client: &Client) -> usize {
    let activity = client.info().activity;
    clogged - usize::try_from(activity.bytes_out).unwrap()
}

/// AIO-13.
#[test]
fn aio_13_sending_never_waits_for_the_peer() {
    with_pool(|pool| async move {
        let (_stream, client, mut trace) = serve(&pool, narrow()).await;
        clog(&client).await;
        let data = Bytes::from(pattern(10_000));
        let quickest = (0..100).map(|_| {
            let since = Instant::now();
            client.send(&data).unwrap();
            since.elapsed()
        });
        // A call that waited could not be quick even once.
        let quickest = quickest.min().unwrap();
        assert!(quickest < ms(1), "{quickest:?}");
        client.abort();
        expect!(trace, Closed);
        let error: SendError<&Bytes> = client.send(&data).unwrap_err();
        assert_eq!(error.refusal, SendRefusal::Closed);
        assert_eq!(error.payload, &data);
    });
}

/// AIO-14.
#[test]
fn aio_14_a_thousand_parts_are_one_send_byte_for_byte() {
    with_pool(|pool| async move {
        let (stream, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        // Empty parts, small ones, and some that are not copied together.
        let parts: Vec<_> = (0..1_000)
            .map(|n| Bytes::from(pattern(n * 13 % 9_001)))
            .collect();
        let whole = parts.concat();
        client.send_many(parts, Some(Token(14))).unwrap();
        let (_stream, got) = drain(stream, whole.len()).await;
        assert!(got == whole, "not the bytes that were sent");
        let sent = expect!(trace, Sent);
        assert_eq!((sent.token, sent.bytes), (Token(14), whole.len()));
        trace.no_more(ms(20)).await;
    });
}
