//! Sockets that move datagrams: [`Udp`], which also stands for Unix datagram sockets, and [`Raw`].
//!
//! A datagram is sent and received whole or not at all. Neither that it was [`Sent`](crate::message::Sent)
//! nor anything else says that it has arrived. A socket survives what its network and its peers say: errors
//! are events, and it ends when it is closed.

mod actor;
mod command;
mod fault;
mod moving;
mod once;
mod opening;
mod peers;
mod raw;
mod resolve;
mod sequential;
mod shared;
mod source;
mod system;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use socket2::{SockRef, Socket as SystemSocket};
use switchboard_core::datagram::DatagramCounts;
use switchboard_core::{
    Address, Cause, ClientId, DatagramRefusal, Destination, LimitsError, Token,
};

use crate::client::{ClientInfo, clock};
use crate::options::{Interface, Multicast};
use crate::pool::Pool;
use crate::states::{States, keeps_states};
use crate::transport::ChannelKind;

pub use actor::{RawActor, UdpActor};
pub use command::{JoinMulticast, LeaveMulticast, SendTo, UdpCommand};
pub use once::{DEFAULT_WAIT, OnceError, Request, recv_once, request, send_once};
pub use opening::BindError;
pub use peers::Peers;
pub use raw::{OpenRaw, Raw};
pub use sequential::{RecvFromError, SendToError};
use shared::Reader;
pub(crate) use shared::Socket;

/// The handle of a UDP or Unix datagram socket. Cheap to clone, usable from any thread; dropping every
/// handle does not close the socket.
///
/// After it is closed every command answers with its `Closed` error and does nothing.
#[derive(Clone)]
pub struct Udp {
    socket: Socket,
}

/// A refused datagram, with what was to be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{refusal}")]
pub struct DatagramSendError {
    /// Why.
    pub refusal: DatagramRefusal,
    /// What was not sent.
    pub data: Bytes,
}

/// Getters.
impl Udp {
    pub(crate) const fn new(socket: Socket) -> Self {
        Self { socket }
    }

    /// The socket's id, which is like that of a connection.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.socket.id()
    }

    /// The pool that it belongs to.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        self.socket.pool()
    }

    /// Whether it is UDP or Unix.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        self.socket.0.kind
    }

    /// Our own address; `None` before it is bound, and after it is closed (XAS-63).
    #[must_use]
    pub fn local_addr(&self) -> Option<Address> {
        self.socket.local_addr()
    }

    /// Whom it is connected to, if to anybody (AIO-15).
    #[must_use]
    pub fn peer_addr(&self) -> Option<Address> {
        self.socket.0.lock().machine.connected().cloned()
    }

    /// What it is and does. Never blocks data.
    #[must_use]
    pub fn info(&self) -> ClientInfo {
        self.socket.info()
    }

    /// What it has counted.
    #[must_use]
    pub fn counts(&self) -> DatagramCounts {
        self.socket.0.lock().machine.counts()
    }

    /// How many datagrams the system has thrown away since there was no room for them: the session was too
    /// slow, and both its [limits](crate::BindUdp::recv_limits) and the system's buffer were full. `None`
    /// where the system does not tell (it does on Linux), for a peer of
    /// [`serve_udp`](Pool::serve_udp), and after it is closed.
    #[must_use]
    pub fn kernel_drops(&self) -> Option<u64> {
        self.socket.0.lock().link.as_ref()?.kernel_drops()
    }

    /// Datagrams of peers of [`serve_udp`](Pool::serve_udp) that were thrown away: asked of the socket itself,
    /// those of peers for whom there was no place; asked of a peer's, those that came while its session was
    /// behind. Others drop none: see [`kernel_drops`](Self::kernel_drops).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.socket.0.dropped.load(Ordering::Relaxed)
    }

    /// Queued bytes that the system has not taken yet (AIO-06).
    #[must_use]
    pub fn write_buffer_size(&self) -> usize {
        self.socket.0.lock().machine.write_buffer_size()
    }

    /// Whether it is closed or closing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.socket.0.lock().is_ending()
    }

    /// The actor, for commands as messages (see [`crate::message`]); `None` before it has started and after
    /// it has ended.
    #[must_use]
    pub fn addr(&self) -> Option<Addr<UdpActor>> {
        self.socket.0.actor.get()?.upgrade()
    }

    /// Lends the socket to `use_it`, to read or set options (XAS-17, UA-25). `None`: it is closed, a peer of
    /// [`serve_udp`](Pool::serve_udp), or the system has no descriptor left.
    pub fn with_socket<R>(&self, use_it: impl FnOnce(SockRef<'_>) -> R) -> Option<R> {
        // Through a descriptor of its own, so that the socket is not locked meanwhile.
        let own = self.socket.duplicate().ok()?;
        Some(use_it(SockRef::from(&own)))
    }

    pub(crate) fn states(&self) -> &States {
        &self.socket.0.states
    }
}

keeps_states!(Udp);

