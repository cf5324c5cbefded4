//! Queued, sent, told.

use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use switchboard::message::*;
use switchboard::{
    ClosedReason, ConnectionOptions, LineEnding, Listen, SendRefusal, SlotError, Token,
};
use switchboard_tests::*;

use super::{ANY, KIB, MIB, clog, drain, ms, narrow};

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
        trace.no_more(ms(20)).await;
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
        trace.no_more(ms(200)).await;
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
    if !alone("queue::xas_52_sending_to_a_peer_that_reset_closes_and_burns_nothing") {
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
        trace.no_more(ms(50)).await;
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
