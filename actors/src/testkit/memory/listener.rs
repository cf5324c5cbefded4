//! Where connections in memory come in.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::transport::{DetachedListener, Incoming, Listener};

use super::{MemoryNet, MemoryStream};

/// A listener in memory, to play the peer that a pool connects to. Dropped, it refuses.
pub struct MemoryListener {
    hold: Arc<Hold>,
}

/// Keeps a place to listen at. The last one that is dropped leaves it.
struct Hold {
    net: MemoryNet,
    address: SocketAddr,
}

impl MemoryListener {
    /// At a desk that is there already.
    pub(super) fn new(net: MemoryNet, address: SocketAddr) -> Self {
        let hold = Arc::new(Hold { net, address });
        Self { hold }
    }

    /// The address that peers reach it at.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.hold.address
    }

    /// The next connection.
    pub fn accept(&mut self) -> impl Future<Output = MemoryStream> {
        poll_fn(|cx| self.poll_next(cx))
    }

    fn poll_next(&self, cx: &Context<'_>) -> Poll<MemoryStream> {
        let mut state = self.hold.net.lock();
        let Some(desk) = state.listeners.get_mut(&self.hold.address) else {
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

impl Drop for Hold {
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
            .field("address", &self.hold.address)
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
        self.hold.address
    }

    fn duplicate(&self) -> io::Result<Box<dyn DetachedListener>> {
        Ok(Box::new(DetachedMemory(Arc::clone(&self.hold))))
    }
}

/// A second hold on a place to listen at.
struct DetachedMemory(Arc<Hold>);

impl DetachedListener for DetachedMemory {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(MemoryListener { hold: self.0 }))
    }
}
