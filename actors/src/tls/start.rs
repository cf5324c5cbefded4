//! Where TLS begins: in mid-stream, or as soon as an outbound connection is there.

use std::io;
use std::path::Path;
use std::time::Duration;

use actix::Message;
use bytes::Bytes;
use switchboard_core::{ConnectError, ConnectPhase, StartTlsError};
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::client::Client;
use crate::message::command::ClientCommand;
use crate::options::ConnectPlace;
use crate::transport::{Connected, LocalFuture, Transport};

use super::client::TlsClient;
use super::handshake::Handshake;
use super::server::TlsServer;
use super::{ClientAuth, Identity, Roots, TlsConfigError};

/// Upgrades a connection in use to TLS (XAS-55), as STARTTLS commands do. Replies at once whether it can
/// be; then answered by [`TlsStarted`](crate::message::TlsStarted), or by
/// [`Closed`](crate::message::Closed) whose detail names what failed.
///
/// What was sent before is sent in plain first, what is sent after is protected. No receive may be armed,
/// so that it is clear which bytes are the last in plain; plaintext that has come behind them is refused
/// (T-12), handshake bytes are not. A receive that is armed after it takes protected bytes. The handshake
/// waits until the session has handled every frame that came in plain: with [`Handlers`](crate::Handlers)
/// one of them may still be on its way to its actor, and is handled before `TlsStarted` comes.
#[derive(Debug, Clone)]
pub struct StartTls {
    side: Side,
    timeout: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Side {
    Server(TlsServer),
    Client(TlsClient, String),
}

impl StartTls {
    /// This side is the server: it waits for the peer's handshake and presents its certificate.
    #[must_use]
    pub const fn server(tls: TlsServer) -> Self {
        Self {
            side: Side::Server(tls),
            timeout: None,
        }
    }

    /// This side is the client: it begins the handshake, and the peer must prove to be this host, which
    /// is a name or an IP address.
    #[must_use]
    pub fn client(tls: TlsClient, server_name: impl Into<String>) -> Self {
        Self {
            side: Side::Client(tls, server_name.into()),
            timeout: None,
        }
    }

    /// The same from files in PEM (XAS-54): the certificates and the key of this side, and whether the
    /// peer is to present a certificate. The files are read now, and the session cannot be resumed by
    /// another upgrade: for many upgrades make one [`TlsServer`] and use [`server`](Self::server).
    ///
    /// # Errors
    /// When a file cannot be read, has nothing of the kind in it, or both do not belong together.
    pub fn server_from_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
        verify: ClientAuth,
    ) -> Result<Self, TlsConfigError> {
        let identity = Identity::from_pem_files(certificates, key)?;
        let tls = TlsServer::builder(identity).client_auth(verify).build()?;
        Ok(Self::server(tls))
    }

    /// This side is the client, and trusts the certificates in a file in PEM (XAS-54). The file is read
    /// now: for many upgrades make one [`TlsClient`] and use [`client`](Self::client), also to present a
    /// certificate. Who wants no verification has to say so there.
    ///
    /// # Errors
    /// When the file cannot be read, or has no certificate in it.
    pub fn client_from_files(
        roots: impl AsRef<Path>,
        server_name: impl Into<String>,
    ) -> Result<Self, TlsConfigError> {
        let tls = TlsClient::builder(Roots::from_pem_file(roots)?).build()?;
        Ok(Self::client(tls, server_name))
    }

    /// How long it may take until TLS has started, from now on, sending what is queued included. Default:
    /// as the [`TlsServer`] or [`TlsClient`] says, which is 5 s.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) fn within(&self) -> Duration {
        self.timeout.unwrap_or_else(|| match &self.side {
            Side::Server(tls) => tls.handshake_timeout(),
            Side::Client(tls, _) => tls.handshake_timeout(),
        })
    }

    pub(crate) fn prepare(self) -> Result<Upgrade, StartTlsError> {
        let side = match self.side {
            Side::Server(tls) => Ready::Server(tls),
            Side::Client(tls, name) => match ServerName::try_from(name.clone()) {
                Ok(name) => Ready::Client(tls, name),
                Err(_) => return Err(StartTlsError::BadServerName { name }),
            },
        };
        Ok(Upgrade {
            side,
            early: Bytes::new(),
        })
    }
}

