//! What the client's side of a handshake needs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use crate::telemetry;

use super::identity::unusable;
use super::settings::{Settings, common_settings};
use super::verify::Trust;
use super::{Identity, Roots, TlsConfigError};

/// How many servers a client remembers the last session of.
const SESSIONS: usize = 256;

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

/// Builds a [`TlsClient`]. What is set here holds for all of its connections.
#[derive(Debug, Clone)]
#[must_use = "nothing is made until it is built"]
pub struct TlsClientBuilder {
    trust: Trust,
    identity: Option<Identity>,
    settings: Settings,
}

impl TlsClient {
    /// Begins with whom it trusts. The server's certificate is always verified against these and the
    /// name that was asked for.
    pub fn builder(roots: Roots) -> TlsClientBuilder {
        Self::trusting(Trust::Roots(roots))
    }

    /// One that trusts whom the system trusts, with defaults for all else.
    ///
    /// # Errors
    /// When the system has no roots, or none can be read.
    pub fn system() -> Result<Self, TlsConfigError> {
        Self::builder(Roots::system()?).build()
    }

    /// Begins with the only certificates that it accepts, by the SHA-256 of their DER
    /// ([`fingerprint`](super::fingerprint)): the present one and the next one, say. Name, time, issuer
    /// and purpose are not looked at then; that the server has the key of its certificate is verified.
    /// Another one is refused with [`NotPinned`](switchboard_core::CertificateError::NotPinned).
    pub fn pinned(fingerprints: impl IntoIterator<Item = [u8; 32]>) -> TlsClientBuilder {
        Self::trusting(Trust::Pinned(fingerprints.into_iter().collect()))
    }

    /// Begins with one that accepts every certificate. **Whoever is in between can read and change
    /// everything.** It is for tests and for looking at a server that is broken; building it logs a warning
    /// (T-13).
    pub fn danger_without_verification() -> TlsClientBuilder {
        Self::trusting(Trust::Anyone)
    }

    fn trusting(trust: Trust) -> TlsClientBuilder {
        TlsClientBuilder {
            trust,
            identity: None,
            settings: Settings::new(),
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

common_settings!(TlsClientBuilder);

impl TlsClientBuilder {
    /// What it presents to a server that asks for a certificate. Default: nothing.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The application protocols that it offers, the one it likes best first (ALPN, RFC 7301), such as
    /// `["h2", "http/1.1"]`. A server that knows none of them refuses; one that does not choose at all is
    /// accepted, and then [`TlsInfo::alpn`](switchboard_core::TlsInfo::alpn) is `None`. Default: none.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.settings.set_alpn(protocols);
        self
    }

    /// Whether it resumes sessions. It remembers the last ones with 256 servers, in memory; no other
    /// `TlsClient` uses them. Default: yes.
    pub fn resumption(mut self, resumption: bool) -> Self {
        self.settings.resumption = resumption;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// When certificate and key do not belong together, or a value cannot work.
    pub fn build(self) -> Result<TlsClient, TlsConfigError> {
        let Self {
            trust,
            identity,
            settings,
        } = self;
        settings.validate()?;
        let crypto = settings.provider.crypto();
        let loud = matches!(trust, Trust::Anyone);
        let config = ClientConfig::builder_with_provider(Arc::clone(&crypto))
            .with_protocol_versions(&settings.versions())
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(trust.verifier(settings.provider, &crypto)?);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
                identity.certified(&crypto)?,
            ))),
        };
        config.resumption = if settings.resumption {
            Resumption::in_memory_sessions(SESSIONS)
        } else {
            Resumption::disabled()
        };
        config.alpn_protocols.clone_from(&settings.alpn);
        config.key_log = settings.open_key_log("client");
        if loud {
            telemetry::tls_not_verified();
        }
        Ok(TlsClient {
            inner: Arc::new(Inner {
                config: Arc::new(config),
                handshake_timeout: settings.handshake_timeout,
                lenient: settings.lenient,
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
