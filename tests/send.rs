//! Sending: queued whole and in order, told when the system has taken it, refused when it cannot be.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use switchboard::message::*;
use switchboard::{
    Client, ClosedReason, Connect, ConnectionOptions, ConnectionState, LimitsError, LineEnding,
    Listen, SendError, SendRefusal, SlotError, Token,
};
use switchboard_tests::*;
use tokio::sync::mpsc;

const ANY: &str = "127.0.0.1:0";
const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A listener whose connections soon have nowhere to put what a peer does not read.
fn narrow() -> Listen {
    Listen::tcp(ANY).send_buffer_size(256 * KIB)
}

/// Sends the pattern, 64 KiB at a time, until the system takes no more of it, because the peer does
/// not read; says how many bytes were sent.
async fn clog(client: &Client) -> usize {
    let block = Bytes::from(pattern(251 * 256));
    let deadline = Instant::now() + PATIENCE;
    let mut sent = 0;
    loop {
        while client.write_buffer_size() < 640 * KIB {
            client.send(&block).unwrap();
            sent += block.len();
        }
        let before = client.write_buffer_size();
        // The time that the system may need to move bytes on between its own buffers.
        tokio::time::sleep(ms(150)).await;
        if client.write_buffer_size() == before {
            return sent;
        }
        assert!(Instant::now() < deadline, "the system takes everything");
    }
}

/// Reads so many bytes beside the test and gives them with the stream.
async fn drain(mut stream: TcpStream, count: usize) -> (TcpStream, Vec<u8>) {
    peer(move || {
        let bytes = read_exact(&mut stream, count);
        (stream, bytes)
    })
    .await
}

/// The next event that is not about pauses.
async fn next_but_pauses(trace: &mut Trace) -> ClientEvent {
    loop {
        match trace.next().await {
            ClientEvent::WritePaused(_) | ClientEvent::WriteResumed(_) => {}
            other => return other,
        }
    }
}

// Queued, sent, told.

/// XAS-50.
#[test]
fn xas_50_every_queued_send_is_told_in_order() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let mut expected = Vec::new();
        for n in 0..100_u64 {
            // From one byte to beyond what is copied together.
            let data = pattern(1 + (n * n) as usize);
            expected.extend_from_slice(&data);
            client.send_with(data, n).unwrap();
        }
        for n in 0..100_u64 {
            let sent = expect!(trace, Sent);
            assert_eq!((sent.token, sent.bytes), (Token(n), 1 + (n * n) as usize));
        }
        assert!(read_exact(&mut peer, expected.len()) == expected);
        trace.nothing_for(ms(20)).await;
    });
}

/// XAS-50, AMB-07.
#[test]
fn xas_50_an_empty_send_is_refused_and_comes_back() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let error = client.send_with(Bytes::new(), Token(1)).unwrap_err();
        assert_eq!(error.refusal, SendRefusal::Empty);
        assert_eq!(error.into_payload(), "");
        let error = client.send_many(vec![Bytes::new(); 3], None).unwrap_err();
        assert_eq!(error.refusal, SendRefusal::Empty);
        assert_eq!(error.payload.len(), 3);
        client.send_with("x", Token(2)).unwrap();
        assert_eq!(expect!(trace, Sent).token, Token(2));
        assert_eq!(read_exact(&mut peer, 1), b"x");
    });
}

/// XAS-50: the same as messages to the connection's actor.
#[test]
fn xas_50_sends_can_be_messages_and_keep_their_order_with_calls() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let actor = client.addr().unwrap();
        let data = Bytes::from_static(b"one ");
        let token = Some(Token(1));
        actor.send(SendData { data, token }).await.unwrap().unwrap();
        client.send("two ").unwrap();
        let parts = vec![Bytes::from_static(b"thr"), Bytes::from_static(b"ee ")];
        let token = Some(Token(2));
        let many = SendMany { parts, token };
        actor.send(many).await.unwrap().unwrap();
        let data = Bytes::from_static(b"four");
        assert_eq!(actor.send(TrySend { data }).await.unwrap(), Ok(4));
        let message = Bytes::from_static(b"five");
        let token = None;
        let framed = SendMsg { message, token };
        actor.send(framed).await.unwrap().unwrap();
        let expected = b"one two three four\0\0\0\x04five";
        assert_eq!(read_exact(&mut peer, expected.len()), expected);
        assert_eq!(expect!(trace, Sent).token, Token(1));
        assert_eq!(expect!(trace, Sent).token, Token(2));
    });
}

