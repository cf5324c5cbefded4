//! One datagram, or one question and its answer, over a socket that is closed again (UA-29..31).

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{Address, Destination};

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
    let destination = destination.into();
    let socket = Once::open(pool, own_address(&destination, 0).await?).await?;
    let sent = socket.udp().sent_to(data, destination, wait).await;
    socket.close().await;
    Ok(sent?)
}

/// Waits at this port for one datagram; `None` when none came in time (UA-30). `None` as `wait` is
/// [`DEFAULT_WAIT`].
///
/// # Errors
/// When the port cannot be had, or the pool ends meanwhile.
pub async fn recv_once(
    pool: &Pool,
    port: u16,
    wait: Option<Duration>,
) -> Result<Option<(Bytes, Address)>, OnceError> {
    let wait = wait.unwrap_or(DEFAULT_WAIT);
    let socket = Once::open(pool, BindUdp::port(port)).await?;
    let received = socket.udp().recv_from(usize::MAX, Some(wait)).await;
    socket.close().await;
    Ok(received?)
}

/// Sends one datagram and waits for the answer, with who sent it; `None` when none came in time (UA-31).
///
/// # Errors
/// When the port cannot be had, the question could not be sent, or the pool ends meanwhile.
pub async fn request(pool: &Pool, request: Request) -> Result<Option<(Bytes, Address)>, OnceError> {
    let bind = own_address(&request.destination, request.port).await?;
    let socket = Once::open(pool, bind).await?;
    let answer = ask(socket.udp(), &request).await;
    socket.close().await;
    answer
}

async fn ask(udp: &Udp, request: &Request) -> Result<Option<(Bytes, Address)>, OnceError> {
    let deadline = tokio::time::Instant::now() + request.wait;
    if request.only_from_destination {
        let connected = udp.connect(request.destination.clone()).await;
        connected
            .map_err(|error| SendToError::Failed(switchboard_core::DatagramError::io(&error)))?;
    }
    let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
    if request.only_from_destination {
        udp.sent(request.data.clone(), Some(left())).await?;
    } else {
        let destination = request.destination.clone();
        udp.sent_to(request.data.clone(), destination, Some(left()))
            .await?;
    }
    Ok(udp.recv_from(request.most, Some(left())).await?)
}

/// A socket of the family that the destination needs.
async fn own_address(destination: &Destination, port: u16) -> Result<BindUdp, OnceError> {
    let v6 = match destination {
        Destination::Address(Address::Inet(address)) => address.is_ipv6(),
        Destination::Address(Address::Unix(_)) => return Ok(BindUdp::send_only()),
        Destination::Name(name) => resolve::is_v6(name).await.map_err(|error| {
            SendToError::Failed(switchboard_core::DatagramError::Unresolved { kind: error.kind() })
        })?,
    };
    Ok(if v6 {
        BindUdp::new(format_args!("[::]:{port}"))
    } else {
        BindUdp::port(port)
    })
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
