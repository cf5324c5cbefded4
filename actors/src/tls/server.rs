//! What the server's side of a handshake needs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::TlsError;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::NoServerSessionStorage;

use crate::transport::Transport;

use super::handshake::Handshake;
use super::{HANDSHAKE_TIMEOUT, Identity, Provider, TlsConfig, TlsConfigError};

/// The server's side of TLS: its certificate, and whom it lets in. Clones are the same one.
#[derive(Clone)]
pub struct TlsServer {
    inner: Arc<Inner>,
}

struct Inner {
    /// What the next handshake is done with.
    config: Mutex<Arc<ServerConfig>>,
    handshake_timeout: Duration,
    lenient: bool,
}

/// Builds a [`TlsServer`].
#[derive(Debug, Clone)]
#[must_use = "nothing is made until it is built"]
pub struct TlsServerBuilder {
    identity: Identity,
    provider: Provider,
    handshake_timeout: Duration,
    lenient: bool,
    resumption: bool,
}

impl TlsServer {
    /// Begins with the certificate that is presented.
    pub const fn builder(identity: Identity) -> TlsServerBuilder {
        TlsServerBuilder {
            identity,
            provider: Provider::Ring,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            lenient: false,
            resumption: true,
        }
    }

    /// Chooses what to go on with for a client that asks for this name.
    pub(super) fn choose(&self, _name: Option<&str>) -> Result<Arc<ServerConfig>, TlsError> {
        Ok(Arc::clone(&lock(&self.inner.config)))
    }

    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig::Server(self.clone())
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.inner.handshake_timeout
    }

    pub(super) fn accepts_missing_close_notify(&self) -> bool {
        self.inner.lenient
    }

    /// Begins the handshake with a peer from whom nothing was read yet.
    pub(crate) fn begin(&self, transport: Box<dyn Transport>) -> Handshake {
        Handshake::accept(self.clone(), transport, Bytes::new())
    }
}

impl TlsServerBuilder {
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

    /// Takes a connection that ends without close_notify for one that ended in order. Whoever cuts it
    /// can then shorten what was sent: only for protocols that know the length of what they send, as
    /// HTTP does. Default: it is a truncation.
    pub const fn accept_missing_close_notify(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Whether clients may resume earlier sessions (RFC 8446 2.2). Default: yes.
    pub const fn resumption(mut self, on: bool) -> Self {
        self.resumption = on;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// When certificate and key do not belong together, or a value cannot work.
    pub fn build(self) -> Result<TlsServer, TlsConfigError> {
        if self.handshake_timeout.is_zero() {
            return Err(TlsConfigError::ZeroTimeout);
        }
        let unusable = |error: tokio_rustls::rustls::Error| TlsConfigError::Unusable {
            why: error.to_string(),
        };
        let mut config = ServerConfig::builder_with_provider(self.provider.crypto())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(self.identity.chain(), self.identity.key())
            .map_err(unusable)?;
        if !self.resumption {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(TlsServer {
            inner: Arc::new(Inner {
                config: Mutex::new(Arc::new(config)),
                handshake_timeout: self.handshake_timeout,
                lenient: self.lenient,
            }),
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer")
            .field("handshake_timeout", &self.inner.handshake_timeout)
            .finish_non_exhaustive()
    }
}
