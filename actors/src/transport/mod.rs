//! The seam between a connection and what carries its bytes.
//!
//! A connection actor knows only [`Transport`], a listener only [`Listener`], and both come from a
//! [`Network`]. The system's sockets are [`TcpNetwork`]; another one can be put under a whole pool with
//! [`PoolBuilder::network`](crate::PoolBuilder::network), and no session notices.

pub(crate) mod datagram;
#[cfg(unix)]
mod descriptor;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod direct;
#[cfg(unix)]
mod end;
mod ends;
mod kind;
#[cfg(unix)]
mod nonblocking;
#[cfg(unix)]
mod pipe;
#[cfg(not(unix))]
#[path = "pipe_off.rs"]
mod pipe;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod priority;
#[cfg(unix)]
mod register;
mod spare;
mod system;
mod tcp;
#[cfg(unix)]
mod unix;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod urgent;
mod watch;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use socket2::SockRef;
use switchboard_core::{Address, ConnectError, TlsInfo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::error::ListenError;
use crate::options::{ConnectTarget, ListenTarget};

#[cfg(unix)]
pub(crate) use descriptor::Descriptor;
#[cfg(unix)]
pub use descriptor::{FileKind, WatchError};
pub use ends::{PeerCredentials, UnixEnds};
pub use kind::ChannelKind;
pub(crate) use pipe::Watched;
#[cfg(unix)]
pub(crate) use pipe::open_pipe;
pub use switchboard_core::connection::UnderWay;
pub use system::TcpNetwork;
#[cfg(unix)]
pub(crate) use tcp::check_listening;
#[cfg(unix)]
pub(crate) use unix::{SocketFile, local_name as unix_local, peer_name as unix_peer};

/// What a [receive](Transport::poll_receive) brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// So many bytes; 0 when the peer has finished.
    pub count: usize,
    /// Whether it is worth reading again. If not, that is the same answer as a read's that would block, with the
    /// same promise to wake.
    pub more: bool,
}

/// What carries the bytes of one connection. It lives on one thread.
///
/// It must not call the connection's handle from inside a poll. A read of 0 bytes means that the
/// peer finished; `poll_shutdown` finishes our direction and leaves the other open.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Makes dropping it a reset, where there is such a thing. Unix sockets have none: there it changes
    /// nothing, and the peer reads what was sent, then an end, or an error if bytes of its own were unread
    /// here.
    fn set_reset(&mut self);

    /// Lets go of this thread's runtime, to move to another thread.
    ///
    /// # Errors
    /// What the system says; the connection is then lost.
    fn detach(self: Box<Self>) -> io::Result<Box<dyn Detached>>;

    /// Our own IP address, if there is one.
    fn local_addr(&self) -> Option<SocketAddr>;

    /// What kind of channel it is. Default: [`ChannelKind::Network`].
    fn kind(&self) -> ChannelKind {
        ChannelKind::Network
    }

    /// Both ends, if it is a Unix connection: asked once, when it opens. A transport over another one
    /// passes on what that says. Default: it is none.
    fn unix(&self) -> Option<Box<UnixEnds>> {
        None
    }

    /// Reads behind what `buffer` holds, into the room that it has. Default: by `poll_read`, and what
    /// [`poll_more`](Self::poll_more) says then.
    ///
    /// # Errors
    /// Those of `poll_read`.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<Received>> {
        let count = ready!(poll_read_buf(Pin::new(&mut *self), cx, buffer))?;
        let more = count == 0 || self.poll_more(cx).is_ready();
        Poll::Ready(Ok(Received { count, more }))
    }

    /// Whether it is worth reading again after a read: asked instead of a read that would bring nothing.
    /// [`Pending`](Poll::Pending) is the same answer as a read's, with the same promise to wake. By default it
    /// always is.
    fn poll_more(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Waits until the peer leaves, without reading anything: asked while nobody reads. Reading ends the
    /// wait, and it may be asked again afterwards. By default nothing is ever noticed so.
    ///
    /// # Errors
    /// The peer has reset the connection.
    fn poll_hangup(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Hangup>> {
        Poll::Pending
    }

    /// Whether it has urgent bytes (AC-06), for sending and for receiving. Default: it has none, and none of
    /// the three methods for them is called.
    fn carries_urgent(&self) -> bool {
        false
    }

    /// Takes an urgent byte that has come, or waits for one, whether or not anybody reads. Asked only for
    /// sessions that are told of them. Default: none ever comes.
    fn poll_urgent(&mut self, _: &mut Context<'_>) -> Poll<u8> {
        Poll::Pending
    }

    /// Takes an urgent byte that a read has come upon. While somebody is told of them this is called before and
    /// after each read, and such a read may not lose an urgent byte that was not taken. Default: there is none.
    fn take_urgent(&mut self) -> Option<u8> {
        None
    }

    /// Sends an urgent byte, behind all that was written before.
    ///
    /// # Errors
    /// As writing fails; by default that there are no urgent bytes here.
    fn poll_send_urgent(&mut self, _: &mut Context<'_>, _byte: u8) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// The socket, for options; `None` where there is none.
    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }

    /// The facts of the TLS that it speaks; `None` where it does not.
    fn tls(&self) -> Option<&Arc<TlsInfo>> {
        None
    }

    /// What has moved of records that are not complete. Default: nothing, since bytes are told of one by one.
    fn under_way(&self) -> UnderWay {
        UnderWay::default()
    }

    /// Whether the peer has left already without a word: it has finished or reset the connection, and
    /// not a byte of it is there to be read. Asked of peers that had to wait long to be accepted, before
    /// anything is read: those that have left take no place. So a peer that sends nothing, finishes its
    /// direction and waits for us to speak is taken for gone then. Takes nothing from what is there to
    /// read. Default: it has not.
    fn peer_left(&self) -> bool {
        false
    }

    /// Closes a connection that was just accepted, with these last words, which may be none. It does not
    /// wait: what cannot be sent at once is not sent. What the peer has sent already is read and thrown
    /// away as far as it is there, so that the peer sees an end and not a reset.
    fn turn_away(mut self: Box<Self>, last_words: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        if !last_words.is_empty() {
            let _ = Pin::new(&mut *self).poll_write(&mut cx, last_words);
        }
        let _ = Pin::new(&mut *self).poll_shutdown(&mut cx);
        let mut unread = [0; 1024];
        for _ in 0..UNREAD_TURN {
            let mut unread = ReadBuf::new(&mut unread);
            let read = Pin::new(&mut *self).poll_read(&mut cx, &mut unread);
            if !matches!(read, Poll::Ready(Ok(()))) || unread.filled().is_empty() {
                break;
            }
        }
    }
}

/// How a peer has left that nobody read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// It finished, and everything that it sent was read: a read would give 0 bytes.
    Finished,
    /// It finished, and bytes of it are still unread. Told once; from then on a wait is for a reset.
    Behind,
}

