//! Who the client is.

use bytes::Bytes;
use switchboard::TlsVersion;
use switchboard::tls::{ClientAuth, TlsClient, TlsServer};
use switchboard_tests::certificates::Authority;
use switchboard_tests::*;

use super::meet_midstream;

/// XAS-54: none, optional and required. Those that are refused are in the table of `bad`.
#[test]
fn a_server_sees_the_certificate_that_it_has_asked_for() {
    with_pool(async |pool| {
        let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
        let identity = ours.issue(&["localhost"]).identity();
        let me = theirs.issue(&["me"]);
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let client = TlsClient::builder(ours.roots()).versions(version..=version);
            let bare = client.clone().build().unwrap();
            let named = client.identity(me.identity()).build().unwrap();
            for (auth, client, seen) in [
                (ClientAuth::None, &named, false),
                (ClientAuth::Optional(theirs.roots()), &bare, false),
                (ClientAuth::Optional(theirs.roots()), &named, true),
                (ClientAuth::Required(theirs.roots()), &named, true),
            ] {
                let server = TlsServer::builder(identity.clone()).client_auth(auth.clone());
                let server = server.build().unwrap();
                let (near, far) = meet_midstream(&pool, &server, client, "localhost").await;
                near.unwrap();
                let seen = seen.then(|| Bytes::from(me.der.clone()));
                let found = far.unwrap().peer_certificates.clone();
                assert_eq!(found, Vec::from_iter(seen), "{version}, {auth:?}");
            }
        }
    });
}

#[test]
fn a_certificate_that_was_not_demanded_is_verified_all_the_same() {
    with_pool(async |pool| {
        let ours = Authority::new("ours");
        let server = TlsServer::builder(ours.issue(&["localhost"]).identity())
            .client_auth(ClientAuth::Optional(ours.roots()))
            .build()
            .unwrap();
        let client = TlsClient::builder(ours.roots())
            .identity(Authority::new("theirs").issue(&["me"]).identity())
            .build()
            .unwrap();
        let (near, far) = meet_midstream(&pool, &server, &client, "localhost").await;
        near.unwrap_err();
        far.unwrap_err();
    });
}
