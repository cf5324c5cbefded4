//! What the builders take, and what they refuse.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use rcgen::KeyPair;
use switchboard::message::{ClientEvent, RecvLine, StartTls};
use switchboard::tls::{
    ClientAuth, Identity, Provider, Roots, TlsClient, TlsConfigError, TlsServer, fingerprint,
};
use switchboard::{Connect, Listen, TlsError, TlsVersion};
use switchboard_tests::certificates::{Authority, Issued, self_signed};
use switchboard_tests::*;

use super::{listen, meet_midstream, talk};

/// Files that are gone with it.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, contents: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("switchboard-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for (file, contents) in contents {
            std::fs::write(path.join(file), contents).unwrap();
        }
        Self(path)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key_of(issued: &Issued) -> Vec<u8> {
    KeyPair::from_pem(&issued.key).unwrap().serialize_der()
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let authority = Authority::new("ours");
    let (one, other) = (
        authority.issue(&["a.example"]),
        authority.issue(&["b.example"]),
    );
    let server = || TlsServer::builder(one.identity());
    let client = || TlsClient::builder(authority.roots());
    let mixed = || Identity::from_pem(&one.certificate, &other.key).unwrap();
    let files = Files::new("bad", &[("empty", "")]);
    use TlsConfigError as E;
    type Refusal = fn(&E) -> bool;
    let rows: Vec<(E, Refusal)> = vec![
        (TlsServer::builder(mixed()).build().unwrap_err(), |e| {
            matches!(e, E::KeyMismatch)
        }),
        (client().identity(mixed()).build().unwrap_err(), |e| {
            matches!(e, E::KeyMismatch)
        }),
        (
            server().host("b.example", mixed()).build().unwrap_err(),
            |e| matches!(e, E::KeyMismatch),
        ),
        (
            server()
                .host("c.example", other.identity())
                .build()
                .unwrap_err(),
            |e| matches!(e, E::WrongHost { name } if name == "c.example"),
        ),
        (
            server()
                .host("127.0.0.1", other.identity())
                .build()
                .unwrap_err(),
            |e| matches!(e, E::BadName { name } if name == "127.0.0.1"),
        ),
        (
            server()
                .host("b.example", other.identity())
                .host("B.example", other.identity())
                .build()
                .unwrap_err(),
            |e| matches!(e, E::DuplicateHost { .. }),
        ),
        (
            server()
                .handshake_timeout(Duration::ZERO)
                .build()
                .unwrap_err(),
            |e| matches!(e, E::ZeroTimeout),
        ),
        (
            client()
                .handshake_timeout(Duration::ZERO)
                .build()
                .unwrap_err(),
            |e| matches!(e, E::ZeroTimeout),
        ),
        (
            server().versions(..TlsVersion::Tls12).build().unwrap_err(),
            |e| matches!(e, E::NoVersion),
        ),
        (
            client().versions(..TlsVersion::Tls12).build().unwrap_err(),
            |e| matches!(e, E::NoVersion),
        ),
        (server().alpn([""]).build().unwrap_err(), |e| {
            matches!(e, E::BadProtocol)
        }),
        (client().alpn([vec![b'x'; 256]]).build().unwrap_err(), |e| {
            matches!(e, E::BadProtocol)
        }),
        (
            client().alpn(vec![[b'x'; 255]; 256]).build().unwrap_err(),
            |e| !matches!(e, E::NoPin),
        ),
        (TlsClient::pinned([]).build().unwrap_err(), |e| {
            matches!(e, E::NoPin)
        }),
        (Identity::from_pem("", &one.key).unwrap_err(), |e| {
            matches!(e, E::NoCertificate { .. })
        }),
        (
            Identity::from_pem(&one.certificate, &one.certificate).unwrap_err(),
            |e| matches!(e, E::NoKey { .. }),
        ),
        (
            Identity::from_der([b""; 0], key_of(&one)).unwrap_err(),
            |e| matches!(e, E::NoCertificate { .. }),
        ),
        (
            Identity::from_der([&*one.der], b"no key").unwrap_err(),
            |e| matches!(e, E::Unusable { .. }),
        ),
        (Roots::from_der([b"nothing"]).unwrap_err(), |e| {
            matches!(e, E::Unusable { .. })
        }),
        (Roots::from_der([b""; 0]).unwrap_err(), |e| {
            matches!(e, E::NoCertificate { .. })
        }),
        (Roots::from_pem("nothing").unwrap_err(), |e| {
            matches!(e, E::NoCertificate { .. })
        }),
        (
            Roots::from_pem_file(files.path("empty")).unwrap_err(),
            |e| matches!(e, E::NoCertificate { place } if place.ends_with("empty")),
        ),
        (Roots::from_pem_file(files.path("none")).unwrap_err(), |e| {
            matches!(e, E::File { path, source }
                if path.ends_with("none") && source.kind() == io::ErrorKind::NotFound)
        }),
    ];
    for (at, (error, expected)) in rows.iter().enumerate() {
        assert!(expected(error), "row {at}: {error:?}");
    }
}

