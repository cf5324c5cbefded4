//! Whom to trust.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;

use super::TlsConfigError;
use super::identity::{certificates_in, contents};

/// Certificates that are trusted, and with them all that they have signed.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Those of the system, read from its files now.
    ///
    /// # Errors
    /// When there are none, or none can be read.
    pub fn system() -> Result<Self, TlsConfigError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = found
                .errors
                .first()
                .map_or_else(|| "none were found".to_owned(), ToString::to_string);
            return Err(TlsConfigError::NoSystemRoots { why });
        }
        Ok(Self(Arc::new(store)))
    }

    /// All certificates in a file in PEM: those of an authority of one's own, say.
    ///
    /// # Errors
    /// When the file cannot be read, or has none in it, or one that cannot be used.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, TlsConfigError> {
        let path = path.as_ref();
        Self::read(&contents(path)?, &path.display().to_string())
    }

    /// All certificates in PEM that is there already.
    ///
    /// # Errors
    /// When none is in it, or one that cannot be used.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, TlsConfigError> {
        Self::read(pem.as_ref(), "the certificates given")
    }

    fn read(pem: &[u8], place: &str) -> Result<Self, TlsConfigError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates_in(pem, place)? {
            store
                .add(certificate)
                .map_err(|error| TlsConfigError::Unusable {
                    why: error.to_string(),
                })?;
        }
        Ok(Self(Arc::new(store)))
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots")
            .field("certificates", &self.0.len())
            .finish()
    }
}
