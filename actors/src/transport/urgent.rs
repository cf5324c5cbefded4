//! Urgent bytes of TCP (AC-06), as Linux has them, and how to read around them.
//!
//! The system keeps one urgent byte beside the stream, until it is taken or the stream is read past its
//! place; then it is gone. So who wants to hear of them reads with care: bytes are looked at first, then the
//! urgent byte is taken, then no more is read than was looked at, which no further one can stand in.
//!
//! The system also ends a read at the place of an urgent byte, whoever wants it or not. The runtime takes a
//! short read for the last one and waits until more comes, while what is behind that place has come already.
//! So once there is an urgent byte, nobody trusts the runtime until the system itself has nothing more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// How much is read at once behind the runtime's back; the runtime's next report is for all.
const CHUNK: usize = 4 * 1024;

/// How a stream is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reading {
    /// As the runtime does.
    #[default]
    Trusting,
    /// Past the places of urgent bytes, until there is nothing more.
    Thorough,
    /// The same, and no urgent byte is lost.
    Careful {
        /// What a read came upon.
        found: Option<u8>,
        /// Whether somebody has asked for one since the last read.
        asked: bool,
    },
}

impl Reading {
    /// There may be an urgent byte.
    pub(super) fn urgent_came(&mut self) {
        if *self == Self::Trusting {
            *self = Self::Thorough;
        }
    }

    /// Takes what a read came upon. From now on reads are careful, as long as this goes on.
    pub(super) fn take(&mut self) -> Option<u8> {
        let found = match self {
            Self::Careful { found, .. } => found.take(),
            Self::Trusting | Self::Thorough => None,
        };
        *self = Self::Careful {
            found: None,
            asked: true,
        };
        found
    }

    /// Reads where the runtime is not trusted.
    #[cold]
    pub(super) fn poll_read(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Careful { found, asked } = self {
            if std::mem::take(asked) {
                return poll_read_careful(found, stream, cx, buf);
            }
            // Nobody is told of them any more.
            *self = Self::Thorough;
        }
        if let Poll::Ready(read) = Pin::new(&mut *stream).poll_read(cx, buf) {
            return Poll::Ready(read);
        }
        let read = poll_directly(stream, cx, buf, RecvFlags::empty());
        if read.is_pending() && coop::has_budget_remaining() {
            // Nothing is behind a place that was not reported.
            *self = Self::Trusting;
        }
        buf.advance(ready!(read)?);
        Poll::Ready(Ok(()))
    }
}

/// Reads without losing an urgent byte.
fn poll_read_careful(
    found: &mut Option<u8>,
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let mut seen = stream.poll_peek(cx, &mut buf.take(buf.remaining()));
    if seen.is_pending() {
        seen = poll_directly(stream, cx, buf, RecvFlags::PEEK);
    }
    // In this order: one that comes from now on stands behind all that was seen.
    if found.is_none() {
        *found = receive(stream);
    }
    let seen = ready!(seen)?;
    if seen == 0 {
        return Poll::Ready(Ok(()));
    }
    let (count, _) = recv(
        &*stream,
        buf.initialize_unfilled_to(seen),
        RecvFlags::empty(),
    )?;
    buf.advance(count);
    Poll::Ready(Ok(()))
}

/// Asks the system itself, when the runtime says that there is nothing: it will wake when more comes.
fn poll_directly(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    flags: RecvFlags,
) -> Poll<io::Result<usize>> {
    // The runtime counts only what it has reported.
    let turn = ready!(coop::poll_proceed(cx));
    let room = buf.remaining().min(CHUNK);
    match recv(stream, buf.initialize_unfilled_to(room), flags) {
        Err(Errno::WOULDBLOCK) => Poll::Pending,
        outcome => {
            turn.made_progress();
            Poll::Ready(Ok(outcome?.0))
        }
    }
}

/// Takes the urgent byte, if there is one. What is wrong with the socket, reading it will tell.
pub(super) fn receive(stream: &TcpStream) -> Option<u8> {
    let mut byte = [0];
    match recv(stream, &mut byte, RecvFlags::OOB) {
        Ok((1, _)) => Some(byte[0]),
        _ => None,
    }
}

/// Sends an urgent byte.
pub(super) fn send_urgent(
    stream: &TcpStream,
    byte: u8,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let sent = stream.try_io(Interest::WRITABLE, || {
            Ok(send(stream, &[byte], SendFlags::OOB | SendFlags::NOSIGNAL)?)
        });
        match sent {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(_) => return Poll::Ready(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
