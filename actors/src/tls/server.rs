//! What the server's side of a handshake needs.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::TlsError;
use tokio_rustls::rustls::ServerConfig;

use crate::telemetry;
use crate::transport::Transport;

use super::handshake::Handshake;
use super::hosts::{Hosts, UnknownHost};
use super::settings::{Settings, common_settings};
use super::table::{Press, Table};
use super::{ClientAuth, Identity, TlsConfig, TlsConfigError};

/// The server's side of TLS: its certificates, and whom it lets in. Clones are the same one.
#[derive(Clone)]
pub struct TlsServer {
    inner: Arc<Inner>,
}

struct Inner {
    press: Press,
    unknown: UnknownHost,
    /// What the next handshakes are done with.
    table: Mutex<Arc<Table>>,
    /// Held while a new table is made: one change comes after the other.
    changing: Mutex<()>,
}

/// Builds a [`TlsServer`]. What is set here holds for all of its connections.
#[derive(Debug, Clone)]
#[must_use = "nothing is made until it is built"]
pub struct TlsServerBuilder {
    identity: Identity,
    hosts: Vec<(String, Identity)>,
    unknown: UnknownHost,
    client_auth: ClientAuth,
    settings: Settings,
}

impl TlsServer {
    /// Begins with the certificate that is presented, by default.
    pub fn builder(identity: Identity) -> TlsServerBuilder {
        TlsServerBuilder {
            identity,
            hosts: Vec::new(),
            unknown: UnknownHost::default(),
            client_auth: ClientAuth::None,
            settings: Settings::new(),
        }
    }

    /// One with the certificate in these files, and defaults for all else.
    ///
    /// # Errors
    /// When a file cannot be read, has nothing of the kind in it, or both do not belong together.
    pub fn from_pem_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsConfigError> {
        Self::builder(Identity::from_pem_files(certificates, key)?).build()
    }

    /// Chooses what to go on with for a client that asks for this name.
    pub(super) fn choose(&self, name: Option<&str>) -> Result<Arc<ServerConfig>, TlsError> {
        let table = self.table();
        let entry = table.choose(name, self.inner.unknown)?;
        Ok(Arc::clone(&entry.config))
    }

    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig::Server(self.clone())
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.inner.press.settings.handshake_timeout
    }

    pub(super) fn accepts_missing_close_notify(&self) -> bool {
        self.inner.press.settings.lenient
    }

    /// Begins the handshake with a peer from whom nothing was read yet.
    pub(crate) fn begin(&self, transport: Box<dyn Transport>) -> Handshake {
        Handshake::accept(self.clone(), transport, Bytes::new())
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&lock(&self.inner.table))
    }
}

/// Changing, while its listeners listen.
///
/// Handshakes whose first message comes from now on are done with the new one; those under way, and
/// connections, keep theirs. Sessions from before are not resumed, so that everybody is looked at anew.
impl TlsServer {
    /// Replaces the default certificate.
    ///
    /// # Errors
    /// When certificate and key do not belong together; then the old one stays.
    pub fn reload(&self, identity: Identity) -> Result<(), TlsConfigError> {
        self.change("certificate", None, |table, press| {
            table.default = press.entry(&identity, &table.verifier)?;
            Ok(())
        })
    }

    /// Replaces the certificate of a [`host`](TlsServerBuilder::host), which is named as it was there.
    ///
    /// # Errors
    /// When there is no such host, the certificate is not for it, or certificate and key do not belong
    /// together; then the old one stays.
    pub fn reload_host(&self, name: &str, identity: Identity) -> Result<(), TlsConfigError> {
        self.change("certificate", Some(name), |table, press| {
            let Table {
                hosts, verifier, ..
            } = table;
            let Some(entry) = hosts.inserted(name) else {
                return Err(TlsConfigError::NoSuchHost {
                    name: name.to_owned(),
                });
            };
            *entry = press.host(name, &identity, verifier)?;
            Ok(())
        })
    }

    /// Asks clients for other certificates, at all hosts.
    ///
    /// # Errors
    /// When roots cannot be used; then it asks for the old ones.
    pub fn reload_client_auth(&self, client_auth: ClientAuth) -> Result<(), TlsConfigError> {
        self.change("client authentication", None, |table, press| {
            table.verifier = client_auth.verifier(&press.settings.provider.crypto())?;
            table.default = press.again(&table.default, &table.verifier)?;
            for entry in table.hosts.values_mut() {
                *entry = press.again(entry, &table.verifier)?;
            }
            Ok(())
        })
    }

    fn change(
        &self,
        what: &str,
        host: Option<&str>,
        change: impl FnOnce(&mut Table, &Press) -> Result<(), TlsConfigError>,
    ) -> Result<(), TlsConfigError> {
        let changing = lock(&self.inner.changing);
        let mut table = (*self.table()).clone();
        change(&mut table, &self.inner.press)?;
        let old = std::mem::replace(&mut *lock(&self.inner.table), Arc::new(table));
        drop(changing);
        drop(old);
        telemetry::tls_reloaded(what, host);
        Ok(())
    }
}

common_settings!(TlsServerBuilder);

impl TlsServerBuilder {
    /// Presents another certificate to clients that ask for this host (SNI), or with `*.b.example` for
    /// any host one label below. The certificate must be for it.
    pub fn host(mut self, name: impl Into<String>, identity: Identity) -> Self {
        self.hosts.push((name.into(), identity));
        self
    }

    /// What clients get that ask for a host that is not known. Default: [`UnknownHost::Default`].
    pub fn unknown_host(mut self, unknown: UnknownHost) -> Self {
        self.unknown = unknown;
        self
    }

    /// Whether clients are asked for certificates. Default: [`ClientAuth::None`].
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    /// The application protocols that it speaks, the one it likes best first (ALPN, RFC 7301). A client
    /// that offers only others is refused; one that offers none at all is let in. Default: none, which
    /// lets everybody in.
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.settings.set_alpn(protocols);
        self
    }

    /// Whether clients may resume their sessions. They keep them themselves, sealed with keys that
    /// change every 6 hours and are never stored; those that cannot have the last 256 of them kept here,
    /// for each host. A client that resumes is not asked for its certificate again, so one that has expired
    /// meanwhile is good for 12 hours at most. Default: yes.
    pub fn resumption(mut self, resumption: bool) -> Self {
        self.settings.resumption = resumption;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// When a certificate and its key do not belong together, a certificate is not for its host, or a
    /// value cannot work.
    pub fn build(self) -> Result<TlsServer, TlsConfigError> {
        let settings = self.settings;
        settings.validate()?;
        let verifier = self.client_auth.verifier(&settings.provider.crypto())?;
        let key_log = settings.open_key_log("server");
        let press = Press { settings, key_log };
        let default = press.entry(&self.identity, &verifier)?;
        let mut hosts = Hosts::new();
        for (name, identity) in &self.hosts {
            hosts.insert(name, press.host(name, identity, &verifier)?)?;
        }
        let table = Table {
            default,
            hosts,
            verifier,
        };
        Ok(TlsServer {
            inner: Arc::new(Inner {
                press,
                unknown: self.unknown,
                table: Mutex::new(Arc::new(table)),
                changing: Mutex::new(()),
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
            .field("handshake_timeout", &self.handshake_timeout())
            .finish_non_exhaustive()
    }
}
