//! Unix datagram sockets and raw IP sockets: what the runtime has no type of its own for.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SocketAddrAny, SocketAddrUnix, recvfrom};
use socket2::{SockAddr, SockRef, Socket};
use switchboard_core::{Address, UnixName};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

use super::super::SocketFile;
use super::super::register::register;
use super::DatagramSocket;

/// A Unix datagram socket.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    socket: AsyncFd<Socket>,
    /// Behind the socket, so that nobody who finds the file free finds it in use.
    _file: Option<SocketFile>,
}

/// A raw IP socket.
#[derive(Debug)]
pub(crate) struct RawSocket(AsyncFd<Socket>);

impl UnixSocket {
    /// With its file, if it has one of its own.
    pub(crate) fn new(socket: Socket, file: Option<SocketFile>) -> io::Result<Self> {
        Ok(Self {
            socket: watch(socket)?,
            _file: file,
        })
    }
}

impl RawSocket {
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        watch(socket).map(Self)
    }
}

fn watch(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    socket.set_nonblocking(true)?;
    register(socket, Interest::READABLE | Interest::WRITABLE)
}

impl DatagramSocket for UnixSocket {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        datagram: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        let from = ready!(poll_recv(&self.socket, cx, datagram))?;
        Poll::Ready(Ok(Address::Unix(unix_name(from))))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<()>> {
        match to {
            None => poll_send(&self.socket, cx, data, None),
            // The socket stays writable while the queue of a receiver is full: there is nothing to wait for.
            Some(to) => {
                let to = unix_address(to)?;
                Poll::Ready(self.socket.get_ref().send_to(data, &to).map(drop))
            }
        }
    }

    fn local_addr(&self) -> Option<Address> {
        match system_name(&self.socket.get_ref().local_addr().ok()?) {
            UnixName::Unnamed => None,
            name => Some(Address::Unix(name)),
        }
    }

    fn connect(&self, peer: &Address) -> io::Result<()> {
        self.socket.get_ref().connect(&unix_address(peer)?)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(self.socket.get_ref()))
    }
}

impl DatagramSocket for RawSocket {
    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        datagram: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Address>> {
        let from = ready!(poll_recv(&self.0, cx, datagram))?;
        let from = from.map(SocketAddr::try_from).transpose()?;
        let mut from = from.ok_or_else(other_family)?;
        // Not the address alone: one of IPv6 may mean something on its interface only.
        from.set_port(0);
        Poll::Ready(Ok(from.into()))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<()>> {
        let to = to.map(raw_address).transpose()?;
        poll_send(&self.0, cx, data, to.as_ref())
    }

    fn local_addr(&self) -> Option<Address> {
        let address = self.0.get_ref().local_addr().ok()?.as_socket()?;
        (!address.ip().is_unspecified()).then(|| address.ip().into())
    }

    fn connect(&self, peer: &Address) -> io::Result<()> {
        self.0.get_ref().connect(&raw_address(peer)?)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(self.0.get_ref()))
    }
}

/// Receives one datagram; it has a sender, or none with a name.
fn poll_recv(
    socket: &AsyncFd<Socket>,
    cx: &mut Context<'_>,
    datagram: &mut ReadBuf<'_>,
) -> Poll<io::Result<Option<SocketAddrAny>>> {
    loop {
        let mut ready = ready!(socket.poll_read_ready(cx))?;
        let received = ready.try_io(|socket| {
            let room = datagram.initialize_unfilled();
            Ok(recvfrom(socket.get_ref(), room, RecvFlags::empty())?)
        });
        if let Ok(received) = received {
            return Poll::Ready(received.map(|(count, _, from)| {
                datagram.advance(count);
                from
            }));
        }
    }
}

fn poll_send(
    socket: &AsyncFd<Socket>,
    cx: &mut Context<'_>,
    data: &[u8],
    to: Option<&SockAddr>,
) -> Poll<io::Result<()>> {
    loop {
        let mut ready = ready!(socket.poll_write_ready(cx))?;
        let sent = ready.try_io(|socket| match to {
            Some(to) => socket.get_ref().send_to(data, to),
            None => socket.get_ref().send(data),
        });
        if let Ok(sent) = sent {
            return Poll::Ready(sent.map(drop));
        }
    }
}

fn unix_name(address: Option<SocketAddrAny>) -> UnixName {
    let Some(Ok(address)) = address.map(SocketAddrUnix::try_from) else {
        return UnixName::Unnamed;
    };
    if let Some(path) = address.path_bytes() {
        return UnixName::Path(Path::new(OsStr::from_bytes(path)).into());
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.abstract_name().filter(|name| !name.is_empty()) {
        return UnixName::Abstract(name.into());
    }
    UnixName::Unnamed
}

/// The name in the system's form of a Unix address.
pub(crate) fn system_name(address: &SockAddr) -> UnixName {
    if let Some(path) = address.as_pathname() {
        UnixName::Path(path.into())
    } else if let Some(name) = address.as_abstract_namespace() {
        UnixName::Abstract(name.into())
    } else {
        UnixName::Unnamed
    }
}

/// The system's form of a Unix address.
pub(crate) fn unix_address(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Unix(UnixName::Path(path)) => SockAddr::unix(path),
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Address::Unix(UnixName::Abstract(name)) => {
            let name = [b"\0", &**name].concat();
            SockAddr::unix(OsStr::from_bytes(&name))
        }
        _ => Err(other_family()),
    }
}

fn raw_address(address: &Address) -> io::Result<SockAddr> {
    let mut address = address.inet().ok_or_else(other_family)?;
    // On IPv6 a port would be taken for a protocol.
    address.set_port(0);
    Ok(address.into())
}

fn other_family() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the address is of another family than the socket",
    )
}
