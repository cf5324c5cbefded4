//! What both sides know of a connection that speaks TLS.

use std::net::TcpStream;

use switchboard::tls::TlsConfig;
use switchboard::{Client, Connect, ConnectionOptions, ExtraInfo, Listen, Pool};
use switchboard_tests::*;

use super::pair;

/// A TLS connection of this pool, seen from the client and from the server.
async fn connect(pool: &Pool, near: &mut Probe, far: &mut Probe) -> (Client, Client) {
    let (server, client) = pair();
    let listen = Listen::tcp("127.0.0.1:0").lines().tls(server);
    let address = pool
        .listen(listen, far.full_session())
        .await
        .unwrap()
        .local_addr();
    let connect = Connect::tcp(address).lines().tls(client);
    let client = pool.connect(connect, near.full_session()).await.unwrap();
    expect!(near, Connected);
    expect!(near, TlsStarted);
    let peer = expect!(far, Accepted).handle;
    expect!(far, TlsStarted);
    (client, peer)
}

/// AIO-02: each key on TLS; on plain TCP those of TLS give the default.
#[test]
fn aio_02_extra_information_has_asyncios_names() {
    with_pool(async |pool| {
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let (client, peer) = connect(&pool, &mut near, &mut far).await;
        let info = client.info().tls.expect("TLS");
        match client.extra_info("cipher") {
            Some(ExtraInfo::Cipher {
                name,
                version,
                bits,
            }) => {
                assert_eq!((name, bits), (info.cipher.name, info.cipher.bits));
                assert_eq!(version, info.version);
                assert!(
                    name.starts_with("TLS13_") || name.starts_with("TLS_"),
                    "{name}"
                );
            }
            other => panic!("no cipher but {other:?}"),
        }
        assert!(matches!(
            client.extra_info("peercert"),
            Some(ExtraInfo::Certificate(der)) if der == info.peer_certificates[0]
        ));
        assert!(peer.extra_info("peercert").is_none(), "the client has none");
        assert!(matches!(
            client.extra_info("sslcontext"),
            Some(ExtraInfo::TlsConfig(TlsConfig::Client(_)))
        ));
        assert!(matches!(
            peer.extra_info("sslcontext"),
            Some(ExtraInfo::TlsConfig(TlsConfig::Server(_)))
        ));
        assert!(matches!(
            client.extra_info("peername"),
            Some(ExtraInfo::Address(address)) if Some(&address) == peer.local().as_ref()
        ));
        assert!(matches!(
            client.extra_info("sockname"),
            Some(ExtraInfo::Address(address)) if Some(&address) == peer.peer().as_ref()
        ));
        assert!(client.extra_info("compression").is_none());
        assert!(client.extra_info("no such thing").is_none());
        client.close();
        expect!(near, Closed);
        near.finish();
        expect!(far, PeerFinished);
        expect!(far, Closed);
        far.finish();

        let (listener, address) = listener();
        let mut plain = Probe::new();
        let connect = Connect::tcp(address);
        let client = pool.connect(connect, plain.full_session()).await.unwrap();
        expect!(plain, Connected);
        for name in ["cipher", "peercert", "sslcontext"] {
            assert!(client.extra_info(name).is_none(), "{name}");
        }
        assert!(client.extra_info("peername").is_some());
        client.close();
        drop(listener);
        expect!(plain, Closed);
        plain.finish();
    });
}

/// AIO-07: the marks are the same with and without TLS.
#[test]
fn aio_07_the_write_limits_are_those_of_tcp() {
    with_pool(async |pool| {
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let (client, peer) = connect(&pool, &mut near, &mut far).await;
        for client in [client, peer] {
            assert_eq!(client.info().activity.write_limits, (65_536, 16_384));
            client.abort();
        }
    });
}

/// ACO-01: sockets that exist already speak TLS, too.
#[test]
fn aco_01_an_adopted_pair_speaks_tls() {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let (listener, address) = listener();
        let listen = Listen::adopt(listener).lines().tls(server);
        pool.listen(listen, far.full_session()).await.unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let connect = Connect::adopt(stream).server_name("localhost").tls(client);
        let client = pool.connect(connect, near.full_session()).await.unwrap();
        expect!(near, Connected);
        let tls = expect!(near, TlsStarted).tls;
        assert_eq!(tls.server_name.as_deref(), Some("localhost"));
        expect!(far, Accepted);
        expect!(far, TlsStarted);
        client.send_line("hello").unwrap();
        assert_eq!(&*expect!(far, LineReceived).line, b"hello");
        client.close();
        expect!(near, Closed);
        expect!(far, PeerFinished);
        expect!(far, Closed);
        near.finish();
        far.finish();
    });
}
