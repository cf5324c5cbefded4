//! What we send as urgent.

use std::mem::MaybeUninit;

use bytes::Bytes;
use socket2::SockRef;
use switchboard::message::*;
use switchboard::{ConnectionOptions, Listen};
use switchboard_tests::*;

use crate::peers::keep_in_stream;

const ANY: &str = "127.0.0.1:0";

/// AC-06.
#[test]
fn ac_06_the_peer_gets_our_urgent_byte_beside_a_whole_stream() {
    with_pool(|pool| async move {
        let (mut stream, client, mut probe) = serve(&pool, Listen::tcp(ANY)).await;
        client.send("ab").unwrap();
        client.send_urgent_with(b'!', 1).unwrap();
        client.send_with("cd", 2).unwrap();
        let sent = probe.expect_sent(1).await;
        assert_eq!(sent.bytes, 1);
        probe.expect_sent(2).await;
        until(|| {
            let mut byte = [MaybeUninit::uninit()];
            SockRef::from(&stream).recv_out_of_band(&mut byte).is_ok()
        })
        .await;
        // Now the mark may be moved on.
        assert_eq!(read_exact(&mut stream, 4), b"abcd");
        let urgent = SendUrgent {
            byte: b'?',
            token: Some(3.into()),
        };
        client.addr().unwrap().send(urgent).await.unwrap().unwrap();
        probe.expect_sent(3).await;
        client.send("ef").unwrap();
        client.close();
        let bytes = peer(move || read_all(&mut stream)).await;
        assert_eq!(bytes, b"ef");
        assert_eq!(expect!(probe, Closed).detail.bytes_out, 8);
    });
}

/// AC-06: it waits for its turn behind what the system did not take yet, and is flushed by a close.
#[test]
fn ac_06_an_urgent_byte_stands_at_its_place_in_the_stream() {
    with_pool(|pool| async move {
        let listen = Listen::tcp(ANY).send_buffer_size(64 * 1024);
        let (mut stream, client, mut probe) = serve(&pool, listen).await;
        keep_in_stream(&stream);
        let block = Bytes::from(pattern(700_000));
        let mut expected = block.to_vec();
        client.send(&block).unwrap();
        for byte in *b"!?" {
            client.send_urgent(byte).unwrap();
            client.send("between").unwrap();
            expected.push(byte);
            expected.extend_from_slice(b"between");
        }
        client.send_urgent(b'#').unwrap();
        expected.push(b'#');
        client.close();
        let bytes = peer(move || read_all(&mut stream)).await;
        assert!(bytes == expected, "{} bytes came", bytes.len());
        let closed = expect!(probe, Closed);
        assert_eq!(closed.detail.unsent, 0);
    });
}
