//! The end of a listener, and of its pool.

use std::net::TcpStream;

use switchboard::message::*;
use switchboard::{Cause, ClosedReason, Listen, Pool};
use switchboard_tests::*;

use super::{ANY, greet, is_let_in};

/// XAS-28, AIO-61.
#[test]
fn xas_28_closing_a_server_leaves_its_connections() {
    with(Pool::builder().shards(2), async |pool| {
        let mut events = watch(&pool);
        let server = greet(&pool, Listen::tcp(ANY)).await;
        let address = server.local_addr();
        let mut old = peer(move || {
            let mut peers = [dial(address), dial(address)];
            assert!(peers.iter_mut().all(is_let_in));
            peers
        })
        .await;
        server.close().await;
        assert!(!server.is_listening());
        let error = TcpStream::connect(address).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let (id, reason) = next_pool_event(&mut events, |event| match event {
            PoolEvent::ServerClosed { server, reason } => Some((*server, *reason)),
            _ => None,
        })
        .await;
        assert_eq!((id, reason), (server.id(), ClosedReason::ClosedByHost));
        assert_eq!(pool.status().await.unwrap().servers, 0);
        assert_eq!(server.info().live, 2);
        peer(move || {
            for peer in &mut old {
                assert_eq!(exchange(peer, b"still here\n"), b"still here\n");
            }
        })
        .await;
        until(|| server.info().live == 0).await;
        assert_eq!(server.info().closed, [0, 0, 2, 0]);
        server.close().await;
    });
}

/// The pool's stop tells a listener's sessions why (XAS-11).
#[test]
fn a_session_that_is_stopped_with_its_pool_is_told_so() {
    let mut trace = Probe::new();
    with_pool(async |pool| {
        let server = pool
            .listen(Listen::tcp(ANY), trace.session())
            .await
            .unwrap();
        let stream = dial(server.local_addr());
        expect!(trace, Accepted);
        pool.stop().await;
        let closed = expect!(trace, Closed);
        assert_eq!(closed.detail.cause, Cause::PoolStopped);
        drop(stream);
    });
}
