//! The thread that a connection lives on, and a way to its transport for those who run there.
//!
//! A session that shares its connection's thread can write at the end of its turn what it has sent
//! meanwhile: one task poll less per request than waking the connection's actor to do it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use slab::Slab;

use super::actor::Link;

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(0) };
    static LINKS: RefCell<Slab<Rc<RefCell<Link>>>> = const { RefCell::new(Slab::new()) };
}

/// Numbers threads; 0 is nobody's.
static THREADS: AtomicU64 = AtomicU64::new(1);

/// The calling thread's number.
fn this_thread() -> u64 {
    THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        thread.get()
    })
}

/// Where a connection's link is found: on which thread, and where there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    thread: u64,
    key: usize,
}

impl Home {
    /// Registers a link on the calling thread.
    pub(super) fn settle(link: Rc<RefCell<Link>>) -> Self {
        Self {
            thread: this_thread(),
            key: LINKS.with_borrow_mut(|links| links.insert(link)),
        }
    }

    /// Takes it off again, on the thread that registered it.
    pub(super) fn leave(self) {
        if self.is_here() {
            // At the thread's own end the registry may be gone already.
            let link = LINKS.try_with(|links| links.borrow_mut().try_remove(self.key));
            drop(link);
        }
    }

    /// Whether the calling thread is the connection's own.
    pub(super) fn is_here(self) -> bool {
        self.thread == this_thread()
    }

    /// The link, on its own thread only.
    pub(super) fn link(self) -> Option<Rc<RefCell<Link>>> {
        if !self.is_here() {
            return None;
        }
        LINKS.with_borrow(|links| links.get(self.key).cloned())
    }
}
