//! Descriptors as transports: pipes, FIFOs, terminals, serial lines, sockets that somebody else made.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use switchboard_core::{Access, ConnectError, ConnectPhase};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::descriptor::Descriptor;
use super::end::End;
use super::nonblocking::NonBlocking;
use super::{ChannelKind, Connected, Detached, Hangup, LocalFuture, Transport};

/// What is to be watched: one descriptor, or one for each way.
#[derive(Debug)]
pub(crate) struct Watched {
    first: Descriptor,
    /// Written instead of the first, which is read.
    write: Option<Descriptor>,
}

impl Watched {
    pub(crate) const fn one(descriptor: Descriptor) -> Self {
        Self {
            first: descriptor,
            write: None,
        }
    }

    pub(crate) const fn pair(read: Descriptor, write: Descriptor) -> Self {
        Self {
            first: read,
            write: Some(write),
        }
    }

    /// Which ways bytes go.
    pub(crate) const fn access(&self) -> Access {
        match self.write {
            Some(_) => Access::ReadWrite,
            None => self.first.access,
        }
    }

    /// Whether what is unread at the end would cost the peer our last bytes: only so on sockets. All else is
    /// left to whoever reads there next.
    pub(crate) const fn lingers(&self) -> bool {
        self.first.is_socket() && !matches!(self.first.access, Access::WriteOnly)
    }

    /// Opens the transport, on the thread that asks for it.
    pub(crate) fn establish(
        self: Arc<Self>,
        name: String,
    ) -> LocalFuture<Result<Connected, ConnectError>> {
        Box::pin(async move {
            let transport = PipeTransport::open(&self)
                .map_err(|error| ConnectError::new(name, ConnectPhase::Local, &error))?;
            let peer_addr = transport.peer_addr();
            Ok(Connected {
                transport: Box::new(transport),
                peer_addr,
            })
        })
    }
}

/// Opens one end of a pipe as a transport, and says which way bytes go through it.
///
/// # Errors
/// What the system says, or that it is no pipe.
pub(crate) fn open_pipe(fd: impl AsFd) -> io::Result<(Box<dyn Transport>, Access)> {
    let descriptor = Descriptor::new(fd, None).map_err(io::Error::other)?;
    let watched = Watched::one(descriptor);
    let transport = PipeTransport::open(&watched)?;
    Ok((Box::new(transport), watched.access()))
}

/// One descriptor, or two.
struct PipeTransport {
    read: Option<End>,
    write: WriteEnd,
}

enum WriteEnd {
    /// It is finished, or never was.
    Closed,
    /// The descriptor that is read.
    Shared,
    Own(End),
}

impl PipeTransport {
    fn open(watched: &Watched) -> io::Result<Self> {
        let first = NonBlocking::open(&watched.first)?;
        let write = watched.write.as_ref().map(NonBlocking::open).transpose()?;
        Self::of(first, write)
    }

    fn of(first: NonBlocking, write: Option<NonBlocking>) -> io::Result<Self> {
        let access = first.access;
        let first = End::new(first)?;
        let write = write.map(End::new).transpose()?.map(WriteEnd::Own);
        Ok(match (access, write) {
            (_, Some(write)) => Self {
                read: Some(first),
                write,
            },
            (Access::ReadWrite, None) => Self {
                read: Some(first),
                write: WriteEnd::Shared,
            },
            (Access::ReadOnly, None) => Self {
                read: Some(first),
                write: WriteEnd::Closed,
            },
            (Access::WriteOnly, None) => Self {
                read: None,
                write: WriteEnd::Own(first),
            },
        })
    }

    fn writing(&mut self) -> io::Result<&mut End> {
        match (&mut self.write, &mut self.read) {
            (WriteEnd::Own(end), _) | (WriteEnd::Shared, Some(end)) => Ok(end),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket()?.peer_addr().ok()?.as_socket()
    }
}

impl Transport for PipeTransport {
    fn set_reset(&mut self) {
        // A pipe knows no reset: whoever reads there sees the end.
        if let Some(socket) = self.socket() {
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        let write = match self.write {
            WriteEnd::Own(end) => Some(end.into_inner()?),
            WriteEnd::Closed | WriteEnd::Shared => None,
        };
        let (first, write) = match (self.read, write) {
            (Some(read), write) => (read.into_inner()?, write),
            (None, Some(write)) => (write, None),
            (None, None) => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        Ok(Box::new(DetachedPipe { first, write }))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.socket()?.local_addr().ok()?.as_socket()
    }

    fn kind(&self) -> ChannelKind {
        ChannelKind::Pipe
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        match (&mut self.read, &mut self.write) {
            (Some(read), _) => read.poll_peer_finished(cx),
            (None, WriteEnd::Own(write)) => write.poll_reader_gone(cx).map(Err),
            _ => Poll::Pending,
        }
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        match (&self.read, &self.write) {
            (Some(end), _) | (None, WriteEnd::Own(end)) => end.socket(),
            _ => None,
        }
    }
}

impl AsyncRead for PipeTransport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.read {
            Some(end) => end.poll_read(cx, buf),
            // Nothing will ever come.
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for PipeTransport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writing()?.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes what is only written. A socket is finished, also for others who have it. A terminal, which is
    /// one descriptor for both ways, has no end to be told.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let finished = match self.writing() {
            Ok(end) if end.socket().is_some() => end.shutdown(),
            _ => Ok(()),
        };
        self.write = WriteEnd::Closed;
        Poll::Ready(finished)
    }
}

struct DetachedPipe {
    first: NonBlocking,
    write: Option<NonBlocking>,
}

impl Detached for DetachedPipe {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(PipeTransport::of(self.first, self.write)?))
    }
}
