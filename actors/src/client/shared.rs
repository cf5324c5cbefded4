//! What a connection's handle, its actor and its session share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use actix::WeakAddr;
use switchboard_core::connection::{Permit, ReadWish};
use switchboard_core::{Cause, ClientId, Connection, ConnectionState, Now};

use crate::message::ClientEvent;
use crate::pool::Pool;
use crate::server::ServerState;

use super::{Client, ClientActor};

/// One connection, as seen from all sides.
pub(crate) struct Shared {
    pub(crate) id: ClientId,
    pub(crate) pool: Pool,
    /// The listener that accepted it; `None` for an outbound connection.
    pub(crate) server: Option<Arc<ServerState>>,
    pub(crate) outbound: bool,
    pub(crate) opened: Instant,
    pub(super) local_addr: OnceLock<SocketAddr>,
    pub(super) peer_addr: OnceLock<SocketAddr>,
    pub(super) actor: OnceLock<WeakAddr<ClientActor>>,
    core: Mutex<Core>,
    /// The user's own values, by type (XAS-21).
    pub(super) states: Mutex<Option<Box<States>>>,
}

pub(super) type States = HashMap<TypeId, Box<dyn Any + Send>>;

/// Everything behind the connection's lock. The lock is held for bounded work only: never while user
/// code runs and never while a message is sent or dropped.
pub(crate) struct Core {
    pub(crate) machine: Connection,
    /// Whether the session has failed or ended: nobody is left to be told anything.
    pub(super) session_gone: bool,
    /// Wakes the connection's actor.
    pub(super) driver: Option<Waker>,
    /// Whether the actor waits for the socket to become readable.
    pub(super) driver_reads: bool,
    /// Until when the actor sleeps at most.
    pub(super) driver_sleeps: Option<Instant>,
    /// Whether a burst is with the session: never more than one.
    pub(super) in_flight: bool,
    /// Events that are with shared handlers.
    pub(super) tickets: u32,
    /// Whether the actor has taken the ended connection off its registry, so that its end may be told.
    pub(super) released: bool,
}

impl Shared {
    pub(crate) fn new(id: ClientId, pool: Pool, origin: Origin, machine: Connection) -> Arc<Self> {
        let (server, local_addr, peer_addr, outbound) = match origin {
            Origin::Accepted {
                server,
                local_addr,
                peer_addr,
            } => (Some(server), local_addr, peer_addr, false),
            Origin::Outbound => (None, None, None, true),
        };
        Arc::new(Self {
            id,
            pool,
            server,
            outbound,
            opened: clock(),
            local_addr: local_addr.map(OnceLock::from).unwrap_or_default(),
            peer_addr: peer_addr.map(OnceLock::from).unwrap_or_default(),
            actor: OnceLock::new(),
            core: Mutex::new(Core {
                machine,
                session_gone: false,
                driver: None,
                driver_reads: false,
                driver_sleeps: None,
                in_flight: false,
                tickets: 0,
                released: false,
            }),
            states: Mutex::new(None),
        })
    }

    /// Nothing of ours panics while it holds the lock; a poisoned one is still whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command on the machine and wakes the actor if it has to do something about it.
    pub(crate) fn command<R>(&self, run: impl FnOnce(&mut Connection, &mut Now) -> R) -> R {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        let result = run(&mut core.machine, &mut now);
        wake_if_needed(core);
        result
    }

    /// Runs a send; `run` says whether the outbox was empty before.
    pub(super) fn send<T, E>(
        &self,
        run: impl FnOnce(&mut Connection) -> Result<(T, bool), E>,
    ) -> Result<T, E> {
        let mut core = self.lock();
        let (value, was_empty) = run(&mut core.machine)?;
        // A send that passes the high mark tells so; the session hears of it within its own burst.
        if was_empty || (!core.in_flight && core.has_event()) {
            wake(core);
        }
        Ok(value)
    }

