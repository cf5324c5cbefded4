//! The thread that a connection lives on, and a way to its transport for those who run there.
//!
//! A session that is a connection's own and shares its thread reads for itself when the socket wakes
//! it, and writes at the end of its turn what it has sent meanwhile. The connection's actor then has
//! nothing to do with most requests, which saves it two wakes for each. It stays in charge of all the
//! rest: establishing, deadlines, closing, and the bytes of a session that is elsewhere or gone.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, MutexGuard};
use std::task::{Context as TaskContext, Waker};

use bytes::BytesMut;
use slab::Slab;
use switchboard_core::connection::ReadWish;
use switchboard_core::{Connection, Now};

use crate::placement::Share;
use crate::places::Passes;
use crate::shard::{ReadSlot, ShardLocal, SlotLease};

use super::actor::Link;
use super::moving::{read, write};
use super::shared::{Core, Next, Reader, wake, wake_if_needed};
use super::{Shared, clock};

thread_local! {
    static THREAD: Cell<Option<NonZeroU32>> = const { Cell::new(None) };
    static BERTHS: RefCell<Slab<Rc<Berth>>> = const { RefCell::new(Slab::new()) };
}

/// Numbers threads. Each connection remembers two, so they are small; no process starts as many.
static THREADS: AtomicU32 = AtomicU32::new(1);

/// The calling thread's number.
pub(crate) fn this_thread() -> NonZeroU32 {
    THREAD.with(|thread| {
        thread.get().unwrap_or_else(|| {
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            let number = NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX);
            thread.set(Some(number));
            number
        })
    })
}

/// Whether the calling thread's arbiter was stopped, so that everything on it is being dropped.
pub(crate) fn thread_ends() -> bool {
    actix_rt::Arbiter::try_current().is_some_and(|arbiter| !arbiter.alive())
}

/// What a connection has on its thread.
pub(super) struct Berth {
    pub(super) link: RefCell<Link>,
    pub(super) lease: Option<Box<SlotLease>>,
    pub(super) local: Rc<ShardLocal>,
    /// Given back when the actor ends, whatever happens.
    _passes: Passes,
    _share: Share,
}

impl Berth {
    pub(super) fn new(
        link: Link,
        lease: Option<Box<SlotLease>>,
        local: Rc<ShardLocal>,
        (passes, share): (Passes, Share),
    ) -> Rc<Self> {
        Rc::new(Self {
            link: RefCell::new(link),
            lease,
            local,
            _passes: passes,
            _share: share,
        })
    }

    /// What the connection reads into.
    pub(super) fn read_slot(&self) -> ReadSlot<'_> {
        self.lease
            .as_ref()
            .map_or_else(|| self.local.read_slot(), |lease| lease.read_slot())
    }

    /// Its link is about to be dropped, with a reset or not.
    pub(super) fn let_go(&self, link: &mut Link, reset: bool) {
        match link {
            Link::Up(transport) if reset => transport.set_reset(),
            Link::Securing(handshake) if reset => handshake.set_reset(),
            _ => {}
        }
    }
}

/// Where a connection's berth is found: on which thread, and where there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    thread: NonZeroU32,
    key: u32,
}

impl Home {
    /// Registers a berth on the calling thread.
    pub(super) fn settle(berth: Rc<Berth>) -> Self {
        Self {
            thread: this_thread(),
            key: BERTHS.with_borrow_mut(|berths| {
                u32::try_from(berths.insert(berth))
                    .expect("fewer connections than sockets can be had")
            }),
        }
    }

    /// Takes it off again, on the thread that registered it.
    pub(super) fn leave(self) {
        if self.is_here() {
            // At the thread's own end the registry may be gone already.
            let berth = BERTHS.try_with(|berths| berths.borrow_mut().try_remove(self.key as usize));
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
        BERTHS.with_borrow(|berths| berths.get(self.key as usize).cloned())
    }
}

impl Shared {
    /// Looks after the connection, on its own thread: writes what was sent, and wakes its actor if there is more to
    /// do.
    pub(crate) fn visit(&self) {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        core.awaits_visit = false;
        core.write_at_home(&mut now);
        core.count_held();
        wake_if_needed(core);
    }

