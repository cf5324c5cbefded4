//! A peer that finishes: what it left unfinished, and what it still gets.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard::{Cause, ConnectionState, TimeoutKind};
use switchboard_tests::*;

use super::{MIB, in_turn, local, stretch};

/// XAS-48.
#[test]
fn xas_48_an_unfinished_line_is_no_line_but_is_handed_back() {
    with_pool(|pool| async move {
        let (mut stream, _, mut trace) = serve(&pool, local().receive(RecvLine::once())).await;
        stream.write_all(b"abc").unwrap();
        drop(stream);
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.unread, "abc");
        assert_eq!(closed.detail.bytes_in, 3);
        trace.ended().await;
    });
}

/// XAS-48: so is what an exact receive had not got in full.
#[test]
fn xas_48_unfinished_data_is_handed_back_too() {
    with_pool(|pool| async move {
        let five = std::num::NonZeroUsize::new(5).unwrap();
        let (mut stream, _, mut trace) =
            serve(&pool, local().receive(RecvData::exact(five).always())).await;
        stream.write_all(b"12345678").unwrap();
        drop(stream);
        assert_eq!(expect!(trace, DataReceived).data, "12345");
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.unread, "678");
    });
}

/// AIO-37: a peer that has finished still receives.
#[test]
fn aio_37_a_half_closed_peer_gets_its_1_mb_reply_and_then_the_end() {
    with_pool(|pool| async move {
        let (mut stream, client, mut trace) = serve_full(&pool, local().lines()).await;
        stream.write_all(b"question\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, LineReceived).line.as_bytes(), b"question");
        expect!(trace, PeerFinished).keep_open();
        assert_eq!(
            client.info().activity.state,
            ConnectionState::HalfClosed,
            "it is open for sending"
        );
        trace.no_more(Duration::from_millis(50)).await;
        client
            .set_write_limits(Some(4 * MIB), None)
            .expect("no pauses in this test");
        client.send(Bytes::from(stretch(0..MIB))).unwrap();
        client.write_eof().unwrap();
        let got = peer(move || read_all(&mut stream)).await;
        assert!(got == stretch(0..MIB));
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::ClosedByPeer);
        assert_eq!(closed.detail.bytes_out, MIB as u64);
        trace.ended().await;
    });
}

/// AIO-37: not answered, the question closes; answered and then closed here, we have closed it.
#[test]
fn aio_37_a_half_closed_connection_ends_as_it_was_answered() {
    with_pool(|pool| async move {
        let (stream, _, mut trace) = serve_full(&pool, local().lines()).await;
        stream.shutdown(Shutdown::Write).unwrap();
        drop(expect!(trace, PeerFinished));
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);
        trace.ended().await;

        let (mut stream, client, mut trace) = serve_full(&pool, local().lines()).await;
        stream.shutdown(Shutdown::Write).unwrap();
        expect!(trace, PeerFinished).keep_open();
        client.send("bye").unwrap();
        client.close();
        assert_eq!(read_all(&mut stream), b"bye");
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByHost);
        trace.ended().await;
    });
}

/// A connection that is kept open and then forgotten does not stay for ever.
#[test]
fn a_half_closed_connection_that_does_not_move_ends_at_its_timeout() {
    let _turn = in_turn();
    with_pool(|pool| async move {
        let after = Duration::from_millis(100);
        let mut listen = local().lines();
        listen.config_mut().half_closed_timeout = after;
        let (stream, _, mut trace) = serve_full(&pool, listen).await;
        stream.shutdown(Shutdown::Write).unwrap();
        expect!(trace, PeerFinished).keep_open();
        let closed = expect!(trace, Closed);
        assert_eq!(closed.reason, ClosedReason::Timeout);
        let kind = TimeoutKind::HalfClosed;
        assert_eq!(closed.detail.cause, Cause::Timeout { kind, after });
    });
}