    /// The next event for the session. `None` ends its turn: the burst is over.
    pub(crate) fn next_event(&self, back: Permit) -> Option<(SharedEvent, Permit)> {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        core.machine.give_back(back);
        let next = core.poll_event(&mut now);
        if next.is_none() {
            core.in_flight = false;
            wake_if_needed(core);
        }
        next
    }

    /// Gives credit back without asking for more, as a turn that is interrupted does.
    pub(crate) fn give_back(&self, back: Permit) {
        self.lock().machine.give_back(back);
    }

    /// The session failed or ended; the connection closes.
    pub(crate) fn session_gone(&self, cause: Cause) {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        core.in_flight = false;
        core.session_gone = true;
        core.machine.handle_session_gone(cause, &mut now);
        wake(core);
    }

    /// A shared handler is done with an event.
    pub(super) fn ticket_back(&self, permit: Permit) {
        let mut core = self.lock();
        core.tickets = core.tickets.saturating_sub(1);
        core.machine.give_back(permit);
        wake_if_needed(core);
    }

    /// Shortens the time that the connection will linger once it has finished.
    pub(crate) fn hurry(&self, linger: Duration) {
        self.command(|machine, now| machine.hurry(linger, now));
    }
}

/// Where a connection comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    Accepted {
        server: Arc<ServerState>,
        local_addr: Option<SocketAddr>,
        peer_addr: Option<SocketAddr>,
    },
    Outbound,
}

/// An event of the machine, not yet a message.
pub(crate) type SharedEvent = switchboard_core::connection::Event;

impl Core {
    /// Takes the next event, unless it is the last one and the connection is still registered.
    pub(super) fn poll_event(&mut self, now: &mut Now) -> Option<(SharedEvent, Permit)> {
        if !self.released && self.machine.state() == ConnectionState::Closed {
            // Notices may still be told, the end may not.
            return self.machine.poll_notice();
        }
        self.machine.poll_event(now)
    }

    /// Whether the actor has to look at the connection.
    pub(super) fn driver_needed(&self) -> bool {
        let machine = &self.machine;
        machine.state() == ConnectionState::Closed
            || machine.is_cancelled()
            || machine.wants_finish()
            || (!self.driver_reads && machine.read_wish() != ReadWish::Nothing)
            || (!self.in_flight && self.has_event())
            || machine.wants_round()
            || machine.poll_timeout().is_some_and(|deadline| {
                self.driver_sleeps
                    .is_none_or(|sleeping| deadline < sleeping)
            })
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
fn wake_if_needed(core: MutexGuard<'_, Core>) {
    if core.driver_needed() {
        wake(core);
    }
}

/// Unlocks, then wakes the actor.
fn wake(core: MutexGuard<'_, Core>) {
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

/// Gives credit back when an event that went to a shared handler is dropped, and finds the connection
/// whose event made a shared handler panic.
#[derive(Default)]
pub struct Ticket(Option<Box<Issued>>);

struct Issued {
    shared: Arc<Shared>,
    permit: Permit,
    event: &'static str,
}

impl Ticket {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn issue(shared: &Arc<Shared>, permit: Permit, event: &ClientEvent) -> Self {
        Self(Some(Box::new(Issued {
            shared: Arc::clone(shared),
            permit,
            event: event.name(),
        })))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(issued) = self.0.take() else {
            return;
        };
        if std::thread::panicking() {
            issued.shared.session_gone(Cause::SessionPanicked {
                event: Some(issued.event),
                text: "in a shared handler".into(),
            });
        }
        issued.shared.ticket_back(issued.permit);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// The pending answer to `PeerFinished`: dropped, it closes the connection.
#[derive(Debug)]
pub struct Answer(Option<Client>);

impl Answer {
    pub(crate) fn of(client: &Client) -> Self {
        Self(Some(client.clone()))
    }

    pub(crate) fn keep_open(mut self) {
        self.0 = None;
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            client
                .shared
                .command(|machine, now| machine.close_after_peer(now));
        }
    }
}

/// The moment, by the clock that timers go by (which tests may have stopped).
pub(crate) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