/// AMB-01: a line takes its own ending along, a text takes the connection's.
#[test]
fn a_sent_line_ends_as_it_came_and_a_text_as_the_connection_says() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).line_ending(LineEnding::CrLf).lines();
        let (mut peer, client, mut trace) = serve(&pool, listen).await;
        peer.write_all(b"unix\ndos\r\n").unwrap();
        for _ in 0..2 {
            let line = expect!(trace, LineReceived).line;
            client.send_line(&line).unwrap();
        }
        client.send_line("text").unwrap();
        assert_eq!(read_exact(&mut peer, 16), b"unix\ndos\r\ntext\r\n");
    });
}

/// XAS-51, T-11.
#[test]
fn xas_51_sent_is_told_when_the_system_has_taken_the_last_byte_and_not_before() {
    const TOTAL: usize = 12 * MIB;
    with_pool(|pool| async move {
        let (stream, client, mut trace) = serve(&pool, narrow()).await;
        client.send_with(pattern(TOTAL), Token(1)).unwrap();
        trace.nothing_for(ms(200)).await;
        let held = client.write_buffer_size();
        assert!(held > MIB, "only {held} bytes are left");
        let (_stream, got) = drain(stream, TOTAL).await;
        assert!(got == pattern(TOTAL), "not the bytes that were sent");
        let sent = expect!(trace, Sent);
        assert_eq!((sent.token, sent.bytes), (Token(1), TOTAL));
        assert_eq!(client.write_buffer_size(), 0);
    });
}

/// XAS-52.
#[test]
fn xas_52_sending_to_a_peer_that_reset_closes_and_burns_nothing() {
    if !alone("xas_52_sending_to_a_peer_that_reset_closes_and_burns_nothing") {
        return;
    }
    with_pool(|pool| async move {
        for listen in [Listen::tcp(ANY), Listen::tcp(ANY).lines()] {
            let (peer, client, mut trace) = serve(&pool, listen).await;
            reset_on_close(&peer);
            drop(peer);
            let since = Instant::now();
            // Where a receive is armed, the reset may be known before.
            for token in [Token(1), Token(2)] {
                if let Err(error) = client.send_with("gone", token) {
                    assert_eq!(error.refusal, SendRefusal::Closed);
                }
            }
            let closed = expect!(trace, Closed);
            assert!(since.elapsed() < ms(1000), "{:?}", since.elapsed());
            assert_eq!(closed.reason, ClosedReason::Error);
            assert_eq!(
                client.send("more").unwrap_err().refusal,
                SendRefusal::Closed
            );
            let before = processor_time();
            // A loop of attempts would use all of this time.
            tokio::time::sleep(ms(200)).await;
            let spent = processor_time() - before;
            assert!(spent < ms(20), "{spent:?} of 200 ms were spent on nothing");
        }
    });
}

/// XAS-52, T-11: what was accepted is told as sent or counted at the end.
#[test]
fn what_a_reset_leaves_unsent_is_accounted_for() {
    with_pool(|pool| async move {
        let (peer, client, mut trace) = serve(&pool, narrow()).await;
        let size = 4 * MIB;
        for token in 0..3 {
            client.send_with(pattern(size), token).unwrap();
        }
        until(|| client.write_buffer_size() < 3 * size).await;
        reset_on_close(&peer);
        drop(peer);
        let mut told = Vec::new();
        let closed = loop {
            match trace.next().await {
                ClientEvent::Sent(sent) => told.push(sent.token),
                ClientEvent::Closed(closed) => break closed,
                other => panic!("unexpected {other:?}"),
            }
        };
        assert_eq!(closed.reason, ClosedReason::Error);
        told.extend(&closed.detail.unsent_tokens);
        assert_eq!(told, [Token(0), Token(1), Token(2)]);
        let whole = closed.detail.unsent as u64 + closed.detail.bytes_out;
        assert_eq!(whole, 3 * size as u64);
    });
}

