//! What a socket's handle, its actor and its session share.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

use actix::WeakAddr;
use bytes::Bytes;
use switchboard_core::connection::{ConnectionState, Permit};
use switchboard_core::datagram::{DatagramConfig, DatagramEvent, Datagrams};
use switchboard_core::{ClientId, Now};
use tokio::sync::Notify;

use crate::client::{clock, this_thread};
use crate::pool::Pool;
use crate::states::States;
use crate::transport::ChannelKind;
use crate::transport::datagram::{DatagramSocket, Shares};

use super::UdpActor;

/// A socket that moves datagrams, as seen from all sides.
#[derive(Clone)]
pub(crate) struct Socket(pub(super) Arc<SocketShared>);

pub(crate) struct SocketShared {
    pub(super) id: ClientId,
    pub(super) pool: Pool,
    pub(super) kind: ChannelKind,
    pub(super) opened: Instant,
    pub(super) config: Arc<DatagramConfig>,
    /// Whether the header of an IP packet is taken off before it is delivered (raw IPv4).
    pub(super) strips_header: bool,
    pub(super) actor: OnceLock<WeakAddr<UdpActor>>,
    pub(crate) states: States,
    /// Something came, or it ended: for those who wait in [`recv_from`](super::Udp::recv_from).
    pub(super) arrived: Notify,
    /// Something went out, or it ended: for those who wait in [`sent_to`](super::Udp::sent_to).
    pub(super) progress: Notify,
    /// Datagrams that came, and that nobody had a place for.
    pub(super) dropped: AtomicU64,
    /// The shares that its peers have of it.
    pub(super) shares: Arc<Shares>,
    core: Mutex<Core>,
}

/// Everything behind the socket's lock, which is held for bounded work only: never while user code runs
/// and never while a message is sent or dropped.
pub(crate) struct Core {
    pub(super) machine: Datagrams,
    /// `None`: it is closed.
    pub(super) link: Option<Box<dyn DatagramSocket>>,
    /// Whether the session has failed or ended.
    pub(super) session_gone: bool,
    /// Whether it was told that the session panicked.
    pub(super) session_failed: bool,
    /// Which session it is on.
    pub(super) seat: u32,
    /// Wakes the session, if it is the socket's own.
    pub(super) session: Option<Waker>,
    /// Wakes the socket's actor.
    pub(super) driver: Option<Waker>,
    /// Whom the socket wakes when something comes.
    pub(super) reader: Reader,
    /// Until when the actor sleeps at most.
    pub(super) driver_sleeps: Option<Instant>,
    /// Whether the session has been called to a turn.
    pub(super) in_flight: bool,
    /// On which thread the session handles events just now.
    pub(super) turn: Option<NonZeroU32>,
    /// Events that are with shared handlers.
    pub(super) tickets: u32,
    /// Who waits in `recv_from`.
    pub(super) receivers: usize,
    /// How many of them are to be called by the actor, since so many datagrams came.
    pub(super) arrived: usize,
    /// Who waits in `sent_to`.
    pub(super) senders: usize,
    /// Whether one of them waits for the queue to be empty.
    pub(super) queue_watched: bool,
    /// Whether it reads for its session; one that is for sending only reads for `recv_from` only.
    pub(super) reads: bool,
    /// Whether the last attempt for the head of the queue met an error that was about an earlier one.
    pub(super) retried: bool,
    /// Errors of receiving in a row that were about no datagram.
    pub(super) failures: u32,
    /// In which of its shard's wakes something moved last.
    pub(super) moved: u64,
    /// Whether the actor has taken the ended socket off its registry, so that its end may be told.
    pub(super) released: bool,
}

/// The locked socket. What was to be sent and is no longer needed is let go of behind it: that may run code
/// of whoever made it ([`Bytes::from_owner`]).
pub(crate) struct Locked<'a>(Option<MutexGuard<'a, Core>>);

impl Deref for Locked<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        self.0.as_ref().expect(HELD)
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        self.0.as_mut().expect(HELD)
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.machine.has_spent() {
            self.let_go();
        }
    }
}

impl Locked<'_> {
    /// Unlocks, then lets go of what is no longer needed.
    #[inline(never)]
    fn let_go(&mut self) {
        // What is let go of may lock this or another socket: the thread's memory is away meanwhile.
        let mut spent = SPENT.try_with(Cell::take).unwrap_or_default();
        self.machine.swap_spent(&mut spent);
        self.0 = None;
        spent.clear();
        if spent.capacity() <= KEPT_ROOM {
            // A thread that ends keeps nothing.
            let _ = SPENT.try_with(|kept| kept.set(spent));
        }
    }
}

