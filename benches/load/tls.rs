//! The certificate of the servers that speak TLS, and the client's side that trusts it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::folder::Folder;
use crate::verifier::SamplingVerifier;

/// The name in the certificate.
pub(crate) const SERVER_NAME: &str = "localhost";

/// A self-signed certificate on ECDSA P-256 that lasts as long as this: it lies in a folder of its
/// own, so that every server serves the same one.
#[derive(Debug)]
pub(crate) struct Credentials {
    folder: Folder,
    client: Arc<ClientConfig>,
}

impl Credentials {
    /// Makes a certificate and writes it down.
    ///
    /// # Errors
    /// The temporary folder cannot be written to.
    pub(crate) fn new() -> io::Result<Self> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([SERVER_NAME.to_owned()]).map_err(io::Error::other)?;
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).map_err(io::Error::other)?;
        // TLS 1.3 only, and every handshake a full one.
        let provider = Arc::new(default_provider());
        let roots =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(io::Error::other)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(SamplingVerifier::new(roots)))
            .with_no_client_auth();
        client.resumption = Resumption::disabled();

        let credentials = Self {
            folder: Folder::new()?,
            client: Arc::new(client),
        };
        fs::write(credentials.certificate(), cert.pem())?;
        fs::write(credentials.key(), signing_key.serialize_pem())?;
        Ok(credentials)
    }

    /// The certificate's PEM file.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// The PEM file of its private key.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// The client's side: trusts that certificate and no other.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }
}
