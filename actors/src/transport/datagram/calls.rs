//! The calls that move a datagram of a UDP socket, without what the runtime and the libraries below it put
//! around them.
//!
//! The runtime says when it is worth trying. What it does for its own calls and these do not: it looks at the
//! turn of the task also when a call succeeds. A socket has budgets of its own for that.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};
use switchboard_core::Address;
use tokio::io::{Interest, ReadBuf};
use tokio::net::UdpSocket;

/// Receives one datagram.
#[inline]
pub(super) fn poll_recv(
    socket: &UdpSocket,
    cx: &mut Context<'_>,
    datagram: &mut ReadBuf<'_>,
) -> Poll<io::Result<Address>> {
    loop {
        match socket.try_io(Interest::READABLE, || receive(socket, datagram)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return Poll::Ready(received.map(Address::from)),
        }
        ready!(socket.poll_recv_ready(cx))?;
    }
}

/// Sends one datagram; `to` is `None` for the peer that the socket is connected to.
#[inline]
pub(super) fn poll_send(
    socket: &UdpSocket,
    cx: &mut Context<'_>,
    data: &[u8],
    to: Option<SocketAddr>,
) -> Poll<io::Result<()>> {
    loop {
        match try_send(socket, data, to) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
        ready!(socket.poll_send_ready(cx))?;
    }
}

/// Sends one datagram, if the runtime says that there may be room. `WouldBlock`: there is none.
#[inline]
pub(super) fn try_send(socket: &UdpSocket, data: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
    socket.try_io(Interest::WRITABLE, || send(socket, data, to))
}

#[inline]
fn receive(socket: &UdpSocket, datagram: &mut ReadBuf<'_>) -> io::Result<SocketAddr> {
    let room = datagram.initialize_unfilled();
    let (count, _, from) = recvfrom(socket, room, RecvFlags::empty())?;
    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
    let from = from.ok_or_else(|| io::Error::other("a datagram came from no internet address"))?;
    datagram.advance(count);
    Ok(with_flow(from, u32::to_be))
}

#[inline]
fn send(socket: &UdpSocket, data: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
    match to {
        Some(SocketAddr::V4(to)) => sendto(socket, data, SendFlags::NOSIGNAL, &to)?,
        Some(to) => {
            let to = with_flow(to, u32::from_be);
            sendto(socket, data, SendFlags::NOSIGNAL, &to)?
        }
        None => rustix::net::send(socket, data, SendFlags::NOSIGNAL)?,
    };
    Ok(())
}

/// The flow label of IPv6 is in the order of the network for the standard library and everybody who is given
/// such an address, and in that of the machine for these calls.
#[inline]
fn with_flow(mut address: SocketAddr, turn: fn(u32) -> u32) -> SocketAddr {
    if let SocketAddr::V6(address) = &mut address
        && address.flowinfo() != 0
    {
        address.set_flowinfo(turn(address.flowinfo()));
    }
    address
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket as Plain};

    use super::*;

    /// The system refuses a label that was not leased, which shows that it has seen the same bits as it does
    /// when the standard library sends there.
    #[tokio::test]
    async fn a_flow_label_reaches_the_system_as_from_the_standard_library() {
        let Ok(plain) = Plain::bind("[::1]:0") else {
            return;
        };
        let port = plain.local_addr().unwrap().port();
        plain.set_nonblocking(true).unwrap();
        let socket = UdpSocket::from_std(plain.try_clone().unwrap()).unwrap();
        socket.writable().await.unwrap();
        for label in [0, 1, 0x0200, 0x1234_5678, 0x0f00_0000_u32.to_be()] {
            let to = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, port, label, 0));
            let theirs = plain.send_to(b"x", to).map(drop);
            let ours = try_send(&socket, b"x", Some(to));
            let kinds = (ours.map_err(|e| e.kind()), theirs.map_err(|e| e.kind()));
            assert_eq!(kinds.0, kinds.1, "{label:#x}");
        }
    }
}
