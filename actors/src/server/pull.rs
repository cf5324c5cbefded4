//! Pull mode: a listener takes as many peers from its backlog as it is asked for.
//!
//! Who asks, who waits to be handed out, and how many are on their way is in one [`Pull`], which outlives
//! the listener's actor and its shard. The actor takes a [`Claim`] before it accepts a peer; the claim goes
//! with the peer and ends with its connection being handed out, or by being dropped on any path where none
//! comes of it: then the actor accepts another one.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::client::Client;
use crate::error::AcceptError;

/// What those who ask for peers and the actor that accepts them share.
pub(crate) struct Pull {
    /// How many more peers than are asked for may be on their way while anybody asks.
    ahead: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// In the order in which they came.
    asking: VecDeque<Asking>,
    /// Connections that nobody asks for any more, or not yet.
    ready: VecDeque<Client>,
    /// Claims that are out.
    claimed: usize,
    /// The actor that waits until somebody asks.
    acceptor: Option<Waker>,
    /// Tells those who ask apart.
    next: u64,
    closed: bool,
}

/// Somebody who asks for a peer.
struct Asking {
    number: u64,
    give: oneshot::Sender<Client>,
}

impl Queue {
    /// Whether another peer is to be taken from the backlog.
    fn wants(&self, ahead: usize) -> bool {
        !self.asking.is_empty()
            && self.claimed.saturating_add(self.ready.len())
                < self.asking.len().saturating_add(ahead)
    }

    /// The waker of an actor that has something to do now.
    fn wake(&mut self, ahead: usize) -> Option<Waker> {
        if self.wants(ahead) {
            self.acceptor.take()
        } else {
            None
        }
    }
}

impl Pull {
    pub(crate) fn new(ahead: usize) -> Arc<Self> {
        Arc::new(Self {
            ahead,
            queue: Mutex::default(),
        })
    }

    /// Ready when another peer is asked for. A claim that is dropped while its actor is awake wakes nobody.
    pub(super) fn poll_claim(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Claim> {
        let mut queue = self.lock();
        if queue.wants(self.ahead) {
            queue.claimed += 1;
            queue.acceptor = None;
            return Poll::Ready(Claim {
                pull: Arc::clone(self),
            });
        }
        match &queue.acceptor {
            Some(acceptor) if acceptor.will_wake(cx.waker()) => {}
            _ => queue.acceptor = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Asks for a peer.
    pub(super) fn ask(self: &Arc<Self>) -> Asked {
        let (give, given) = oneshot::channel();
        let mut queue = self.lock();
        let number = queue.next;
        queue.next += 1;
        let asked = Asked {
            pull: Arc::clone(self),
            number,
            given,
        };
        if queue.closed {
            return asked;
        }
        if let Some(client) = queue.ready.pop_front() {
            drop(queue);
            // Its receiver is here.
            let _ = give.send(client);
            return asked;
        }
        queue.asking.push_back(Asking { number, give });
        let acceptor = queue.wake(self.ahead);
        drop(queue);
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
        asked
    }

    /// Hands a connection to whoever asks first, or keeps it for the next; without a listener it is closed.
    fn deliver(&self, mut client: Client) {
        loop {
            let mut queue = self.lock();
            if queue.closed {
                drop(queue);
                client.close();
                return;
            }
            let Some(asking) = queue.asking.pop_front() else {
                queue.ready.push_back(client);
                return;
            };
            drop(queue);
            match asking.give.send(client) {
                Ok(()) => return,
                // It stopped asking just now.
                Err(back) => client = back,
            }
        }
    }

    /// Nobody gets anything any more: the listener closes. Connections that were not handed out are closed.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let asking = std::mem::take(&mut queue.asking);
        let ready = std::mem::take(&mut queue.ready);
        drop(queue);
        drop(asking);
        for client in ready {
            client.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A peer on its way to whoever asks for it.
pub(crate) struct Claim {
    pull: Arc<Pull>,
}

impl Claim {
    /// Its connection is open.
    pub(crate) fn give(self, client: Client) {
        // It counts until it is handed out, so that nobody else is accepted in its place meanwhile.
        self.pull.deliver(client);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut queue = self.pull.lock();
        queue.claimed -= 1;
        let acceptor = queue.wake(self.pull.ahead);
        drop(queue);
        if let Some(acceptor) = acceptor {
            acceptor.wake();
        }
    }
}

/// A peer that was asked for. Dropped, its place goes to the next who asks, and so does its peer.
pub(super) struct Asked {
    pull: Arc<Pull>,
    number: u64,
    given: oneshot::Receiver<Client>,
}

impl Future for Asked {
    type Output = Result<Client, AcceptError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let given = Pin::new(&mut self.given).poll(cx);
        given.map(|given| given.map_err(|_| AcceptError::Closed))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut queue = self.pull.lock();
        let place = queue
            .asking
            .iter()
            .position(|asking| asking.number == self.number);
        let asking = place.and_then(|place| queue.asking.remove(place));
        drop(queue);
        drop(asking);
        self.given.close();
        if let Ok(client) = self.given.try_recv() {
            self.pull.deliver(client);
        }
    }
}
