//! The options of an outbound connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{ConnectionConfig, ReconnectConfig};

use crate::tls::{Secure, TlsClient};

use super::{ConnectTarget, ConnectionOptions, SocketOptions, validate};

/// A connection to be opened by [`Pool::connect`](crate::Pool::connect).
///
/// Every option takes effect when it opens, and holds for its life and for each of its links; what can be
/// changed later is changed by a command to the [`Client`](crate::Client).
#[derive(Debug, Clone)]
#[must_use = "nothing connects until it is given to a pool"]
pub struct Connect {
    pub(crate) target: ConnectTarget,
    pub(crate) config: ConnectionConfig,
    pub(crate) on_workers: Option<bool>,
    /// `None`: plain.
    tls: Option<TlsClient>,
    /// `None`: the host that is connected to.
    server_name: Option<String>,
}

impl Connect {
    /// Connects by TCP to `address:port` or `name:port`.
    pub fn tcp(address: impl fmt::Display) -> Self {
        Self {
            target: ConnectTarget::new(address.to_string()),
            config: ConnectionConfig::default(),
            on_workers: None,
            tls: None,
            server_name: None,
        }
    }

    /// Takes over a connection that exists already (ACO-01). Its session is told
    /// [`Connected`](crate::message::Connected).
    pub fn adopt(stream: std::net::TcpStream) -> Self {
        let address = stream.peer_addr();
        let mut connect =
            Self::tcp(address.map_or_else(|_| "an adopted socket".into(), |a| a.to_string()));
        connect.target.adopted = Some(Arc::new(stream));
        connect
    }

    /// How long resolving and connecting may take together. Default: 5 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.target.timeout = timeout;
        self
    }

    /// Establishes the connection again when its link is lost, and tries again when it does not come to be.
    /// Its session then hears [`Disconnected`](crate::message::Disconnected) instead of `Closed`,
    /// [`Reconnecting`](crate::message::Reconnecting) before each further attempt, and
    /// [`Connected`](crate::message::Connected) for each link. What is sent meanwhile is sent over the
    /// next one, as far as the write capacity goes. It ends with `Closed` when this side closes it, or
    /// when the attempts are used up; with `ConnectFailed` if there never was a link. Default: off.
    pub fn reconnect(mut self, again: ReconnectConfig) -> Self {
        self.config.reconnect = Some(again);
        self
    }

    /// Connects from this address of ours.
    pub const fn local_addr(mut self, address: SocketAddr) -> Self {
        self.target.local_addr = Some(address);
        self
    }

    /// Speaks TLS from the first byte (AIO-40, ACO-01): the session is told
    /// [`Connected`](crate::message::Connected), then [`TlsStarted`](crate::message::TlsStarted), when the
    /// handshake is done, and [`ConnectFailed`](crate::message::ConnectFailed) when it fails. The peer must
    /// prove to be the host that is connected to, or [`server_name`](Self::server_name). The handshake has
    /// a timeout of its own, behind that of connecting. Default: plain.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsClient) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Whom the peer must prove to be by its certificate, and whom it is asked for (SNI): a host name or
    /// an IP address. Without [`tls`](Self::tls) it is refused. Default: the host that is connected to.
    #[cfg(feature = "tls")]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// How it speaks TLS, if it does.
    pub(crate) fn secure(&self) -> Option<Secure> {
        let tls = self.tls.clone()?;
        Some(Secure::new(tls, self.server_name.clone()))
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.target.timeout.is_zero() {
            return Err("the connect timeout is zero".into());
        }
        if self.config.reconnect.is_some() && self.target.adopted.is_some() {
            return Err("an adopted connection cannot be established again".into());
        }
        match self.secure() {
            Some(secure) => secure.validate(&self.target.address)?,
            None if self.server_name.is_some() => return Err("a server name needs tls".into()),
            None => {}
        }
        validate(&self.config, &self.target.socket)
    }
}

impl ConnectionOptions for Connect {
    fn on_workers(mut self, yes: bool) -> Self {
        self.on_workers = Some(yes);
        self
    }

    fn config_mut(&mut self) -> &mut ConnectionConfig {
        &mut self.config
    }

    fn socket_mut(&mut self) -> &mut SocketOptions {
        &mut self.target.socket
    }
}
