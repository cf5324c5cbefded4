//! The calls that move a datagram of a UDP socket, as the runtime has them.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use switchboard_core::Address;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Receives one datagram.
pub(super) fn poll_recv(
    socket: &UdpSocket,
    cx: &mut Context<'_>,
    datagram: &mut ReadBuf<'_>,
) -> Poll<io::Result<Address>> {
    let from = ready!(socket.poll_recv_from(cx, datagram))?;
    Poll::Ready(Ok(from.into()))
}

/// Sends one datagram; `to` is `None` for the peer that the socket is connected to.
pub(super) fn poll_send(
    socket: &UdpSocket,
    cx: &mut Context<'_>,
    data: &[u8],
    to: Option<SocketAddr>,
) -> Poll<io::Result<()>> {
    match to {
        Some(to) => ready!(socket.poll_send_to(cx, data, to))?,
        None => ready!(socket.poll_send(cx, data))?,
    };
    Poll::Ready(Ok(()))
}

/// Sends one datagram, if the runtime says that there may be room. `WouldBlock`: there is none.
pub(super) fn try_send(socket: &UdpSocket, data: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
    match to {
        Some(to) => socket.try_send_to(data, to)?,
        None => socket.try_send(data)?,
    };
    Ok(())
}
