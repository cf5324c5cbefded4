//! What a server of ours and a client of ours can choose, seen by OpenSSL: protocols, certificates by
//! name, certificates of clients, resumption.

use rcgen::DnType;
use switchboard::tls::{ClientAuth, Identity, TlsClient, TlsServer, UnknownHost};
use switchboard::{CertificateError, TlsError};
use switchboard_tests::certificates::{Authority, params};

use crate::openssl_client::{authority, client, echo_and_quit};
use crate::openssl_server::OpensslServer;
use crate::ours::{Dialled, Server};
use crate::programs::{as_str, peer};

#[test]
fn a_protocol_that_both_sides_speak_is_agreed_on() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, directory) = authority();
    let certificate = authority.issue(&["localhost"]);
    let tls = TlsServer::builder(certificate.identity()).alpn(["spare", "echo"]);
    let server = Server::start(tls.build().unwrap());
    let told = echo_and_quit(client(
        &openssl,
        server.address,
        &directory,
        &["-alpn", "other,echo"],
    ));
    assert!(told.contains("ALPN protocol: echo"), "{told}");
    assert_eq!(server.log.secured().alpn.as_deref(), Some(&b"echo"[..]));
    server.log.ends_cleanly();
    let refused = client(&openssl, server.address, &directory, &["-alpn", "other"]).end();
    assert!(!refused.status.success(), "{}", refused.text());
    assert_eq!(server.log.failure(), TlsError::NoProtocol);

    let server = OpensslServer::start(&openssl, &certificate, &authority, &["-alpn", "reverse"]);
    let tls = TlsClient::builder(authority.roots()).alpn(["other", "reverse"]);
    let dialled = Dialled::start(&server.address, tls.build().unwrap(), "localhost", "abc\n");
    assert_eq!(dialled.log.secured().alpn.as_deref(), Some(&b"reverse"[..]));
    assert_eq!(dialled.log.line(), "cba");
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, directory) = authority();
    let tls = TlsServer::builder(named(&authority, "first.example"))
        .host("second.example", named(&authority, "second.example"))
        .host("*.wild.example", named(&authority, "*.wild.example"));
    let server = Server::start(tls.build().unwrap());
    for (asked, shown) in [
        ("first.example", "first.example"),
        ("second.example", "second.example"),
        ("any.wild.example", "*.wild.example"),
        ("unheard-of.example", "first.example"),
    ] {
        let arguments = ["-servername", asked];
        let told = echo_and_quit(client(&openssl, server.address, &directory, &arguments));
        assert!(
            told.contains(&format!("CN = {shown}\n")),
            "{asked}:\n{told}"
        );
        let info = server.log.secured();
        assert_eq!(info.server_name.as_deref(), Some(asked));
        server.log.ends_cleanly();
    }
    let told = echo_and_quit(client(
        &openssl,
        server.address,
        &directory,
        &["-noservername"],
    ));
    assert!(told.contains("CN = first.example\n"), "{told}");
    assert_eq!(server.log.secured().server_name, None);
}

/// A certificate whose subject says its name, too.
fn named(authority: &Authority, name: &str) -> Identity {
    let mut params = params(&[name]);
    params.distinguished_name.push(DnType::CommonName, name);
    authority.issue_with(params).identity()
}

#[test]
fn a_name_that_is_not_served_can_be_refused() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, directory) = authority();
    let tls = TlsServer::builder(authority.issue(&["first.example"]).identity())
        .host(
            "first.example",
            authority.issue(&["first.example"]).identity(),
        )
        .unknown_host(UnknownHost::Refuse);
    let server = Server::start(tls.build().unwrap());
    let ended = client(
        &openssl,
        server.address,
        &directory,
        &["-servername", "other.example"],
    )
    .end();
    assert!(!ended.status.success(), "{}", ended.text());
    let name = Some("other.example".to_owned());
    assert_eq!(server.log.failure(), TlsError::UnknownHost { name });
    let arguments = ["-servername", "first.example"];
    echo_and_quit(client(&openssl, server.address, &directory, &arguments));
}

