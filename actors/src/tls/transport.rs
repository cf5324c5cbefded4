//! TLS over another transport.

mod moving;

use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use switchboard_core::connection::UnderWay;
use switchboard_core::{TlsError, TlsInfo};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

use crate::transport::{ChannelKind, Detached, Hangup, Transport, UnixEnds};

use super::below::Below;
use super::fault::{self, Stage};

/// A connection whose handshake is done. What it says of bytes is said of plaintext.
///
/// A write is done when the transport under it has taken all of its records, not before: so whoever
/// counts what was written counts what has left.
pub(super) struct TlsTransport {
    stream: TlsStream<Below>,
    info: Arc<TlsInfo>,
    /// Plaintext of the write under way: encrypted, and not taken in full by the transport. The next
    /// write begins with the same bytes.
    in_flight: usize,
    /// Whether somebody waits to write, or to end: whoever reads must not take their wake-up.
    write_waits: bool,
    /// Found by a read that had plaintext to give first.
    failed: Option<io::Error>,
    /// Whether the peer may end without close_notify.
    lenient: bool,
    hangup: Watch,
    /// Whether close_notify was sent, or is to be.
    ended: bool,
}

/// What is known of a peer's end that nobody has read up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// It has not left, as far as is known.
    Out,
    /// It has left the transport; whether bytes of it are unread is being looked at.
    Looking,
    /// It was told that there are such bytes.
    Behind,
    /// It was told that nothing is unread.
    Told,
}

impl TlsTransport {
    pub(super) fn new(stream: TlsStream<Below>, info: Arc<TlsInfo>, lenient: bool) -> Self {
        let mut transport = Self {
            stream,
            info,
            in_flight: 0,
            write_waits: false,
            failed: None,
            lenient,
            hangup: Watch::Out,
            ended: false,
        };
        transport.below_mut().handshake_done();
        transport
    }

    fn below(&self) -> &Below {
        self.stream.get_ref().0
    }

    fn below_mut(&mut self) -> &mut Below {
        match &mut self.stream {
            TlsStream::Client(stream) => stream.get_mut().0,
            TlsStream::Server(stream) => stream.get_mut().0,
        }
    }

    /// Waits until the transport has taken all of the write under way; how much plaintext that was.
    #[inline]
    fn poll_land(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.below_mut().under_way.outgoing = 0;
        self.write_waits = false;
        Poll::Ready(Ok(std::mem::take(&mut self.in_flight)))
    }

    /// Sends what the library has to say to what was read: that there is no other handshake, to a peer
    /// of TLS 1.2 that has asked for one and waits (RFC 5246 7.2.2). The next read or write finds what
    /// fails here.
    #[cold]
    fn answer(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Ok(())) = Pin::new(&mut self.stream).poll_flush(cx) {
            self.below_mut().under_way.outgoing = 0;
        }
    }

    /// rustls asserts, in debug builds only, that no invalid record comes after our own close_notify. That
    /// is the peer's affair, and must not be our panic.
    #[cold]
    fn poll_after_end(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = Pin::new(&mut self.stream);
        let read =
            catch_unwind(AssertUnwindSafe(|| stream.poll_read(cx, buf))).unwrap_or_else(|_| {
                let what = "an invalid record after the end".to_owned();
                Poll::Ready(Err(TlsError::BadRecord { what }.into()))
            });
        read.map(|read| read.or_else(|error| self.read_failed(error, buf)))
    }

    /// A read has failed. The records before the fault may still be there: their plaintext comes first.
    #[cold]
    fn read_failed(&mut self, error: io::Error, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let room = buf.initialize_unfilled();
        let left = match &mut self.stream {
            TlsStream::Client(stream) => stream.get_mut().1.reader().read(room),
            TlsStream::Server(stream) => stream.get_mut().1.reader().read(room),
        };
        match left {
            Ok(count) if count > 0 => {
                buf.advance(count);
                self.failed = Some(error);
                Ok(())
            }
            _ => self.judge(error),
        }
    }

    /// What an error of the stream means to whoever reads.
    fn judge(&self, error: io::Error) -> io::Result<()> {
        let error = fault::of(error, Stage::Open);
        match TlsError::of(&error) {
            Some(TlsError::Truncated) if self.lenient => Ok(()),
            _ => Err(error),
        }
    }
}

impl AsyncRead for TlsTransport {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(this.read_failed(error, buf));
        }
        if cfg!(debug_assertions) && this.ended {
            return this.poll_after_end(cx, buf);
        }
        // The transport is asked once: a second time would be in vain for most, and is the reader's affair.
        loop {
            let opened = match Pin::new(&mut this.stream).poll_fill_buf(cx) {
                Poll::Ready(Ok(opened)) => opened,
                Poll::Ready(Err(error)) => return Poll::Ready(this.read_failed(error, buf)),
                Poll::Pending => {
                    if !this.write_waits && this.stream.get_ref().1.wants_write() {
                        this.answer(cx);
                    }
                    return Poll::Pending;
                }
            };
            let count = opened.len().min(buf.remaining());
            buf.put_slice(&opened[..count]);
            Pin::new(&mut this.stream).consume(count);
            // What was opened along with it lies behind it.
            if count == 0 || buf.remaining() == 0 || this.stream.get_ref().1.wants_read() {
                this.below_mut().under_way.incoming = 0;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for TlsTransport {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.write_waits = true;
        if this.in_flight == 0 {
            this.in_flight = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        }
        this.poll_land(cx)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.write_waits = true;
        if this.in_flight == 0 {
            this.in_flight = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?;
        }
        this.poll_land(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Sends close_notify (RFC 8446 6.1), then finishes the transport.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        self.write_waits = true;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Transport for TlsTransport {
    fn set_reset(&mut self) {
        self.below().reset_switch().set(true);
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        moving::depart(*self)
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.below().local_addr()
    }

    fn kind(&self) -> ChannelKind {
        self.below().kind()
    }

    fn unix(&self) -> Option<Box<UnixEnds>> {
        self.below().unix()
    }

    fn tls(&self) -> Option<&Arc<TlsInfo>> {
        Some(&self.info)
    }

    fn under_way(&self) -> UnderWay {
        UnderWay {
            sealed: self.in_flight,
            ..self.below().under_way
        }
    }

    /// A peer says that it leaves inside of the stream, so what is left there is looked at when the
    /// transport has ended: one record at most is opened, and kept until it is read.
    fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        if self.hangup == Watch::Out {
            ready!(self.below_mut().poll_hangup(cx))?;
            self.hangup = Watch::Looking;
        }
        if matches!(self.hangup, Watch::Looking | Watch::Behind) {
            let unread = match ready!(Pin::new(&mut self.stream).poll_fill_buf(cx)) {
                Ok(unread) => Ok(!unread.is_empty()),
                Err(error) => self.judge(error).map(|()| false),
            };
            let before = std::mem::replace(&mut self.hangup, Watch::Told);
            if !unread? {
                return Poll::Ready(Ok(Hangup::Finished));
            }
            self.hangup = Watch::Behind;
            if before == Watch::Looking {
                return Poll::Ready(Ok(Hangup::Behind));
            }
        }
        // Only a reset is news now. The end of the transport itself may still be told once.
        match self.below_mut().poll_hangup(cx)? {
            Poll::Ready(_) => self.below_mut().poll_hangup(cx).map_ok(|_| Hangup::Behind),
            Poll::Pending => Poll::Pending,
        }
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.below().socket()
    }
}