    /// Unlocks, and has somebody look after the connection: a visit on its own thread, else its actor.
    pub(super) fn look_later(self: &Arc<Self>, mut core: MutexGuard<'_, Core>) {
        if core.awaits_visit {
            return;
        }
        let berth = core.home.and_then(Home::berth);
        if core.driver.is_some()
            && let Some(berth) = berth
            && berth.local.visit_later(self)
        {
            core.awaits_visit = true;
        } else {
            wake(core);
        }
    }

    /// The same, if the actor has to look at the connection.
    pub(super) fn look_later_if_needed(self: &Arc<Self>, core: MutexGuard<'_, Core>) {
        if core.driver_needed() {
            self.look_later(core);
        }
    }
}

impl Core {
    /// Whether the calling thread is the connection's own, and its link is there.
    pub(super) fn is_at_home(&self) -> bool {
        self.driver.is_some() && self.home.is_some_and(Home::is_here)
    }

    /// Whether the calling thread is in the session's turn, or could be: the session shares it.
    pub(super) fn is_own_turn(&self) -> bool {
        self.turn_at_home && self.home.is_some_and(Home::is_here)
    }

    /// Writes what the session has sent, on the connection's own thread. The socket goes on waking the
    /// connection's actor.
    pub(super) fn write_at_home(&mut self, now: &mut Now) {
        if self.machine.write_buffer_size() == 0 {
            return;
        }
        let berth = self.home.and_then(Home::berth);
        if let (Some(berth), Some(driver)) = (berth, &self.driver)
            && let Link::Up(transport) = &mut *berth.link.borrow_mut()
        {
            let before = self.machine.moved();
            let mut cx = TaskContext::from_waker(driver);
            write(&mut self.machine, transport.as_mut(), &mut cx, now);
            self.note_moves(before, &berth.local);
        }
    }

    /// Reads what the connection's own session waits for, on the connection's own thread; from now on
    /// the socket wakes the session itself. What can be told at once is the `first` event. `false`: it does not
    /// wait for anything, or is elsewhere.
    #[inline]
    pub(super) fn read_for_session(&mut self, first: &mut Option<Next>, now: &mut Now) -> bool {
        let Some(session) = self.session.take() else {
            return false;
        };
        let hand_over = |machine: &mut Connection, data: &mut BytesMut, now: &mut Now| {
            if first.is_none()
                && let Some((line, permit)) = machine.handle_line_at_once(data, now)
            {
                *first = Some(Next::Line(line, permit));
            } else {
                machine.handle_data(data, now);
            }
        };
        let read = self.read_at_home((&session, Reader::Session), now, hand_over);
        self.session = Some(session);
        read
    }

    /// Reads what is waited for, on the connection's own thread; from now on the socket wakes this one.
    /// `false`: nothing is waited for, or the caller is elsewhere.
    pub(super) fn read_at_home(
        &mut self,
        (waker, reader): (&Waker, Reader),
        now: &mut Now,
        hand_over: impl FnMut(&mut Connection, &mut BytesMut, &mut Now),
    ) -> bool {
        if self.machine.read_wish() != ReadWish::Data {
            return false;
        }
        if let Some(berth) = self.home.and_then(Home::berth)
            && let Link::Up(transport) = &mut *berth.link.borrow_mut()
        {
            let before = self.machine.moved();
            let mut cx = TaskContext::from_waker(waker);
            let slot = berth.read_slot();
            let waits = read(
                &mut self.machine,
                transport.as_mut(),
                slot,
                &mut cx,
                now,
                hand_over,
            );
            self.watching = false;
            self.reader = if waits { reader } else { Reader::Nobody };
            self.note_moves(before, &berth.local);
            self.count_held();
            return true;
        }
        false
    }
}
