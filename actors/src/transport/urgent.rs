//! Urgent bytes of TCP (AC-06), as Linux has them.
//!
//! The system keeps one urgent byte beside the stream, until it is taken or the stream is read past its
//! place; then it is gone. So who wants to hear of them reads with care: bytes are looked at first, then the
//! urgent byte is taken, then no more is read than was looked at, which no further one can stand in.
//!
//! The runtime's own streams do not tell that one has come. That takes a second descriptor of the socket,
//! which is waited for in a registration of its own.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::LocalFuture;
use super::register::register;

/// Looks out for urgent bytes.
#[derive(Default)]
pub(super) struct Ear {
    /// What a read came upon.
    found: Option<u8>,
    wait: Wait,
}

#[derive(Default)]
enum Wait {
    #[default]
    Unmade,
    /// Gives the descriptor back for the next time, unless nothing can come any more.
    Waiting(LocalFuture<Option<AsyncFd<OwnedFd>>>),
    Over,
}

impl Ear {
    /// Takes an urgent byte that has come, or waits for one. Without a descriptor to wait with it tries
    /// again when it is asked again.
    pub(super) fn poll_urgent(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<u8> {
        loop {
            if let Some(byte) = self.found.take().or_else(|| receive(stream)) {
                return Poll::Ready(byte);
            }
            if matches!(self.wait, Wait::Unmade) {
                let Ok(descriptor) = watch(stream) else {
                    return Poll::Pending;
                };
                self.wait = Wait::Waiting(wait_for(descriptor));
            }
            let Wait::Waiting(wait) = &mut self.wait else {
                return Poll::Pending;
            };
            let descriptor = ready!(wait.as_mut().poll(cx));
            self.wait =
                descriptor.map_or(Wait::Over, |descriptor| Wait::Waiting(wait_for(descriptor)));
        }
    }

    /// Takes what a read came upon.
    pub(super) fn take(&mut self) -> Option<u8> {
        self.found.take()
    }

    /// Reads without losing an urgent byte.
    #[cold]
    pub(super) fn poll_read(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let seen = stream.poll_peek(cx, &mut buf.take(buf.remaining()));
        // In this order: one that comes from now on stands behind all that was seen.
        if self.found.is_none() {
            self.found = receive(stream);
        }
        let seen = ready!(seen)?;
        if seen == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(seen));
        ready!(Pin::new(stream).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// Waits until there may be an urgent byte.
fn wait_for(descriptor: AsyncFd<OwnedFd>) -> LocalFuture<Option<AsyncFd<OwnedFd>>> {
    Box::pin(async move {
        let mut guard = descriptor.ready(Interest::PRIORITY).await.ok()?;
        let is_over = guard.ready().is_read_closed();
        // The byte is taken after this, so that none is missed that comes in between.
        guard.clear_ready();
        drop(guard);
        (!is_over).then_some(descriptor)
    })
}

fn watch(stream: &TcpStream) -> io::Result<AsyncFd<OwnedFd>> {
    register(stream.as_fd().try_clone_to_owned()?, Interest::PRIORITY)
}

/// Takes the urgent byte, if there is one. What is wrong with the socket, reading it will tell.
fn receive(stream: &TcpStream) -> Option<u8> {
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
