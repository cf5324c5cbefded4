//! Where the cryptography comes from.

use std::sync::Arc;

use switchboard_core::{Cipher, TlsVersion};
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::server::ProducesTickets;
use tokio_rustls::rustls::{self, CipherSuite, ProtocolVersion, SupportedCipherSuite};

/// The library that does the cryptography. It is always named, here or by the default: what the process
/// has installed as its own means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Provider {
    /// [ring](https://docs.rs/ring). The default.
    #[default]
    Ring,
    /// [aws-lc-rs](https://docs.rs/aws-lc-rs), with the feature `aws-lc-rs`.
    #[cfg(feature = "aws-lc-rs")]
    AwsLcRs,
}

impl Provider {
    pub(super) fn crypto(self) -> Arc<CryptoProvider> {
        Arc::new(match self {
            Self::Ring => crypto::ring::default_provider(),
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => crypto::aws_lc_rs::default_provider(),
        })
    }

    /// Seals what a client is to bring back to resume its session; nobody else can open it.
    pub(super) fn ticketer(self) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        match self {
            Self::Ring => crypto::ring::Ticketer::new(),
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => crypto::aws_lc_rs::Ticketer::new(),
        }
    }

    pub(super) fn sha_256(self, data: &[u8]) -> [u8; 32] {
        let suite = match self {
            Self::Ring => crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        };
        let hash = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        };
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.hash(data).as_ref());
        digest
    }
}

/// The SHA-256 of a certificate in DER, as [`TlsClient::pinned`](super::TlsClient::pinned) takes it.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Provider::Ring.sha_256(certificate)
}

/// There is no connection of an older version, or before there is a version.
pub(super) fn version_of(version: Option<ProtocolVersion>) -> TlsVersion {
    match version {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
        _ => TlsVersion::Tls13,
    }
}

pub(super) fn cipher_of(suite: Option<SupportedCipherSuite>) -> Cipher {
    let name = match suite.map(|suite| suite.suite()) {
        // rustls has its own names for the suites of TLS 1.3.
        Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.and_then(|suite| suite.as_str()).unwrap_or("unknown"),
    };
    // ChaCha20 has keys of 256 bits, as has AES where the name says so.
    let bits = if name.contains("AES_128") || name.contains("AES128") {
        128
    } else {
        256
    };
    Cipher { name, bits }
}
