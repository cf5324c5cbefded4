//! Over TLS a peer is accepted when its handshake has ended well.

use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{Connect, ListenPhase};
use switchboard_tests::certificates::Authority;

use super::*;

/// Both sides of a TLS that fit each other.
fn pair() -> (TlsServer, TlsClient) {
    let authority = Authority::new("test authority");
    let identity = authority.issue(&["localhost", "127.0.0.1"]).identity();
    (
        TlsServer::builder(identity).build().unwrap(),
        TlsClient::builder(authority.roots()).build().unwrap(),
    )
}

#[test]
fn over_tls_accept_gives_a_connection_when_its_handshake_has_ended() {
    with(Pool::builder().shards(2), async |pool| {
        let (server, client) = pair();
        let (acceptor, address) = open(&pool, local().tls(server)).await;
        let far = Probe::new();
        let connect = || Connect::tcp(address).tls(client.clone());
        let first = pool.connect(connect(), far.session());
        let accepted = next(&acceptor).await;
        assert!(accepted.info().tls.is_some());
        let first = within(first).await.unwrap();
        assert_eq!(accepted.peer_addr(), first.local_addr());

        // Its handshake waits until somebody asks.
        let mut second = pool.connect(connect(), far.session());
        tokio::task::yield_now().await;
        assert!(look(&mut second).is_pending());
        assert_eq!(acceptor.server().info().accepted, 1);
        let accepted = next(&acceptor).await;
        let second = within(second).await.unwrap();
        assert_eq!(accepted.peer_addr(), second.local_addr());
        assert_eq!(acceptor.server().info().tls.handshakes, 2);
    });
}

#[test]
fn a_handshake_that_fails_uses_up_no_accept() {
    with(Pool::builder().shards(2), async |pool| {
        let (server, client) = pair();
        let (acceptor, address) = open(&pool, local().tls(server)).await;
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        // More than may be at their handshakes at a time.
        peer(move || {
            for turn in 0..40 {
                let mut bad = dial(address);
                if turn % 2 == 0 {
                    bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
                    bad.read_to_end(&mut Vec::new()).unwrap_or_default();
                }
            }
        })
        .await;
        until(|| acceptor.server().info().tls.failed == 40).await;
        assert!(look(&mut asking).is_pending());
        let far = Probe::new();
        let good = pool.connect(Connect::tcp(address).tls(client), far.session());
        let accepted = within(asking).await.unwrap();
        let good = within(good).await.unwrap();
        assert_eq!(accepted.peer_addr(), good.local_addr());
        assert_eq!(acceptor.server().info().tls.handshakes, 1);
    });
}

/// The handshake's time limit is far away.
#[test]
fn a_handshake_that_stalls_keeps_no_accept_waiting() {
    with(Pool::builder().shards(2), async |pool| {
        let (server, client) = pair();
        let (acceptor, address) = open(&pool, local().tls(server)).await;
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        let silent = peer(move || (0..8).map(|_| dial(address)).collect::<Vec<_>>()).await;
        until(|| acceptor.server().info().accepted == 8).await;
        assert!(look(&mut asking).is_pending());
        let far = Probe::new();
        let begun = Instant::now();
        let good = pool.connect(Connect::tcp(address).tls(client), far.session());
        let accepted = within(asking).await.unwrap();
        let good = within(good).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(accepted.peer_addr(), good.local_addr());

        // How many there may be is bounded, and none is taken while nobody asks.
        let many = peer(move || {
            let mut many: Vec<_> = (0..40).map(|_| dial(address)).collect();
            assert!(waits(&mut many[0]));
            many
        })
        .await;
        assert_eq!(acceptor.server().info().accepted, 9);
        let mut asking = Box::pin(acceptor.accept());
        assert!(look(&mut asking).is_pending());
        until(|| acceptor.server().info().accepted == 18).await;
        let mut many = peer(move || {
            let mut many = many;
            assert!(waits(&mut many[39]));
            many
        })
        .await;
        assert_eq!(acceptor.server().info().accepted, 18);
        drop(asking);
        acceptor.close().await;
        many.extend(silent);
        drop(many);
    });
}

#[test]
fn sessions_for_hosts_are_refused_where_there_are_none() {
    with_pool(async |pool| {
        let (server, _) = pair();
        let listen = local().tls(server);
        let listen = listen.host_session("localhost", |client| Echo { client });
        let error = pool.open_listener(listen).await.unwrap_err();
        assert_eq!(error.phase, ListenPhase::Options);
    });
}
