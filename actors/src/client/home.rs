//! The thread that a connection lives on, and a way to its transport for those who run there.
//!
//! A session that is a connection's own and shares its thread reads for itself when the socket wakes
//! it, and writes at the end of its turn what it has sent meanwhile. The connection's actor then has
//! nothing to do with most requests, which saves it two wakes for each. It stays in charge of all the
//! rest: establishing, deadlines, closing, and the bytes of a session that is elsewhere or gone.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};

use parking_lot::MutexGuard;
use slab::Slab;
use switchboard_core::Now;
use switchboard_core::connection::ReadWish;

use crate::placement::Share;
use crate::places::Passes;
use crate::shard::{ReadSlot, ShardLocal, SlotLease};
use crate::transport::Received;

use super::actor::Link;
use super::ahead::write_noted;
use super::moving::{read, read_once, write};
use super::shared::{Core, Reader, wake, wake_if_needed};
use super::turn::Next;
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
    pub(super) local: Rc<ShardLocal>,
    /// Given back when the actor ends, whatever happens.
    pub(super) passes: Passes,
    _share: Share,
}

impl Berth {
    pub(super) fn new(
        link: Link,
        lease: Option<Box<SlotLease>>,
        local: Rc<ShardLocal>,
        (mut passes, share): (Passes, Share),
    ) -> Rc<Self> {
        if lease.is_some() {
            passes.rare().lease = lease;
        }
        Rc::new(Self {
            link: RefCell::new(link),
            local,
            passes,
            _share: share,
        })
    }

    /// What the connection reads into.
    pub(super) fn read_slot(&self) -> ReadSlot<'_> {
        self.passes
            .lease()
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
    #[inline(never)]
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
        if self.machine.write_buffer_size() == 0 && self.pad.is_none() {
            return;
        }
        let berth = self.home.and_then(Home::berth);
        if let (Some(berth), Some(driver)) = (berth, &self.driver)
            && let Link::Up(transport) = &mut *berth.link.borrow_mut()
        {
            let before = self.machine.moved();
            let (machine, transport) = (&mut self.machine, transport.as_mut());
            let mut cx = TaskContext::from_waker(driver);
            if let Some(pad) = self.pad {
                write_noted(pad, machine, transport, &mut cx, now);
            }
            if machine.write_buffer_size() > 0 || !machine.is_fully_open() {
                write(machine, transport, &mut cx, now);
            }
            self.note_moves(before, &berth.local);
            self.end_noting();
        }
        // Without a link it stays queued.
        if let Some(pad) = self.pad {
            self.move_noted(pad);
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
        let read = if self.machine.is_quiet() {
            self.read_when_quiet(&session, first, now)
        } else {
            self.read_at_home((&session, Reader::Session), now)
        };
        self.session = Some(session);
        read
    }

    /// The same where nothing is unusual, so that one read mostly brings what is told at once.
    pub(super) fn read_when_quiet(
        &mut self,
        session: &Waker,
        first: &mut Option<Next>,
        now: &mut Now,
    ) -> bool {
        let Some(berth) = self.home.and_then(Home::berth) else {
            return false;
        };
        let Link::Up(transport) = &mut *berth.link.borrow_mut() else {
            return false;
        };
        let (machine, transport) = (&mut self.machine, transport.as_mut());
        let mut cx = TaskContext::from_waker(session);
        let before = machine.moved();
        let mut slot = berth.read_slot();
        let (came, buffer) = read_once(transport, &mut slot, &mut cx);
        let mut came = Some(came);
        if let Some(Poll::Ready(Ok(Received { count: 1.., more }))) = came
            && let Some((line, permit)) = machine.handle_line_at_once(buffer, now)
        {
            *first = Some(Next::Line(line, permit));
            if !more {
                // As long as it is quiet it has nothing to judge when reading would block.
                self.has_read(Some(Reader::Session), before, &berth);
                self.undisturbed = self.requests.is_none() && self.machine.stays_quiet();
                return true;
            }
            came = None;
        }
        let waits = read(machine, transport, &mut slot, came, &mut cx, now);
        self.has_read(waits.then_some(Reader::Session), before, &berth);
        true
    }

    /// Reads what is waited for, on the connection's own thread; from now on the socket wakes this one.
    /// `false`: nothing is waited for, or the caller is elsewhere.
    pub(super) fn read_at_home(
        &mut self,
        (waker, reader): (&Waker, Reader),
        now: &mut Now,
    ) -> bool {
        if self.machine.read_wish() != ReadWish::Data {
            return false;
        }
        if let Some(berth) = self.home.and_then(Home::berth)
            && let Link::Up(transport) = &mut *berth.link.borrow_mut()
        {
            let before = self.machine.moved();
            let mut cx = TaskContext::from_waker(waker);
            let mut slot = berth.read_slot();
            let waits = read(
                &mut self.machine,
                transport.as_mut(),
                &mut slot,
                None,
                &mut cx,
                now,
            );
            self.has_read(waits.then_some(reader), before, &berth);
            return true;
        }
        false
    }

    /// It has read on its own thread, and who waits for more now is woken by the socket.
    #[inline]
    fn has_read(&mut self, waiting: Option<Reader>, before: u64, berth: &Berth) {
        self.watching = false;
        self.reader = waiting.unwrap_or(Reader::Nobody);
        self.note_moves(before, &berth.local);
        self.count_held();
    }
}
