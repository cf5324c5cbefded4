//! Connections that do not come to be.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use switchboard::{
    Client, Connect, ConnectPhase, ConnectionOptions, ConnectionState, Pool, SendRefusal,
};
use switchboard_tests::*;

use super::{closed_port, connect, stalled};

/// XAS-31: settings are checked before anything is tried.
#[test]
fn xas_31_a_setting_that_cannot_be_is_named() {
    with_pool(async |pool| {
        let (_listener, address) = listener();
        let base = || Connect::tcp(address);
        for (wrong, named) in [
            (base().recv_buffer(255), "recv_buffer"),
            (base().send_slot(255), "send_slot"),
            (base().timeout(Duration::ZERO), "timeout"),
            (base().keepalive(Duration::ZERO), "keepalive"),
        ] {
            let (connecting, mut trace) = connect(&pool, wrong);
            let error = connecting.await.unwrap_err();
            assert_eq!(error.phase, ConnectPhase::Options);
            assert_eq!(error.kind, ErrorKind::InvalidInput);
            assert!(error.to_string().contains(named), "{error}");
            assert_eq!(*expect!(trace, ConnectFailed).error, error);
        }
        let (connecting, _trace) = connect(&pool, base().recv_buffer(256).send_slot(256));
        connecting.await.unwrap();
    });
}

/// XAS-33, AMB-03, T-20.
#[test]
fn xas_33_a_peer_that_does_not_answer_fails_with_a_timeout() {
    with_pool(async |pool| {
        let stalled = stalled();
        for attempt in 1.. {
            let since = Instant::now();
            let after = Duration::from_millis(500);
            let (connecting, mut trace) =
                connect(&pool, Connect::tcp(stalled.address).timeout(after));
            let error = connecting.await.unwrap_err();
            let took = since.elapsed();
            assert_eq!(
                (error.kind, error.phase),
                (ErrorKind::TimedOut, ConnectPhase::Connect)
            );
            assert!(error.to_string().contains(&stalled.address.to_string()));
            assert_eq!(*expect!(trace, ConnectFailed).error, error);
            assert!(trace.so_far().is_empty(), "no Closed after it");
            assert!(took >= after, "{took:?}");
            if took <= Duration::from_millis(600) {
                break;
            }
            // A busy machine may need another try.
            assert!(attempt < 4, "{took:?}");
        }
    });
}

/// XAS-34.
#[test]
fn xas_34_a_refused_connection_tells_connect_failed_once_and_never_closed() {
    let totals = with(Pool::builder().shards(0), async |pool| {
        // All on this thread, so that nothing fails before there is something to lose.
        let address = closed_port();
        let (connecting, mut trace) = connect(&pool, Connect::tcp(address));
        let id = connecting.id();
        connecting.client().send("never sent").unwrap();
        let failed = expect!(trace, ConnectFailed);
        assert_eq!(failed.client, id);
        assert_eq!(failed.error.kind, ErrorKind::ConnectionRefused);
        assert_eq!(failed.error.target, address.to_string());
        assert_eq!(
            failed.error.attempts,
            [(address, ErrorKind::ConnectionRefused)]
        );
        assert_eq!(failed.error.unsent, 10);
        trace.no_more(Duration::from_millis(20)).await;
        let client = connecting.client();
        assert!(client.is_closed());
        assert_eq!(client.send("x").unwrap_err().refusal, SendRefusal::Closed);
        assert!(pool.connection(id).await.is_none());
    });
    assert_eq!((totals.connect_failed, totals.closed_in_all()), (1, 0));
}

/// AC-13: the call only begins it. Then it can be given up: ConnectFailed once, and no Closed.
#[test]
fn ac_13_connecting_is_under_way_when_the_call_returns_and_can_be_given_up() {
    let ways: [fn(&Client) -> bool; 3] = [Client::close, Client::abort, |client| {
        client.close_with(false, None)
    }];
    let totals = with_pool(async |pool| {
        let stalled = stalled();
        for give_up in ways {
            let since = Instant::now();
            let (connecting, mut trace) = connect(&pool, Connect::tcp(stalled.address));
            let took = since.elapsed();
            assert!(took < Duration::from_millis(250), "{took:?}");
            let client = connecting.client().clone();
            assert_eq!(client.info().activity.state, ConnectionState::Connecting);
            client.send("queued").unwrap();
            trace.no_more(Duration::from_millis(20)).await;
            let status = pool.status().await.unwrap();
            assert_eq!((status.totals.connecting, status.totals.live), (1, 0));

            let since = Instant::now();
            assert!(give_up(&client));
            assert!(!give_up(&client), "it is given up already");
            let failed = expect!(trace, ConnectFailed);
            assert_eq!(failed.error.kind, ErrorKind::Interrupted);
            assert_eq!(failed.error.unsent, 6);
            assert_eq!(connecting.await.unwrap_err().kind, ErrorKind::Interrupted);
            let took = since.elapsed();
            assert!(took < Duration::from_secs(1), "{took:?}");
            trace.no_more(Duration::from_millis(20)).await;
            assert!(client.is_closed());
        }
    });
    assert_eq!((totals.connect_failed, totals.closed_in_all()), (3, 0));
}

/// A stop does not wait for peers that do not answer.
#[test]
fn a_stop_gives_up_what_is_still_connecting() {
    let stalled = stalled();
    let mut trace = Probe::new();
    with_pool(async |pool| {
        let target = Connect::tcp(stalled.address).timeout(PATIENCE * 2);
        let connecting = pool.connect(target, trace.session());
        let since = Instant::now();
        let totals = pool.stop().await;
        let took = since.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert_eq!((totals.connect_failed, totals.connecting), (1, 0));
        assert!(connecting.await.is_err());
        expect!(trace, ConnectFailed);
        assert!(trace.so_far().is_empty());
    });
}

/// ACO-01.
#[test]
fn aco_01_a_stream_that_is_dead_already_fails_to_connect() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        let stream = dial(address);
        let (other, _) = listener.accept().unwrap();
        reset_on_close(&other);
        drop(other);
        // The reset has arrived when a read tells it.
        let mut look = stream.try_clone().unwrap();
        std::io::Read::read(&mut look, &mut [0]).unwrap_err();
        drop(look);
        let (connecting, mut trace) = connect(&pool, Connect::adopt(stream));
        let error = connecting.await.unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Local, "{error}");
        expect!(trace, ConnectFailed);
        assert!(trace.so_far().is_empty());
    });
}

/// The pool's limit counts outbound connections, those on their way too.
#[test]
fn at_the_limit_of_the_pool_connecting_fails_until_one_ends() {
    with(Pool::builder().shards(1).max_connections(2), async |pool| {
        let (_listener, address) = listener();
        let (first, mut trace) = connect(&pool, Connect::tcp(address));
        let first = first.await.unwrap();
        expect!(trace, Connected);
        let stalled = stalled();
        let (second, _second) = connect(&pool, Connect::tcp(stalled.address));
        let (third, mut third_trace) = connect(&pool, Connect::tcp(address));
        let error = third.await.unwrap_err();
        assert_eq!(
            (error.kind, error.phase),
            (ErrorKind::QuotaExceeded, ConnectPhase::Options)
        );
        expect!(third_trace, ConnectFailed);
        second.client().abort();
        assert!(second.await.is_err());
        first.abort();
        expect!(trace, Closed);
        // A place is free when the connection's actor has ended, of which nobody is told.
        let since = Instant::now();
        while connect(&pool, Connect::tcp(address)).0.await.is_err() {
            assert!(since.elapsed() < PATIENCE, "the places never come back");
        }
    });
}
