//! Unix datagram sockets.

use std::io;
use std::os::unix::net::UnixDatagram;

use socket2::{Domain, SockRef, Socket as SystemSocket, Type};
use switchboard_core::{Address, UnixName};

use crate::options::DatagramOptions;
use crate::transport::datagram::{UnixSocket, unix_address};

use super::opening::buffers;

/// Opens one with this name, or with none.
pub(super) fn bind(name: &UnixName, options: &DatagramOptions) -> io::Result<UnixSocket> {
    let socket = SystemSocket::new(Domain::UNIX, Type::DGRAM, None)?;
    buffers(&SockRef::from(&socket), options)?;
    if *name != UnixName::Unnamed {
        socket.bind(&unix_address(&Address::Unix(name.clone()))?)?;
    }
    UnixSocket::new(socket)
}

/// Takes one over, through a descriptor of our own.
pub(super) fn adopt(socket: &UnixDatagram, options: &DatagramOptions) -> io::Result<UnixSocket> {
    let socket = SystemSocket::from(socket.try_clone()?);
    buffers(&SockRef::from(&socket), options)?;
    UnixSocket::new(socket)
}
