//! Connections that come to be.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use switchboard::{ClosedReason, Connect, ConnectionOptions, Listen, Pool};
use switchboard_tests::*;

use super::{closed_port, connect};

/// XAS-31, XAS-35, AC-03: Connected, data, Closed, in this order and once each.
#[test]
fn xas_31_ac_03_a_connection_tells_connected_then_data_then_closed() {
    let totals = with_pool(async |pool| {
        let (listener, address) = listener();
        let serving = actix_rt::spawn(peer(move || {
            let (mut peer, from) = listener.accept().unwrap();
            peer.write_all(b"one\ntwo\n").unwrap();
            drop(peer);
            from
        }));
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address).lines());
        let id = connecting.id();
        let connected = expect!(trace, Connected);
        assert_eq!((connected.client, connected.peer_addr), (id, Some(address)));
        assert_eq!(&*expect!(trace, LineReceived).line, b"one");
        assert_eq!(&*expect!(trace, LineReceived).line, b"two");
        let closed = expect!(trace, Closed);
        assert_eq!(
            (closed.client, closed.reason),
            (id, ClosedReason::ClosedByPeer)
        );
        assert_eq!(connecting.await.unwrap().id(), id);
        assert_eq!(connected.local_addr, Some(serving.await.unwrap()));
        trace.no_more(Duration::from_millis(10)).await;
    });
    assert_eq!((totals.connected, totals.connect_failed), (1, 0));
}

/// XAS-32, ACO-04.
#[test]
fn xas_32_the_outcome_can_be_awaited() {
    with_pool(async |pool| {
        let (_listener, address) = listener();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let client = connecting.await.unwrap();
        assert_eq!(client.peer_addr(), Some(address));
        assert_eq!(expect!(trace, Connected).handle, client);

        let (connecting, _trace) = connect(&pool, Connect::tcp(closed_port()));
        let error = connecting.await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::ConnectionRefused);
    });
}

/// XAS-35, AC-20: the original keeps it until the next send.
#[test]
fn xas_35_what_is_sent_before_the_connection_is_there_is_sent_in_order() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let client = connecting.client().clone();
        client.send("one ").unwrap();
        client.send_with("two ", 2).unwrap();
        client.send_line("three").unwrap();
        let (mut peer_end, text) = peer(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let text = read_exact(&mut peer, 14);
            (peer, text)
        })
        .await;
        assert_eq!(text, b"one two three\n");
        expect!(trace, Connected);
        assert_eq!(expect!(trace, Sent).token.0, 2);
        client.send("four").unwrap();
        client.close();
        let rest = peer(move || read_all(&mut peer_end)).await;
        assert_eq!(rest, b"four");
        expect!(trace, Closed);
    });
}

/// XAS-57.
#[test]
fn xas_57_addresses_are_those_that_the_other_side_sees() {
    // All on this thread, so that nothing is established before it is looked at.
    with(Pool::builder().shards(0), async |pool| {
        let (listener, address) = listener();
        let (connecting, mut out) = connect(&pool, Connect::tcp(address));
        let client = connecting.client().clone();
        assert_eq!((client.local_addr(), client.peer_addr()), (None, None));
        assert!(client.is_outbound());
        let client = connecting.await.unwrap();
        let (outside, seen) = peer(move || listener.accept().unwrap()).await;
        let info = client.info();
        assert_eq!(info.local_addr, Some(seen));
        assert_eq!(info.peer_addr, Some(address));
        assert!(info.outbound && info.server.is_none());
        assert_eq!(expect!(out, Connected).local_addr, Some(seen));

        let mut inward = Probe::new();
        let session = inward.session();
        // An address of all interfaces becomes a real one for each connection.
        let server = pool
            .listen(Listen::tcp("0.0.0.0:0"), session)
            .await
            .unwrap();
        let port = server.local_addr().port();
        let stream = dial(([127, 0, 0, 1], port).into());
        let info = expect!(inward, Accepted).handle.info();
        assert_eq!(info.peer_addr, Some(stream.local_addr().unwrap()));
        assert_eq!(info.local_addr, Some(stream.peer_addr().unwrap()));
        assert!(!info.outbound && info.server == Some(server.id()));
        drop((outside, stream));
    });
}

/// AC-07: also when the peer speaks first, in the same moment.
#[test]
fn ac_07_connected_comes_once_and_before_the_peers_greeting() {
    const TIMES: usize = 100;
    with(Pool::builder().shards(2), async |pool| {
        let (listener, address) = listener();
        let greeting = actix_rt::spawn(peer(move || {
            for _ in 0..TIMES {
                let (mut peer, _) = listener.accept().unwrap();
                peer.write_all(b"welcome\n").unwrap();
            }
        }));
        for _ in 0..TIMES {
            let (_, mut trace) = connect(&pool, Connect::tcp(address).lines());
            expect!(trace, Connected);
            assert_eq!(&*expect!(trace, LineReceived).line, b"welcome");
            expect!(trace, Closed);
        }
        greeting.await.unwrap();
    });
}

/// ACO-01: what has arrived before is not lost.
#[test]
fn aco_01_a_stream_that_exists_already_is_taken_over() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let stream = dial(address);
        let local = stream.local_addr().unwrap();
        let (mut other, _) = listener.accept().unwrap();
        other.write_all(b"before\n").unwrap();
        let (connecting, mut trace) = connect(&pool, Connect::adopt(stream).lines());
        let connected = expect!(trace, Connected);
        assert_eq!(connected.local_addr, Some(local));
        assert_eq!(connected.peer_addr, Some(address));
        assert_eq!(&*expect!(trace, LineReceived).line, b"before");
        let client = connecting.await.unwrap();
        client.send("after\n").unwrap();
        assert_eq!(read_exact(&mut other, 6), b"after\n");
        // A reset needs the last descriptor to be closed: none may be left over.
        client.abort();
        expect!(trace, Closed);
        let error = peer(move || std::io::Read::read(&mut other, &mut [0]).unwrap_err()).await;
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}