/// Sending. Never blocks: datagrams are queued, or refused and handed back.
impl Udp {
    /// Sends a datagram, which may be empty (AMB-07), to an address or to `name:port`. A name is looked up
    /// for this datagram alone: others do not wait for it, and if it has no address only this one fails. Of the
    /// names of one socket 32 at most are looked up at once.
    ///
    /// # Errors
    /// See [`DatagramRefusal`]; the datagram comes back.
    pub fn send_to(
        &self,
        data: impl Into<Bytes>,
        to: impl Into<Destination>,
    ) -> Result<(), DatagramSendError> {
        self.socket.send(data.into(), Some(to.into()), None)
    }

    /// The same, and asks for [`Sent`](crate::message::Sent) with this number (XAS-60). Exactly one of that
    /// and [`DatagramFailed`](crate::message::DatagramFailed) comes.
    ///
    /// # Errors
    /// See [`DatagramRefusal`]; the datagram comes back.
    pub fn send_to_with(
        &self,
        data: impl Into<Bytes>,
        to: impl Into<Destination>,
        token: impl Into<Token>,
    ) -> Result<(), DatagramSendError> {
        let token = Some(token.into());
        self.socket.send(data.into(), Some(to.into()), token)
    }

    /// Sends a datagram to the peer that it is connected to (AIO-15).
    ///
    /// # Errors
    /// See [`DatagramRefusal`]; the datagram comes back.
    pub fn send(&self, data: impl Into<Bytes>) -> Result<(), DatagramSendError> {
        self.socket.send(data.into(), None, None)
    }

    /// The same, and asks for [`Sent`](crate::message::Sent) with this number.
    ///
    /// # Errors
    /// See [`DatagramRefusal`]; the datagram comes back.
    pub fn send_with(
        &self,
        data: impl Into<Bytes>,
        token: impl Into<Token>,
    ) -> Result<(), DatagramSendError> {
        self.socket.send(data.into(), None, Some(token.into()))
    }

    /// See [`SetWriteLimits`](crate::message::SetWriteLimits).
    ///
    /// # Errors
    /// When the high mark would be below the low one; nothing changes.
    pub fn set_write_limits(
        &self,
        high: Option<usize>,
        low: Option<usize>,
    ) -> Result<(), LimitsError> {
        self.socket
            .0
            .command(|machine, _| machine.set_write_limits(high, low))
    }
}

/// Receiving.
impl Udp {
    /// Stops delivery and reading; what comes meanwhile waits with the system, as far as it has room.
    pub fn pause_reading(&self) {
        self.socket.0.command(|machine, _| machine.pause_reading());
    }

    /// Goes on after [`pause_reading`](Self::pause_reading).
    pub fn resume_reading(&self) {
        self.socket.0.command(|machine, _| machine.resume_reading());
    }
}

/// Changing the socket.
impl Udp {
    /// Binds a socket that has no address yet (UA-25), after which it also receives. It must not have been
    /// used to send, which binds too.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`](io::ErrorKind::AlreadyExists) when it is bound already,
    /// [`ErrorKind::NotConnected`](io::ErrorKind::NotConnected) when it is closed,
    /// [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported) for a Unix socket, which gets its name when it
    /// opens, or what the system says.
    pub fn bind(&self, local: impl Into<Address>) -> io::Result<Address> {
        self.socket.bind(&local.into())
    }

    /// From now on it sends to this peer and receives from it only. A name is looked up.
    ///
    /// # Errors
    /// When the name has no address, it is closed, or what the system says.
    pub async fn connect(&self, peer: impl Into<Destination>) -> io::Result<Address> {
        self.socket.connect(peer.into()).await
    }

    /// Joins a multicast group, at once.
    ///
    /// # Errors
    /// When it is none, the interface is unknown, or what the system says.
    pub fn join_multicast(&self, group: impl Into<Multicast>) -> io::Result<()> {
        let group = group.into();
        self.socket.with_system(|socket| group.join(socket))
    }

    /// Leaves a multicast group, on the interface on which it was joined, at once.
    ///
    /// # Errors
    /// When it was not joined, or what the system says.
    pub fn leave_multicast(&self, group: impl Into<Multicast>) -> io::Result<()> {
        let group = group.into();
        self.socket.with_system(|socket| group.leave(socket))
    }

    /// How many routers a datagram to a group may pass (IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS).
    ///
    /// # Errors
    /// What the system says.
    pub fn set_multicast_ttl(&self, hops: u32) -> io::Result<()> {
        let v6 = self.socket.is_v6();
        self.socket
            .with_system(|socket| system::set_multicast_ttl(socket, hops, v6))
    }

