//! What a connection's handle, its actor and its session share.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Mutex as Lock, MutexGuard};
use switchboard_core::connection::{Claim, ReadWish};
use switchboard_core::{Budget, Cause, ClientId, Connection, ConnectionState, Now, Share};

use crate::pool::Pool;
#[cfg(unix)]
use crate::process::PipeOf;
use crate::server::ServerState;
use crate::states::States;
use crate::tls::{TlsConfig, Upgrade};
use crate::transport::ChannelKind;

use super::addresses::Addresses;
use super::ahead::Pad;
use super::home::Home;
use super::making::Making;
use super::pair::Bell;
use super::request::Requests;
use super::task::Post;

/// One connection, as seen from all sides. In the order in which it is written here: what each request needs stands
/// together, so that it is fetched in fewer pieces.
#[repr(C)]
pub(crate) struct Shared {
    pub(crate) id: ClientId,
    pub(crate) pool: Pool,
    /// Of which process it is a pipe, if it is one.
    #[cfg(unix)]
    pub(crate) pipe_of: Option<Box<PipeOf>>,
    pub(super) rung: AtomicU8,
    pub(crate) outbound: bool,
    core: Lock<Core>,
    /// How far the session is with its batch.
    pub(super) claim: Claim,
    /// Wakes the actor where it has a task together with the session.
    pub(super) bell: Bell,
    /// The listener that accepted it; `None` for an outbound connection.
    pub(crate) server: Option<Arc<ServerState>>,
    /// When it was made: so many nanoseconds after its pool.
    opened: u64,
    /// Others after each link of a connection that reconnects.
    pub(super) addresses: Mutex<Addresses>,
    /// The user's own values, by type (XAS-21).
    pub(crate) states: States,
}

/// Everything behind the connection's lock. The lock is held for bounded work only: never while user
/// code runs and never while a message is sent or dropped.
pub(crate) struct Core {
    pub(crate) machine: Connection,
    /// Known when there is a link, or before.
    kind: Option<ChannelKind>,
    /// Whether the session has failed or ended: nobody is left to be told anything, but for those of
    /// shared handlers that live.
    pub(super) session_gone: bool,
    /// How far a worker is with making the session.
    pub(super) making: Making,
    /// Whether it was told that the session panicked.
    pub(super) session_failed: bool,
    /// Which session it is on: what an earlier one still says while it is dropped means nothing.
    pub(super) seat: u32,
    /// Where the connection's link is; set by its actor.
    pub(super) home: Option<Home>,
    /// The thread of the session that is at a batch.
    pub(super) batch_thread: Option<NonZeroU32>,
    /// Whether the session is in its turn on the connection's own thread: it writes at the end.
    pub(super) turn_at_home: bool,
    /// Whether its turn began quietly, and nobody has had the lock since.
    pub(super) undisturbed: bool,
    /// Where the session notes what it sends in its turn.
    pub(super) pad: Option<&'static Pad>,
    /// Wakes the session, if it is the connection's own.
    pub(super) session: Option<Waker>,
    /// Wakes the connection's actor.
    pub(super) driver: Option<Waker>,
    /// Whom the socket wakes when it becomes readable.
    pub(super) reader: Reader,
    /// Whether the actor looks out for the peer's end, since nobody reads.
    pub(super) watching: bool,
    /// Whether the actor looks out for urgent bytes.
    pub(super) hearing: bool,
    /// In which of its shard's wakes bytes moved last.
    pub(super) moved: u64,
    /// Whether the session has been called to a turn: never to more than one.
    pub(super) in_flight: bool,
    /// Events that are with shared handlers.
    pub(super) tickets: u32,
    /// Whether the actor has taken the ended connection off its registry, so that its end may be told.
    pub(super) released: bool,
    /// Whether it is on the list of its shard's visits.
    pub(super) awaits_visit: bool,
    /// What most connections do not have.
    pub(super) rare: Option<Box<Rare>>,
    /// Who waits for an answer, once somebody has.
    pub(super) requests: Option<Box<Requests>>,
}

