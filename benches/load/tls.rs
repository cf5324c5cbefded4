//! The certificate of the servers that speak TLS, and the client's side that trusts it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::verifier::SamplingVerifier;

/// The name in the certificate.
pub(crate) const SERVER_NAME: &str = "localhost";

/// A self-signed certificate on ECDSA P-256 that lasts as long as this: it lies in a folder of its
/// own, so that every server serves the same one.
#[derive(Debug)]
pub(crate) struct Credentials {
    folder: PathBuf,
    client: Arc<ClientConfig>,
}

impl Credentials {
    /// Makes a certificate and writes it down.
    ///
    /// # Errors
    /// The temporary folder cannot be written to.
    pub(crate) fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);

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

        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("switchboard-load-{process}-{number}"));
        fs::create_dir_all(&folder)?;
        let credentials = Self {
            folder,
            client: Arc::new(client),
        };
        fs::write(credentials.certificate(), cert.pem())?;
        fs::write(credentials.key(), signing_key.serialize_pem())?;
        Ok(credentials)
    }

    /// The certificate's PEM file.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The PEM file of its private key.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The client's side: trusts that certificate and no other.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        // What stays is worth nothing to anybody, and the system clears the folder at times.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
