//! Raw IP sockets.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
#[cfg(unix)]
use socket2::{Domain, Protocol, SockRef, Socket as SystemSocket, Type};
use switchboard_core::datagram::{DatagramConfig, DatagramCounts};
use switchboard_core::{Address, ClientId, Destination, Token};

use crate::client::ClientInfo;
use crate::error::ListenPhase;
use crate::pool::Pool;
use crate::states::{States, keeps_states};

use super::opening::Opened;
use super::shared::Socket;
use super::{DatagramSendError, RawActor, RecvFromError, SendToError, Udp};

/// A raw IP socket to be opened by [`Pool::open_raw`] (UA-36).
#[derive(Debug, Clone)]
#[must_use = "nothing is opened until it is given to a pool"]
pub struct OpenRaw {
    v6: bool,
    protocol: u8,
    header_included: bool,
    strip_ip_header: bool,
    local: Option<IpAddr>,
    remote: Option<Destination>,
    pub(super) config: DatagramConfig,
}

impl OpenRaw {
    /// Packets of this protocol over IPv4: 1 is ICMP; 255, the seed's default, is nobody's.
    pub fn v4(protocol: u8) -> Self {
        Self::new(protocol, false)
    }

    /// Packets of this protocol over IPv6: 58 is ICMPv6.
    pub fn v6(protocol: u8) -> Self {
        Self::new(protocol, true)
    }

    fn new(protocol: u8, v6: bool) -> Self {
        Self {
            v6,
            protocol,
            header_included: false,
            strip_ip_header: false,
            local: None,
            remote: None,
            config: DatagramConfig::default(),
        }
    }

    /// Whether what is sent begins with the IP header (IP_HDRINCL, IPv4 only; the system fills in what is 0:
    /// raw(7)). Default: no, also for protocol 255, for which the system has it on.
    pub const fn header_included(mut self, included: bool) -> Self {
        self.header_included = included;
        self
    }

    /// Whether the IP header is taken off what is received over IPv4; over IPv6 it never comes with it.
    /// Default: no.
    pub const fn strip_ip_header(mut self, strip: bool) -> Self {
        self.strip_ip_header = strip;
        self
    }

    /// Sends from this address of ours, and receives what is for it only. Default: any.
    pub const fn bind(mut self, local: IpAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// Sends to this address, and receives from it only (UA-37). A name is resolved when it opens.
    pub fn connect(mut self, remote: impl Into<Destination>) -> Self {
        self.remote = Some(without_port(remote));
        self
    }

    /// All settings; see [`DatagramConfig`].
    pub const fn config_mut(&mut self) -> &mut DatagramConfig {
        &mut self.config
    }

    pub(super) fn target(&self) -> String {
        let family = if self.v6 { "IPv6" } else { "IPv4" };
        match self.local {
            Some(local) => format!("{local}, protocol {}", self.protocol),
            None => format!("{family}, protocol {}", self.protocol),
        }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        self.config.validate().map_err(|error| error.to_string())?;
        if self.v6 && self.header_included {
            return Err("over IPv6 a raw socket has no header of its own".into());
        }
        if self.local.is_some_and(|local| local.is_ipv6() != self.v6) {
            return Err("the local address is of the other family".into());
        }
        match &self.remote {
            Some(Destination::Address(Address::Unix(_))) => {
                Err("the peer is a Unix socket, and this is none".into())
            }
            Some(Destination::Address(Address::Inet(peer))) if peer.is_ipv6() != self.v6 => {
                Err("the peer is of the other family".into())
            }
            _ => Ok(()),
        }
    }

    pub(super) const fn strips_header(&self) -> bool {
        self.strip_ip_header && !self.v6
    }
}

#[cfg(unix)]
pub(super) async fn open(open: &OpenRaw) -> Result<Opened, (ListenPhase, io::Error)> {
    use crate::transport::ChannelKind;
    use crate::transport::datagram::{DatagramSocket, RawSocket};

    let bound = |error| (ListenPhase::Bind, error);
    let domain = if open.v6 { Domain::IPV6 } else { Domain::IPV4 };
    let protocol = Protocol::from(i32::from(open.protocol));
    let socket = SystemSocket::new(domain, Type::RAW, Some(protocol)).map_err(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            return bound(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "a raw socket needs the capability CAP_NET_RAW (or root)",
            ));
        }
        bound(error)
    })?;
    let system = SockRef::from(&socket);
    if open.v6 {
        no_header_v6(&system, open.protocol).map_err(bound)?;
    } else {
        system
            .set_header_included_v4(open.header_included)
            .map_err(bound)?;
    }
    if let Some(local) = open.local {
        let local = std::net::SocketAddr::new(local, 0);
        socket.bind(&local.into()).map_err(bound)?;
    }
    let peer = match &open.remote {
        None => None,
        Some(Destination::Address(address)) => Some(address.clone()),
        Some(Destination::Name(name)) => {
            let found = super::resolve::one(name, ChannelKind::Raw, open.v6).await;
            Some(found.map_err(|error| (ListenPhase::Resolve, error))?)
        }
    };
    let socket = RawSocket::new(socket).map_err(bound)?;
    if let Some(peer) = &peer {
        let connected = socket.connect(peer);
        connected.map_err(|error| (ListenPhase::Connect, error))?;
    }
    Ok((Box::new(socket), peer))
}

