//! The options of an outbound connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{Access, Connection, ConnectionConfig, ReconnectConfig};

use crate::tls::{Secure, TlsClient};
use crate::transport::Watched;

use super::{ConnectPlace, ConnectTarget, ConnectionOptions, SocketOptions, validate};

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
    /// Descriptors that are there already, instead of a target.
    pub(crate) watched: Option<Arc<Watched>>,
}

impl Connect {
    /// Connects by TCP to `address:port` or `name:port`.
    pub fn tcp(address: impl fmt::Display) -> Self {
        Self::to(address.to_string())
    }

    pub(crate) fn to(place: impl Into<ConnectPlace>) -> Self {
        Self {
            target: ConnectTarget::new(place),
            config: ConnectionConfig::default(),
            on_workers: None,
            tls: None,
            server_name: None,
            watched: None,
        }
    }

    /// Takes over a connection that exists already (ACO-01). Its session is told
    /// [`Connected`](crate::message::Connected).
    pub fn adopt(stream: std::net::TcpStream) -> Self {
        Self::to(ConnectPlace::AdoptedTcp(Arc::new(stream)))
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

    /// Connects from this address of ours. With a Unix socket it is refused.
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
    /// an IP address. Without [`tls`](Self::tls) it is refused. Default: the host that is connected to; a
    /// Unix socket has none, so that TLS over it needs this.
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

    /// The descriptors of this name, with the defaults of everything else.
    #[cfg(unix)]
    pub(crate) fn watch(name: impl fmt::Display, watched: Watched) -> Self {
        let mut connect = Self::tcp(name);
        connect.watched = Some(Arc::new(watched));
        connect
    }

    /// What its machine must know of where its bytes go.
    pub(crate) fn shape(&self, machine: Connection) -> Connection {
        let Some(watched) = &self.watched else {
            return machine;
        };
        let machine = machine.with_access(watched.access());
        if watched.lingers() {
            machine
        } else {
            machine.without_lingering()
        }
    }

    fn validate_watched(&self, watched: &Watched) -> Result<(), &'static str> {
        if self.config.reconnect.is_some() {
            return Err("a descriptor that was given cannot be established again");
        }
        if self.config.first_receive.is_some() && watched.access() == Access::WriteOnly {
            return Err("a receive is preset, and the descriptor is open for writing only");
        }
        let socket = &self.target.socket;
        let of_sockets = !socket.nodelay
            || socket.keepalive.is_some()
            || socket.recv_buffer_size.is_some()
            || socket.send_buffer_size.is_some();
        if of_sockets {
            return Err("options of sockets are not for a descriptor that was given");
        }
        Ok(())
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        if let Some(watched) = &self.watched {
            self.validate_watched(watched)?;
        }
        if self.target.timeout.is_zero() {
            return Err("the connect timeout is zero".into());
        }
        if self.config.reconnect.is_some() && self.target.place.is_adopted() {
            return Err("an adopted connection cannot be established again".into());
        }
        if self.target.local_addr.is_some() && self.target.place.is_unix() {
            return Err("a local address is for TCP, and this is a Unix socket".into());
        }
        match self.secure() {
            Some(secure) => secure.validate(&self.target.place)?,
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
