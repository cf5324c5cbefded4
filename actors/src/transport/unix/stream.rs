//! A Unix stream.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use switchboard_core::UnixName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::transport::tcp::{dismiss, has_left};
use crate::transport::watch::WatchedStream;
use crate::transport::{ChannelKind, Detached, Hangup, PeerCredentials, Transport, UnixEnds};

use super::name::{local_name, peer_name};

/// A Unix connection on this thread.
pub(super) struct UnixTransport {
    stream: WatchedStream<UnixStream>,
}

impl UnixTransport {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self {
            stream: WatchedStream::new(stream),
        }
    }

    pub(super) fn open(stream: StdStream) -> io::Result<Self> {
        UnixStream::from_std(stream).map(Self::new)
    }
}

impl Transport for UnixTransport {
    fn kind(&self) -> ChannelKind {
        ChannelKind::Unix
    }

    fn set_reset(&mut self) {
        // There is no such thing: closing tells the peer of its unread bytes, if there are any, and that
        // is all that the system has to say.
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        Ok(Box::new(DetachedUnix {
            stream: self.stream.into_inner().into_std()?,
        }))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }

    fn unix(&self) -> Option<Box<UnixEnds>> {
        let stream = self.stream.get();
        let credentials = stream.peer_cred().ok();
        Some(Box::new(UnixEnds {
            local: local_name(stream).unwrap_or(UnixName::Unnamed),
            // A peer that has left already has no name any more.
            peer: peer_name(stream).unwrap_or(UnixName::Unnamed),
            credentials: credentials
                .map(|peer| PeerCredentials::new(peer.uid(), peer.gid(), peer.pid())),
        }))
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.reading().poll_read_ready(cx).map(drop)
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        self.stream.poll_hangup(cx)
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(self.stream.get()))
    }

    fn peer_left(&self) -> bool {
        has_left(&SockRef::from(self.stream.get()))
    }

    fn turn_away(self: Box<Self>, last_words: &[u8]) {
        if let Ok(stream) = self.stream.into_inner().into_std() {
            dismiss(
                stream,
                |stream| stream.shutdown(Shutdown::Write),
                last_words,
            );
        }
    }
}

impl AsyncRead for UnixTransport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.poll_read(cx, buf)
    }
}

impl AsyncWrite for UnixTransport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(self.stream.get()).shutdown(Shutdown::Write))
    }
}

struct DetachedUnix {
    stream: StdStream,
}

impl Detached for DetachedUnix {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(UnixTransport::open(self.stream)?))
    }
}
