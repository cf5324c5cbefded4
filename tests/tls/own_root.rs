//! A certificate that is trusted as it is, marked as an authority's, as `openssl req -x509` makes them.

use rcgen::{
    BasicConstraints, CertificateParams, GeneralSubtree, IsCa, KeyPair, NameConstraints,
    date_time_ymd,
};
use switchboard::tls::{ClientAuth, Roots, TlsClient, TlsServer};
use switchboard::{CertificateError, TlsError, TlsVersion};
use switchboard_tests::certificates::{Issued, params};
use switchboard_tests::with_pool;

use super::meet_midstream;

fn self_made(params: CertificateParams) -> Issued {
    self_made_with(&KeyPair::generate().unwrap(), params)
}

fn self_made_with(key: &KeyPair, mut params: CertificateParams) -> Issued {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(key).unwrap();
    Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
    }
}

fn roots(issued: &Issued) -> Roots {
    Roots::from_pem(&issued.certificate).unwrap()
}

#[test]
fn it_is_accepted_from_servers_and_from_clients() {
    with_pool(async |pool| {
        let (host, me) = (
            self_made(params(&["localhost"])),
            self_made(params(&["me"])),
        );
        let server = TlsServer::builder(host.identity())
            .client_auth(ClientAuth::Required(roots(&me)))
            .build()
            .unwrap();
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let client = TlsClient::builder(roots(&host))
                .identity(me.identity())
                .versions(version..=version)
                .build()
                .unwrap();
            let (near, far) = meet_midstream(&pool, &server, &client, "localhost").await;
            assert!(near.unwrap().peer_certificates.iter().eq([&host.der]));
            assert!(far.unwrap().peer_certificates.iter().eq([&me.der]));
        }
    });
}

#[test]
fn its_name_its_time_and_its_key_count_all_the_same() {
    with_pool(async |pool| {
        let mut over = params(&["localhost"]);
        over.not_after = date_time_ymd(2001, 1, 1);
        let (over, good) = (self_made(over), self_made(params(&["localhost"])));
        // The same names, another key.
        let forged = self_made(params(&["localhost"]));
        let wrong = |error: &CertificateError| matches!(error, CertificateError::WrongName { .. });
        let expired = |error: &CertificateError| *error == CertificateError::Expired;
        let stranger = |error: &CertificateError| *error == CertificateError::SelfSigned;
        type Expected = fn(&CertificateError) -> bool;
        let cases: [(&Issued, &Issued, &str, Expected); 3] = [
            (&good, &good, "elsewhere", wrong),
            (&over, &over, "localhost", expired),
            (&forged, &good, "localhost", stranger),
        ];
        for (presented, trusted, name, expected) in cases {
            let server = TlsServer::builder(presented.identity()).build().unwrap();
            let client = TlsClient::builder(roots(trusted)).build().unwrap();
            let (near, _) = meet_midstream(&pool, &server, &client, name).await;
            match near.unwrap_err() {
                TlsError::Certificate(error) if expected(&error) => {}
                other => panic!("for {name}: {other}"),
            }
        }
    });
}

/// Who may vouch for some hosts only cannot vouch for itself as another one.
#[test]
fn a_root_is_no_host_that_it_may_not_vouch_for() {
    with_pool(async |pool| {
        let key = KeyPair::generate().unwrap();
        let mut constrained = params(&["a.corp.example"]);
        constrained.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("corp.example".into())],
            excluded_subtrees: Vec::new(),
        });
        let root = self_made_with(&key, constrained);
        // The same name and key, without the constraint.
        let presented = self_made_with(&key, params(&["bank.example"]));
        let server = TlsServer::builder(presented.identity()).build().unwrap();
        let client = TlsClient::builder(roots(&root)).build().unwrap();
        let (near, _) = meet_midstream(&pool, &server, &client, "bank.example").await;
        assert!(matches!(near, Err(TlsError::Certificate(_))), "{near:?}");
    });
}
