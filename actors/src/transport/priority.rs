//! TCP sockets of which the runtime also tells that an urgent byte has come (AC-06).
//!
//! tokio's own streams do not ask the system for that. These do in the one registration that each socket has, so
//! that it costs nothing until there is one.
//!
//! The system ends a read at the place of an urgent byte, whoever wants it or not. A short read is otherwise the
//! last one until more comes, which saves asking again. So while an urgent byte may be there, a read is the last
//! one only when the system itself has nothing more.

mod listener;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};
use socket2::{SockRef, Socket};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::task::coop;

use super::register::register;
use super::watch::Watchable;
use super::{LocalFuture, Received, direct};

pub(super) use listener::PriorityListener;

/// What a stream is registered for.
const ALL: Interest = Interest::READABLE
    .add(Interest::WRITABLE)
    .add(Interest::PRIORITY);

fn not_internet() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not an internet address")
}

/// A connection.
pub(super) struct PriorityStream {
    socket: Held,
    /// Nothing is known yet of a new socket: so it is tried, which nearly always succeeds.
    untried: Cell<Untried>,
    /// Whether an urgent byte may stand before what is to be read, although the runtime does not say so.
    wary: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Untried {
    read: bool,
    write: bool,
}

/// What one read brought.
#[derive(Clone, Copy)]
struct Piece {
    count: usize,
    /// Whether nothing more is there, so that the runtime is to say when there is.
    is_last: bool,
}

type UrgentWait = RefCell<Option<LocalFuture<io::Result<Ready>>>>;

enum Held {
    Alone(AsyncFd<Socket>),
    /// With the wait for urgent bytes, since somebody has asked for them.
    Shared(Rc<AsyncFd<Socket>>, Box<UrgentWait>),
    /// In between.
    Nothing,
}

const AWAY: &str = "the socket is away only inside of a call";
const HELD: &str = "only the wait shared the socket";

impl PriorityStream {
    fn open(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            socket: Held::Alone(register(socket, ALL)?),
            untried: Cell::new(Untried {
                read: true,
                write: true,
            }),
            wary: Cell::new(false),
        })
    }

    pub(super) fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        Self::open(stream.into())
    }

    #[allow(clippy::unnecessary_wraps, reason = "tokio's streams may fail here")]
    pub(super) fn into_std(self) -> io::Result<std::net::TcpStream> {
        let socket = match self.socket {
            Held::Alone(socket) => socket,
            Held::Shared(socket, wait) => {
                drop(wait);
                Rc::into_inner(socket).expect(HELD)
            }
            Held::Nothing => unreachable!("{AWAY}"),
        };
        Ok(socket.into_inner().into())
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        let address = self.get().get_ref().local_addr()?;
        address.as_socket().ok_or_else(not_internet)
    }

    fn get(&self) -> &AsyncFd<Socket> {
        match &self.socket {
            Held::Alone(socket) => socket,
            Held::Shared(socket, _) => socket,
            Held::Nothing => unreachable!("{AWAY}"),
        }
    }

    /// Whether urgent bytes can be waited for.
    pub(super) const fn is_shared(&self) -> bool {
        matches!(self.socket, Held::Shared(..))
    }

    /// Makes it so that they can, from now on.
    pub(super) fn share(&mut self) {
        self.socket = match std::mem::replace(&mut self.socket, Held::Nothing) {
            Held::Alone(socket) => Held::Shared(Rc::new(socket), Box::default()),
            other => other,
        };
    }

    /// An urgent byte may stand before what is to be read next.
    pub(super) fn be_wary(&self) {
        self.wary.set(true);
    }

    /// Whether one may. The end of the stream looks the same, and is read to in any case.
    pub(super) fn is_wary(&self) -> bool {
        self.wary.get() || self.get().try_io(Interest::PRIORITY, |_| Ok(())).is_ok()
    }

    /// Takes the urgent byte, if there is one. What is wrong with the socket, reading it will tell.
    pub(super) fn take_urgent(&self) -> Option<u8> {
        let mut byte = [0];
        match recv(self.get().get_ref(), &mut byte, RecvFlags::OOB) {
            Ok((1, _)) => Some(byte[0]),
            _ => None,
        }
    }

    /// Waits for an urgent byte, if it [is shared](Self::is_shared).
    pub(super) fn poll_urgent(&self, cx: &mut Context<'_>) -> Poll<u8> {
        loop {
            if let Some(byte) = self.take_urgent() {
                return Poll::Ready(byte);
            }
            let Held::Shared(socket, wait) = &self.socket else {
                return Poll::Pending;
            };
            let mut wait = wait.borrow_mut();
            let waiting = wait.get_or_insert_with(|| {
                let socket = Rc::clone(socket);
                Box::pin(async move { Ok(socket.ready(Interest::PRIORITY).await?.ready()) })
            });
            let Ok(ready) = ready!(waiting.as_mut().poll(cx)) else {
                // The runtime ends.
                *wait = None;
                return Poll::Pending;
            };
            // One that is still there wakes again only when another event comes: so it is looked for in between.
            let seen = self.get().try_io(Interest::PRIORITY, |_| {
                self.take_urgent()
                    .ok_or_else(|| io::ErrorKind::WouldBlock.into())
            });
            *wait = None;
            drop(wait);
            // Who reads does not learn of it from the runtime any more.
            self.be_wary();
            match seen {
                Ok(byte) => return Poll::Ready(byte),
                // The peer has finished: nothing can come any more.
                Err(_) if ready.is_read_closed() => return Poll::Pending,
                Err(_) => {}
            }
        }
    }

    /// Reads, or looks at, what is there; says how much.
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        flags: RecvFlags,
    ) -> Poll<io::Result<usize>> {
        self.poll_piece(cx, buf, flags).map_ok(|piece| piece.count)
    }

    /// Reads into the room that there is behind what `buffer` holds.
    #[allow(unsafe_code, reason = "the system fills what nobody has written yet")]
    pub(super) fn poll_receive_into(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<Received>> {
        let mut room = ReadBuf::uninit(buffer.spare_capacity_mut());
        let Piece { count, is_last } = ready!(self.poll_piece(cx, &mut room, RecvFlags::empty()))?;
        // SAFETY: as many bytes were received into the room.
        unsafe { buffer.advance_mut(count) };
        let more = !is_last || self.get().poll_read_ready(cx).is_ready();
        Poll::Ready(Ok(Received { count, more }))
    }

    #[inline(always)]
    fn poll_piece(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        flags: RecvFlags,
    ) -> Poll<io::Result<Piece>> {
        if self.untried.get().read {
            match ready!(self.poll_first(cx, buf, flags)) {
                Err(Errno::WOULDBLOCK) => {}
                outcome => return Poll::Ready(Ok(outcome?)),
            }
        }
        let mut received = None;
        // In one step where nothing is unusual: the runtime waits for news from before the call on.
        let _ = self.get().try_io(Interest::READABLE, |_| {
            let outcome = self.receive_piece(buf, flags);
            let waits = match outcome {
                Ok(piece) => piece.is_last,
                Err(error) => error == Errno::WOULDBLOCK && !self.is_wary(),
            };
            received = Some(outcome);
            if waits {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match received {
            None | Some(Err(Errno::WOULDBLOCK)) => self.poll_later(cx, buf, flags),
            Some(outcome) => Poll::Ready(Ok(outcome?)),
        }
    }

    /// The first read, of which the runtime knows nothing yet.
    #[cold]
    fn poll_first(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        flags: RecvFlags,
    ) -> Poll<Result<Piece, Errno>> {
        self.untried.set(Untried {
            read: false,
            ..self.untried.get()
        });
        let turn = ready!(coop::poll_proceed(cx));
        let outcome = self.receive_piece(buf, flags);
        if !matches!(outcome, Err(Errno::WOULDBLOCK)) {
            turn.made_progress();
        }
        Poll::Ready(outcome)
    }

    /// Reads when the runtime says that there is something.
    #[inline(never)]
    fn poll_later(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        flags: RecvFlags,
    ) -> Poll<io::Result<Piece>> {
        let socket = self.get();
        loop {
            let mut guard = ready!(socket.poll_read_ready(cx))?;
            match self.receive_piece(buf, flags) {
                Err(Errno::WOULDBLOCK) => {}
                outcome => {
                    let piece = outcome?;
                    if piece.is_last {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(piece));
                }
            }
            if self.is_wary() {
                // Asked once more, in between: what comes from now on the runtime will say.
                self.wary.set(false);
                let again = socket.try_io(Interest::PRIORITY, |_| {
                    let count = self.receive(buf, flags)?;
                    let is_last = false;
                    Ok(Piece { count, is_last })
                });
                if !matches!(&again, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                    self.wary.set(true);
                    return Poll::Ready(again);
                }
            }
            guard.clear_ready();
        }
    }

    #[inline]
    fn receive_piece(&self, buf: &mut ReadBuf<'_>, flags: RecvFlags) -> Result<Piece, Errno> {
        let room = buf.remaining();
        let count = self.receive(buf, flags)?;
        let is_short = 0 < count && count < room && !flags.contains(RecvFlags::PEEK);
        Ok(Piece {
            count,
            is_last: is_short && !self.is_wary(),
        })
    }

    #[inline]
    fn receive(&self, buf: &mut ReadBuf<'_>, flags: RecvFlags) -> Result<usize, Errno> {
        direct::receive(self, buf, flags)
    }

    /// Sends, as soon as there is room.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        send: impl Fn(&Socket) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        let socket = self.get();
        let untried = self.untried.get();
        if untried.write {
            // Those who write have budgets of their own.
            let outcome = send(socket.get_ref());
            if !matches!(outcome, Ok(count) if count == length) {
                self.untried.set(Untried {
                    write: false,
                    ..untried
                });
            }
            if !matches!(outcome, Err(Errno::WOULDBLOCK)) {
                return Poll::Ready(Ok(outcome?));
            }
        }
        loop {
            let mut guard = ready!(socket.poll_write_ready(cx))?;
            match send(socket.get_ref()) {
                Err(Errno::WOULDBLOCK) => guard.clear_ready(),
                outcome => {
                    let count = outcome?;
                    if count > 0 && count < length {
                        // The system's buffer is full.
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }
}

impl PriorityStream {
    /// Sends, if the runtime says that there is room.
    pub(super) fn try_send(
        &self,
        send: impl FnOnce(&Socket) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        self.get()
            .try_io(Interest::WRITABLE, |socket| Ok(send(socket)?))
    }
}

impl AsFd for PriorityStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get().get_ref().as_fd()
    }
}

fn send_plain(socket: &Socket, buf: &[u8]) -> Result<usize, Errno> {
    send(socket, buf, SendFlags::NOSIGNAL)
}

fn send_vectored(socket: &Socket, bufs: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let mut nothing = SendAncillaryBuffer::default();
    sendmsg(socket, bufs, &mut nothing, SendFlags::NOSIGNAL)
}

impl AsyncRead for PriorityStream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_here(cx, buf)
    }
}

impl AsyncWrite for PriorityStream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_here(cx, buf)
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_send(cx, length, |socket| send_vectored(socket, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self).shutdown(std::net::Shutdown::Write))
    }
}

impl Watchable for PriorityStream {
    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }

    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        Ok(self.get().ready(interest).await?.ready())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.get().get_ref().take_error()
    }

    fn try_io(&self, interest: Interest, io: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if interest.is_priority() && self.is_wary() {
            // The runtime may forget it now.
            self.be_wary();
        }
        self.get().try_io(interest, |_| io())
    }

    #[inline]
    fn poll_read_here(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = ready!(self.poll_receive(cx, buf, RecvFlags::empty()))?;
        buf.advance(count);
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_write_here(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf.len(), |socket| send_plain(socket, buf))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get().poll_write_ready(cx).map_ok(drop)
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_send(|socket| send_vectored(socket, bufs))
    }
}
