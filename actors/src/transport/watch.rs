//! A stream whose peer's end can be waited for without reading.
//!
//! tokio tells that a socket can be read, and tells so again until all was read: who does not want to read
//! cannot wait by that. What the system tells apart is that the peer has finished or reset (`EPOLLRDHUP`,
//! `EPOLLHUP`, `EPOLLERR`); tokio lets that be waited for by its shared half only. So the stream is shared
//! with the wait for as long as there is one, and costs nothing otherwise.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::direct;
use super::{Hangup, LocalFuture};

pub(super) struct WatchedStream<S> {
    hold: Hold<S>,
    /// Whether the peer has finished; bytes of it may be unread.
    finished: bool,
    /// Whether it was told that it has, and that nothing is unread.
    told: bool,
}

/// What the streams of tokio have in common.
pub(super) trait Watchable: AsyncRead + AsyncWrite + Unpin + Sized + 'static {
    fn socket(&self) -> SockRef<'_>;
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
    fn try_io(&self, interest: Interest, io: impl FnOnce() -> io::Result<()>) -> io::Result<()>;
    /// As `AsyncRead` has it, for all who hold it; only its task reads.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_read_here(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;
    /// As `AsyncWrite` has it, in the same way.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn poll_write_here(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn try_write(&self, buf: &[u8]) -> io::Result<usize>;
    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
}

macro_rules! watchable {
    ($stream:ident) => {
        impl Watchable for $stream {
            fn socket(&self) -> SockRef<'_> {
                SockRef::from(self)
            }

            fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
                self.ready(interest)
            }

            fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.take_error()
            }

            #[inline]
            fn try_io(
                &self,
                interest: Interest,
                io: impl FnOnce() -> io::Result<()>,
            ) -> io::Result<()> {
                self.try_io(interest, io)
            }

            #[cfg(any(target_os = "linux", target_os = "android"))]
            #[inline]
            fn poll_read_here(
                &self,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                direct::poll_read(self, cx, buf)
            }

            #[cfg(any(target_os = "linux", target_os = "android"))]
            #[inline]
            fn poll_write_here(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                direct::poll_write(self, cx, buf)
            }

            #[inline]
            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }

            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.try_write(buf)
            }

            fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.try_write_vectored(bufs)
            }
        }
    };
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
watchable!(TcpStream);
#[cfg(unix)]
watchable!(UnixStream);

enum Hold<S> {
    Alone(S),
    Watched {
        stream: Rc<S>,
        wait: LocalFuture<io::Result<Ready>>,
    },
    /// In between.
    Nothing,
}

const HELD: &str = "the stream is away only inside of a call";

impl<S: Watchable> WatchedStream<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self {
            hold: Hold::Alone(stream),
            finished: false,
            told: false,
        }
    }

    pub(super) fn get(&self) -> &S {
        match &self.hold {
            Hold::Alone(stream) => stream,
            Hold::Watched { stream, .. } => stream,
            Hold::Nothing => unreachable!("{HELD}"),
        }
    }

    /// The stream, for reading: whoever waits does so no more.
    #[inline]
    pub(super) fn reading(&mut self) -> &mut S {
        if !matches!(self.hold, Hold::Alone(_)) {
            self.stop_waiting();
        }
        match &mut self.hold {
            Hold::Alone(stream) => stream,
            Hold::Watched { .. } | Hold::Nothing => unreachable!("{HELD}"),
        }
    }

    #[cold]
    fn stop_waiting(&mut self) {
        self.hold = Hold::Alone(std::mem::replace(&mut self.hold, Hold::Nothing).into_inner());
    }

    pub(super) fn into_inner(self) -> S {
        self.hold.into_inner()
    }

    /// Waits for the peer's end; see [`Transport::poll_hangup`](super::Transport::poll_hangup).
    pub(super) fn poll_hangup(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        loop {
            match &mut self.hold {
                Hold::Alone(stream) => {
                    if self.finished && !self.told && is_read_up(stream) {
                        self.told = true;
                        return Poll::Ready(Ok(Hangup::Finished));
                    }
                    self.start_waiting();
                }
                Hold::Watched { stream, wait } => {
                    let ready = ready!(wait.as_mut().poll(cx))?;
                    if let Some(error) = stream.take_error()? {
                        self.stop_waiting();
                        return Poll::Ready(Err(error));
                    }
                    let news = !self.finished && ready.is_read_closed();
                    self.finished |= news;
                    let behind = news && !is_read_up(&**stream);
                    if !news {
                        // Urgent bytes wake too, and errors that a write was told: neither is news.
                        forget(&**stream);
                    }
                    self.stop_waiting();
                    if behind {
                        return Poll::Ready(Ok(Hangup::Behind));
                    }
                }
                Hold::Nothing => unreachable!("{HELD}"),
            }
        }
    }

    fn start_waiting(&mut self) {
        let Hold::Alone(stream) = std::mem::replace(&mut self.hold, Hold::Nothing) else {
            unreachable!("{HELD}");
        };
        let stream = Rc::new(stream);
        let shared = Rc::clone(&stream);
        let interest = interest(self.finished);
        let wait = Box::pin(async move {
            match interest {
                Some(interest) => shared.ready(interest).await,
                None => std::future::pending().await,
            }
        });
        self.hold = Hold::Watched { stream, wait };
    }

    #[inline]
    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.hold {
            Hold::Alone(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            _ => self.write_beside(cx, |stream| stream.try_write_vectored(bufs)),
        }
    }

    /// Writes while somebody waits.
    #[cold]
    fn write_beside(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = self.get();
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl<S: Watchable> WatchedStream<S> {
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reading().poll_read_here(cx, buf)
    }

    #[inline]
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get().poll_write_here(cx, buf)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl<S: Watchable> WatchedStream<S> {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.reading()).poll_read(cx, buf)
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.hold {
            Hold::Alone(stream) => Pin::new(stream).poll_write(cx, buf),
            _ => self.write_beside(cx, |stream| stream.try_write(buf)),
        }
    }
}

impl<S> Hold<S> {
    fn into_inner(self) -> S {
        match self {
            Self::Alone(stream) => stream,
            Self::Watched { stream, wait } => {
                drop(wait);
                Rc::into_inner(stream).expect("only the wait shared the stream")
            }
            Self::Nothing => unreachable!("{HELD}"),
        }
    }
}

/// What to wait for; once the peer has finished, only a reset is news.
#[cfg(any(target_os = "linux", target_os = "android"))]
const fn interest(finished: bool) -> Option<Interest> {
    Some(if finished {
        Interest::ERROR
    } else {
        Interest::ERROR.add(Interest::PRIORITY)
    })
}

/// Other systems do not tell a peer's end apart from its bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const fn interest(_: bool) -> Option<Interest> {
    None
}

/// Makes tokio forget what woke the wait: of one kind at a time, since it knows no mixture here.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn forget(stream: &impl Watchable) {
    for interest in [Interest::ERROR, Interest::PRIORITY] {
        let _ = stream.try_io(interest, || Err(io::Error::from(io::ErrorKind::WouldBlock)));
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn forget(_: &impl Watchable) {}

/// Whether nothing is left to be read.
fn is_read_up(stream: &impl Watchable) -> bool {
    matches!(stream.socket().peek(&mut [MaybeUninit::uninit()]), Ok(0))
}
