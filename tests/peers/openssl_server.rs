//! Our client against `openssl s_server`, which sends each line back with its bytes reversed.

use std::path::Path;
use std::process::Command;

use switchboard::tls::TlsClient;
use switchboard::{Cause, CertificateError, TlsError};

use crate::ours::Dialled;
use crate::programs::{Directory, Program, peer};
use switchboard_tests::certificates::{Authority, Issued};

/// A running `s_server` and where it listens.
pub struct OpensslServer {
    pub address: String,
    _program: Program,
    _directory: Directory,
}

impl OpensslServer {
    pub fn start(openssl: &Path, certificate: &Issued, trusts: &Authority, more: &[&str]) -> Self {
        let directory = Directory::new();
        let mut command = Command::new(openssl);
        command
            .args(["s_server", "-accept", "127.0.0.1:0", "-rev", "-cert"])
            .arg(directory.write("server.crt", &certificate.certificate))
            .arg("-key")
            .arg(directory.write("server.key", &certificate.key))
            .arg("-CAfile")
            .arg(directory.write("ca.pem", &trusts.pem()))
            .args(more);
        let mut program = Program::start(&mut command);
        Self {
            address: program.rest_of_line("ACCEPT "),
            _program: program,
            _directory: directory,
        }
    }
}

#[test]
fn a_server_that_proves_its_name_is_talked_to() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let authority = Authority::new("the test's own");
    let certificate = authority.issue(&["right.example"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = OpensslServer::start(&openssl, &certificate, &authority, &[version]);
        let tls = TlsClient::builder(authority.roots()).build().unwrap();
        let dialled = Dialled::start(&server.address, tls, "right.example", "hello\n");
        let info = dialled.log.secured();
        assert_eq!(info.server_name.as_deref(), Some("right.example"));
        assert_eq!(info.peer_certificates[0], certificate.der);
        assert_eq!(dialled.log.line(), "olleh", "{version}");
        dialled.client.close();
        let detail = dialled.log.closed();
        assert_eq!(detail.cause, Cause::LocalClose, "{version}");
        assert_eq!(detail.cut_short, None, "{version}");
    }
}

/// T-13: the peer's certificate is looked at, by default.
#[test]
fn t_13_a_server_that_cannot_prove_its_name_is_not_talked_to() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (authority, stranger) = (Authority::new("ours"), Authority::new("somebody else"));
    let certificate = authority.issue(&["right.example"]);
    let server = OpensslServer::start(&openssl, &certificate, &authority, &[]);
    let refused = |roots, name| {
        let tls = TlsClient::builder(roots).build().unwrap();
        let dialled = Dialled::start(&server.address, tls, name, "secret\n");
        match dialled.log.failure() {
            TlsError::Certificate(error) => error,
            other => panic!("{other}"),
        }
    };
    match refused(authority.roots(), "wrong.example") {
        CertificateError::WrongName { expected, .. } => assert_eq!(expected, "wrong.example"),
        other => panic!("{other}"),
    }
    let error = refused(stranger.roots(), "right.example");
    assert_eq!(error, CertificateError::UnknownIssuer);
}
