//! What is wrong is named, on both sides, and harms nobody else.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use switchboard::tls::{ClientAuth, TlsClient, TlsClientBuilder, TlsServer, TlsServerBuilder};
use switchboard::{CertificateError, Connect, ConnectionOptions, Pool, TlsError, TlsVersion};
use switchboard_tests::certificates::{Authority, Issued, params, self_signed};
use switchboard_tests::*;

use super::{Outcome, Start, listen, meet, meet_midstream, pair};

/// Whether it is what a side is to say.
pub(super) type Expected = fn(&TlsError) -> bool;

/// One thing that is wrong, and what each side is to say of it.
struct Case {
    what: &'static str,
    server: TlsServerBuilder,
    client: TlsClientBuilder,
    name: &'static str,
    near: Expected,
    far: Expected,
}

/// Whether it is this alert.
pub(super) fn alert(error: &TlsError, wanted: &str) -> bool {
    matches!(error, TlsError::Alert { name, .. } if *name == wanted)
}

/// Whether a certificate was refused for this.
fn refused(error: &TlsError, wanted: CertificateError) -> bool {
    *error == TlsError::Certificate(wanted)
}

pub(super) fn serving(issued: &Issued) -> TlsServerBuilder {
    TlsServer::builder(issued.identity())
}

fn with_purpose(
    mut params: CertificateParams,
    purpose: ExtendedKeyUsagePurpose,
) -> CertificateParams {
    params.extended_key_usages = vec![purpose];
    params
}

fn expired() -> CertificateParams {
    let mut params = params(&["localhost"]);
    params.not_after = date_time_ymd(2001, 1, 1);
    params
}

fn not_yet_valid() -> CertificateParams {
    let mut params = params(&["localhost"]);
    params.not_before = date_time_ymd(4000, 1, 1);
    params
}

/// A certificate that one without the right to do so has signed, and which is in its chain.
fn signed_by_no_authority(authority: &Authority) -> Issued {
    let middle = authority.issue(&["middle.example"]);
    let key = KeyPair::from_pem(&middle.key).unwrap();
    let issuer = Issuer::new(params(&["middle.example"]), key);
    let key = KeyPair::generate().unwrap();
    let certificate = params(&["localhost"]).signed_by(&key, &issuer).unwrap();
    Issued {
        certificate: format!("{}{}", certificate.pem(), middle.certificate),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
    }
}

/// Servers that a client must refuse.
fn bad_servers() -> Vec<Case> {
    use CertificateError as C;
    let authority = Authority::new("ours");
    let client = TlsClient::builder(authority.roots());
    let case = |what, issued: Issued, near, far| Case {
        what,
        server: serving(&issued),
        client: client.clone(),
        name: "localhost",
        near,
        far,
    };
    vec![
        case(
            "expired",
            authority.issue_with(expired()),
            |near| refused(near, C::Expired),
            |far| alert(far, "certificate_expired"),
        ),
        case(
            "not yet valid",
            authority.issue_with(not_yet_valid()),
            |near| refused(near, C::NotYetValid),
            |far| alert(far, "certificate_expired"),
        ),
        case(
            "self-signed",
            self_signed(&["localhost"]),
            |near| refused(near, C::SelfSigned),
            |far| alert(far, "certificate_unknown"),
        ),
        case(
            "self-signed, as an authority",
            {
                let mut params = params(&["localhost"]);
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                let key = KeyPair::generate().unwrap();
                let certificate = params.self_signed(&key).unwrap();
                Issued {
                    certificate: certificate.pem(),
                    key: key.serialize_pem(),
                    der: certificate.der().to_vec(),
                }
            },
            |near| refused(near, C::SelfSigned),
            |far| alert(far, "certificate_unknown"),
        ),
        case(
            "signed by one that is no authority",
            signed_by_no_authority(&authority),
            |near| {
                matches!(
                    near,
                    TlsError::Certificate(C::BadChain { .. } | C::UnknownIssuer)
                )
            },
            |far| alert(far, "certificate_unknown") || alert(far, "unknown_ca"),
        ),
        case(
            "of somebody unknown",
            Authority::new("theirs").issue(&["localhost"]),
            |near| refused(near, C::UnknownIssuer),
            |far| alert(far, "unknown_ca"),
        ),
        case(
            "of somebody unknown who has the name of ours",
            Authority::new("ours").issue(&["localhost"]),
            |near| refused(near, C::BadSignature) || refused(near, C::UnknownIssuer),
            |far| alert(far, "decrypt_error") || alert(far, "unknown_ca"),
        ),
        case(
            "for another name",
            authority.issue(&["a.example", "192.0.2.1"]),
            |near| {
                matches!(near, TlsError::Certificate(C::WrongName { expected, presented })
                    if expected == "localhost" && presented[0] == "a.example" && presented.len() == 2)
            },
            |far| alert(far, "bad_certificate"),
        ),
        case(
            "for clients only",
            authority.issue_with(with_purpose(
                params(&["localhost"]),
                ExtendedKeyUsagePurpose::ClientAuth,
            )),
            |near| refused(near, C::WrongPurpose),
            |far| alert(far, "unsupported_certificate"),
        ),
        Case {
            what: "not the pinned one",
            server: serving(&authority.issue(&["localhost"])),
            client: TlsClient::pinned([[7; 32]]),
            name: "localhost",
            near: |near| refused(near, C::NotPinned),
            far: |far| alert(far, "certificate_unknown"),
        },
    ]
}

