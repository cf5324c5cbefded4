//! The sockets themselves: their options, and where they listen or connect.

use std::net::SocketAddr;
use std::time::Duration;

use super::{ConnectPlace, ListenPlace};

/// Options of the socket itself. What TCP alone has is not applied to Unix sockets, which need none of it:
/// what is sent goes at once, and the system tells of a peer that is gone.
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
    /// Where.
    pub place: ListenPlace,
    /// How many connections may wait to be accepted. Default: 256 (XAS-24); at least 1 (AC-16).
    pub backlog: u32,
    /// Takes an address that is still in TIME_WAIT (SO_REUSEADDR). Default: on (AC-17). Unix sockets know
    /// no such state.
    pub reuse_addr: bool,
    /// For an IPv6 address: refuses IPv4 peers (IPV6_V6ONLY). Default: the system's setting.
    pub only_v6: Option<bool>,
    /// Options that accepted connections inherit.
    pub socket: SocketOptions,
    /// The permission bits of a Unix socket's file. Default: as the umask says.
    pub permissions: Option<u32>,
    /// Keeps a descriptor in reserve, so that peers can be [shed](crate::transport::Listener::shed)
    /// when there is no other. Default: on.
    pub spare_descriptor: bool,
}

/// Where and how to connect, as a [`Network`](crate::transport::Network) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectTarget {
    /// Where.
    pub place: ConnectPlace,
    /// For resolving and connecting together. Default: 5 s (XAS-31).
    pub timeout: Duration,
    /// Our own address, if it matters.
    pub local_addr: Option<SocketAddr>,
    /// Options of the socket.
    pub socket: SocketOptions,
}

impl ListenTarget {
    /// This place, with the defaults of everything else; for those who use a network without a pool.
    #[must_use]
    pub fn new(place: impl Into<ListenPlace>) -> Self {
        Self {
            place: place.into(),
            backlog: 256,
            reuse_addr: true,
            only_v6: None,
            socket: SocketOptions::default(),
            permissions: None,
            spare_descriptor: true,
        }
    }
}

impl ConnectTarget {
    /// This place, with the defaults of everything else; for those who use a network without a pool.
    #[must_use]
    pub fn new(place: impl Into<ConnectPlace>) -> Self {
        Self {
            place: place.into(),
            timeout: Duration::from_secs(5),
            local_addr: None,
            socket: SocketOptions::default(),
        }
    }
}
