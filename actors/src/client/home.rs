//! The thread that a connection lives on, and a way to its transport for those who run there.
//!
//! A session that is a connection's own and shares its thread reads for itself when the socket wakes
//! it, and writes at the end of its turn what it has sent meanwhile. The connection's actor then has
//! nothing to do with most requests, which saves it two wakes for each. It stays in charge of all the
//! rest: establishing, deadlines, closing, and the bytes of a session that is elsewhere or gone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use slab::Slab;

use crate::shard::{ReadSlot, ShardLocal, SlotLease};

use super::actor::Link;

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(0) };
    static BERTHS: RefCell<Slab<Rc<Berth>>> = const { RefCell::new(Slab::new()) };
}

/// Numbers threads; 0 is nobody's.
static THREADS: AtomicU64 = AtomicU64::new(1);

/// The calling thread's number.
pub(crate) fn this_thread() -> u64 {
    THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        thread.get()
    })
}

/// Whether the calling thread's arbiter was stopped, so that everything on it is being dropped.
pub(crate) fn thread_ends() -> bool {
    actix_rt::Arbiter::try_current().is_some_and(|arbiter| !arbiter.alive())
}

/// What a connection has on its thread.
pub(super) struct Berth {
    pub(super) link: RefCell<Link>,
    pub(super) lease: Option<SlotLease>,
    pub(super) local: Rc<ShardLocal>,
}

impl Berth {
    /// What the connection reads into.
    pub(super) fn read_slot(&self) -> ReadSlot<'_> {
        self.lease
            .as_ref()
            .map_or_else(|| self.local.read_slot(), SlotLease::read_slot)
    }

    /// Its link is about to be dropped, with a reset or not.
    pub(super) fn let_go(&self, link: &mut Link, reset: bool) {
        match link {
            Link::Up(transport) => {
                self.local.remove_for_urgent(&**transport);
                if reset {
                    transport.set_reset();
                }
            }
            Link::Securing(handshake) if reset => handshake.set_reset(),
            _ => {}
        }
    }
}

/// Where a connection's berth is found: on which thread, and where there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    thread: u64,
    key: usize,
}

impl Home {
    /// Registers a berth on the calling thread.
    pub(super) fn settle(berth: Rc<Berth>) -> Self {
        Self {
            thread: this_thread(),
            key: BERTHS.with_borrow_mut(|berths| berths.insert(berth)),
        }
    }

    /// Takes it off again, on the thread that registered it.
    pub(super) fn leave(self) {
        if self.is_here() {
            // At the thread's own end the registry may be gone already.
            let berth = BERTHS.try_with(|berths| berths.borrow_mut().try_remove(self.key));
            drop(berth);
        }
    }

    /// Whether the calling thread is the connection's own.
    pub(super) fn is_here(self) -> bool {
        self.thread == this_thread()
    }

    /// The berth, on its own thread only.
    pub(super) fn berth(self) -> Option<Rc<Berth>> {
        if !self.is_here() {
            return None;
        }
        BERTHS.with_borrow(|berths| berths.get(self.key).cloned())
    }
}