/// XAS-54: each level of asking for a certificate.
#[test]
fn xas_54_a_client_certificate_is_asked_for_as_configured() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, directory) = authority();
    let stranger = Authority::new("somebody else");
    let certificate = authority.issue(&["ada"]);
    let shown = [("good", &certificate), ("bad", &stranger.issue(&["ada"]))];
    for (name, certificate) in shown {
        directory.write(&format!("{name}.crt"), &certificate.certificate);
        directory.write(&format!("{name}.key"), &certificate.key);
    }
    let (cert, key) = (directory.path("good.crt"), directory.path("good.key"));
    let good = ["-cert", as_str(&cert), "-key", as_str(&key)];
    let (cert, key) = (directory.path("bad.crt"), directory.path("bad.key"));
    let bad = ["-cert", as_str(&cert), "-key", as_str(&key)];

    let serve = |auth| {
        let identity = authority.issue(&["localhost"]).identity();
        Server::start(
            TlsServer::builder(identity)
                .client_auth(auth)
                .build()
                .unwrap(),
        )
    };
    for version in ["-tls1_2", "-tls1_3"] {
        let dial = |server: &Server, arguments: &[&str]| {
            client(
                &openssl,
                server.address,
                &directory,
                &[&[version], arguments].concat(),
            )
        };
        for auth in [
            ClientAuth::Required(authority.roots()),
            ClientAuth::Optional(authority.roots()),
        ] {
            let required = matches!(auth, ClientAuth::Required(_));
            let server = serve(auth);
            echo_and_quit(dial(&server, &good));
            let info = server.log.secured();
            assert_eq!(info.peer_certificates[0], certificate.der, "{version}");
            server.log.ends_cleanly();

            let refused = dial(&server, &bad);
            let error = server.log.failure();
            let unknown = TlsError::Certificate(CertificateError::UnknownIssuer);
            assert_eq!(error, unknown, "{version}");
            assert!(!refused.end().status.success(), "{version}");

            if required {
                let refused = dial(&server, &[]);
                assert_eq!(server.log.failure(), TlsError::NoCertificate, "{version}");
                assert!(!refused.end().status.success(), "{version}");
            } else {
                echo_and_quit(dial(&server, &[]));
                assert!(server.log.secured().peer_certificates.is_empty());
                server.log.ends_cleanly();
            }
            // Whoever was refused has not hurt those who come later.
            echo_and_quit(dial(&server, &good));
        }
        let server = serve(ClientAuth::None);
        echo_and_quit(dial(&server, &good));
        assert!(
            server.log.secured().peer_certificates.is_empty(),
            "{version}"
        );
    }
}

#[test]
fn a_session_is_resumed_when_both_sides_want_it() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, directory) = authority();
    for (version, resumption) in [
        ("-tls1_2", true),
        ("-tls1_3", true),
        ("-tls1_2", false),
        ("-tls1_3", false),
    ] {
        let identity = authority.issue(&["localhost"]).identity();
        let tls = TlsServer::builder(identity).resumption(resumption);
        let server = Server::start(tls.build().unwrap());
        let kept = directory.path("session.pem");
        let out = [
            version,
            "-servername",
            "localhost",
            "-sess_out",
            as_str(&kept),
        ];
        let told = echo_and_quit(client(&openssl, server.address, &directory, &out));
        assert!(told.contains("New, TLSv1"), "{told}");
        assert!(!server.log.secured().resumed);
        server.log.ends_cleanly();

        let back = [
            version,
            "-servername",
            "localhost",
            "-sess_in",
            as_str(&kept),
        ];
        let told = echo_and_quit(client(&openssl, server.address, &directory, &back));
        assert_eq!(
            told.contains("Reused, TLSv1"),
            resumption,
            "{version}:\n{told}"
        );
        assert_eq!(server.log.secured().resumed, resumption, "{version}");
        server.log.ends_cleanly();
    }
}

/// XAS-54.
#[test]
fn xas_54_our_certificate_is_shown_to_a_server_that_requires_one() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let authority = Authority::new("the test's own");
    let certificate = authority.issue(&["right.example"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let more = [version, "-Verify", "1", "-verify_return_error"];
        let server = OpensslServer::start(&openssl, &certificate, &authority, &more);
        let dial = |tls| Dialled::start(&server.address, tls, "right.example", "hello\n");
        let identity = authority.issue(&["ada"]).identity();
        let tls = TlsClient::builder(authority.roots()).identity(identity);
        assert_eq!(dial(tls.build().unwrap()).log.line(), "olleh", "{version}");

        // In TLS 1.3 the client has started when the server refuses it.
        let tls = TlsClient::builder(authority.roots());
        let error = dial(tls.build().unwrap()).log.failure();
        assert!(
            matches!(error, TlsError::Alert { .. }),
            "{version}: {error}"
        );
    }
}
