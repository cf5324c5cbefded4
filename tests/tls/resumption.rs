//! Sessions that are resumed, and that are not.

use bytes::Bytes;
use switchboard::tls::{ClientAuth, TlsClient, TlsServer};
use switchboard::{Connect, ConnectionOptions, TlsVersion};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

use super::{listen, talk};

#[test]
fn a_session_is_resumed_unless_one_side_does_not_want_it() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let server = TlsServer::builder(authority.issue(&["localhost"]).identity());
        let client = TlsClient::builder(authority.roots());
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            for (there, here) in [(true, true), (true, false), (false, true)] {
                let server = server.clone().versions(version..=version).resumption(there);
                let server = server.build().unwrap();
                let client = client.clone().resumption(here).build().unwrap();
                let mut far = Probe::new();
                let listener = listen(&pool, &server, &far).await;
                let address = listener.local_addr();
                let first = talk(address, &pool, &client, "localhost", &mut far).await;
                let second = talk(address, &pool, &client, "localhost", &mut far).await;
                assert_eq!(
                    (first.resumed, second.resumed),
                    (false, there && here),
                    "{version}: server {there}, client {here}"
                );
                // Who the server is does not have to be asked again to be known.
                assert_eq!(first.peer_certificates, second.peer_certificates);
                let counts = listener.info().tls;
                let resumed = u64::from(there && here);
                assert_eq!(
                    (counts.handshakes, counts.resumed, counts.failed),
                    (2, resumed, 0)
                );
                far.finish();
            }
        }
    });
}

#[test]
fn no_other_client_resumes_a_session() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let server = TlsServer::builder(authority.issue(&["localhost"]).identity());
        let server = server.build().unwrap();
        let mut far = Probe::new();
        let address = listen(&pool, &server, &far).await.local_addr();
        for _ in 0..2 {
            let client = TlsClient::builder(authority.roots()).build().unwrap();
            let tls = talk(address, &pool, &client, "localhost", &mut far).await;
            assert!(!tls.resumed);
        }
        far.finish();
    });
}

#[test]
fn a_client_that_resumes_is_still_known_by_its_certificate() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let me = authority.issue(&["me"]);
        let server = TlsServer::builder(authority.issue(&["localhost", "127.0.0.1"]).identity())
            .client_auth(ClientAuth::Required(authority.roots()))
            .build()
            .unwrap();
        let client = TlsClient::builder(authority.roots()).identity(me.identity());
        let client = client.build().unwrap();
        let mut far = Probe::new();
        let listener = listen(&pool, &server, &far).await;
        for resumed in [false, true] {
            let near = &mut Probe::new();
            let connect = Connect::tcp(listener.local_addr()).lines();
            let one = pool
                .connect(connect.tls(client.clone()), near.session())
                .await;
            let other = expect!(far, Accepted).handle;
            let seen = expect!(far, TlsStarted).tls;
            assert_eq!(seen.resumed, resumed);
            assert_eq!(seen.peer_certificates, [Bytes::from(me.der.clone())]);
            other.send_line("hello").unwrap();
            expect!(near, Connected);
            expect!(near, TlsStarted);
            near.expect_line("hello").await;
            one.unwrap().close();
            expect!(near, Closed);
            expect!(far, Closed);
        }
        far.finish();
    });
}
