//! A network whose listeners do what a test wants.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use switchboard::transport::{
    Connected, Detached, Incoming, Listener, LocalFuture, Network, Transport,
};
use switchboard::{ConnectError, ConnectTarget, ListenError, ListenTarget};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Any network, with listeners that are rigged.
#[derive(Debug, Clone)]
pub(crate) struct Rigged {
    pub(crate) inner: Arc<dyn Network>,
    pub(crate) rig: Arc<Rig>,
}

/// What is done in each look for a peer; it is told whether one was there.
type Hook = Box<dyn FnMut(bool) + Send>;

#[derive(Default)]
pub(crate) struct Rig {
    /// Accepting fails for want of descriptors; one peer at a time can be shed.
    pub(crate) starved: AtomicBool,
    /// Of the peers that are handed to another thread, some are lost: one in three when they leave, one
    /// in three when they arrive.
    pub(crate) loses: AtomicBool,
    pub(crate) hook: Mutex<Option<Hook>>,
    accepted: AtomicUsize,
}

impl fmt::Debug for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rig")
    }
}

impl Rigged {
    pub(crate) fn new(inner: impl Network) -> Self {
        Self {
            inner: Arc::new(inner),
            rig: Arc::default(),
        }
    }

    pub(crate) fn hook(&self, hook: impl FnMut(bool) + Send + 'static) {
        *self.rig.hook.lock().unwrap() = Some(Box::new(hook));
    }
}

impl Network for Rigged {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let (listening, rig) = (self.inner.listen(target), Arc::clone(&self.rig));
        Box::pin(async move {
            let inner = listening.await?;
            Ok(Box::new(RiggedListener { inner, rig }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        self.inner.connect(target)
    }
}

struct RiggedListener {
    inner: Box<dyn Listener>,
    rig: Arc<Rig>,
}

impl Listener for RiggedListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        const EMFILE: i32 = 24;
        if self.rig.starved.load(SeqCst) {
            return Poll::Ready(Err(io::Error::from_raw_os_error(EMFILE)));
        }
        let accepted = self.inner.poll_accept(cx);
        if let Some(hook) = &mut *self.rig.hook.lock().unwrap() {
            hook(accepted.is_ready());
        }
        accepted.map_ok(|incoming| Incoming {
            transport: Box::new(Fragile {
                inner: incoming.transport,
                lost: match self.rig.accepted.fetch_add(1, SeqCst) % 3 {
                    _ if !self.rig.loses.load(SeqCst) => Lost::Never,
                    0 => Lost::Leaving,
                    1 => Lost::Arriving,
                    _ => Lost::Never,
                },
            }),
            ..incoming
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn shed(&mut self) -> io::Result<bool> {
        let mut cx = Context::from_waker(Waker::noop());
        Ok(self.inner.poll_accept(&mut cx).is_ready())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    Never,
    Leaving,
    Arriving,
}

/// A connection that may be lost on its way to another thread.
struct Fragile {
    inner: Box<dyn Transport>,
    lost: Lost,
}

impl Transport for Fragile {
    fn set_reset(&mut self) {
        self.inner.set_reset();
    }

    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>> {
        if self.lost == Lost::Leaving {
            return Err(io::Error::other("lost as it left"));
        }
        Ok(Box::new(DetachedFragile {
            inner: self.inner.detach()?,
            lost: self.lost,
        }))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.local_addr()
    }

    fn peer_left(&self) -> bool {
        self.inner.peer_left()
    }

    fn turn_away(self: Box<Self>, last_words: &[u8]) {
        self.inner.turn_away(last_words);
    }
}

impl AsyncRead for Fragile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Fragile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct DetachedFragile {
    inner: Box<dyn Detached>,
    lost: Lost,
}

impl Detached for DetachedFragile {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        if self.lost == Lost::Arriving {
            return Err(io::Error::other("lost as it arrived"));
        }
        Ok(Box::new(Fragile {
            inner: self.inner.attach()?,
            lost: Lost::Never,
        }))
    }
}
