//! What a server presents, and to whom.

use std::sync::Arc;

use switchboard_core::TlsError;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{KeyLog, ServerConfig};

use super::hosts::{self, Hosts, UnknownHost};
use super::identity::unusable;
use super::settings::Settings;
use super::{Identity, TlsConfigError};

/// How many sessions are kept for each host, of clients that cannot keep them sealed themselves.
const SESSIONS: usize = 256;

/// One certificate, and how handshakes with it are done. It has its own sessions, so that those of
/// another certificate, or of an earlier one, are not resumed.
#[derive(Clone)]
pub(super) struct Entry {
    key: Arc<CertifiedKey>,
    pub(super) config: Arc<ServerConfig>,
}

/// What the next handshakes are done with. It is never changed, but replaced.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) default: Entry,
    pub(super) hosts: Hosts<Entry>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

/// What entries are made with.
pub(super) struct Press {
    pub(super) settings: Settings,
    pub(super) key_log: Arc<dyn KeyLog>,
}

impl Table {
    /// Chooses what to go on with for a client that asks for this name.
    pub(super) fn choose(
        &self,
        name: Option<&str>,
        unknown: UnknownHost,
    ) -> Result<&Entry, TlsError> {
        if let Some(entry) = name.and_then(|name| self.hosts.get(name)) {
            return Ok(entry);
        }
        let known = match unknown {
            UnknownHost::Default => true,
            UnknownHost::Refuse => name.is_some_and(|name| is_for(&self.default.key, name)),
        };
        if known {
            return Ok(&self.default);
        }
        Err(TlsError::UnknownHost {
            name: name.map(str::to_owned),
        })
    }
}

impl Press {
    pub(super) fn entry(
        &self,
        identity: &Identity,
        verifier: &Arc<dyn ClientCertVerifier>,
    ) -> Result<Entry, TlsConfigError> {
        let crypto = self.settings.provider.crypto();
        self.with_key(identity.certified(&crypto)?, verifier)
    }

    /// For clients that ask for this host, for which the certificate must be.
    pub(super) fn host(
        &self,
        name: &str,
        identity: &Identity,
        verifier: &Arc<dyn ClientCertVerifier>,
    ) -> Result<Entry, TlsConfigError> {
        hosts::check(name)?;
        let entry = self.entry(identity, verifier)?;
        let one = match name.strip_prefix("*.") {
            Some(parent) => format!("any.{parent}"),
            None => name.to_owned(),
        };
        if !is_for(&entry.key, &one) {
            return Err(TlsConfigError::WrongHost {
                name: name.to_owned(),
            });
        }
        Ok(entry)
    }

    /// The same certificate, with a fresh start for all else.
    pub(super) fn again(
        &self,
        entry: &Entry,
        verifier: &Arc<dyn ClientCertVerifier>,
    ) -> Result<Entry, TlsConfigError> {
        self.with_key(Arc::clone(&entry.key), verifier)
    }

    fn with_key(
        &self,
        key: Arc<CertifiedKey>,
        verifier: &Arc<dyn ClientCertVerifier>,
    ) -> Result<Entry, TlsConfigError> {
        let settings = &self.settings;
        let mut config = ServerConfig::builder_with_provider(settings.provider.crypto())
            .with_protocol_versions(&settings.versions())
            .map_err(unusable)?
            .with_client_cert_verifier(Arc::clone(verifier))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&key))));
        config.alpn_protocols.clone_from(&settings.alpn);
        config.key_log = Arc::clone(&self.key_log);
        if settings.resumption {
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
            config.ticketer = settings.provider.ticketer().map_err(unusable)?;
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Entry {
            key,
            config: Arc::new(config),
        })
    }
}

/// Whether the certificate is for this host.
fn is_for(key: &CertifiedKey, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let (Some(end_entity), Ok(name)) = (key.cert.first(), ServerName::try_from(name)) else {
        return false;
    };
    webpki::EndEntityCert::try_from(end_entity)
        .is_ok_and(|it| it.verify_is_valid_for_subject_name(&name).is_ok())
}
