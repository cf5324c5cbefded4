//! A certificate, and the key that proves it.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{TlsConfigError, fault};

/// How certificates are named that came from no file.
pub(super) const GIVEN: &str = "the certificates given";

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
            (certificates.as_ref(), GIVEN),
            (key.as_ref(), "the key given"),
        )
    }

    /// From DER: the chain of certificates, the own one first, and its key as PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// When there is no certificate, or the key is of no known form.
    pub fn from_der<C: Into<Vec<u8>>>(
        chain: impl IntoIterator<Item = C>,
        key: impl Into<Vec<u8>>,
    ) -> Result<Self, TlsConfigError> {
        let chain = chain
            .into_iter()
            .map(|one| CertificateDer::from(one.into()));
        let chain: Arc<[_]> = chain.collect();
        if chain.is_empty() {
            return Err(TlsConfigError::NoCertificate {
                place: GIVEN.to_owned(),
            });
        }
        let key = PrivateKeyDer::try_from(key.into()).map_err(|why| TlsConfigError::Unusable {
            why: why.to_owned(),
        })?;
        Ok(Self {
            chain,
            key: Arc::new(key),
        })
    }

    fn read(
        (certificates, certificates_place): (&[u8], &str),
        (key, key_place): (&[u8], &str),
    ) -> Result<Self, TlsConfigError> {
        let chain = certificates_in(certificates, certificates_place)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            _ if is_encrypted(key) => TlsConfigError::EncryptedKey {
                place: key_place.to_owned(),
            },
            pem::Error::NoItemsFound => TlsConfigError::NoKey {
                place: key_place.to_owned(),
            },
            error => bad_pem(&error, key_place),
        })?;
        Ok(Self {
            chain: chain.into(),
            key: Arc::new(key),
        })
    }

    /// With the key made ready, if it is the one of the certificate.
    pub(super) fn certified(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, TlsConfigError> {
        CertifiedKey::from_der(self.chain.to_vec(), self.key.clone_key(), provider)
            .map(Arc::new)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsConfigError::KeyMismatch,
                error => unusable(words(&error)),
            })
    }
}

pub(super) fn unusable(error: impl fmt::Display) -> TlsConfigError {
    TlsConfigError::Unusable {
        why: error.to_string(),
    }
}

/// What is wrong with a certificate or a key of our own; the library takes every one for a peer's.
pub(super) fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => fault::refusal(error).to_string(),
        rustls::Error::General(why) => why.clone(),
        error => error.to_string(),
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
    let found = found.map_err(|error| bad_pem(&error, place))?;
    if found.is_empty() {
        return Err(TlsConfigError::NoCertificate {
            place: place.to_owned(),
        });
    }
    Ok(found)
}

/// The library's own words have what it stumbled over in them, which may be all of a key.
fn bad_pem(error: &pem::Error, place: &str) -> TlsConfigError {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no line that ends it",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is not whole",
        pem::Error::Base64Decode(_) => "what is in a section is not base64",
        _ => "it cannot be read",
    };
    TlsConfigError::Pem {
        place: place.to_owned(),
        why: why.to_owned(),
    }
}

/// Whether it looks like a key that needs a password, of the newer or the older kind.
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED")
}
