//! Before the connection is there.

use switchboard::{Connect, ConnectionOptions, ConnectionState, SendRefusal, Token};
use switchboard_tests::*;

use super::{KIB, MIB, drain, ms};

/// XAS-35, AC-20.
#[test]
fn xas_35_what_is_sent_before_connecting_is_sent_once_connected() {
    with_pool(|pool| async move {
        let (listener, address) = listener();
        let mut trace = Probe::new();
        let session = trace.session();
        // A session is made before the attempt begins, and may send already.
        let connecting = pool.connect(Connect::tcp(address), move |client| {
            let state = client.info().activity.state;
            assert_eq!(state, ConnectionState::Connecting);
            client.send_with("one ", Token(1)).unwrap();
            client.send_with(pattern(10_000), Token(2)).unwrap();
            client.send_msg("three", Some(Token(3))).unwrap();
            session(client)
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
        let trace = Probe::new();
        let connecting = pool.connect(Connect::tcp(address), trace.session());
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
        let mut trace = Probe::new();
        let session = trace.full_session();
        let connect = Connect::tcp(address).send_buffer_size(256 * KIB);
        let connecting = pool.connect(connect, move |client| {
            client.send(pattern(TOTAL)).unwrap();
            client.send("more").unwrap();
            session(client)
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
        let mut trace = Probe::new();
        let session = trace.full_session();
        let connecting = pool.connect(Connect::tcp(address), move |client| {
            client.send_with(pattern(100 * KIB), Token(1)).unwrap();
            session(client)
        });
        let client = connecting.client().clone();
        let error = connecting.await.unwrap_err();
        assert_eq!(error.unsent, 100 * KIB);
        assert_eq!(expect!(trace, ConnectFailed).error.unsent, 100 * KIB);
        trace.no_more(ms(20)).await;
        assert_eq!(client.send("x").unwrap_err().refusal, SendRefusal::Closed);
    });
}
