//! Unix datagram sockets.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockRef, Socket as SystemSocket, Type};
use switchboard_core::{Address, UnixName};

use crate::options::DatagramOptions;
use crate::transport::SocketFile;
use crate::transport::datagram::{UnixSocket, unix_address};

use super::system::buffers;

/// Opens one with this name, or with none.
pub(super) fn bind(name: &UnixName, options: &DatagramOptions) -> io::Result<UnixSocket> {
    let socket = SystemSocket::new(Domain::UNIX, Type::DGRAM, None)?;
    buffers(&SockRef::from(&socket), options)?;
    let file = match name {
        UnixName::Unnamed => None,
        UnixName::Abstract(_) => {
            socket.bind(&unix_address(&Address::Unix(name.clone()))?)?;
            None
        }
        UnixName::Path(path) => Some(bind_file(path, &socket, options.permissions)?),
    };
    UnixSocket::new(socket, file)
}

/// Takes one over, through a descriptor of our own.
pub(super) fn adopt(socket: &UnixDatagram, options: &DatagramOptions) -> io::Result<UnixSocket> {
    let socket = SystemSocket::from(socket.try_clone()?);
    buffers(&SockRef::from(&socket), options)?;
    UnixSocket::new(socket, None)
}

fn bind_file(path: &Path, socket: &SystemSocket, mode: Option<u32>) -> io::Result<SocketFile> {
    let address = unix_address(&Address::from(path))?;
    let Some(mode) = mode else {
        return SocketFile::bind(path, socket, &address);
    };
    // Who sends need not wait until the permissions are set: on Linux the file gets those of the socket from
    // the beginning, less what the umask takes away. Elsewhere this fails.
    let _ = fchmod(socket, Mode::from_raw_mode(mode));
    let file = SocketFile::bind(path, socket, &address)?;
    file.set_permissions(mode)?;
    Ok(file)
}
