//! The sockets themselves: their options, and where they listen or connect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Options of the socket itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Sends small packets at once (TCP_NODELAY). Default: on (AIO-46).
    pub nodelay: bool,
    /// Probes a silent peer after so long (SO_KEEPALIVE, TCP_KEEPIDLE). Default: the system's
    /// setting, which is off.
    pub keepalive: Option<Duration>,
    /// The kernel's receive buffer in bytes (SO_RCVBUF). Default: the system's.
    pub recv_buffer_size: Option<usize>,
    /// The kernel's send buffer in bytes (SO_SNDBUF). Default: the system's.
    pub send_buffer_size: Option<usize>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            recv_buffer_size: None,
            send_buffer_size: None,
        }
    }
}

/// Where and how to listen, as a [`Network`](crate::transport::Network) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListenTarget {
    /// `address:port` or `name:port`, IPv4 or IPv6; port 0 takes a free one.
    pub address: String,
    /// How many connections may wait to be accepted. Default: 256 (XAS-24); at least 1 (AC-16).
    pub backlog: u32,
    /// Takes an address that is still in TIME_WAIT (SO_REUSEADDR). Default: on (AC-17).
    pub reuse_addr: bool,
    /// For an IPv6 address: refuses IPv4 peers (IPV6_V6ONLY). Default: the system's setting.
    pub only_v6: Option<bool>,
    /// Options that accepted connections inherit.
    pub socket: SocketOptions,
    /// A socket that listens already, to be taken over instead of opening one.
    pub adopted: Option<Arc<std::net::TcpListener>>,
    /// Keeps a descriptor in reserve, so that peers can be [shed](crate::transport::Listener::shed)
    /// when there is no other. Default: on.
    pub spare_descriptor: bool,
}

/// Where and how to connect, as a [`Network`](crate::transport::Network) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectTarget {
    /// `address:port` or `name:port`; all addresses of a name are tried in order (AMB-06).
    pub address: String,
    /// For resolving and connecting together. Default: 5 s (XAS-31).
    pub timeout: Duration,
    /// Our own address, if it matters.
    pub local_addr: Option<SocketAddr>,
    /// Options of the socket.
    pub socket: SocketOptions,
    /// A connection that exists already, to be taken over instead of opening one.
    pub adopted: Option<Arc<std::net::TcpStream>>,
}

impl ListenTarget {
    /// This address, with the defaults of everything else; for those who use a network without a pool.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            backlog: 256,
            reuse_addr: true,
            only_v6: None,
            socket: SocketOptions::default(),
            adopted: None,
            spare_descriptor: true,
        }
    }
}

impl ConnectTarget {
    /// This address, with the defaults of everything else; for those who use a network without a pool.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            timeout: Duration::from_secs(5),
            local_addr: None,
            socket: SocketOptions::default(),
            adopted: None,
        }
    }
}