/// For protocol 255 Linux has it on.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn no_header_v6(socket: &SockRef<'_>, protocol: u8) -> io::Result<()> {
    if protocol == u8::MAX {
        socket.set_header_included_v6(false)?;
    }
    Ok(())
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn no_header_v6(_: &SockRef<'_>, _: u8) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(super) async fn open(_: &OpenRaw) -> Result<Opened, (ListenPhase, io::Error)> {
    Err((ListenPhase::Bind, io::ErrorKind::Unsupported.into()))
}

/// What an IPv4 packet carries.
pub(super) fn without_header(packet: &[u8]) -> &[u8] {
    let words = packet.first().map_or(0, |first| usize::from(first & 0x0F));
    packet.get(words * 4..).unwrap_or_default()
}

/// IP itself has no ports: to addresses that differ in nothing else the same packets go.
fn without_port(to: impl Into<Destination>) -> Destination {
    let mut to = to.into();
    if let Destination::Address(Address::Inet(address)) = &mut to {
        address.set_port(0);
    }
    to
}

/// The handle of a raw IP socket. Cheap to clone, usable from any thread; dropping every handle does not
/// close the socket.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(Udp);

impl Raw {
    pub(crate) const fn new(socket: Socket) -> Self {
        Self(Udp::new(socket))
    }

