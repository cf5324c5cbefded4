//! Messages.

use std::io::Write;
use std::net::Shutdown;

use switchboard::{Cause, ClosedReason, ConnectionOptions, FrameError, Listen, Token};
use switchboard_tests::*;

use super::{ANY, MIB, has_read};

/// ACO-08.
#[test]
fn aco_08_a_message_is_its_length_in_four_big_endian_bytes_and_its_bytes() {
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY)).await;
        client.send_msg("hi", None).unwrap();
        client.send_msg("", Some(Token(7))).unwrap();
        client.send_msg(vec![b'x'; 70_000], None).unwrap();
        assert_eq!(read_exact(&mut peer, 6), b"\x00\x00\x00\x02hi");
        assert_eq!(read_exact(&mut peer, 4), b"\x00\x00\x00\x00");
        assert_eq!(expect!(trace, Sent).token, Token(7));
        assert_eq!(read_exact(&mut peer, 4), b"\x00\x01\x11\x70");
        assert_eq!(read_exact(&mut peer, 70_000), vec![b'x'; 70_000]);
    });
}

/// ACO-09.
#[test]
fn aco_09_messages_survive_a_split_at_every_byte_and_an_empty_one_is_one() {
    const SCRIPT: &[u8] = b"\0\0\0\x02hi\0\0\0\0\0\0\0\x05hello";
    with_pool(|pool| async move {
        let (mut peer, client, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
        let mut sent = 0;
        for position in 1..SCRIPT.len() {
            let (left, right) = SCRIPT.split_at(position);
            for part in [left, right] {
                peer.write_all(part).unwrap();
                sent += part.len();
                has_read(&client, sent).await;
            }
            for message in ["hi", "", "hello"] {
                let got = expect!(trace, MessageReceived).message;
                assert_eq!(got, message, "split at {position}");
            }
        }
    });
}

/// ACO-09.
#[test]
fn aco_09_an_end_between_messages_is_the_peers_and_one_within_is_an_error() {
    with_pool(|pool| async move {
        let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
        peer.write_all(b"\0\0\0\x02hi").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(expect!(trace, MessageReceived).message, "hi");
        assert_eq!(expect!(trace, Closed).reason, ClosedReason::ClosedByPeer);

        for part in [&b"\0\0"[..], b"\0\0\0\x05", b"\0\0\0\x05hell"] {
            let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
            peer.write_all(part).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let received = part.len();
            assert_eq!(closed.detail.cause, Cause::TruncatedMessage { received });
        }
    });
}

/// ACO-10.
#[test]
fn aco_10_an_announced_giant_closes_at_once_and_costs_no_memory() {
    if !alone("messages::aco_10_an_announced_giant_closes_at_once_and_costs_no_memory") {
        return;
    }
    with_pool(|pool| async move {
        let mut before = 0;
        for round in 0..3 {
            let (mut peer, _, mut trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
            peer.write_all(b"\xFF\xFF\xFF\xFF").unwrap();
            let closed = expect!(trace, Closed);
            assert_eq!(closed.reason, ClosedReason::Error);
            let (limit, announced) = (16 * MIB, Some(0xFFFF_FFFF));
            let error = FrameError::FrameTooLong { limit, announced };
            assert_eq!(closed.detail.cause, Cause::Frame(error));
            if round == 0 {
                before = resident();
            }
        }
        // One that is allowed costs what has come of it, not what it says.
        let (mut peer, client, _trace) = serve(&pool, Listen::tcp(ANY).messages()).await;
        peer.write_all(b"\x01\0\0\0begun").unwrap();
        has_read(&client, 9).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < MIB, "memory grew by {grown} bytes");
    });
}
