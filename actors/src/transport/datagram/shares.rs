//! The shares of one socket: who has one, and who has given it back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard_core::Address;
use tokio::sync::Notify;

/// What there is of shares of one socket.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    book: Mutex<Book>,
    /// The last one was given back.
    none: Notify,
}

#[derive(Debug, Default)]
struct Book {
    held: usize,
    /// Whose were given back since somebody asked.
    ended: Vec<Address>,
}

/// One share, for as long as this lives.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    peer: Address,
}

impl Shares {
    pub(super) fn take(self: &Arc<Self>, peer: &Address) -> Share {
        self.book().held += 1;
        Share {
            shares: Arc::clone(self),
            peer: peer.clone(),
        }
    }

    /// Whose shares were given back since this was asked last.
    pub(crate) fn ended(&self) -> Vec<Address> {
        std::mem::take(&mut self.book().ended)
    }

    /// Resolves when there is none.
    pub(crate) async fn given_back(&self) {
        loop {
            let none = self.none.notified();
            let mut none = std::pin::pin!(none);
            // Made before the look, it does not miss what comes after it.
            none.as_mut().enable();
            if self.book().held == 0 {
                return;
            }
            none.await;
        }
    }

    /// Nothing panics while it is locked.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut book = self.shares.book();
        book.held -= 1;
        book.ended.push(self.peer.clone());
        let last = book.held == 0;
        drop(book);
        if last {
            self.shares.none.notify_waiters();
        }
    }
}
