//! Transports and networks that break a promise each.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use switchboard::transport::{
    Connected, Detached, Incoming, Listener, LocalFuture, Network, TcpNetwork, Transport,
};
use switchboard::{ConnectError, ConnectTarget, ListenError, ListenTarget};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// TCP with another transport around each of its own.
#[derive(Clone, Debug)]
pub(super) struct Wrapping {
    pub(super) wrap: fn(Box<dyn Transport>) -> Box<dyn Transport>,
}

impl Network for Wrapping {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let wrap = self.wrap;
        Box::pin(async move {
            let inner = TcpNetwork.listen(target).await?;
            Ok(Box::new(WrappingListener { inner, wrap }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        let wrap = self.wrap;
        Box::pin(async move {
            let connected = TcpNetwork.connect(target).await?;
            Ok(Connected {
                transport: wrap(connected.transport),
                ..connected
            })
        })
    }
}

pub(super) struct WrappingListener {
    inner: Box<dyn Listener>,
    wrap: fn(Box<dyn Transport>) -> Box<dyn Transport>,
}

impl Listener for WrappingListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.inner.poll_accept(cx).map_ok(|incoming| Incoming {
            transport: (self.wrap)(incoming.transport),
            ..incoming
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

/// What broken transports do like the one inside. They do not move.
macro_rules! transport {
    ($name:ident, $inner:tt) => {
        impl Transport for $name {
            fn set_reset(&mut self) {
                self.$inner.set_reset();
            }

            fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
                Err(io::ErrorKind::Unsupported.into())
            }

            fn local_addr(&self) -> Option<SocketAddr> {
                self.$inner.local_addr()
            }
        }
    };
}

macro_rules! reads_like {
    ($name:ident, $inner:tt) => {
        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_read(cx, buf)
            }
        }
    };
}

macro_rules! writes_like {
    ($name:ident, $inner:tt) => {
        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$inner).poll_write(cx, buf)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}

/// Says that it has written the last byte of each write, which it has not.
pub(super) struct DropsLastByte(pub(super) Box<dyn Transport>);

transport!(DropsLastByte, 0);

reads_like!(DropsLastByte, 0);

impl AsyncWrite for DropsLastByte {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = buf.len().saturating_sub(1);
        match Pin::new(&mut self.0).poll_write(cx, &buf[..most]) {
            Poll::Ready(Ok(count)) if count == most => Poll::Ready(Ok(buf.len())),
            other => other,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Wakes whoever read first, whoever reads now.
pub(super) struct KeepsFirstWaker {
    pub(super) inner: Box<dyn Transport>,
    pub(super) waker: Option<Waker>,
}

transport!(KeepsFirstWaker, inner);

writes_like!(KeepsFirstWaker, inner);

impl AsyncRead for KeepsFirstWaker {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let waker = self.waker.get_or_insert_with(|| cx.waker().clone()).clone();
        Pin::new(&mut self.inner).poll_read(&mut Context::from_waker(&waker), buf)
    }
}

/// Has one place for a waker, which a write takes from a read and a read from a write.
pub(super) struct ForgetsReader {
    pub(super) inner: Box<dyn Transport>,
    pub(super) last: Arc<LastWaker>,
}

#[derive(Default)]
pub(super) struct LastWaker(std::sync::Mutex<Option<Waker>>);

impl std::task::Wake for LastWaker {
    fn wake(self: Arc<Self>) {
        if let Some(waker) = self.0.lock().unwrap().take() {
            waker.wake();
        }
    }
}

impl ForgetsReader {
    fn through<T>(
        &mut self,
        cx: &Context<'_>,
        work: impl FnOnce(Pin<&mut Box<dyn Transport>>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        *self.last.0.lock().unwrap() = Some(cx.waker().clone());
        let waker = Waker::from(Arc::clone(&self.last));
        work(Pin::new(&mut self.inner), &mut Context::from_waker(&waker))
    }
}

transport!(ForgetsReader, inner);

impl AsyncRead for ForgetsReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.through(cx, |inner, cx| inner.poll_read(cx, buf))
    }
}

impl AsyncWrite for ForgetsReader {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.through(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.through(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.through(cx, |inner, cx| inner.poll_shutdown(cx))
    }
}

/// Lets go of everything when one direction is finished.
pub(super) struct ShutsBoth(pub(super) Option<Box<dyn Transport>>);

impl Transport for ShutsBoth {
    fn set_reset(&mut self) {
        if let Some(inner) = &mut self.0 {
            inner.set_reset();
        }
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.0.as_ref()?.local_addr()
    }
}

impl AsyncRead for ShutsBoth {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(inner) => Pin::new(inner).poll_read(cx, buf),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for ShutsBoth {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(inner) => Pin::new(inner).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// Takes every byte, whether or not anybody reads; what the system does not take is gone.
pub(super) struct TakesEverything(pub(super) Box<dyn Transport>);

transport!(TakesEverything, 0);

reads_like!(TakesEverything, 0);

impl AsyncWrite for TakesEverything {
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
        match Pin::new(&mut self.0).poll_write_vectored(cx, bufs) {
            Poll::Pending => Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum())),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
