//! Urgent bytes of TCP (AC-06), as Linux has them, and how to read around them.
//!
//! The system keeps one urgent byte beside the stream, until it is taken or the stream is read past its
//! place; then it is gone. So who wants to hear of them reads with care: bytes are looked at first, then the
//! urgent byte is taken, then no more is read than was looked at, which no further one can stand in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead, ReadBuf};

use super::priority::PriorityStream;
use super::watch::Watchable;

/// How a stream is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reading {
    /// An urgent byte is read past, and gone.
    #[default]
    Freely,
    /// No urgent byte is lost.
    Careful {
        /// What a read came upon.
        found: Option<u8>,
        /// Whether somebody has asked for one since the last read.
        asked: bool,
    },
}

impl Reading {
    /// Takes what a read came upon. From now on reads are careful, as long as this goes on.
    pub(super) fn take(&mut self) -> Option<u8> {
        let found = match self {
            Self::Careful { found, .. } => found.take(),
            Self::Freely => None,
        };
        *self = Self::Careful {
            found: None,
            asked: true,
        };
        found
    }

    /// Reads where somebody wants urgent bytes, or did.
    #[cold]
    pub(super) fn poll_read(
        &mut self,
        stream: &mut PriorityStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Careful { found, asked } = self {
            if std::mem::take(asked) {
                return poll_read_careful(found, stream, cx, buf);
            }
            // Nobody is told of them any more. The place of one that was taken is still to be read past.
            *self = Self::Freely;
            stream.be_wary();
        }
        Pin::new(stream).poll_read(cx, buf)
    }
}

/// Reads without losing an urgent byte.
fn poll_read_careful(
    found: &mut Option<u8>,
    stream: &PriorityStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let seen = stream.poll_receive(cx, &mut buf.take(buf.remaining()), RecvFlags::PEEK);
    // In this order: one that comes from now on stands behind all that was seen.
    if found.is_none() {
        *found = stream.take_urgent();
    }
    let seen = ready!(seen)?;
    if seen == 0 {
        return Poll::Ready(Ok(()));
    }
    let (count, _) = recv(stream, buf.initialize_unfilled_to(seen), RecvFlags::empty())?;
    buf.advance(count);
    Poll::Ready(Ok(()))
}

/// Sends an urgent byte.
pub(super) fn send_urgent(
    stream: &PriorityStream,
    byte: u8,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let sent =
            stream.try_send(|socket| send(socket, &[byte], SendFlags::OOB | SendFlags::NOSIGNAL));
        match sent {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(_) => return Poll::Ready(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
