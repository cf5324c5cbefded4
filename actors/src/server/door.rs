//! What a listener's actor accepts through: it is lent the socket for one look at a time, so that
//! nothing that happens to the actor happens to the socket.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, Waker};

use crate::transport::{Incoming, Listener};

/// Between a listener's keeper, who opens and shuts it, and its actor, who accepts through it.
#[derive(Default)]
pub(super) struct Door {
    way: RefCell<Way>,
    acceptor: Cell<Option<Waker>>,
}

/// The way in.
#[derive(Default)]
pub(super) enum Way {
    /// Peers are accepted.
    Open(Box<dyn Listener>),
    /// Peers wait in the backlog.
    Held(Box<dyn Listener>),
    /// There is no port for now.
    #[default]
    None,
    /// The socket has died of this.
    Failed(io::Error),
    /// Closed for good.
    Over,
}

/// What a look through the door gives.
pub(super) enum Look {
    Peer(io::Result<Incoming>),
    /// Nothing more for this actor.
    Ended,
}

impl Door {
    /// The next peer.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Look> {
        match &mut *self.way.borrow_mut() {
            Way::Open(listener) => listener.poll_accept(cx).map(Look::Peer),
            Way::Held(_) | Way::None => Poll::Pending,
            Way::Failed(_) | Way::Over => Poll::Ready(Look::Ended),
        }
    }

    /// Closes a peer that waits, with the descriptor in reserve; `false`: nobody waits, or there is none.
    pub(super) fn shed(&self) -> io::Result<bool> {
        match &mut *self.way.borrow_mut() {
            Way::Open(listener) => listener.shed(),
            _ => Ok(false),
        }
    }

    /// Whether peers may be accepted; `false`: never again by this actor. The task is woken whenever
    /// that changes, whatever else it waits for then.
    pub(super) fn poll_open(&self, cx: &Context<'_>) -> Poll<bool> {
        let waker = match self.acceptor.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.acceptor.set(Some(waker));
        match &*self.way.borrow() {
            Way::Open(_) => Poll::Ready(true),
            Way::Held(_) | Way::None => Poll::Pending,
            Way::Failed(_) | Way::Over => Poll::Ready(false),
        }
    }

    /// Changes the way in; what it was before is for the caller to keep or to let go of. What is over
    /// stays so.
    pub(super) fn set(&self, way: Way) -> Way {
        if self.is_over() {
            return way;
        }
        let before = self.way.replace(way);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.wake();
        }
        before
    }

    /// Accepts again through the socket that is there, or keeps its peers waiting.
    pub(super) fn hold(&self, hold: bool) {
        let way = match self.set(Way::None) {
            Way::Open(listener) | Way::Held(listener) if hold => Way::Held(listener),
            Way::Open(listener) | Way::Held(listener) => Way::Open(listener),
            other => other,
        };
        self.set(way);
    }

    pub(super) fn has_socket(&self) -> bool {
        matches!(&*self.way.borrow(), Way::Open(_) | Way::Held(_))
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(&*self.way.borrow(), Way::Over)
    }

    /// What the socket has died of, if it has.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        if !matches!(&*self.way.borrow(), Way::Failed(_)) {
            return None;
        }
        match self.set(Way::None) {
            Way::Failed(error) => Some(error),
            _ => None,
        }
    }
}