    /// Whether what it sends to a group comes back to members on this machine.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_multicast_loop(&self, back: bool) -> io::Result<()> {
        let v6 = self.socket.is_v6();
        self.socket
            .with_system(|socket| system::set_multicast_loop(socket, back, v6))
    }

    /// Through which interface it sends to groups.
    ///
    /// # Errors
    /// When the family knows its interfaces otherwise, or what the system says.
    pub fn set_multicast_interface(&self, interface: Interface) -> io::Result<()> {
        let v6 = self.socket.is_v6();
        self.socket
            .with_system(|socket| interface.use_for(socket, v6))
    }

    /// Whether it may send to broadcast addresses (XAS-62).
    ///
    /// # Errors
    /// What the system says.
    pub fn set_broadcast(&self, allowed: bool) -> io::Result<()> {
        self.socket
            .with_system(|socket| socket.set_broadcast(allowed))
    }
}

/// Ending.
impl Udp {
    /// Closes: sends what is queued, then ends (XAS-64). `false`: it was closing already.
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close(&self) -> bool {
        self.close_with(true, None)
    }

    /// Closes with or without sending what is queued, within a time that is the
    /// [flush timeout](crate::BindUdp::flush_timeout) unless it is said here.
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close_with(&self, flush: bool, deadline: Option<Duration>) -> bool {
        self.socket
            .0
            .command(|machine, now| machine.close(Cause::LocalClose, flush, deadline, now))
    }

    /// Resolves when it is closed and its address is free (UA-28): with peers of
    /// [`serve_udp`](Pool::serve_udp), when they are closed too.
    pub async fn wait_closed(&self) {
        self.socket.closed().await;
    }

    /// Ends at once; what is queued is not sent (AIO-16).
    #[allow(
        clippy::must_use_candidate,
        reason = "aborting is the point, the answer a courtesy"
    )]
    pub fn abort(&self) -> bool {
        self.socket
            .0
            .command(|machine, _| machine.abort(Cause::LocalAbort))
    }
}

impl Socket {
    fn send(
        &self,
        data: Bytes,
        to: Option<Destination>,
        token: Option<Token>,
    ) -> Result<(), DatagramSendError> {
        self.0
            .send(|machine, now| machine.send(data, to, token, now))
            .map_err(|(refusal, data)| DatagramSendError { refusal, data })
    }

    fn local_addr(&self) -> Option<Address> {
        self.0.lock().link.as_ref()?.local_addr()
    }

    fn is_v6(&self) -> bool {
        self.0.lock().is_v6()
    }

    /// Calls the system about the socket.
    fn with_system<R>(&self, call: impl FnOnce(&SockRef<'_>) -> io::Result<R>) -> io::Result<R> {
        let core = self.0.lock();
        let link = core.link.as_ref().ok_or_else(closed)?;
        let socket = link
            .socket()
            .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        call(&socket)
    }

    async fn closed(&self) {
        loop {
            let progress = self.0.progress.notified();
            let mut progress = std::pin::pin!(progress);
            progress.as_mut().enable();
            if self.0.lock().is_gone() {
                break;
            }
            progress.await;
        }
        // Peers that still send what they have queued hold the address.
        self.0.shares.given_back().await;
    }

    fn duplicate(&self) -> io::Result<SystemSocket> {
        self.with_system(|socket| socket.try_clone())
    }

    fn bind(&self, local: &Address) -> io::Result<Address> {
        let mut core = self.0.lock();
        let link = core.link.as_ref().ok_or_else(closed)?;
        if link.local_addr().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the socket is bound already",
            ));
        }
        let socket = link
            .socket()
            .filter(|_| self.0.kind != ChannelKind::UnixDatagram)
            .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
        socket.bind(&system::address(local)?)?;
        let bound = link.local_addr();
        core.reads = true;
        shared::wake_if_needed(core);
        Ok(bound.unwrap_or_else(|| local.clone()))
    }

    async fn connect(&self, peer: Destination) -> io::Result<Address> {
        let peer = match peer {
            Destination::Address(address) => address,
            Destination::Name(name) => resolve::one(&name, self.0.kind, self.is_v6()).await?,
        };
        let mut core = self.0.lock();
        let link = core.link.as_ref().ok_or_else(closed)?;
        link.connect(&peer)?;
        core.machine.set_connected(Some(peer.clone()));
        // From now on there are errors to wait for as well.
        core.reader = Reader::Nobody;
        shared::wake_if_needed(core);
        Ok(peer)
    }

    pub(crate) fn info(&self) -> ClientInfo {
        let core = self.0.lock();
        let activity = core.machine.snapshot();
        let peer = core.machine.connected().cloned();
        drop(core);
        let local = self.local_addr();
        ClientInfo {
            id: self.id(),
            kind: self.0.kind,
            server: None,
            outbound: false,
            local_addr: local.as_ref().and_then(Address::inet),
            peer_addr: peer.as_ref().and_then(Address::inet),
            local,
            peer,
            peer_credentials: None,
            age: clock().saturating_duration_since(self.0.opened),
            tls: None,
            activity,
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket is closed")
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udp")
            .field("id", &self.id())
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Udp {
    /// Two handles are equal if they stand for the same socket.
    fn eq(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.socket.0, &other.socket.0)
    }
}

impl Eq for Udp {}
