//! Other certificates, while the port stays open.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use bytes::Bytes;
use switchboard::tls::{ClientAuth, Identity, TlsClient, TlsConfigError, TlsServer};
use switchboard::{Connect, ConnectionOptions, TlsError, TlsInfo, TlsVersion};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

use super::{listen, meet, talk};

fn presented(tls: &Arc<TlsInfo>) -> &Bytes {
    &tls.peer_certificates[0]
}

#[test]
fn new_handshakes_get_the_new_certificate_and_connections_keep_theirs() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (old, new) = (
            authority.issue(&["localhost"]),
            authority.issue(&["localhost"]),
        );
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let server = TlsServer::builder(old.identity()).build().unwrap();
            let client = TlsClient::builder(authority.roots()).versions(version..=version);
            let client = client.build().unwrap();
            let (mut near, mut far) = (Probe::new(), Probe::new());
            let address = listen(&pool, &server, &far).await.local_addr();
            let first = talk(address, &pool, &client, "localhost", &mut far).await;
            assert_eq!(presented(&first), &old.der);

            let connect = Connect::tcp(address).lines().tls(client.clone());
            let connect = connect.server_name("localhost");
            let living = pool.connect(connect, near.session()).await.unwrap();
            expect!(near, Connected);
            assert!(expect!(near, TlsStarted).tls.resumed);
            let other = expect!(far, Accepted).handle;
            expect!(far, TlsStarted);

            server.reload(new.identity()).unwrap();
            let mut later = Probe::new();
            std::mem::swap(&mut later, &mut far);
            other.send_line("still here").unwrap();
            near.expect_line("still here").await;
            living.close();
            expect!(near, Closed);
            expect!(later, Closed);
            std::mem::swap(&mut later, &mut far);
            // The session from before counts no more.
            let second = talk(address, &pool, &client, "localhost", &mut far).await;
            assert!(!second.resumed);
            assert_eq!(presented(&second), &new.der);
            let third = talk(address, &pool, &client, "localhost", &mut far).await;
            assert!(third.resumed);
            near.finish();
            far.finish();
        }
    });
}

#[test]
fn a_bad_certificate_is_refused_and_the_old_one_stays() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (old, new) = (
            authority.issue(&["localhost"]),
            authority.issue(&["b.example"]),
        );
        let server = TlsServer::builder(old.identity()).host("b.example", new.identity());
        let server = server.build().unwrap();
        let mixed = || Identity::from_pem(&old.certificate, &new.key).unwrap();
        let refused = server.reload(mixed());
        assert!(matches!(refused, Err(TlsConfigError::KeyMismatch)));
        let refused = server.reload_host("b.example", old.identity());
        assert!(matches!(refused, Err(TlsConfigError::WrongHost { .. })));
        let refused = server.reload_host("c.example", new.identity());
        assert!(matches!(refused, Err(TlsConfigError::NoSuchHost { name }) if name == "c.example"));
        let client = TlsClient::builder(authority.roots()).build().unwrap();
        let mut far = Probe::new();
        let address = listen(&pool, &server, &far).await.local_addr();
        for (name, issued) in [("localhost", &old), ("b.example", &new)] {
            let tls = talk(address, &pool, &client, name, &mut far).await;
            assert_eq!(presented(&tls), &issued.der);
        }
        far.finish();
    });
}