#[test]
fn identities_and_roots_in_der_serve_as_those_in_pem_do_and_roots_are_joined() {
    with_pool(async |pool| {
        let (one, other) = (Authority::new("one"), Authority::new("other"));
        let joined = one.roots().with(other.roots());
        let client = TlsClient::builder(joined).build().unwrap();
        for authority in [&one, &other] {
            let issued = authority.issue(&["localhost"]);
            let identity = Identity::from_der([issued.der.clone()], key_of(&issued)).unwrap();
            let server = TlsServer::builder(identity).build().unwrap();
            let (near, _) = meet_midstream(&pool, &server, &client, "localhost").await;
            assert_eq!(
                near.unwrap().peer_certificates,
                [Bytes::from(issued.der.clone())]
            );
            let roots = Roots::from_der([authority.der()]).unwrap();
            let client = TlsClient::builder(roots).build().unwrap();
            let (near, _) = meet_midstream(&pool, &server, &client, "localhost").await;
            near.unwrap();
        }
        // One that has signed itself, trusted as it is.
        let issued = self_signed(&["localhost"]);
        let roots = Roots::from_der([issued.der.clone()]).unwrap();
        let client = TlsClient::builder(roots).build().unwrap();
        let server = TlsServer::builder(issued.identity()).build().unwrap();
        let (near, _) = meet_midstream(&pool, &server, &client, "localhost").await;
        near.unwrap();
    });
}

#[test]
fn the_server_chooses_the_protocol_and_both_sides_know_it() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let identity = authority.issue(&["localhost"]).identity();
        let server = TlsServer::builder(identity)
            .alpn(["h2", "http/1.1"])
            .build()
            .unwrap();
        let rows: [(&[&str], Option<&str>); 3] = [
            (&["http/1.1", "h2"], Some("h2")),
            (&["x", "http/1.1"], Some("http/1.1")),
            (&[], None),
        ];
        for (offered, agreed) in rows {
            let client = TlsClient::builder(authority.roots())
                .alpn(offered)
                .build()
                .unwrap();
            let (near, far) = meet_midstream(&pool, &server, &client, "localhost").await;
            let agreed = agreed.map(|name| Bytes::copy_from_slice(name.as_bytes()));
            assert_eq!(
                (near.unwrap().alpn.clone(), far.unwrap().alpn.clone()),
                (agreed.clone(), agreed)
            );
        }
    });
}

#[test]
fn versions_are_a_range_and_the_newest_in_common_is_spoken() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let server = TlsServer::builder(authority.issue(&["localhost"]).identity());
        let client = TlsClient::builder(authority.roots());
        let (old, new) = (TlsVersion::Tls12, TlsVersion::Tls13);
        for (server, client, spoken) in [
            (server.clone(), client.clone(), new),
            (server.clone().versions(..=old), client.clone(), old),
            (server.clone().versions(new..), client.clone(), new),
            (server.clone(), client.clone().versions(old..new), old),
            (server.versions(..), client.versions(new..=new), new),
        ] {
            let (server, client) = (server.build().unwrap(), client.build().unwrap());
            let (near, far) = meet_midstream(&pool, &server, &client, "localhost").await;
            assert_eq!(
                (near.unwrap().version, far.unwrap().version),
                (spoken, spoken)
            );
        }
    });
}

/// Neither name nor time nor issuer is looked at, but the certificate itself.
#[test]
fn a_pinned_certificate_is_accepted_whatever_else_it_is() {
    with_pool(async |pool| {
        let (pinned, next) = (self_signed(&["a.example"]), self_signed(&["a.example"]));
        let pins = [fingerprint(&next.der), fingerprint(&pinned.der)];
        let client = TlsClient::pinned(pins).build().unwrap();
        for issued in [&pinned, &next] {
            let server = TlsServer::builder(issued.identity()).build().unwrap();
            let (near, _) = meet_midstream(&pool, &server, &client, "b.example").await;
            near.unwrap();
        }
    });
}

