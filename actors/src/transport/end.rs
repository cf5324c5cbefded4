//! One descriptor with the runtime: waiting, reading, writing, and noticing the other side's end.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use socket2::SockRef;
use switchboard_core::Access;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf, Ready};

use super::descriptor::Nature;
use super::nonblocking::NonBlocking;
use super::register::{Owner, register};
use super::{Hangup, LocalFuture};

pub(super) struct End {
    /// `None` after the runtime has refused it.
    io: Option<Rc<AsyncFd<NonBlocking>>>,
    /// For the other side's end.
    wait: Option<LocalFuture<io::Result<Ready>>>,
    /// Whether it has finished; bytes of it may be unread.
    finished: bool,
    /// Whether it was told that it has, and that nothing is unread.
    told: bool,
}

impl Owner for NonBlocking {}

impl End {
    pub(super) fn new(fd: NonBlocking) -> io::Result<Self> {
        let interest = match fd.access {
            Access::ReadWrite => Interest::READABLE.add(Interest::WRITABLE),
            Access::ReadOnly => Interest::READABLE,
            Access::WriteOnly => Interest::WRITABLE,
        };
        let io = register(fd, interest)?;
        Ok(Self {
            io: Some(Rc::new(io)),
            wait: None,
            finished: false,
            told: false,
        })
    }

    fn io(&self) -> io::Result<&Rc<AsyncFd<NonBlocking>>> {
        self.io
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(super) fn into_inner(mut self) -> io::Result<NonBlocking> {
        self.wait = None;
        let io = self.io.take().and_then(Rc::into_inner);
        io.map(AsyncFd::into_inner)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Begins anew with the runtime. It takes a side that has left for gone, but a FIFO, and the master of a
    /// terminal, may get another one.
    #[cold]
    fn register_again(&mut self) -> io::Result<()> {
        self.wait = None;
        let io = self.io.take().and_then(Rc::into_inner);
        let fd = io.map(AsyncFd::into_inner);
        *self = Self::new(fd.ok_or(io::ErrorKind::NotConnected)?)?;
        Ok(())
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.io()?.poll_read_ready(cx))?;
            let fd = guard.get_inner();
            match fd.read(buf) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = guard.ready().is_read_closed();
                    guard.clear_ready();
                    if left {
                        self.register_again()?;
                    }
                }
                // How a terminal says that its other side is closed.
                Err(error)
                    if matches!(fd.nature, Nature::Terminal { .. } | Nature::Named)
                        && guard.ready().is_read_closed()
                        && Errno::from_io_error(&error) == Some(Errno::IO) =>
                {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.io()?.poll_write_ready(cx))?;
            match guard.get_inner().write(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = guard.ready().is_write_closed();
                    guard.clear_ready();
                    if left {
                        self.register_again()?;
                    }
                }
                written => return Poll::Ready(written),
            }
        }
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        self.io()?.get_ref().shutdown()
    }

    /// The socket, if it is one.
    pub(super) fn socket(&self) -> Option<SockRef<'_>> {
        let fd = self.io.as_ref()?.get_ref();
        fd.is_socket().then(|| SockRef::from(fd))
    }

    /// Waits for the end of whoever writes; see [`Transport::poll_hangup`](super::Transport::poll_hangup).
    pub(super) fn poll_peer_finished(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        loop {
            if self.finished && !self.told && !self.is_unread() {
                self.told = true;
                return Poll::Ready(Ok(Hangup::Finished));
            }
            if self.finished && self.socket().is_none() {
                // Its end was all the news there is.
                return Poll::Pending;
            }
            let ready = ready!(self.poll_news(cx))?;
            if let Some(socket) = self.socket()
                && let Some(error) = socket.take_error()?
            {
                return Poll::Ready(Err(error));
            }
            if ready.is_read_closed() && !self.finished {
                self.finished = true;
                if self.is_unread() {
                    return Poll::Ready(Ok(Hangup::Behind));
                }
            }
        }
    }

    /// Waits until nobody is left to read what is written.
    pub(super) fn poll_reader_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            match ready!(self.poll_news(cx)) {
                Err(error) => return Poll::Ready(error),
                Ok(ready) if is_gone(ready) => return Poll::Ready(Errno::PIPE.into()),
                Ok(_) => {}
            }
        }
    }

    /// Waits for an end or an error of the other side; what else wakes is forgotten.
    fn poll_news(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        let Some(interest) = interest(self.finished) else {
            return Poll::Pending;
        };
        let io = Rc::clone(self.io()?);
        let wait = self.wait.get_or_insert_with(|| {
            Box::pin(async move {
                let mut guard = io.ready(interest).await?;
                let ready = guard.ready();
                // An end stays known; errors and urgent bytes are looked at once.
                guard.clear_ready_matching(passing());
                Ok(ready)
            })
        });
        let ready = ready!(wait.as_mut().poll(cx));
        self.wait = None;
        Poll::Ready(ready)
    }

    fn is_unread(&self) -> bool {
        self.io().is_ok_and(|io| io.get_ref().is_unread())
    }
}

/// What to wait for; once the other side has finished, only a reset is news.
#[cfg(any(target_os = "linux", target_os = "android"))]
const fn interest(finished: bool) -> Option<Interest> {
    Some(if finished {
        Interest::ERROR
    } else {
        Interest::ERROR.add(Interest::PRIORITY)
    })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn passing() -> Ready {
    Ready::ERROR | Ready::PRIORITY
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_gone(ready: Ready) -> bool {
    ready.is_error() || ready.is_read_closed()
}

/// Other systems do not tell an end apart from bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn interest(_: bool) -> Option<Interest> {
    None
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn passing() -> Ready {
    Ready::EMPTY
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn is_gone(ready: Ready) -> bool {
    ready.is_read_closed()
}