#[test]
fn a_host_is_reloaded_and_the_others_keep_their_certificates_and_sessions() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let default = authority.issue(&["localhost"]);
        let wild = authority.issue(&["*.b.example"]);
        let server = TlsServer::builder(default.identity()).host("*.b.example", wild.identity());
        let server = server.build().unwrap();
        let client = TlsClient::builder(authority.roots()).build().unwrap();
        let mut far = Probe::new();
        let address = listen(&pool, &server, &far).await.local_addr();
        for name in ["localhost", "x.b.example"] {
            let tls = talk(address, &pool, &client, name, &mut far).await;
            assert!(!tls.resumed);
        }
        let new = authority.issue(&["*.b.example"]);
        server.reload_host("*.b.example", new.identity()).unwrap();
        let tls = talk(address, &pool, &client, "x.b.example", &mut far).await;
        assert_eq!(
            (presented(&tls), tls.resumed),
            (&Bytes::from(new.der), false)
        );
        let tls = talk(address, &pool, &client, "localhost", &mut far).await;
        assert_eq!(
            (presented(&tls), tls.resumed),
            (&Bytes::from(default.der), true)
        );
        far.finish();
    });
}

/// What a session was allowed before does not help to resume it.
#[test]
fn a_client_that_is_trusted_no_more_is_refused_from_the_reload_on() {
    with_pool(async |pool| {
        let (ours, theirs, others) = (
            Authority::new("ours"),
            Authority::new("theirs"),
            Authority::new("others"),
        );
        let server = TlsServer::builder(ours.issue(&["localhost"]).identity())
            .host("b.example", ours.issue(&["b.example"]).identity())
            .client_auth(ClientAuth::Required(theirs.roots()))
            .build()
            .unwrap();
        let mut far = Probe::new();
        let address = listen(&pool, &server, &far).await.local_addr();
        let me = |authority: &Authority| {
            let client = TlsClient::builder(ours.roots());
            let client = client.identity(authority.issue(&["me"]).identity());
            client.build().unwrap()
        };
        let (theirs, others_client) = (me(&theirs), me(&others));
        for name in ["localhost", "b.example"] {
            talk(address, &pool, &theirs, name, &mut far).await;
            assert!(talk(address, &pool, &theirs, name, &mut far).await.resumed);
        }
        server
            .reload_client_auth(ClientAuth::Required(others.roots()))
            .unwrap();
        for name in ["localhost", "b.example"] {
            let (near, there) = meet(address, &pool, &theirs, name, &mut far).await;
            near.unwrap_err();
            assert!(matches!(there, Err(TlsError::Certificate(_))), "{there:?}");
            talk(address, &pool, &others_client, name, &mut far).await;
        }
        far.finish();
    });
}

/// The server has answered before the reload, and its answer arrives after it.
#[test]
fn a_handshake_under_way_ends_with_the_certificate_that_it_began_with() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let (old, new) = (
            authority.issue(&["localhost"]),
            authority.issue(&["localhost"]),
        );
        let server = TlsServer::builder(old.identity()).build().unwrap();
        let client = TlsClient::builder(authority.roots()).build().unwrap();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let address = listen(&pool, &server, &far).await.local_addr();
        let ((between, between_address), reloading) = (listener(), server.clone());
        let passing = peer(move || {
            let (mut client, _) = between.accept().unwrap();
            let mut server = dial(address);
            let mut bytes = [0; 16 * 1024];
            let count = client.read(&mut bytes).unwrap();
            server.write_all(&bytes[..count]).unwrap();
            let count = server.read(&mut bytes).unwrap();
            reloading.reload(new.identity()).unwrap();
            client.write_all(&bytes[..count]).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let there = std::thread::spawn(move || {
                // It ends as the two sides end.
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            let _ = std::io::copy(&mut server, &mut client);
            let _ = client.shutdown(Shutdown::Write);
            there.join().unwrap();
        });
        let connect = Connect::tcp(between_address)
            .lines()
            .tls(client)
            .server_name("localhost");
        let connecting = async {
            let client = pool.connect(connect, near.session()).await.unwrap();
            client.close();
        };
        tokio::join!(passing, connecting);
        expect!(near, Connected);
        assert_eq!(presented(&expect!(near, TlsStarted).tls), &old.der);
        expect!(near, Closed);
        expect!(far, Accepted);
        expect!(far, TlsStarted);
        expect!(far, Closed);
        near.finish();
        far.finish();
    });
}