/// What some connections have behind their lock.
#[derive(Default)]
pub(crate) struct Rare {
    /// What the handshake that was asked for is done with.
    pub(super) upgrade: Option<Box<Upgrade>>,
    /// What the last handshake was done with.
    pub(crate) tls_config: Option<Box<TlsConfig>>,
    /// Where its actor is sent commands, once somebody has its address.
    pub(super) post: Option<Post>,
    /// What it has of the pool's memory budget, if there is one; given back when its actor ends.
    pub(super) share: Option<Share>,
    /// Until when the actor sleeps at most.
    pub(super) driver_sleeps: Option<Instant>,
}

impl Core {
    /// If there is some.
    #[inline]
    pub(super) fn rare(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// A connection does not change what it is, whatever becomes of its links.
    pub(crate) fn set_kind(&mut self, kind: ChannelKind) {
        self.kind.get_or_insert(kind);
    }

    /// To put some in.
    pub(crate) fn make_rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Shared {
    pub(crate) fn new(id: ClientId, pool: Pool, origin: Origin, machine: Connection) -> Arc<Self> {
        #[cfg(unix)]
        let pipe_of = match &origin {
            Origin::Pipe(pipe) => Some(pipe.clone()),
            Origin::Accepted { .. } | Origin::Outbound => None,
        };
        let (server, addresses, outbound) = match origin {
            Origin::Accepted { server, addresses } => (Some(server), addresses, false),
            Origin::Outbound => (None, Addresses::default(), true),
            #[cfg(unix)]
            Origin::Pipe(_) => (None, Addresses::default(), false),
        };
        let share = pool.budget().map(Budget::share);
        let opened = u64::try_from(pool.age().as_nanos()).unwrap_or(u64::MAX);
        Arc::new(Self {
            id,
            pool,
            server,
            outbound,
            opened,
            #[cfg(unix)]
            pipe_of,
            addresses: Mutex::new(addresses),
            claim: Claim::new(),
            bell: Bell::default(),
            rung: AtomicU8::new(0),
            core: Lock::new(Core {
                machine,
                kind: None,
                session_gone: false,
                making: Making::Done,
                session_failed: false,
                seat: 0,
                home: None,
                batch_thread: None,
                turn_at_home: false,
                undisturbed: false,
                pad: None,
                session: None,
                driver: None,
                reader: Reader::Nobody,
                watching: false,
                hearing: false,
                moved: 0,
                in_flight: false,
                tickets: 0,
                released: false,
                awaits_visit: false,
                rare: share.map(|share| {
                    Box::new(Rare {
                        share: Some(share),
                        ..Rare::default()
                    })
                }),
                requests: None,
            }),
            states: States::default(),
        })
    }

    /// Nothing of ours panics while it holds the lock, and what a panic would leave behind is whole.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        let mut core = self.lock_as_it_is();
        core.undisturbed = false;
        if let Some(pad) = core.pad {
            core.move_noted(pad);
        }
        core
    }

    /// The same, but what the session has noted stays where it is: for those who look after it themselves.
    #[inline]
    pub(super) fn lock_as_it_is(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    /// How long ago it was made.
    pub(super) fn age(&self) -> Duration {
        let opened = Duration::from_nanos(self.opened);
        self.pool.age().saturating_sub(opened)
    }

    pub(crate) fn kind(&self) -> ChannelKind {
        self.lock().kind.unwrap_or_default()
    }

    /// Runs a command on the machine and wakes the actor if it has to do something about it.
    pub(crate) fn command<R>(&self, run: impl FnOnce(&mut Connection, &mut Now) -> R) -> R {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        self.recall(&mut core, &mut now);
        let result = run(&mut core.machine, &mut now);
        core.count_held();
        // What a session commands in its turn is looked at when the turn ends.
        if !core.is_own_turn() {
            wake_if_needed(core);
        }
        result
    }

    /// Runs a send; `run` says whether the outbox was empty before.
    pub(super) fn send<T, E>(
        self: &Arc<Self>,
        run: impl FnOnce(&mut Connection) -> Result<(T, bool), E>,
    ) -> Result<T, E> {
        let mut core = self.lock();
        let (value, was_empty) = run(&mut core.machine)?;
        core.count_held();
        if core.machine.has_batch() && core.machine.is_write_paused() {
            // What was taken at once now has to wait for the peer, unless the session says otherwise.
            self.recall(&mut core, &mut Now::ask(clock));
        }
        // What a session sends in its turn is written at the end of it, what others send soon. A send that passes
        // the high mark tells so, which the session hears within its turn.
        let is_own_turn = core.is_own_turn();
        if (was_empty && !is_own_turn) || (!core.in_flight && core.has_event()) {
            self.look_later(core);
        } else if is_own_turn {
            core.begin_noting(self);
        }
        Ok(value)
    }

    /// Shortens the time that the connection will linger once it has finished.
    pub(crate) fn hurry(&self, linger: Duration) {
        self.command(|machine, now| machine.hurry(linger, now));
    }

    /// Closes it, or lets the closing that is under way take no longer than this.
    pub(crate) fn close_within(&self, cause: Cause, flush: Duration) {
        self.command(|machine, now| machine.close_within(cause, flush, now));
    }
}

/// Whom the socket wakes when it becomes readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Nobody,
    Actor,
    Session,
    /// Who has asked for a receive, on the connection's own thread.
    Asker,
}

/// Where a connection comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    Accepted {
        server: Arc<ServerState>,
        addresses: Addresses,
    },
    Outbound,
    /// A pipe of a child process.
    #[cfg(unix)]
    Pipe(Box<PipeOf>),
}

