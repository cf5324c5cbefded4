//! Where connections in memory come in.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use crate::transport::{Incoming, Listener};

use super::{MemoryNet, MemoryStream};

/// A listener in memory, to play the peer that a pool connects to. Dropped, it refuses.
pub struct MemoryListener {
    pub(super) net: MemoryNet,
    pub(super) address: SocketAddr,
}

impl MemoryListener {
    /// The address that peers reach it at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    pub fn accept(&mut self) -> impl Future<Output = MemoryStream> {
        poll_fn(|cx| self.poll_next(cx))
    }

    fn poll_next(&self, cx: &Context<'_>) -> Poll<MemoryStream> {
        let mut state = self.net.lock();
        let Some(desk) = state.listeners.get_mut(&self.address) else {
            return Poll::Pending;
        };
        let Some(stream) = desk.waiting.pop_front() else {
            desk.acceptor = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let queue = std::mem::take(&mut desk.queue);
        drop(state);
        queue.into_iter().for_each(Waker::wake);
        Poll::Ready(stream)
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let desk = self.net.lock().listeners.remove(&self.address);
        if let Some(desk) = desk {
            // Nobody will ever take them.
            for stream in desk.waiting {
                stream.reset();
            }
            desk.queue.into_iter().for_each(Waker::wake);
        }
    }
}

impl fmt::Debug for MemoryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryListener")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Listener for MemoryListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.poll_next(cx).map(|stream| {
            Ok(Incoming {
                peer_addr: Some(stream.peer_addr()),
                local_addr: Some(stream.local_addr()),
                transport: Box::new(stream),
            })
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}
