//! What is under TLS: a transport, and bytes of it that were read before the handshake began.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use socket2::SockRef;
use switchboard_core::connection::UnderWay;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::{Detached, Hangup, Transport};

pub(super) struct Below {
    transport: Box<dyn Transport>,
    /// Comes first.
    early: Bytes,
    pub(super) under_way: UnderWay,
    /// Whether the handshake that has it is to be dropped with a reset.
    reset: Rc<Cell<bool>>,
}

impl Below {
    pub(super) fn new(transport: Box<dyn Transport>, early: Bytes) -> Self {
        Self {
            transport,
            early,
            under_way: UnderWay::default(),
            reset: Rc::default(),
        }
    }

    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.under_way.outgoing += *count as u64;
        }
    }

    /// Set, it makes dropping a reset, whoever has it then.
    pub(super) fn reset_switch(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.reset)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        if self.reset.get() {
            self.transport.set_reset();
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
        let read = Pin::new(&mut *self.transport).poll_read(cx, buf);
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
        let written = Pin::new(&mut *self.transport).poll_write(cx, buf);
        self.note_written(&written);
        written
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.transport).poll_write_vectored(cx, bufs);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.transport).poll_shutdown(cx)
    }
}

impl Transport for Below {
    fn set_reset(&mut self) {
        self.transport.set_reset();
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.transport.local_addr()
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        self.transport.poll_hangup(cx)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.transport.socket()
    }
}