    /// The socket's id, which is like that of a connection.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.0.id()
    }

    /// The pool that it belongs to.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        self.0.pool()
    }

    /// Our own address, with port 0; `None` before it is bound, and after it is closed.
    #[must_use]
    pub fn local_addr(&self) -> Option<Address> {
        self.0.local_addr()
    }

    /// Whom it is connected to, with port 0, if to anybody (UA-37).
    #[must_use]
    pub fn peer_addr(&self) -> Option<Address> {
        self.0.peer_addr()
    }

    /// What it is and does. Never blocks data.
    #[must_use]
    pub fn info(&self) -> ClientInfo {
        self.0.info()
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> DatagramCounts {
        self.0.counts()
    }

    /// See [`Udp::kernel_drops`].
    #[must_use]
    pub fn kernel_drops(&self) -> Option<u64> {
        self.0.kernel_drops()
    }

    /// Whether it is closed or closing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// The actor, for commands as messages; see [`Udp::addr`].
    #[must_use]
    pub fn addr(&self) -> Option<Addr<RawActor>> {
        self.0.addr()
    }

    /// Lends the socket out; see [`Udp::with_socket`] (UA-36).
    pub fn with_socket<R>(&self, use_it: impl FnOnce(socket2::SockRef<'_>) -> R) -> Option<R> {
        self.0.with_socket(use_it)
    }

    /// From now on it sends to this address and receives from it only (UA-37). A name is looked up.
    ///
    /// # Errors
    /// When the name has no address, it is closed, or what the system says.
    pub async fn connect(&self, peer: impl Into<Destination>) -> io::Result<Address> {
        self.0.connect(without_port(peer)).await
    }

    /// Sends a packet to the address that it is connected to (UA-38); without the IP header, unless
    /// [`header_included`](OpenRaw::header_included) says otherwise.
    ///
    /// # Errors
    /// See [`DatagramRefusal`](switchboard_core::DatagramRefusal); the packet comes back.
    pub fn send(&self, packet: impl Into<Bytes>) -> Result<(), DatagramSendError> {
        self.0.send(packet)
    }

    /// The same, and asks for [`Sent`](crate::message::Sent) with this number.
    ///
    /// # Errors
    /// See [`DatagramRefusal`](switchboard_core::DatagramRefusal); the packet comes back.
    pub fn send_with(
        &self,
        packet: impl Into<Bytes>,
        token: impl Into<Token>,
    ) -> Result<(), DatagramSendError> {
        self.0.send_with(packet, token)
    }

    /// Sends a packet to an address or a name.
    ///
    /// # Errors
    /// See [`DatagramRefusal`](switchboard_core::DatagramRefusal); the packet comes back.
    pub fn send_to(
        &self,
        packet: impl Into<Bytes>,
        to: impl Into<Destination>,
    ) -> Result<(), DatagramSendError> {
        self.0.send_to(packet, without_port(to))
    }

    /// The same, and asks for [`Sent`](crate::message::Sent) with this number.
    ///
    /// # Errors
    /// See [`DatagramRefusal`](switchboard_core::DatagramRefusal); the packet comes back.
    pub fn send_to_with(
        &self,
        packet: impl Into<Bytes>,
        to: impl Into<Destination>,
        token: impl Into<Token>,
    ) -> Result<(), DatagramSendError> {
        self.0.send_to_with(packet, without_port(to), token)
    }

    /// Sends a packet to the address that it is connected to, and waits until the system has it (UA-38).
    ///
    /// # Errors
    /// When it is not connected, the system refuses it, it is closed, or the time is up.
    pub async fn sent(
        &self,
        packet: impl Into<Bytes>,
        wait: Option<Duration>,
    ) -> Result<usize, SendToError> {
        self.0.sent(packet, wait).await
    }

    /// Sends a packet to an address or a name, and waits until the system has it.
    ///
    /// # Errors
    /// See [`Udp::sent_to`].
    pub async fn sent_to(
        &self,
        packet: impl Into<Bytes>,
        to: impl Into<Destination>,
        wait: Option<Duration>,
    ) -> Result<usize, SendToError> {
        self.0.sent_to(packet, without_port(to), wait).await
    }

    /// The next packet of the address that it is connected to, of at most so many bytes (UA-38); `None` when
    /// none came in time.
    ///
    /// # Errors
    /// [`RecvFromError::NotConnected`] before it is connected, or when it is closed.
    pub async fn recv(
        &self,
        most: usize,
        wait: Option<Duration>,
    ) -> Result<Option<Bytes>, RecvFromError> {
        if self.peer_addr().is_none() {
            return Err(RecvFromError::NotConnected);
        }
        let received = self.recv_from(most, wait).await?;
        Ok(received.map(|(packet, _)| packet))
    }

    /// The next packet, of at most so many bytes, and who sent it; `None` when none came in time.
    ///
    /// # Errors
    /// When it is closed.
    pub async fn recv_from(
        &self,
        most: usize,
        wait: Option<Duration>,
    ) -> Result<Option<(Bytes, Address)>, RecvFromError> {
        self.0.recv_from(most, wait).await
    }

    /// See [`Udp::pause_reading`].
    pub fn pause_reading(&self) {
        self.0.pause_reading();
    }

    /// See [`Udp::resume_reading`].
    pub fn resume_reading(&self) {
        self.0.resume_reading();
    }

    /// See [`Udp::close`].
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close(&self) -> bool {
        self.0.close()
    }

    /// See [`Udp::close_with`].
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close_with(&self, flush: bool, deadline: Option<Duration>) -> bool {
        self.0.close_with(flush, deadline)
    }

    /// See [`Udp::abort`].
    #[allow(
        clippy::must_use_candidate,
        reason = "aborting is the point, the answer a courtesy"
    )]
    pub fn abort(&self) -> bool {
        self.0.abort()
    }

    /// Resolves when it is closed.
    pub async fn wait_closed(&self) {
        self.0.wait_closed().await;
    }

    pub(crate) fn states(&self) -> &States {
        self.0.states()
    }
}

keeps_states!(Raw);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw")
            .field("id", &self.id())
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_itself_how_long_it_is() {
        let mut packet = vec![0x45; 20];
        packet.extend(b"ping");
        assert_eq!(without_header(&packet), b"ping");
        let mut with_options = vec![0x46; 24];
        with_options.extend(b"ping");
        assert_eq!(without_header(&with_options), b"ping");
        assert_eq!(without_header(&[0x4F; 8]), b"");
        assert_eq!(without_header(&[]), b"");
    }
}
