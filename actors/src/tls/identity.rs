//! A certificate, and the key that proves it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsConfigError;

/// A chain of certificates, the own one first, with the private key of that one. The key is never shown.
#[derive(Clone)]
pub struct Identity {
    chain: Arc<[CertificateDer<'static>]>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// From two files in PEM; both may be the same one.
    ///
    /// # Errors
    /// When a file cannot be read, or has nothing of the kind in it.
    pub fn from_pem_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        let (certificates, key) = (certificates.as_ref(), key.as_ref());
        Self::read(
            (
                &contents(certificates)?,
                &certificates.display().to_string(),
            ),
            (&contents(key)?, &key.display().to_string()),
        )
    }

    /// From PEM that is there already.
    ///
    /// # Errors
    /// When nothing of the kind is in it.
    pub fn from_pem(
        certificates: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, TlsConfigError> {
        Self::read(
            (certificates.as_ref(), "the certificates given"),
            (key.as_ref(), "the key given"),
        )
    }

    fn read(
        (certificates, certificates_place): (&[u8], &str),
        (key, key_place): (&[u8], &str),
    ) -> Result<Self, TlsConfigError> {
        let chain = certificates_in(certificates, certificates_place)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            tokio_rustls::rustls::pki_types::pem::Error::NoItemsFound => TlsConfigError::NoKey {
                place: key_place.to_owned(),
            },
            error => TlsConfigError::Pem {
                place: key_place.to_owned(),
                why: error.to_string(),
            },
        })?;
        Ok(Self {
            chain: chain.into(),
            key: Arc::new(key),
        })
    }

    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.to_vec()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn contents(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    fs::read(path).map_err(|source| TlsConfigError::File {
        path: path.to_owned(),
        source,
    })
}

/// All certificates in this PEM, of which there must be one at least.
pub(super) fn certificates_in(
    pem: &[u8],
    place: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| TlsConfigError::Pem {
        place: place.to_owned(),
        why: error.to_string(),
    })?;
    if found.is_empty() {
        return Err(TlsConfigError::NoCertificate {
            place: place.to_owned(),
        });
    }
    Ok(found)
}
