//! UDP of the system.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use switchboard_core::Address;
use tokio::io::{Interest, ReadBuf, Ready};
use tokio::net::UdpSocket;

use super::shares::Share;
use super::{DatagramSocket, Shares, calls};

/// A UDP socket.
#[derive(Debug)]
pub(crate) struct InetSocket {
    socket: Arc<UdpSocket>,
    /// Whether it has a peer, of which the system may report errors.
    connected: Cell<bool>,
    failing: Failing,
}

impl InetSocket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            connected: Cell::new(socket.peer_addr().is_ok()),
            socket: Arc::new(UdpSocket::from_std(socket)?),
            failing: Failing(None),
        })
    }
}

impl DatagramSocket for InetSocket {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        datagram: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        loop {
            if let Poll::Ready(received) = calls::poll_recv(&self.socket, cx, datagram) {
                return Poll::Ready(received);
            }
            if !self.connected.get() {
                return Poll::Pending;
            }
            // An error alone does not make it readable (epoll(7) says EPOLLERR and no EPOLLIN).
            ready!(self.failing.poll(cx, &self.socket))?;
            match take_error(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => {}
            }
        }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<()>> {
        let to = match to {
            None => None,
            Some(Address::Inet(to)) => Some(*to),
            Some(Address::Unix(_)) => return Poll::Ready(Err(other_family())),
        };
        calls::poll_send(&self.socket, cx, data, to)
    }

    fn local_addr(&self) -> Option<Address> {
        bound(&self.socket)
    }

    fn connect(&self, peer: &Address) -> io::Result<()> {
        let peer = peer.inet().ok_or_else(other_family)?;
        SockRef::from(&*self.socket).connect(&peer.into())?;
        self.connected.set(true);
        Ok(())
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(&*self.socket))
    }

    fn share(&self, peer: &Address, shares: &Arc<Shares>) -> Option<Box<dyn DatagramSocket>> {
        Some(Box::new(PeerSocket {
            socket: Arc::clone(&self.socket),
            peer: peer.clone(),
            writable: None,
            _share: shares.take(peer),
        }))
    }
}

/// A wait for an error that the system reports, for which the runtime has no poll.
struct Failing(Option<Wait<Ready>>);

type Wait<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl Failing {
    /// Ready when there may be an error.
    fn poll(&mut self, cx: &mut Context<'_>, socket: &Arc<UdpSocket>) -> Poll<io::Result<()>> {
        let wait = self.0.get_or_insert_with(|| {
            let socket = Arc::clone(socket);
            Box::pin(async move { socket.ready(Interest::ERROR).await })
        });
        let ready = ready!(wait.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(ready.map(drop))
    }
}

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

/// Takes the error that was reported. `WouldBlock`: there is none, and it is waited for anew.
fn take_error(socket: &UdpSocket) -> io::Result<()> {
    socket.try_io(Interest::ERROR, || {
        let reported = socket.take_error()?;
        Err(reported.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
    })
}

/// A share of a UDP socket, for one of its peers.
struct PeerSocket {
    socket: Arc<UdpSocket>,
    peer: Address,
    /// Several shares may wait at once, for which the socket's own wait has no room.
    writable: Option<Wait<()>>,
    /// Behind the socket, so that who finds none left finds the address free.
    _share: Share,
}

impl DatagramSocket for PeerSocket {
    fn poll_recv(&mut self, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<Address>> {
        // Datagrams are handed to it.
        Poll::Pending
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        _: Option<&Address>,
    ) -> Poll<io::Result<()>> {
        let peer = self.peer.inet().ok_or_else(other_family)?;
        loop {
            if let Some(writable) = &mut self.writable {
                ready!(writable.as_mut().poll(cx))?;
                self.writable = None;
            }
            match calls::try_send(&self.socket, data, Some(peer)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let socket = Arc::clone(&self.socket);
                    self.writable = Some(Box::pin(async move { socket.writable().await }));
                }
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn local_addr(&self) -> Option<Address> {
        bound(&self.socket)
    }

    fn connect(&self, _: &Address) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }
}

impl fmt::Debug for PeerSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSocket")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

fn bound(socket: &UdpSocket) -> Option<Address> {
    let address = socket.local_addr().ok()?;
    (address.port() != 0).then(|| address.into())
}

fn other_family() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the address is of another family than the socket",
    )
}
