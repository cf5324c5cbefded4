//! The client's check of a server's certificate, which costs less than the handshake it belongs to.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Of so many signatures of handshakes one is checked.
const CHECKED_ONE_OF: u32 = 16;

/// Checks a certificate once, against the roots, and from then on knows it by its bytes; and a
/// sample of the signatures that its key makes, the first one among them.
///
/// To check both in every handshake makes the client nearly twice as slow as the server, and the
/// server is what is measured. It cannot know which of its signatures will be checked.
#[derive(Debug)]
pub(crate) struct SamplingVerifier {
    roots: Arc<WebPkiServerVerifier>,
    known: OnceLock<CertificateDer<'static>>,
    handshakes: AtomicU32,
}

impl SamplingVerifier {
    /// A verifier that has seen no certificate yet.
    pub(crate) fn new(roots: Arc<WebPkiServerVerifier>) -> Self {
        Self {
            roots,
            known: OnceLock::new(),
            handshakes: AtomicU32::new(0),
        }
    }
}

impl ServerCertVerifier for SamplingVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.known.get().is_some_and(|known| known == certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.roots.verify_server_cert(
            certificate,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        // Another one that is good as well is checked every time.
        let _ = self.known.set(certificate.clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.roots
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let turn = self.handshakes.fetch_add(1, Ordering::Relaxed) % CHECKED_ONE_OF;
        if turn != 0 {
            return Ok(HandshakeSignatureValid::assertion());
        }
        self.roots
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.supported_verify_schemes()
    }
}