/// For so many that are let go of at once a thread keeps the memory.
const KEPT_ROOM: usize = 64;

thread_local! {
    /// Empty; its memory is used again.
    static SPENT: Cell<Vec<Bytes>> = const { Cell::new(Vec::new()) };
}

const HELD: &str = "it is locked until it is dropped";

/// An event for the session, with what it took from the credit.
pub(super) type Next = (DatagramEvent, Permit);

/// Who waits for something that has come about.
pub(super) struct Calls {
    /// How many receivers have a datagram.
    arrived: usize,
    /// Whether no receiver will ever have one.
    ended: bool,
    /// Whether those who wait to send, or for the end, are to look.
    progress: bool,
}

/// Whom the socket wakes when it becomes readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Nobody,
    Actor,
    Session,
}

/// What a socket begins with.
pub(crate) struct Beginning {
    pub(crate) id: ClientId,
    pub(crate) pool: Pool,
    pub(crate) kind: ChannelKind,
    pub(crate) config: Arc<DatagramConfig>,
    pub(crate) link: Box<dyn DatagramSocket>,
    pub(crate) peer: Option<switchboard_core::Address>,
    pub(crate) reads: bool,
    pub(crate) strips_header: bool,
}

impl Socket {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let mut now = Now::ask(clock);
        let mut machine = Datagrams::new(Arc::clone(&beginning.config), false, &mut now);
        machine.set_connected(beginning.peer);
        Self(Arc::new(SocketShared {
            id: beginning.id,
            pool: beginning.pool,
            kind: beginning.kind,
            opened: now.get(),
            config: beginning.config,
            strips_header: beginning.strips_header,
            actor: OnceLock::new(),
            states: States::default(),
            arrived: Notify::new(),
            progress: Notify::new(),
            dropped: AtomicU64::new(0),
            shares: Arc::default(),
            core: Mutex::new(Core {
                machine,
                link: Some(beginning.link),
                session_gone: false,
                session_failed: false,
                seat: 0,
                session: None,
                driver: None,
                reader: Reader::Nobody,
                driver_sleeps: None,
                in_flight: false,
                turn: None,
                tickets: 0,
                receivers: 0,
                arrived: 0,
                senders: 0,
                queue_watched: false,
                reads: beginning.reads,
                retried: false,
                failures: 0,
                moved: 0,
                released: false,
            }),
        }))
    }

    pub(crate) fn id(&self) -> ClientId {
        self.0.id
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }
}

