//! A listening Unix socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use switchboard_core::{Address, UnixName};
use tokio::net::UnixListener;

use crate::options::{ListenTarget, SocketOptions};
use crate::transport::spare::Spare;
use crate::transport::tcp::apply_buffers;
use crate::transport::{DetachedListener, Incoming, Listener};

use super::file::SocketFile;
use super::stream::UnixTransport;

/// Where there is no IP address.
const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

pub(super) struct UnixAcceptor {
    listener: UnixListener,
    name: UnixName,
    options: SocketOptions,
    spare: Spare,
    /// Behind the listener, so that nobody who finds the file free finds it in use.
    file: Option<Arc<SocketFile>>,
}

impl UnixAcceptor {
    pub(super) fn new(
        listener: StdListener,
        name: UnixName,
        file: Option<Arc<SocketFile>>,
        target: &ListenTarget,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            name,
            options: target.socket.clone(),
            spare: Spare::new(target.spare_descriptor),
            file,
        })
    }
}

impl Listener for UnixAcceptor {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.listener.poll_accept(cx).map_ok(|(stream, _)| {
            // Nothing is inherited from the listener. What cannot be set stays as the system has it.
            let _ = apply_buffers(&SockRef::from(&stream), &self.options);
            Incoming {
                transport: Box::new(UnixTransport::new(stream)),
                peer_addr: None,
                local_addr: None,
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        NO_ADDRESS
    }

    fn address(&self) -> Address {
        Address::Unix(self.name.clone())
    }

    fn duplicate(&self) -> io::Result<Box<dyn DetachedListener>> {
        let listener = SockRef::from(&self.listener).try_clone()?;
        Ok(Box::new(DetachedAcceptor {
            listener: listener.into(),
            name: self.name.clone(),
            options: self.options.clone(),
            spare_descriptor: self.spare.is_wanted(),
            file: self.file.clone(),
        }))
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(&self.listener))
    }

    fn shed(&mut self) -> io::Result<bool> {
        self.spare
            .lend(|| match SockRef::from(&self.listener).accept() {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            })
    }
}

/// A second descriptor of a listening socket. The file is there for as long as either.
struct DetachedAcceptor {
    listener: StdListener,
    name: UnixName,
    options: SocketOptions,
    spare_descriptor: bool,
    file: Option<Arc<SocketFile>>,
}

impl DetachedListener for DetachedAcceptor {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(UnixAcceptor {
            listener: UnixListener::from_std(self.listener)?,
            name: self.name,
            options: self.options,
            spare: Spare::new(self.spare_descriptor),
            file: self.file,
        }))
    }
}
