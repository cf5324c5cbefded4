//! TLS from the first byte.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use switchboard::tls::TlsServer;
use switchboard::{
    Cause, ClosePhase, ClosedReason, Connect, ConnectPhase, ConnectionOptions, Listen, Pool,
    TimeoutKind, TlsError, TlsVersion,
};
use switchboard_tests::*;

use super::pair;

/// Opens a listener of lines whose sessions hear everything.
async fn serve(pool: &Pool, tls: TlsServer, far: &Probe) -> SocketAddr {
    let listen = Listen::tcp("127.0.0.1:0").lines().tls(tls);
    let server = pool.listen(listen, far.full_session()).await.unwrap();
    server.local_addr()
}

/// AIO-40, XAS-56.
#[test]
fn aio_40_lines_travel_both_ways_and_both_sides_know_the_facts() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let address = serve(&pool, server, &far).await;
        let target = format!("localhost:{}", address.port());
        let connect = Connect::tcp(target).lines().tls(client);
        let client = pool.connect(connect, near.full_session()).await.unwrap();
        expect!(near, Connected);
        let tls = expect!(near, TlsStarted).tls;
        assert_eq!(tls.version, TlsVersion::Tls13);
        assert_eq!(tls.server_name.as_deref(), Some("localhost"));
        assert_eq!((tls.peer_certificates.len(), tls.resumed), (1, false));
        assert_eq!(client.info().tls, Some(tls.clone()));
        let peer = expect!(far, Accepted).handle;
        let seen = expect!(far, TlsStarted).tls;
        assert_eq!((seen.version, seen.cipher), (tls.version, tls.cipher));
        assert_eq!(seen.server_name, tls.server_name);
        client.send_line("over").unwrap();
        assert_eq!(&*expect!(far, LineReceived).line, b"over");
        peer.send_line("and back").unwrap();
        assert_eq!(&*expect!(near, LineReceived).line, b"and back");
        client.close();
        let closed = expect!(near, Closed);
        assert_eq!(closed.detail.cause, Cause::LocalClose);
        assert_eq!(closed.detail.tls, Some(tls));
        expect!(far, PeerFinished);
        let closed = expect!(far, Closed);
        assert_eq!(closed.detail.cause, Cause::PeerFinished);
        near.finish();
        far.finish();
    });
}

#[test]
fn plain_text_to_a_tls_port_is_named_and_harms_nobody_else() {
    with_pool(async |pool| {
        let (server, _) = pair();
        let mut far = Probe::new();
        let address = serve(&pool, server, &far).await;
        let answer = peer(move || {
            let mut peer = dial(address);
            peer.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .unwrap();
            read_all(&mut peer)
        })
        .await;
        // A fatal alert, and an end in order.
        assert_eq!(answer.first(), Some(&21));
        let closed = expect!(far, Closed);
        assert_eq!(closed.detail.cause, Cause::Tls(TlsError::NotTls));
        assert_eq!(closed.detail.phase, ClosePhase::Securing);
        assert_eq!(closed.reason, ClosedReason::Error);
        far.finish();
    });
}

#[test]
fn a_stalled_handshake_ends_with_its_timeout() {
    with_pool(async |pool| {
        let authority = certificates::Authority::new("test authority");
        let server = TlsServer::builder(authority.issue(&["localhost"]).identity())
            .handshake_timeout(Duration::from_millis(100))
            .build()
            .unwrap();
        let mut far = Probe::new();
        let address = serve(&pool, server, &far).await;
        let silent = dial(address);
        let closed = expect!(far, Closed);
        assert!(matches!(
            closed.detail.cause,
            Cause::Timeout {
                kind: TimeoutKind::Handshake,
                ..
            }
        ));
        assert_eq!(closed.reason, ClosedReason::Timeout);
        drop(silent);
        far.finish();
    });
}

#[test]
fn a_server_that_is_not_trusted_is_named() {
    with_pool(async |pool| {
        let (server, _) = pair();
        let (_, stranger) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let address = serve(&pool, server, &far).await;
        let error = pool
            .connect(Connect::tcp(address).tls(stranger), near.full_session())
            .await
            .unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Tls);
        assert!(
            matches!(error.tls.as_deref(), Some(TlsError::Certificate(_))),
            "{error}"
        );
        expect!(near, ConnectFailed);
        let closed = expect!(far, Closed);
        assert!(
            matches!(closed.detail.cause, Cause::Tls(TlsError::Alert { .. })),
            "{}",
            closed.detail
        );
        near.finish();
        far.finish();
    });
}

#[test]
fn a_server_name_without_tls_is_refused() {
    with_pool(async |pool| {
        let near = Probe::new();
        let connect = Connect::tcp("127.0.0.1:1").server_name("localhost");
        let error = pool.connect(connect, near.session()).await.unwrap_err();
        assert_eq!(error.phase, ConnectPhase::Options);
        assert!(error.message.contains("server name"), "{error}");
    });
}
