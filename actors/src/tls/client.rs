//! What the client's side of a handshake needs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;

use super::{HANDSHAKE_TIMEOUT, Provider, Roots, TlsConfigError};

/// The client's side of TLS: whom it trusts, and who it is. Clones are the same one.
#[derive(Clone)]
pub struct TlsClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: Arc<ClientConfig>,
    handshake_timeout: Duration,
    lenient: bool,
}

/// Builds a [`TlsClient`].
#[derive(Debug, Clone)]
#[must_use = "nothing is made until it is built"]
pub struct TlsClientBuilder {
    roots: Roots,
    provider: Provider,
    handshake_timeout: Duration,
    lenient: bool,
}

impl TlsClient {
    /// Begins with whom it trusts. The server's certificate is always verified against these and the
    /// name that was asked for.
    pub const fn builder(roots: Roots) -> TlsClientBuilder {
        TlsClientBuilder {
            roots,
            provider: Provider::Ring,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            lenient: false,
        }
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.inner.config)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.inner.handshake_timeout
    }

    pub(super) fn accepts_missing_close_notify(&self) -> bool {
        self.inner.lenient
    }
}

impl TlsClientBuilder {
    /// Where the cryptography comes from. Default: [`Provider::Ring`].
    pub const fn provider(mut self, provider: Provider) -> Self {
        self.provider = provider;
        self
    }

    /// How long a handshake may take. Default: 5 s.
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// As [`TlsServerBuilder::accept_missing_close_notify`](super::TlsServerBuilder::accept_missing_close_notify).
    pub const fn accept_missing_close_notify(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// When a value cannot work.
    pub fn build(self) -> Result<TlsClient, TlsConfigError> {
        if self.handshake_timeout.is_zero() {
            return Err(TlsConfigError::ZeroTimeout);
        }
        let config = ClientConfig::builder_with_provider(self.provider.crypto())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsConfigError::Unusable {
                why: error.to_string(),
            })?
            .with_root_certificates(self.roots.store())
            .with_no_client_auth();
        Ok(TlsClient {
            inner: Arc::new(Inner {
                config: Arc::new(config),
                handshake_timeout: self.handshake_timeout,
                lenient: self.lenient,
            }),
        })
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("handshake_timeout", &self.inner.handshake_timeout)
            .finish_non_exhaustive()
    }
}