/// Notices are bounded too.
#[test]
fn more_notices_than_may_wait_are_refused_and_room_comes_back() {
    with_pool(|pool| async move {
        let (stream, client, mut trace) = serve(&pool, narrow()).await;
        let clogged = clog(&client).await;
        let limit = 64 * KIB;
        for token in 0..limit as u64 {
            client.send_with("x", token).unwrap();
        }
        let error = client.send_with("y", Token(0)).unwrap_err();
        assert_eq!(error.refusal, SendRefusal::TooManyNotices { limit });
        assert!(error.is_full());
        client.send("z").unwrap();
        let (_stream, got) = drain(stream, clogged + limit + 1).await;
        assert!(got[clogged..].ends_with(b"xxz"));
        for token in 0..limit as u64 {
            assert_eq!(expect!(trace, Sent).token, Token(token));
        }
        client.send_with("y", Token(1)).unwrap();
        assert_eq!(expect!(trace, Sent).token, Token(1));
    });
}

/// XAS-53.
#[test]
fn xas_53_the_send_slot_is_filled_in_place_and_free_again_when_sent() {
    with_pool(|pool| async move {
        let (stream, client, mut trace) = serve(&pool, narrow()).await;
        let mut slot = client.take_send_slot().unwrap();
        assert_eq!(slot.len(), 4096);
        assert_eq!(client.take_send_slot().unwrap_err(), SlotError::Busy);
        slot[..3].copy_from_slice(b"abc");
        slot.send(3, Some(Token(1))).unwrap();
        assert_eq!(expect!(trace, Sent).bytes, 3);
        for asked in [0, 5000] {
            let error = client.take_send_slot().unwrap().send(asked, None);
            let size = 4096;
            assert_eq!(error, Err(SlotError::BadSize { asked, size }));
        }
        // Dropped, it goes back unsent.
        drop(client.take_send_slot().unwrap());
        let mut slot = client.take_send_slot().unwrap();
        slot.fill(b'w');
        slot.send(None, Some(Token(2))).unwrap();
        assert_eq!(expect!(trace, Sent).bytes, 4096);
        let (stream, got) = drain(stream, 3 + 4096).await;
        assert_eq!(got, ["abc", &"w".repeat(4096)].concat().into_bytes());

        // While it waits to be sent it stays busy.
        let clogged = clog(&client).await;
        client
            .take_send_slot()
            .unwrap()
            .send(10, Some(Token(3)))
            .unwrap();
        assert_eq!(client.take_send_slot().unwrap_err(), SlotError::Busy);
        trace.nothing_for(ms(50)).await;
        let (_stream, _) = drain(stream, clogged + 10).await;
        assert_eq!(expect!(trace, Sent).token, Token(3));
        let slot = client.take_send_slot().unwrap();
        client.abort();
        expect!(trace, Closed);
        let closed = SlotError::Refused(SendRefusal::Closed);
        assert_eq!(slot.send(1, None).unwrap_err(), closed);
        assert_eq!(client.take_send_slot().unwrap_err(), closed);
    });
}

// Before the connection is there.

/// XAS-35, AC-20.
#[test]
fn xas_35_what_is_sent_before_connecting_is_sent_once_connected() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        let (events, mut trace) = trace();
        // A session is made before the attempt begins, and may send already.
        let connecting = pool.connect(Connect::tcp(address), move |client| {
            let state = client.info().activity.state;
            assert_eq!(state, ConnectionState::Connecting);
            client.send_with("one ", Token(1)).unwrap();
            client.send_with(pattern(10_000), Token(2)).unwrap();
            client.send_msg("three", Some(Token(3))).unwrap();
            Recorder { client, events }
        });
        let client = connecting.client().clone();
        assert_eq!(connecting.await.unwrap(), client);
        client.send(" four").unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let all = [b"one ", &pattern(10_000)[..], b"\0\0\0\x05three four"].concat();
        assert!(read_exact(&mut peer, all.len()) == all);
        expect!(trace, Connected);
        for token in 1..=3 {
            assert_eq!(expect!(trace, Sent).token, Token(token));
        }
    });
}

