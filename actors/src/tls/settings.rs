//! The settings that both sides of TLS have.

use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::TlsVersion;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{KeyLog, KeyLogFile, NoKeyLog, SupportedProtocolVersion};

use crate::telemetry;

use super::{HANDSHAKE_TIMEOUT, Provider, TlsConfigError};

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) provider: Provider,
    /// Those that may be spoken.
    versions: Vec<TlsVersion>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) resumption: bool,
    key_log: bool,
    pub(super) handshake_timeout: Duration,
    /// Whether the peer may end without close_notify.
    pub(super) lenient: bool,
}

impl Settings {
    pub(super) fn new() -> Self {
        Self {
            provider: Provider::Ring,
            versions: vec![TlsVersion::Tls12, TlsVersion::Tls13],
            alpn: Vec::new(),
            resumption: true,
            key_log: false,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            lenient: false,
        }
    }

    pub(super) fn set_versions(&mut self, versions: &impl RangeBounds<TlsVersion>) {
        self.versions = [TlsVersion::Tls12, TlsVersion::Tls13]
            .into_iter()
            .filter(|version| versions.contains(version))
            .collect();
    }

    pub(super) fn set_alpn<P: AsRef<[u8]>>(&mut self, protocols: impl IntoIterator<Item = P>) {
        let protocols = protocols.into_iter();
        self.alpn = protocols.map(|name| name.as_ref().to_vec()).collect();
    }

    pub(super) const fn set_key_log(&mut self) {
        self.key_log = true;
    }

    pub(super) fn validate(&self) -> Result<(), TlsConfigError> {
        if self.handshake_timeout.is_zero() {
            return Err(TlsConfigError::ZeroTimeout);
        }
        if self.versions.is_empty() {
            return Err(TlsConfigError::NoVersion);
        }
        // On the wire each has its length in one byte, and all of them in two (RFC 7301 3.1).
        let bad = |name: &Vec<u8>| name.is_empty() || name.len() > 255;
        let wire: usize = self.alpn.iter().map(|name| name.len() + 1).sum();
        if self.alpn.iter().any(bad) || wire > usize::from(u16::MAX) {
            return Err(TlsConfigError::BadProtocol);
        }
        Ok(())
    }

    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let versions = self.versions.iter();
        versions
            .map(|version| match version {
                TlsVersion::Tls12 => &TLS12,
                _ => &TLS13,
            })
            .collect()
    }

    /// Where keys are written to, if anywhere; a loud one.
    pub(super) fn open_key_log(&self, side: &str) -> Arc<dyn KeyLog> {
        if self.key_log {
            telemetry::tls_key_log(side);
            Arc::new(KeyLogFile::new())
        } else {
            Arc::new(NoKeyLog {})
        }
    }
}

/// The settings that the builders of both sides have, as methods of each.
macro_rules! common_settings {
    ($builder:ty) => {
        impl $builder {
            /// Which versions it speaks: `TlsVersion::Tls13..` are those from 1.3 on. Default: 1.2 and 1.3.
            pub fn versions(
                mut self,
                versions: impl ::std::ops::RangeBounds<switchboard_core::TlsVersion>,
            ) -> Self {
                self.settings.set_versions(&versions);
                self
            }

            /// Appends the keys of all its connections to the file that the environment names in `SSLKEYLOGFILE`,
            /// for Wireshark and the like. **Whoever has that file can read everything.** Building it logs a
            /// warning; nothing is written where the environment names no file, or one that cannot be opened.
            /// Default: off, whatever the environment says.
            pub fn key_log(mut self) -> Self {
                self.settings.set_key_log();
                self
            }

            /// Where the cryptography comes from. Default: [`Provider::Ring`](crate::tls::Provider::Ring).
            pub fn provider(mut self, provider: $crate::tls::Provider) -> Self {
                self.settings.provider = provider;
                self
            }

            /// How long a handshake may take. Default: 5 s.
            pub fn handshake_timeout(mut self, timeout: ::std::time::Duration) -> Self {
                self.settings.handshake_timeout = timeout;
                self
            }

            /// Takes a connection that ends without close_notify for one that ended in order. Whoever cuts it
            /// can then shorten what was sent: only for protocols that know the length of what they send, as
            /// HTTP does. Default: it is a truncation.
            pub fn accept_missing_close_notify(mut self) -> Self {
                self.settings.lenient = true;
                self
            }
        }
    };
}
pub(super) use common_settings;
