//! One TCP connection: what is read and written, and how it ends.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::task::ready;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(any(target_os = "linux", target_os = "android"))]
use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
#[cfg(any(target_os = "linux", target_os = "android"))]
use tokio_util::io::poll_read_buf;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::transport::Received;
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::transport::urgent::{Reading, send_urgent};
use crate::transport::watch::WatchedStream;
use crate::transport::{ChannelKind, Detached, Hangup, Transport, UNREAD_TURN};

use super::TcpStream;

/// A TCP connection on this thread.
pub(super) struct TcpTransport {
    stream: WatchedStream<TcpStream>,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    reading: Reading,
}

impl TcpTransport {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self {
            stream: WatchedStream::new(stream),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            reading: Reading::Freely,
        }
    }

    /// Whether the place of an urgent byte may be before what is to be read next.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn is_wary(&self) -> bool {
        self.reading != Reading::Freely || self.stream.get().is_wary()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn be_wary(&self) {
        self.stream.get().be_wary();
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const fn is_wary(&self) -> bool {
        false
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) const fn be_wary(&self) {}
}

impl Transport for TcpTransport {
    fn set_reset(&mut self) {
        // If that fails the peer sees a FIN instead; there is nothing more to do about it.
        let _ = SockRef::from(self.stream.get()).set_linger(Some(Duration::ZERO));
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        Ok(Box::new(DetachedTcp {
            wary: self.is_wary(),
            stream: self.stream.into_inner().into_std()?,
        }))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.stream.get().local_addr().ok()
    }

    fn kind(&self) -> ChannelKind {
        ChannelKind::Tcp
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<Received>> {
        if self.reading == Reading::Freely {
            return self.stream.reading().poll_receive_into(cx, buffer);
        }
        // Carefully, and so until nothing is left.
        let count = ready!(poll_read_buf(Pin::new(self), cx, buffer))?;
        Poll::Ready(Ok(Received { count, more: true }))
    }

    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        self.stream.poll_hangup(cx)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn carries_urgent(&self) -> bool {
        true
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_urgent(&mut self, cx: &mut Context<'_>) -> Poll<u8> {
        match self.reading.take() {
            Some(byte) => Poll::Ready(byte),
            None => {
                if !self.stream.get().is_shared() {
                    self.stream.reading().share();
                }
                self.stream.get().poll_urgent(cx)
            }
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn take_urgent(&mut self) -> Option<u8> {
        self.reading.take()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_send_urgent(&mut self, cx: &mut Context<'_>, byte: u8) -> Poll<io::Result<()>> {
        send_urgent(self.stream.get(), byte, cx)
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

/// Whether a peer has left without a word.
pub(in crate::transport) fn has_left(socket: &SockRef<'_>) -> bool {
    match socket.peek(&mut [MaybeUninit::uninit()]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ),
    }
}

/// Ends a stream that was just accepted. Not through the runtime, which does not know yet that a new
/// socket is writable.
pub(in crate::transport) fn dismiss<S: Read + Write>(
    mut stream: S,
    finish: impl FnOnce(&S) -> io::Result<()>,
    last_words: &[u8],
) {
    if !last_words.is_empty() {
        let _ = stream.write(last_words);
    }
    let _ = finish(&stream);
    let mut unread = [0; 1024];
    for _ in 0..UNREAD_TURN {
        if !stream.read(&mut unread).is_ok_and(|count| count > 0) {
            break;
        }
    }
}

impl AsyncRead for TcpTransport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.reading != Reading::Freely {
            let Self { stream, reading } = &mut *self;
            return reading.poll_read(stream.reading(), cx, buf);
        }
        self.stream.poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpTransport {
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

struct DetachedTcp {
    stream: std::net::TcpStream,
    /// Whether the place of an urgent byte may be before what is to be read next.
    wary: bool,
}

impl Detached for DetachedTcp {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        let transport = TcpTransport::new(TcpStream::from_std(self.stream)?);
        if self.wary {
            transport.be_wary();
        }
        Ok(Box::new(transport))
    }
}
