//! Reads and writes of Unix sockets on Linux, without what the standard library and the C library put around
//! the system calls; and the receive that TCP has in common with them.
//!
//! The runtime says when it is worth trying, as it does for its own streams. What it does for them and this
//! does not: it marks each call as a point where the C library may cancel the thread, and looks at the turn of
//! the task also when the call succeeds. A connection has budgets of its own for that.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{Interest, ReadBuf};
use tokio::net::UnixStream;

/// Reads what is there. A read that does not fill `buf` was the last one: the system tells when more comes.
#[inline]
pub(super) fn poll_read(
    stream: &UnixStream,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let room = buf.remaining();
    loop {
        let mut read = None;
        let tried = stream.try_io(Interest::READABLE, || {
            let outcome = receive(stream, buf, RecvFlags::empty());
            let is_last = matches!(outcome, Ok(count) if 0 < count && count < room);
            let blocks = matches!(outcome, Err(Errno::WOULDBLOCK));
            read = Some(outcome);
            // The runtime then waits for news, from before the call on.
            if is_last || blocks {
                Err(would_block())
            } else {
                Ok(())
            }
        });
        match read {
            Some(Ok(count)) => {
                buf.advance(count);
                return Poll::Ready(Ok(()));
            }
            Some(Err(Errno::WOULDBLOCK)) => {}
            Some(Err(error)) => return Poll::Ready(Err(error.into())),
            None => pass(tried)?,
        }
        ready!(stream.poll_read_ready(cx))?;
    }
}

/// Writes as much as there is room for. A write that was not taken whole was the last one.
#[inline]
pub(super) fn poll_write(
    stream: &UnixStream,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        let mut written = None;
        let tried = stream.try_io(Interest::WRITABLE, || {
            let outcome = send(stream, bytes, SendFlags::NOSIGNAL);
            let is_last = matches!(outcome, Ok(count) if 0 < count && count < bytes.len());
            let blocks = matches!(outcome, Err(Errno::WOULDBLOCK));
            written = Some(outcome);
            if is_last || blocks {
                Err(would_block())
            } else {
                Ok(())
            }
        });
        match written {
            Some(Ok(count)) => return Poll::Ready(Ok(count)),
            Some(Err(Errno::WOULDBLOCK)) => {}
            Some(Err(error)) => return Poll::Ready(Err(error.into())),
            None => pass(tried)?,
        }
        ready!(stream.poll_write_ready(cx))?;
    }
}

/// Receives into the room that there is. What came is in the buffer, and not yet counted there.
#[inline]
#[allow(
    unsafe_code,
    reason = "the system fills what nobody has written yet, as for the runtime's own"
)]
pub(super) fn receive(
    socket: &impl AsFd,
    buf: &mut ReadBuf<'_>,
    flags: RecvFlags,
) -> Result<usize, Errno> {
    // SAFETY: what is initialised is only ever written over.
    let room = unsafe { buf.unfilled_mut() };
    let ((received, _), _) = recv(socket, room, flags)?;
    let count = received.len();
    // SAFETY: the system has written as many bytes.
    unsafe { buf.assume_init(count) };
    Ok(count)
}

fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

/// What was not even tried has to be waited for, if nothing is wrong.
fn pass(tried: io::Result<()>) -> io::Result<()> {
    match tried {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}
