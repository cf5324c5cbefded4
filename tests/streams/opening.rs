//! Opening a stream: what comes of it, and what is refused.

use std::net::{Ipv4Addr, SocketAddr};

use switchboard::tls::{TlsClient, TlsServer};
use switchboard::{ConnectError, ConnectPhase, Listen, ReconnectConfig, SendRefusal, stream};
use switchboard_tests::certificates::Authority;

use super::*;

async fn refused(pool: &Pool, connect: Connect) -> ConnectError {
    open_connection(pool, connect).await.unwrap_err()
}

#[test]
fn ua_12_a_peer_that_refuses_is_an_error() {
    with_pool(async |pool| {
        let (listener, address) = listener();
        drop(listener);
        let error = refused(&pool, Connect::tcp(address)).await;
        assert_eq!(error.kind, std::io::ErrorKind::ConnectionRefused);
        assert_eq!(error.phase, ConnectPhase::Connect);
        assert_eq!(pool.connections().await.unwrap(), []);
    });
}

#[test]
fn ua_12_a_name_that_does_not_resolve_is_an_error_and_holds_nobody_up() {
    with_pool(async |pool| {
        let naming = refused(&pool, Connect::tcp("no-such-host.invalid:80"));
        let working = async {
            let (mut reader, mut writer, mut peer) = stream(&pool).await;
            std::thread::spawn(move || {
                let question = read_exact(&mut peer, 4);
                std::io::Write::write_all(&mut peer, &question).unwrap();
            });
            writer.write("ping").unwrap();
            assert_eq!(reader.read_exact(4).await.unwrap(), "ping");
        };
        let (error, ()) = tokio::join!(naming, working);
        assert_eq!(error.phase, ConnectPhase::Resolve);
    });
}

#[test]
fn aio_42_the_peer_sees_the_local_address_that_was_asked_for() {
    with_pool(async |pool| {
        let ours = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0));
        let from = |connect: Connect| connect.local_addr(ours);
        let (_reader, writer, peer) = stream_with(&pool, from).await;
        assert_eq!(peer.peer_addr().unwrap().ip(), ours.ip());
        let local = writer.client().local_addr().unwrap();
        assert_eq!(peer.peer_addr().unwrap(), local);
    });
}

#[test]
fn a_stream_is_one_link() {
    with_pool(async |pool| {
        let connect = Connect::tcp(ANY).reconnect(ReconnectConfig::default());
        let error = refused(&pool, connect).await;
        assert_eq!(error.kind, std::io::ErrorKind::InvalidInput);
        assert_eq!(error.phase, ConnectPhase::Options);
    });
}

#[test]
fn aio_42_tls_holds_for_the_right_name_only_and_is_finished_by_closing() {
    with_pool(async |pool| {
        let authority = Authority::new("the test's own");
        let identity = authority.issue(&["localhost"]).identity();
        let tls = TlsServer::builder(identity).build().unwrap();
        let listen = Listen::tcp(ANY).tls(tls);
        let echo = async |mut reader: Reader, mut writer: Writer| {
            while let Ok(line) = reader.read_line().await
                && !line.is_empty()
            {
                writer.write(line).unwrap();
            }
        };
        let server = stream::start_server(&pool, listen, echo).await.unwrap();
        let tls = TlsClient::builder(authority.roots()).build().unwrap();
        let connect = Connect::tcp(server.local_addr()).tls(tls);
        let wrong = connect.clone().server_name("elsewhere");
        assert_eq!(refused(&pool, wrong).await.phase, ConnectPhase::Tls);

        let right = connect.server_name("localhost");
        let (mut reader, mut writer) = open_connection(&pool, right).await.unwrap();
        writer.write("hello\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), "hello\n");
        assert!(writer.extra_info("cipher").is_some());
        assert!(!writer.can_write_eof());
        assert_eq!(writer.write_eof(), Err(SendRefusal::Unsupported));
        writer.write("again\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), "again\n");
        tokio::io::AsyncWriteExt::shutdown(&mut writer)
            .await
            .unwrap();
        assert!(writer.is_closing());
        writer.wait_closed().await.unwrap();
        server.close().await;
        server.wait_drained().await;
    });
}
