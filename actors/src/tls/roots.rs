//! Whom to trust.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::TlsConfigError;
use super::identity::{GIVEN, certificates_in, contents, unusable, words};

/// Certificates that are trusted, and with them all that they have signed. There is always one at least.
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
        Self::read(pem.as_ref(), GIVEN)
    }

    /// Certificates in DER.
    ///
    /// # Errors
    /// When there is none, or one that cannot be used.
    pub fn from_der<C: Into<Vec<u8>>>(
        certificates: impl IntoIterator<Item = C>,
    ) -> Result<Self, TlsConfigError> {
        let certificates = certificates.into_iter().map(Into::into);
        Self::of(certificates.map(CertificateDer::from), GIVEN)
    }

    /// Those of both.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        Arc::make_mut(&mut self.0).extend(others.0.roots.iter().cloned());
        self
    }

    fn read(pem: &[u8], place: &str) -> Result<Self, TlsConfigError> {
        Self::of(certificates_in(pem, place)?, place)
    }

    fn of(
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
        place: &str,
    ) -> Result<Self, TlsConfigError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates {
            store
                .add(certificate)
                .map_err(|error| unusable(format_args!("{place}: {}", words(&error))))?;
        }
        if store.is_empty() {
            return Err(TlsConfigError::NoCertificate {
                place: place.to_owned(),
            });
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