/// XAS-35: whoever asked for the connection can send at once too.
#[test]
fn xas_35_the_handle_of_an_attempt_can_send_before_it_is_awaited() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        let (events, _trace) = trace();
        let connecting = pool.connect(Connect::tcp(address), move |client| Recorder {
            client,
            events,
        });
        connecting.client().send("first ").unwrap();
        let client = connecting.await.unwrap();
        client.send("second").unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(read_exact(&mut peer, 12), b"first second");
    });
}

/// XAS-35, AIO-10, AIO-35: the first event is `Connected`, and pauses come in pairs behind it.
#[test]
fn xas_35_a_pause_from_before_connecting_is_told_after_connected() {
    const TOTAL: usize = 8 * MIB;
    with_pool(|pool| async move {
        let (listener, address) = listener();
        let (events, mut trace) = trace();
        let connect = Connect::tcp(address).send_buffer_size(256 * KIB);
        let connecting = pool.connect(connect, move |client| {
            client.send(pattern(TOTAL)).unwrap();
            client.send("more").unwrap();
            FullRecorder { client, events }
        });
        expect!(trace, Connected);
        expect!(trace, WritePaused);
        connecting.await.unwrap();
        let (stream, _) = listener.accept().unwrap();
        let (_stream, got) = drain(stream, TOTAL + 4).await;
        assert!(got[..TOTAL] == pattern(TOTAL));
        expect!(trace, WriteResumed);
    });
}

/// XAS-34.
#[test]
fn what_was_sent_to_a_peer_that_refuses_is_counted_in_the_failure() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        drop(listener);
        let (events, mut trace) = trace();
        let connecting = pool.connect(Connect::tcp(address), move |client| {
            client.send_with(pattern(100 * KIB), Token(1)).unwrap();
            FullRecorder { client, events }
        });
        let client = connecting.client().clone();
        let error = connecting.await.unwrap_err();
        assert_eq!(error.unsent, 100 * KIB);
        assert_eq!(expect!(trace, ConnectFailed).error.unsent, 100 * KIB);
        trace.nothing_for(ms(20)).await;
        assert_eq!(client.send("x").unwrap_err().refusal, SendRefusal::Closed);
    });
}

// A peer that does not read.

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
        assert_eq!(drain(stream, 5).await.1, b"again");
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
        trace.nothing_for(ms(50)).await;
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
        trace.nothing_for(ms(50)).await;
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
    type Context = Context<Self>;
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
        trace.nothing_for(ms(20)).await;
    });
}

// Back-pressure on those who answer.

/// A session that does not look after pauses is not overrun by what it answers.
#[test]
fn input_waits_while_writing_is_paused_unless_the_session_handles_pauses() {
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = serve(&pool, narrow().lines()).await;
        let clogged = clog(&client).await;
        client.send([b'x'; 64 * KIB]).unwrap();
        assert!(client.info().activity.write_paused);
        stream.write_all(b"waits\n").unwrap();
        trace.nothing_for(ms(100)).await;
        let (_stream, _) = drain(stream, clogged + 64 * KIB).await;
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"waits");

        let (mut stream, client, mut trace) = serve_full(&pool, narrow().lines()).await;
        clog(&client).await;
        client.send([b'x'; 64 * KIB]).unwrap();
        stream.write_all(b"comes\n").unwrap();
        match next_but_pauses(&mut trace).await {
            ClientEvent::LineReceived(event) => assert_eq!(event.line.as_bytes(), b"comes"),
            other => panic!("unexpected {other:?}"),
        }
        assert!(client.info().activity.write_paused);
    });
}

/// Sends back whatever comes and looks after nothing.
struct NaiveEcho {
    client: Client,
}

impl Actor for NaiveEcho {
    type Context = Context<Self>;
}

