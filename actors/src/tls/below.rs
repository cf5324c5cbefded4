//! What is under TLS: a transport, and bytes of it that were read before the handshake began.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use socket2::SockRef;
use switchboard_core::connection::UnderWay;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::{ChannelKind, Detached, Hangup, Transport, UnixEnds};

pub(super) struct Below {
    /// `None` only while it moves to another thread.
    transport: Option<Box<dyn Transport>>,
    /// Comes first.
    early: Bytes,
    pub(super) under_way: UnderWay,
    /// Goes first: records of a write that was under way when it moved to this thread.
    unsent: Bytes,
    /// Whether the handshake that has it is to be dropped with a reset.
    reset: Rc<Cell<bool>>,
}

/// What only ever misses in between two threads.
const HERE: &str = "a transport that is used has arrived on its thread";

impl Below {
    pub(super) fn new(transport: Box<dyn Transport>, early: Bytes) -> Self {
        Self {
            transport: Some(transport),
            early,
            under_way: UnderWay::default(),
            unsent: Bytes::new(),
            reset: Rc::default(),
        }
    }

    /// The handshake is done.
    pub(super) fn handshake_done(&mut self) {
        self.under_way = UnderWay::default();
    }

    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.under_way.outgoing += *count as u64;
        }
    }

    /// Stands for one that is still on its way from another thread.
    pub(super) fn empty() -> Self {
        Self {
            transport: None,
            early: Bytes::new(),
            under_way: UnderWay::default(),
            unsent: Bytes::new(),
            reset: Rc::default(),
        }
    }

    /// Lets go of this thread. These records are to be sent before any others.
    pub(super) fn depart(mut self, unsent: &[u8]) -> io::Result<DetachedBelow> {
        let transport = self.transport.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(DetachedBelow {
            transport: transport.detach()?,
            early: std::mem::take(&mut self.early),
            unsent: [&self.unsent, unsent].concat().into(),
            reset: self.reset.get(),
        })
    }

    fn inner(&mut self) -> Pin<&mut dyn Transport> {
        Pin::new(&mut **self.transport.as_mut().expect(HERE))
    }

    #[inline]
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let unsent = self.unsent.clone();
            match ready!(self.inner().poll_write(cx, &unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.unsent.advance(count),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Set, it makes dropping a reset, whoever has it then.
    pub(super) fn reset_switch(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.reset)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        if self.reset.get()
            && let Some(transport) = &mut self.transport
        {
            transport.set_reset();
        }
    }
}

impl AsyncRead for Below {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buf.remaining());
            buf.put_slice(&self.early[..count]);
            self.early.advance(count);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = self.inner().poll_read(cx, buf);
        self.under_way.incoming += (buf.filled().len() - before) as u64;
        read
    }
}

impl AsyncWrite for Below {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        let written = self.inner().poll_write(cx, buf);
        self.note_written(&written);
        written
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        let written = self.inner().poll_write_vectored(cx, bufs);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport
            .as_ref()
            .is_some_and(|inner| inner.is_write_vectored())
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.transport.is_none() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_unsent(cx))?;
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        self.inner().poll_shutdown(cx)
    }
}

impl Transport for Below {
    fn set_reset(&mut self) {
        self.reset.set(true);
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        Ok(Box::new(self.depart(&[])?))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.transport.as_ref()?.local_addr()
    }

    fn kind(&self) -> ChannelKind {
        self.transport
            .as_ref()
            .map_or(ChannelKind::Network, |transport| transport.kind())
    }

    fn unix(&self) -> Option<Box<UnixEnds>> {
        self.transport.as_ref()?.unix()
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        self.inner().poll_hangup(cx)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.transport.as_ref()?.socket()
    }
}

/// The same on its way to another thread.
pub(super) struct DetachedBelow {
    transport: Box<dyn Detached>,
    early: Bytes,
    unsent: Bytes,
    reset: bool,
}

impl DetachedBelow {
    pub(super) fn arrive(self) -> io::Result<Below> {
        Ok(Below {
            transport: Some(self.transport.attach()?),
            early: self.early,
            under_way: UnderWay::default(),
            unsent: self.unsent,
            reset: Rc::new(Cell::new(self.reset)),
        })
    }
}

impl Detached for DetachedBelow {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(self.arrive()?))
    }
}