impl Core {
    /// Whether the actor has to look at the connection.
    #[inline]
    pub(super) fn driver_needed(&self) -> bool {
        let waits_only = matches!(self.reader, Reader::Session | Reader::Actor)
            && self.requests.is_none()
            && self.machine.is_quiet();
        !waits_only && self.is_driver_wanted()
    }

    fn is_driver_wanted(&self) -> bool {
        let machine = &self.machine;
        (!machine.is_fully_open()
            && (machine.state() == ConnectionState::Closed
                || machine.is_cancelled()
                || machine.wants_finish()))
            || self.is_vacant()
            || machine.wants_handshake()
            || (self.reader == Reader::Nobody && machine.read_wish() != ReadWish::Nothing)
            || (!self.in_flight && self.has_event())
            || (!self.watching && self.wants_watch())
            || (!self.hearing && machine.wants_urgent())
            || machine.wants_round()
            || self.has_due()
            || self.next_deadline().is_some_and(|deadline| {
                let rare = self.rare.as_deref();
                let sleeps = rare.and_then(|rare| rare.driver_sleeps);
                sleeps.is_none_or(|sleeping| deadline < sleeping)
            })
    }

    /// Whether to look out for the peer's end without reading: not while the session is at work, which may
    /// want to read in a moment.
    pub(super) fn wants_watch(&self) -> bool {
        !self.in_flight && self.machine.wants_watch()
    }

    /// Whether the end was told and handled.
    pub(super) fn is_done(&self) -> bool {
        self.machine.is_told() && !self.in_flight && self.tickets == 0
    }

    /// Whether there is something that may be told now.
    pub(super) fn has_event(&self) -> bool {
        self.machine.has_event()
            && (self.released
                || self.machine.state() != ConnectionState::Closed
                || self.machine.has_notice())
    }
}

/// Unlocks, then wakes the actor if it has to look at the connection.
pub(super) fn wake_if_needed(core: MutexGuard<'_, Core>) {
    if core.driver_needed() {
        wake(core);
    }
}

/// Unlocks, then wakes the actor.
pub(super) fn wake(core: MutexGuard<'_, Core>) {
    let driver = core.driver.clone();
    drop(core);
    if let Some(driver) = driver {
        driver.wake();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The moment, by the clock that timers go by (which tests may have stopped).
pub(crate) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million idle connections have this. With its counters and its size in the allocator's books it is one block
    /// of 640 bytes of glibc's; the next byte would cost 16.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_a_connection_shares_is_no_larger_than_its_block() {
        assert!(size_of::<Shared>() <= 616, "{}", size_of::<Shared>());
    }
}
