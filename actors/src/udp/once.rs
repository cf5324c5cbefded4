//! One datagram, or one question and its answer, over a socket that is closed again (UA-29..31).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Address, DatagramError, DatagramRefusal, Destination};
use tokio::time::Instant;

use crate::options::BindUdp;
use crate::pool::Pool;

use super::opening::BindError;
use super::sequential::{RecvFromError, SendToError};
use super::{Udp, resolve};

/// How long a receive waits, unless it says otherwise (UA-30).
pub const DEFAULT_WAIT: Duration = Duration::from_millis(100);

/// Why a datagram could not be sent or waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnceError {
    /// There was no socket for it.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It could not be sent.
    #[error(transparent)]
    Send(#[from] SendToError),
    /// None could be waited for.
    #[error(transparent)]
    Recv(#[from] RecvFromError),
}

/// A question, sent by [`request`].
#[derive(Debug, Clone)]
#[must_use = "nothing is sent until it is given to request"]
pub struct Request {
    data: Bytes,
    destination: Destination,
    port: u16,
    wait: Duration,
    most: usize,
    only_from_destination: bool,
}

impl Request {
    /// These bytes, to an address or to `name:port`.
    pub fn new(data: impl Into<Bytes>, destination: impl Into<Destination>) -> Self {
        Self {
            data: data.into(),
            destination: destination.into(),
            port: 0,
            wait: DEFAULT_WAIT,
            most: 65_535,
            only_from_destination: false,
        }
    }

    /// From this port of ours (UA-31). Default: 0, a free one.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// How long to wait for the answer. Default: 100 ms.
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// The longest answer in bytes; of a longer one the end is lost. Default: 65,535.
    pub const fn most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Takes an answer from the destination only. Default: whatever comes to the port is the answer, as in
    /// the seed (AMB-10).
    pub const fn only_from_destination(mut self) -> Self {
        self.only_from_destination = true;
        self
    }
}

/// Sends one datagram over a socket of its own, and says how many bytes it had (UA-29).
///
/// # Errors
/// When there is no socket for it, or it could not be sent in time; `None` as `wait` waits for ever.
pub async fn send_once(
    pool: &Pool,
    data: impl Into<Bytes>,
    destination: impl Into<Destination>,
    wait: Option<Duration>,
) -> Result<usize, OnceError> {
    let to = address_of(destination.into()).await?;
    let socket = Once::open(pool, own_address(&to, 0)?).await?;
    let sent = socket.udp().sent_to(data, to, wait).await;
    socket.close().await;
    Ok(sent?)
}

/// Waits at this port, of every IPv4 address, for one datagram; `None` when none came in time (UA-30).
/// `None` as `wait` is [`DEFAULT_WAIT`].
///
/// # Errors
/// When the port cannot be had, or the pool ends meanwhile.
pub async fn recv_once(
    pool: &Pool,
    port: u16,
    wait: Option<Duration>,
) -> Result<Option<(Bytes, Address)>, OnceError> {
    let wait = wait.unwrap_or(DEFAULT_WAIT);
    // Where another one that lives may share its port, each would get some of what comes.
    let bind = BindUdp::port(port);
    let socket = Once::open(pool, bind).await?;
    let received = socket.udp().recv_from(usize::MAX, Some(wait)).await;
    socket.close().await;
    Ok(received?)
}

/// Sends one datagram and waits for the answer, with who sent it; `None` when none came in time (UA-31).
/// The look-up of a name does not count as waiting.
///
/// # Errors
/// When the port cannot be had, the question could not be sent, or the pool ends meanwhile; to a Unix
/// socket, which could not answer.
pub async fn request(pool: &Pool, request: Request) -> Result<Option<(Bytes, Address)>, OnceError> {
    let to = address_of(request.destination).await?;
    let Some(peer) = to.inet() else {
        return Err(SendToError::Refused(DatagramRefusal::OtherFamily).into());
    };
    let socket = Once::open(pool, own_address(&to, request.port)?).await?;
    let udp = socket.udp();
    let deadline = Instant::now() + request.wait;
    let left = || Some(deadline.saturating_duration_since(Instant::now()));
    let answer = async {
        udp.sent_to(request.data, to, left()).await?;
        loop {
            let received = udp.recv_from(request.most, left()).await?;
            let wanted = received.as_ref().is_none_or(|(_, from)| {
                !request.only_from_destination || from.inet().is_some_and(|from| same(from, peer))
            });
            if wanted {
                return Ok(received);
            }
        }
    };
    let answer = answer.await;
    socket.close().await;
    answer
}

/// Whether both are the same address and port, whatever else IPv6 says of them.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

async fn address_of(destination: Destination) -> Result<Address, OnceError> {
    match destination {
        Destination::Address(address) => Ok(address),
        Destination::Name(name) => resolve::any(&name).await.map_err(|error| {
            let kind = error.kind();
            SendToError::Failed(DatagramError::Unresolved { kind }).into()
        }),
    }
}

/// A socket of the family that the destination needs.
fn own_address(destination: &Address, port: u16) -> Result<BindUdp, OnceError> {
    let own = match destination {
        Address::Inet(to) if to.is_ipv6() => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
        Address::Inet(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
        #[cfg(unix)]
        Address::Unix(_) => return Ok(BindUdp::unix_unnamed()),
        #[cfg(not(unix))]
        Address::Unix(_) => {
            return Err(SendToError::Refused(DatagramRefusal::OtherFamily).into());
        }
    };
    Ok(BindUdp::new(own))
}

/// A socket that closes when this is dropped.
struct Once(Udp);

impl Once {
    async fn open(pool: &Pool, bind: BindUdp) -> Result<Self, BindError> {
        Ok(Self(pool.open_udp(bind).await?))
    }

    const fn udp(&self) -> &Udp {
        &self.0
    }

    /// Closes it, and waits until its port is free.
    async fn close(self) {
        self.0.abort();
        self.0.wait_closed().await;
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        self.0.abort();
    }
}