/// What `openssl dgst -sha256` says of three bytes (FIPS 180-2, B.1).
#[test]
fn a_fingerprint_is_a_sha_256() {
    let hex: String = fingerprint(b"abc")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

/// T-13.
#[test]
fn t_13_without_verification_anybody_is_accepted_and_only_then() {
    with_pool(async |pool| {
        let server = TlsServer::builder(self_signed(&["a.example"]).identity());
        let server = server.build().unwrap();
        let client = TlsClient::danger_without_verification().build().unwrap();
        let (near, _) = meet_midstream(&pool, &server, &client, "b.example").await;
        near.unwrap();
        let client = TlsClient::builder(Authority::new("ours").roots())
            .build()
            .unwrap();
        let (near, _) = meet_midstream(&pool, &server, &client, "a.example").await;
        assert!(matches!(near, Err(TlsError::Certificate(_))));
    });
}

/// XAS-54: each level of verification, from files.
#[test]
fn xas_54_an_upgrade_is_made_from_files() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let issued = authority.issue(&["localhost"]);
        let files = Files::new(
            "upgrade",
            &[
                ("certificate.pem", &issued.certificate),
                ("key.pem", &issued.key),
                ("authority.pem", &authority.pem()),
            ],
        );
        let bare = StartTls::client_from_files(files.path("authority.pem"), "localhost").unwrap();
        let client =
            TlsClient::builder(authority.roots()).identity(authority.issue(&["me"]).identity());
        let named = StartTls::client(client.build().unwrap(), "localhost");
        let (none, optional, required) = (
            ClientAuth::None,
            ClientAuth::Optional(authority.roots()),
            ClientAuth::Required(authority.roots()),
        );
        // Whether it presents a certificate, and what the server sees of it.
        for (auth, client, seen) in [
            (&none, &bare, Some(0)),
            (&none, &named, Some(0)),
            (&optional, &bare, Some(0)),
            (&optional, &named, Some(1)),
            (&required, &bare, None),
            (&required, &named, Some(1)),
        ] {
            let (key, certificate) = (files.path("key.pem"), files.path("certificate.pem"));
            let server = StartTls::server_from_files(certificate, key, auth.clone()).unwrap();
            let (mut near, mut far) = (Probe::new(), Probe::new());
            let listener = pool
                .listen(Listen::tcp("127.0.0.1:0"), far.session())
                .await
                .unwrap();
            let connect = Connect::tcp(listener.local_addr());
            let one = pool.connect(connect, near.session()).await.unwrap();
            let other = far.expect_open().await;
            other.start_tls(server).unwrap();
            one.start_tls(client.clone()).unwrap();
            // Whoever has been refused already needs none.
            let _ = one.arm(RecvLine::once());
            let _ = other.arm(RecvLine::once());
            let told = far.next().await;
            let found = match &told {
                ClientEvent::TlsStarted(event) => Some(event.tls.peer_certificates.len()),
                _ => None,
            };
            assert_eq!(found, seen, "{auth:?}: {}", told.name());
            let (refused, done) = (u64::from(found.is_none()), u64::from(found.is_some()));
            let counts = listener.info().tls;
            assert_eq!((counts.handshakes, counts.failed), (done, refused));
            one.close();
            while !matches!(near.next().await, ClientEvent::Closed(_)) {}
            if found.is_some() {
                while !matches!(far.next().await, ClientEvent::Closed(_)) {}
            }
            near.finish();
            far.finish();
        }
        let gone = StartTls::client_from_files(files.path("none"), "localhost");
        assert!(matches!(gone, Err(TlsConfigError::File { .. })));
        TlsServer::from_pem_files(files.path("certificate.pem"), files.path("key.pem")).unwrap();
    });
}

/// The cryptography is the one that was named, on each side for itself.
#[test]
fn each_side_has_the_provider_that_it_was_given() {
    let providers = [
        Provider::Ring,
        #[cfg(feature = "aws-lc-rs")]
        Provider::AwsLcRs,
    ];
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        for theirs in providers {
            let identity = authority.issue(&["localhost"]).identity();
            let auth = ClientAuth::Required(authority.roots());
            let server = TlsServer::builder(identity)
                .provider(theirs)
                .client_auth(auth);
            let server = server.build().unwrap();
            for ours in providers {
                let client = TlsClient::builder(authority.roots()).provider(ours);
                let client = client
                    .identity(authority.issue(&["me"]).identity())
                    .build()
                    .unwrap();
                let mut far = Probe::new();
                let address = listen(&pool, &server, &far).await.local_addr();
                for resumed in [false, true] {
                    let tls = talk(address, &pool, &client, "localhost", &mut far).await;
                    assert_eq!(tls.resumed, resumed);
                }
                far.finish();
            }
        }
    });
}

/// What the environment says does nothing alone.
#[test]
fn keys_are_written_down_only_where_that_was_asked_for() {
    const TEST: &str = "config::keys_are_written_down_only_where_that_was_asked_for";
    if !is_rerun() {
        let files = Files::new("keys", &[]);
        let log = files.path("keys");
        let output = rerun(TEST, None)
            .env("SSLKEYLOGFILE", &log)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains("1 passed"),
            "{told}"
        );
        let keys = std::fs::read_to_string(log).unwrap();
        assert_eq!(keys.matches("CLIENT_TRAFFIC_SECRET_0").count(), 2, "{keys}");
        return;
    }
    let log = std::env::var_os("SSLKEYLOGFILE").unwrap();
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let server = TlsServer::builder(authority.issue(&["localhost"]).identity());
        let client = TlsClient::builder(authority.roots());
        let (quiet, loud) = (server.clone(), server.key_log());
        let (quiet, loud) = (quiet.build().unwrap(), (loud, client.clone().key_log()));
        let client = client.build().unwrap();
        meet_midstream(&pool, &quiet, &client, "localhost")
            .await
            .0
            .unwrap();
        assert!(!std::fs::exists(&log).unwrap());
        let server = loud.0.build().unwrap();
        meet_midstream(&pool, &server, &client, "localhost")
            .await
            .0
            .unwrap();
        let client = loud.1.build().unwrap();
        meet_midstream(&pool, &quiet, &client, "localhost")
            .await
            .0
            .unwrap();
    });
}