/// Clients that a server must refuse.
fn bad_clients() -> Vec<Case> {
    use CertificateError as C;
    let authority = Authority::new("ours");
    let issued = authority.issue(&["localhost"]);
    let server = serving(&issued).client_auth(ClientAuth::Required(authority.roots()));
    let client = TlsClient::builder(authority.roots());
    let case = |what, identity: Option<Issued>, far, near| Case {
        what,
        server: server.clone(),
        client: match identity {
            None => client.clone(),
            Some(identity) => client.clone().identity(identity.identity()),
        },
        name: "localhost",
        near,
        far,
    };
    vec![
        case(
            "no client certificate",
            None,
            |far| *far == TlsError::NoCertificate,
            |near| alert(near, "certificate_required") || alert(near, "handshake_failure"),
        ),
        case(
            "an expired client certificate",
            Some(authority.issue_with(expired())),
            |far| refused(far, C::Expired),
            |near| alert(near, "certificate_expired"),
        ),
        case(
            "a self-signed client certificate",
            Some(self_signed(&["me"])),
            |far| refused(far, C::SelfSigned),
            |near| alert(near, "certificate_unknown"),
        ),
        case(
            "a client certificate of somebody unknown",
            Some(Authority::new("theirs").issue(&["me"])),
            |far| refused(far, C::UnknownIssuer),
            |near| alert(near, "unknown_ca"),
        ),
        case(
            "a client certificate for servers only",
            Some(authority.issue_with(with_purpose(
                params(&["me"]),
                ExtendedKeyUsagePurpose::ServerAuth,
            ))),
            |far| refused(far, C::WrongPurpose),
            |near| alert(near, "unsupported_certificate"),
        ),
    ]
}

/// Sides that have nothing in common, or do not know each other's names.
fn strangers() -> Vec<Case> {
    let authority = Authority::new("ours");
    let server = serving(&authority.issue(&["localhost"]));
    let client = TlsClient::builder(authority.roots());
    vec![
        Case {
            what: "no application protocol in common",
            server: server.clone().alpn(["h2"]),
            client: client.clone().alpn(["imap"]),
            name: "localhost",
            near: |near| alert(near, "no_application_protocol"),
            far: |far| *far == TlsError::NoProtocol,
        },
        Case {
            what: "a name that is not served",
            server: server.unknown_host(switchboard::tls::UnknownHost::Refuse),
            client,
            name: "b.example",
            near: |near| alert(near, "unrecognized_name"),
            far: |far| matches!(far, TlsError::UnknownHost { name } if name.as_deref() == Some("b.example")),
        },
    ]
}

/// Each is met by both versions, from the first byte and in mid-stream.
async fn check(pool: &Pool, case: &Case, version: TlsVersion, start: Start) {
    let of = format!("{}, {version}, {start:?}", case.what);
    let server = case
        .server
        .clone()
        .versions(version..=version)
        .build()
        .unwrap();
    let client = case
        .client
        .clone()
        .versions(version..=version)
        .build()
        .unwrap();
    let (near, far) = match start {
        Start::AtOnce => {
            let mut far = Probe::new();
            let address = listen(pool, &server, &far).await.local_addr();
            meet(address, pool, &client, case.name, &mut far).await
        }
        Start::MidStream => meet_midstream(pool, &server, &client, case.name).await,
    };
    let fails = |outcome: &Outcome, expected: Expected| outcome.as_ref().is_err_and(expected);
    assert!(fails(&near, case.near), "{of}: the client says {near:?}");
    assert!(fails(&far, case.far), "{of}: the server says {far:?}");
}

/// A table row by row, beside a connection that is in use all the time.
fn check_all(cases: &[Case]) {
    with_pool(async |pool| {
        let (server, client) = pair();
        let (mut near, mut far) = (Probe::new(), Probe::new());
        let address = listen(&pool, &server, &far).await.local_addr();
        let connect = Connect::tcp(address).lines().tls(client);
        let beside = pool.connect(connect, near.session()).await.unwrap();
        expect!(near, Connected);
        expect!(near, TlsStarted);
        let other = expect!(far, Accepted).handle;
        expect!(far, TlsStarted);
        for case in cases {
            for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
                for start in [Start::AtOnce, Start::MidStream] {
                    check(&pool, case, version, start).await;
                }
            }
            beside.send_line(case.what).unwrap();
            far.expect_line(case.what).await;
            other.send_line(case.what).unwrap();
            near.expect_line(case.what).await;
        }
        beside.close();
        expect!(near, Closed);
        expect!(far, Closed);
        near.finish();
        far.finish();
    });
}

/// XAS-54.
#[test]
fn a_server_certificate_that_is_refused_is_named_on_both_sides() {
    check_all(&bad_servers());
}

/// XAS-54.
#[test]
fn a_client_certificate_that_is_refused_or_missing_is_named_on_both_sides() {
    check_all(&bad_clients());
}

#[test]
fn a_protocol_or_a_name_that_is_not_served_is_named_on_both_sides() {
    check_all(&strangers());
}

#[test]
fn sides_without_a_common_version_say_so() {
    with_pool(async |pool| {
        let authority = Authority::new("ours");
        let server = serving(&authority.issue(&["localhost"]));
        let client = TlsClient::builder(authority.roots());
        for (theirs, ours) in [
            (TlsVersion::Tls12, TlsVersion::Tls13),
            (TlsVersion::Tls13, TlsVersion::Tls12),
        ] {
            let server = server.clone().versions(theirs..=theirs).build().unwrap();
            let client = client.clone().versions(ours..=ours).build().unwrap();
            let (near, far) = meet_midstream(&pool, &server, &client, "localhost").await;
            let far = far.unwrap_err();
            assert!(matches!(far, TlsError::Incompatible { .. }), "{far}");
            assert!(near.is_err_and(|near| alert(&near, "protocol_version")));
        }
    });
}