/// How many reads of 1 KiB are done for a peer that is turned away.
const UNREAD_TURN: usize = 16;

/// A transport on its way to another thread.
pub trait Detached: Send {
    /// Takes hold of the runtime of the calling thread.
    ///
    /// # Errors
    /// What the system says; the connection is then lost.
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>>;
}

/// What a listener gives for each peer.
pub struct Incoming {
    /// The connection, on the listener's thread.
    pub transport: Box<dyn Transport>,
    /// The peer's address, if it has one.
    pub peer_addr: Option<SocketAddr>,
    /// Our own address of this connection, if it has one.
    pub local_addr: Option<SocketAddr>,
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}

/// Where peers come in. It lives on one thread.
pub trait Listener: 'static {
    /// The next peer.
    ///
    /// # Errors
    /// What the system says; `ServerActor` decides which of them only cost a pause.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>>;

    /// The IP address that peers reach it at; a port of 0 has become a real one. Without any it is
    /// 0.0.0.0:0.
    fn local_addr(&self) -> SocketAddr;

    /// The address that peers reach it at, of whatever kind. A listener over another one passes on what
    /// that says. Default: the IP address.
    fn address(&self) -> Address {
        self.local_addr().into()
    }

    /// A second hold on the same queue of peers: while either is there, nobody is refused. With it a
    /// listener outlives the thread that it was on.
    ///
    /// # Errors
    /// What the system says; by default that there is no such thing here. Then the address is opened
    /// anew through the [`Network`] when that thread has died, and who waited meanwhile is lost.
    fn duplicate(&self) -> io::Result<Box<dyn DetachedListener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The socket, for options; `None` where there is none.
    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }

    /// Lets one peer that waits go with a descriptor in reserve, when the system has no other left for
    /// [`poll_accept`](Self::poll_accept): `true` if there was one. It must not wait. Default: nothing is
    /// in reserve.
    ///
    /// # Errors
    /// What the system says; nobody was let go.
    fn shed(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A hold on a listener that belongs to no thread.
pub trait DetachedListener: Send {
    /// Takes hold of the runtime of the calling thread.
    ///
    /// # Errors
    /// What the system says; this hold is then lost.
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Listener>>;
}

/// A future that stays on its thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// Makes listeners and connections. What it has no sockets for it refuses with an error of the kind
/// `Unsupported`.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// Opens a listener.
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>>;

    /// Opens a connection. Dropping the future gives the attempt up.
    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>>;
}

/// An outbound connection that was established.
pub struct Connected {
    /// The connection.
    pub transport: Box<dyn Transport>,
    /// The peer's address, if it has one.
    pub peer_addr: Option<SocketAddr>,
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}