impl SocketShared {
    /// Nothing of ours panics while it holds the lock; a poisoned one is still whole.
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked(Some(
            self.core.lock().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Runs a command on the machine and wakes the actor if it has to do something about it.
    pub(crate) fn command<R>(&self, run: impl FnOnce(&mut Datagrams, &mut Now) -> R) -> R {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        let result = run(&mut core.machine, &mut now);
        wake_if_needed(core);
        result
    }

    /// Runs a send. What a session sends in its turn is sent at the end of it.
    pub(crate) fn send<T, E>(
        &self,
        run: impl FnOnce(&mut Datagrams, &mut Now) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        let outcome = run(&mut core.machine, &mut now)?;
        if core.turn == Some(this_thread()) {
            return Ok(outcome);
        }
        core.write(&mut now);
        wake_if_needed(core);
        Ok(outcome)
    }

    /// Begins a turn of the socket's own session, which reads for itself, if there are events, nearly always
    /// with the first of them; if there are none, its waker will be called when there are.
    pub(super) fn call_session(&self, waker: &Waker) -> Option<Option<Next>> {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        match &core.session {
            Some(session) if session.will_wake(waker) => {}
            _ => core.session = Some(waker.clone()),
        }
        if core.reader == Reader::Session {
            // Perhaps that is what woke it, and then nobody waits any more.
            core.reader = Reader::Nobody;
        }
        if core.in_flight {
            core.turn = Some(this_thread());
            return Some(core.poll_event(&mut now));
        }
        core.machine.begin_round();
        core.read_for_session(waker, &mut now, self);
        let first = core.poll_event(&mut now);
        if first.is_none() {
            wake_if_needed(core);
            return None;
        }
        core.in_flight = true;
        core.turn = Some(this_thread());
        self.pool.pass();
        Some(first)
    }

    /// A session that serves many begins a turn.
    pub(super) fn begin_turn(&self) {
        self.lock().turn = Some(this_thread());
    }

    /// The next event for the session. `None` ends its turn.
    pub(super) fn next_event(&self, back: Permit) -> Option<Next> {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        core.machine.give_back(back, &mut now);
        let mut next = core.poll_event(&mut now);
        if next.is_none() {
            core.write(&mut now);
            if core.reader == Reader::Nobody
                && let Some(session) = core.session.clone()
            {
                core.read_for_session(&session, &mut now, self);
            }
            next = core.poll_event(&mut now);
        }
        if next.is_none() {
            core.in_flight = false;
            core.turn = None;
            wake_if_needed(core);
        }
        next
    }

    /// A turn is interrupted; the session comes back to it.
    pub(super) fn interrupt_turn(&self, back: Permit) {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        core.machine.give_back(back, &mut now);
        core.machine.begin_round();
        core.turn = None;
        core.write(&mut now);
        wake_if_needed(core);
    }

    /// Calls those who wait for something that has come about. The socket is not locked.
    pub(super) fn call(&self, calls: &Calls) {
        for _ in 0..calls.arrived {
            self.arrived.notify_one();
        }
        if calls.ended {
            self.arrived.notify_waiters();
        }
        if calls.progress {
            self.progress.notify_waiters();
        }
    }

    /// A shared handler is done with an event that it was given for the session of this seat.
    pub(super) fn ticket_back(&self, seat: u32, permit: Permit) {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        core.tickets = core.tickets.saturating_sub(1);
        if seat == core.seat {
            core.machine.give_back(permit, &mut now);
        }
        wake_if_needed(core);
    }
}

impl Core {
    /// Takes the next event, unless it is the last one and the socket is still registered.
    #[inline]
    pub(super) fn poll_event(&mut self, now: &mut Now) -> Option<Next> {
        if self.machine.is_over() && !self.released {
            return None;
        }
        self.machine.poll_event(now)
    }

    /// Whether there is something that may be told now.
    pub(super) fn has_event(&self) -> bool {
        self.machine.has_event() && (self.released || !self.machine.is_over())
    }

    /// Whether the end was told and handled.
    pub(super) fn is_done(&self) -> bool {
        self.machine.is_told() && !self.in_flight && self.tickets == 0
    }

    /// Whether it is closed and its address given up.
    pub(super) fn is_gone(&self) -> bool {
        self.released && self.link.is_none()
    }

    /// Whom the actor has to call now.
    pub(super) fn take_calls(&mut self) -> Calls {
        self.queue_watched = false;
        Calls {
            arrived: std::mem::take(&mut self.arrived),
            ended: self.is_ending(),
            progress: self.senders > 0 || self.machine.is_over(),
        }
    }

    /// Whether it closes or has closed, so that nothing comes any more.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(
            self.machine.state(),
            ConnectionState::Closing | ConnectionState::Closed
        )
    }

    /// Whether the actor has to read: nobody does, or only a session that may be busy, though others wait
    /// as well.
    pub(super) fn wants_reader(&self) -> bool {
        let unread = match self.reader {
            Reader::Nobody => true,
            Reader::Session => self.receivers > 0,
            Reader::Actor => false,
        };
        unread && self.link.is_some() && self.wants_datagram()
    }

    /// Whether it is of the family of IPv6.
    pub(super) fn is_v6(&self) -> bool {
        let socket = self.link.as_ref().and_then(|link| link.socket());
        socket.is_some_and(|socket| socket.local_addr().is_ok_and(|local| local.is_ipv6()))
    }

    /// Whether the actor has to look at the socket.
    pub(super) fn driver_needed(&self) -> bool {
        let machine = &self.machine;
        (machine.ending().is_some() && !self.released)
            || (machine.is_over() && self.link.is_some())
            || (self.released && self.is_done())
            || machine.is_vacant()
            || machine.wants_lookup()
            || machine.wants_round()
            || self.wants_reader()
            || self.arrived > 0
            || (self.queue_watched && !machine.has_ready())
            || (self.receivers > 0 && self.is_ending())
            || (!self.in_flight && self.has_event())
            || machine.poll_timeout().is_some_and(|deadline| {
                self.driver_sleeps
                    .is_none_or(|sleeping| deadline < sleeping)
            })
    }
}

/// Unlocks, then wakes the actor if it has to look at the socket.
pub(super) fn wake_if_needed(core: Locked<'_>) {
    if core.driver_needed() {
        wake(core);
    }
}

/// Unlocks, then wakes the actor.
pub(super) fn wake(core: Locked<'_>) {
    let driver = core.driver.clone();
    drop(core);
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}
