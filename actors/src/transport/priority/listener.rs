//! How connections that tell of urgent bytes are accepted.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::transport::register::register;

use super::{PriorityStream, not_internet};

/// A listening socket.
pub(in crate::transport) struct PriorityListener(AsyncFd<Socket>);

impl PriorityListener {
    pub(in crate::transport) fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        Ok(Self(register(listener.into(), Interest::READABLE)?))
    }

    pub(in crate::transport) fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.0.get_ref().local_addr()?;
        address.as_socket().ok_or_else(not_internet)
    }

    pub(in crate::transport) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(PriorityStream, SocketAddr)>> {
        const FLAGS: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            match acceptfrom_with(self.0.get_ref(), FLAGS) {
                Ok((socket, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    let stream = PriorityStream::open(socket.into())?;
                    return Poll::Ready(Ok((stream, peer.ok_or_else(not_internet)?)));
                }
                Err(Errno::WOULDBLOCK) => guard.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsFd for PriorityListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