impl Handler<DataReceived> for NaiveEcho {
    type Result = ();

    fn handle(&mut self, msg: DataReceived, _: &mut Self::Context) {
        self.client.send(msg.data).unwrap();
    }
}

switchboard::session!(NaiveEcho);

/// AC-25: an echo that never looks at what it could not send.
#[test]
fn a_naive_echo_loses_nothing_when_its_peer_floods_and_reads_late() {
    const TOTAL: usize = 50 * MIB;
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).data();
        let stream = serve_with(&pool, listen, |client| NaiveEcho { client }).await;
        let script = pattern(TOTAL);
        let (mut stream, sent, script) = peer(move || {
            let sent = stuff(&stream, &script);
            (stream, sent, script)
        })
        .await;
        assert!(sent < TOTAL, "the flood was never held back");
        let info = pool.connections().await.unwrap().remove(0);
        let queued = info.activity.write_buffer;
        assert!(queued < MIB, "{queued} bytes of answers are queued");
        let mut writer = stream.try_clone().unwrap();
        let rest = std::thread::spawn(move || {
            writer.write_all(&script[sent..]).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
            script
        });
        let got = peer(move || read_all(&mut stream)).await;
        let script = rest.join().unwrap();
        assert_eq!(got.len(), script.len());
        assert!(got == script, "not the bytes that were sent");
    });
}

// Many senders.

/// XAS-69.
#[test]
fn xas_69_sends_from_many_threads_interleave_whole_and_each_in_order() {
    const THREADS: usize = 8;
    const SENDS: usize = 500;
    with_pool(|pool| async move {
        let (mut stream, client, _trace) = serve(&pool, Listen::tcp(ANY)).await;
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let client = client.clone();
                std::thread::spawn(move || {
                    for n in 0..SENDS {
                        // From a few bytes to more than is copied together, in all three forms.
                        let body = "x".repeat(n * 37 % 6_000);
                        let record = format!("{thread}:{n}:{body}");
                        match n % 3 {
                            0 => client.send(record + "\n").unwrap(),
                            1 => client.send_line(record.as_str()).unwrap(),
                            _ => {
                                let (left, right) = record.split_at(record.len() / 2);
                                let parts = [left, right, "\n"];
                                let parts =
                                    parts.map(|part| Bytes::copy_from_slice(part.as_bytes()));
                                client.send_many(parts.into(), None).unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        let reader = std::thread::spawn(move || read_all(&mut stream));
        peer(move || {
            senders
                .into_iter()
                .for_each(|sender| sender.join().unwrap())
        })
        .await;
        client.close();
        let got = peer(move || reader.join().unwrap()).await;
        let got = String::from_utf8(got).unwrap();
        let mut next = [0; THREADS];
        for record in got.lines() {
            let mut fields = record.splitn(3, ':');
            let thread: usize = fields.next().unwrap().parse().unwrap();
            let n: usize = fields.next().unwrap().parse().unwrap();
            assert_eq!(n, next[thread], "out of order");
            next[thread] += 1;
            assert_eq!(fields.next().unwrap(), "x".repeat(n * 37 % 6_000));
        }
        assert_eq!(next, [SENDS; THREADS]);
    });
}

/// XAS-23.
#[test]
fn xas_23_a_closed_connection_refuses_and_its_neighbours_do_not_notice() {
    with_pool(|pool| async move {
        let (_closed, gone, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        let (mut open, live, _live) = serve(&pool, Listen::tcp(ANY)).await;
        gone.abort();
        expect!(trace, Closed);
        let outcomes = [&gone, &live, &gone].map(|client| client.send("news").is_ok());
        assert_eq!(outcomes, [false, true, false]);
        assert_eq!(gone.send_line("x"), Err(SendRefusal::Closed));
        assert_eq!(
            gone.send_msg("x", None).unwrap_err().refusal,
            SendRefusal::Closed
        );
        assert_eq!(gone.write_eof(), Err(SendRefusal::Closed));
        assert_eq!(read_exact(&mut open, 4), b"news");
    });
}