impl Message for StartTls {
    type Result = Result<(), StartTlsError>;
}

impl ClientCommand for StartTls {
    fn run(self, client: &Client) -> Self::Result {
        client.start_tls(self)
    }
}

/// What a handshake is done with.
#[derive(Debug, Clone)]
pub enum TlsConfig {
    /// As the server.
    Server(TlsServer),
    /// As the client.
    Client(TlsClient),
}

/// An upgrade that waits until its handshake may begin.
pub(crate) struct Upgrade {
    side: Ready,
    early: Bytes,
}

enum Ready {
    Server(TlsServer),
    Client(TlsClient, ServerName<'static>),
}

impl Upgrade {
    /// Bytes of the handshake that have come already.
    pub(crate) fn after(mut self, early: Bytes) -> Self {
        self.early = early;
        self
    }

    pub(crate) fn config(&self) -> TlsConfig {
        match &self.side {
            Ready::Server(tls) => TlsConfig::Server(tls.clone()),
            Ready::Client(tls, _) => TlsConfig::Client(tls.clone()),
        }
    }

    pub(crate) fn begin(self, transport: Box<dyn Transport>) -> Handshake {
        match self.side {
            Ready::Server(tls) => Handshake::accept(tls, transport, self.early),
            Ready::Client(tls, name) => Handshake::connect(&tls, name, transport, self.early),
        }
    }
}

/// How an outbound connection speaks TLS from the start.
#[derive(Debug, Clone)]
pub(crate) struct Secure {
    tls: TlsClient,
    /// `None`: the host that is connected to.
    server_name: Option<String>,
}

impl Secure {
    pub(crate) const fn new(tls: TlsClient, server_name: Option<String>) -> Self {
        Self { tls, server_name }
    }

    pub(crate) fn config(&self) -> TlsConfig {
        TlsConfig::Client(self.tls.clone())
    }

    pub(crate) fn validate(&self, place: &ConnectPlace) -> Result<(), String> {
        self.name(place).map(drop)
    }

    fn name(&self, place: &ConnectPlace) -> Result<ServerName<'static>, String> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None if place.is_unix() => {
                return Err(
                    "a Unix socket has no host to be proved: TLS needs a server name".into(),
                );
            }
            None => host(&place.to_string()).to_owned(),
        };
        ServerName::try_from(name.clone())
            .map_err(|_| format!("{name:?} is no server name for TLS"))
    }

    /// Does the handshake with a peer to whom a connection was established.
    pub(crate) fn connect(
        self,
        connected: Connected,
        place: ConnectPlace,
    ) -> LocalFuture<Result<Connected, ConnectError>> {
        Box::pin(async move {
            let fail =
                |error: io::Error| ConnectError::new(place.to_string(), ConnectPhase::Tls, &error);
            let name = self
                .name(&place)
                .map_err(|why| fail(io::Error::new(io::ErrorKind::InvalidInput, why)))?;
            let handshake = Handshake::connect(&self.tls, name, connected.transport, Bytes::new());
            let within = self.tls.handshake_timeout();
            match timeout(within, handshake).await {
                Ok(Ok(transport)) => Ok(Connected {
                    transport,
                    peer_addr: connected.peer_addr,
                }),
                Ok(Err(failed)) => Err(fail(failed.error)),
                Err(_) => Err(fail(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no handshake within {within:?}"),
                ))),
            }
        })
    }
}

/// The host of `host:port`, without the brackets of an IPv6 address, and without its zone, which means
/// something on this machine only (RFC 6874 1).
fn host(target: &str) -> &str {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match address {
        Some(address) => address.split_once('%').map_or(address, |(ip, _)| ip),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_neither_port_nor_brackets_nor_zone() {
        for (target, expected) in [
            ("a.example:443", "a.example"),
            ("a.example", "a.example"),
            ("192.0.2.1:1", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("[fe80::1%2]:443", "fe80::1"),
            ("[fe80::1%eth0]:443", "fe80::1"),
            (":443", ""),
        ] {
            assert_eq!(host(target), expected, "{target}");
        }
    }
}
