//! What a listener, its keeper, its actor, its handles and its connections share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::WeakAddr;
use switchboard_core::gate::PrefixGate;
use switchboard_core::{
    Address, BufferSlots, ClosedReason, ConnectionConfig, Gate, RejectReason, ServerId, TlsInfo,
};
use tokio::sync::{Notify, mpsc, watch};
use tracing::Span;

use crate::error::ChangeError;
use crate::message::PoolEvent;
use crate::options::{Listen, ListenTarget};
use crate::placement::Placement;
use crate::pool::{Pool, unhandled};
use crate::session::SessionFactory;
use crate::supervisor::{OnEscalation, Vigil};
use crate::telemetry;
use crate::tls::TlsServer;
use crate::transport::DetachedListener;
use crate::workers::Seating;

use super::alarm::AlarmBell;
use super::control::{Order, Suspend};
use super::hosts::HostSessions;
use super::limits::{LimitsChanged, Rules, ServerLimits, SetLimitsError};
use super::pull::Pull;
use super::{ListenState, Rejections, ServerActor, ServerInfo, TlsCounts};

/// One listener, for its whole life: it outlives its actor, and the thread of its actor.
pub(crate) struct ServerState {
    pub(crate) id: ServerId,
    pub(crate) span: Span,
    pub(crate) pool: Pool,
    /// How to take the real address again.
    pub(super) target: ListenTarget,
    pub(super) requested: String,
    pub(super) address: Address,
    pub(super) local_addr: SocketAddr,
    pub(super) slots: Option<BufferSlots>,
    pub(super) placement: Option<Placement>,
    on_workers: Option<bool>,
    pub(super) on_escalation: OnEscalation,
    pub(super) gate: Gate,
    pub(super) prefix: PrefixGate,
    pub(super) alarm: Option<Arc<AlarmBell>>,
    rules: Mutex<Rules>,
    /// Counts the changes of the rules.
    rules_version: AtomicU64,
    pub(super) counts: Counts,
    /// What connections are made with.
    recipe: Mutex<Recipe>,
    /// Who asks for its peers; `None`: all are taken, and get sessions.
    pub(super) pull: Option<Arc<Pull>>,
    kept: Mutex<Kept>,
    /// What it is doing.
    state: watch::Sender<ListenState>,
    /// Who keeps it now: nobody while its shard is down.
    pub(super) keeper: watch::Sender<Option<mpsc::UnboundedSender<Order>>>,
    /// Whether it is to close: whoever keeps it waits for nothing else any more.
    closing: watch::Sender<bool>,
    /// Told when the last connection of a moment is gone.
    drained: Notify,
}

/// What a connection of a listener is made with.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) factory: SessionFactory,
    pub(crate) seating: Seating,
    /// Sessions for peers that ask for certain hosts.
    pub(crate) hosts: HostSessions,
    pub(crate) tls: Option<TlsServer>,
}

/// What outlives a keeper.
pub(super) struct Kept {
    pub(super) vigil: Vigil,
    /// A second hold on the listening socket, for when the thread of the first one dies.
    pub(super) spare: Option<Box<dyn DetachedListener>>,
    pub(super) suspended: Option<Suspend>,
    pub(super) actor: Option<WeakAddr<ServerActor>>,
}

#[derive(Default)]
pub(super) struct Counts {
    accepted: AtomicU64,
    live: AtomicU64,
    closed: [AtomicU64; 4],
    /// By the number of their reason.
    rejected: [AtomicU64; RejectReason::ALL.len()],
    gone: AtomicU64,
    pub(super) shed: AtomicU64,
    faults: AtomicU64,
    pub(super) pauses: AtomicU64,
    pub(super) restarts: AtomicU64,
    /// Peers on their way to another shard.
    moving: AtomicU64,
    handshakes: AtomicU64,
    resumed: AtomicU64,
    handshakes_failed: AtomicU64,
}

impl ServerState {
    pub(super) fn new(
        id: ServerId,
        (address, local_addr): (Address, SocketAddr),
        listen: Listen,
        (factory, seating, hosts): (SessionFactory, Seating, HostSessions),
        pull: Option<Arc<Pull>>,
        pool: Pool,
    ) -> Arc<Self> {
        let mut target = listen.target;
        let requested = std::mem::replace(&mut target.place, address.clone().into()).to_string();
        let span = telemetry::server_span(pool.span(), id, &address);
        let admission = listen.admission;
        let most_per_prefix = admission.per_prefix.limit.unwrap_or(usize::MAX);
        Arc::new(Self {
            id,
            alarm: admission
                .alarm
                .map(|alarm| AlarmBell::new(alarm, id, pool.clone(), span.clone())),
            span,
            pool,
            target,
            requested,
            address,
            local_addr,
            slots: admission.slots,
            placement: listen.placement,
            on_workers: listen.on_workers,
            on_escalation: listen.on_escalation,
            gate: admission
                .max_connections
                .map_or_else(Gate::unlimited, Gate::new),
            // Counts without a limit too, so that one that is set later is exact from the start.
            prefix: PrefixGate::new(most_per_prefix, admission.per_prefix.lengths()),
            rules: Mutex::new(Rules {
                rate: admission.rate,
                access: admission.access,
                at_limit: admission.at_limit,
            }),
            rules_version: AtomicU64::new(0),
            counts: Counts::default(),
            recipe: Mutex::new(Recipe {
                config: Arc::new(listen.config),
                factory,
                seating,
                hosts,
                tls: listen.tls,
            }),
            pull,
            kept: Mutex::new(Kept {
                vigil: Vigil::new(listen.restart, id.as_u64()),
                spare: None,
                suspended: None,
                actor: None,
            }),
            state: watch::Sender::new(ListenState::Accepting),
            keeper: watch::Sender::new(None),
            closing: watch::Sender::new(false),
            drained: Notify::new(),
        })
    }

    /// What the next connection is made with.
    pub(crate) fn recipe(&self) -> Recipe {
        lock(&self.recipe).clone()
    }

    /// Sessions of new connections come from there from now on.
    pub(super) fn swap(&self, factory: SessionFactory) -> Result<(), ChangeError> {
        if self.pull.is_some() {
            return Err(ChangeError::NoSessions);
        }
        let seating = Seating::of(self.on_workers, factory.own(), self.pool.workers());
        let seating = seating.map_err(ChangeError::Seating)?;
        self.change(|recipe| {
            recipe.factory = factory;
            recipe.seating = seating;
        })
    }

    /// New connections have these settings from now on.
    pub(super) fn set_options(
        &self,
        change: impl FnOnce(&mut ConnectionConfig),
    ) -> Result<(), ChangeError> {
        // The change is user code: it runs outside of the lock.
        let mut config = (*self.recipe().config).clone();
        change(&mut config);
        config.validate()?;
        self.change(|recipe| recipe.config = Arc::new(config))
    }

    fn change(&self, change: impl FnOnce(&mut Recipe)) -> Result<(), ChangeError> {
        if self.is_closed() || !self.pool.is_running() {
            return Err(ChangeError::Closed);
        }
        let mut recipe = lock(&self.recipe);
        let mut changed = recipe.clone();
        change(&mut changed);
        let first = changed.config.first_receive.as_ref();
        let hosts = changed.hosts.iter().flat_map(|hosts| hosts.values());
        let unhandled = std::iter::once(changed.factory.known)
            .chain(hosts.map(|host| host.factory.known))
            .find_map(|known| unhandled(known, first));
        let unwanted = match unhandled {
            None => std::mem::replace(&mut *recipe, changed),
            Some(_) => changed,
        };
        drop(recipe);
        // It may be the last hold on what a user's factory has captured.
        drop(unwanted);
        unhandled.map_or(Ok(()), |event| Err(ChangeError::Unhandled { event }))
    }

    /// What its handle may change, and which version of it that is.
    pub(super) fn rules(&self) -> (Rules, u64) {
        let rules = lock(&self.rules);
        (rules.clone(), self.rules_version())
    }

    pub(super) fn rules_version(&self) -> u64 {
        self.rules_version.load(Ordering::Acquire)
    }

    /// Lets in others from now on.
    pub(super) fn set_limits(&self, limits: ServerLimits) -> Result<(), SetLimitsError> {
        if self.is_closed() || !self.pool.is_running() {
            return Err(SetLimitsError::Closed);
        }
        if let Some(policy) = &limits.at_limit {
            let checked = policy.validate();
            checked.map_err(|bytes| SetLimitsError::LongAnswer { bytes })?;
        }
        if limits.needs_addresses() && matches!(self.address, Address::Unix(_)) {
            return Err(SetLimitsError::NoAddresses);
        }
        let mut rules = lock(&self.rules);
        rules.at_limit = limits.at_limit.unwrap_or_else(|| rules.at_limit.clone());
        rules.rate = limits.accept_rate.unwrap_or_else(|| rules.rate.clone());
        rules.access = limits.access.unwrap_or_else(|| rules.access.clone());
        self.rules_version.fetch_add(1, Ordering::Release);
        drop(rules);
        if let Some(connections) = limits.max_connections {
            self.gate.set_limit(connections);
        }
        if let Some(connections) = limits.max_per_ip {
            self.prefix.set_limit(connections);
        }
        let actor = self.kept().actor.clone();
        if let Some(actor) = actor.and_then(|actor| actor.upgrade()) {
            actor.do_send(LimitsChanged);
        }
        Ok(())
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }

    pub(super) fn watch_state(&self) -> watch::Receiver<ListenState> {
        self.state.subscribe()
    }

    pub(super) fn state(&self) -> ListenState {
        *self.state.borrow()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state() == ListenState::Closed
    }

    /// Whether somebody keeps it: not while its shard is down.
    pub(crate) fn is_kept(&self) -> bool {
        self.keeper.borrow().is_some()
    }

    /// It is to close.
    pub(super) fn begin_to_close(&self) {
        self.closing.send_replace(true);
        if let Some(pull) = &self.pull {
            pull.close();
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until it is to close.
    pub(super) async fn closes(&self) {
        let mut closing = self.closing.subscribe();
        // The sender is here, so it cannot be gone.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// A closed one stays closed.
    pub(super) fn set_state(&self, state: ListenState) {
        self.state.send_if_modified(|current| {
            let changes = *current != ListenState::Closed && *current != state;
            if changes {
                *current = state;
            }
            changes
        });
    }

    /// It is closed for good; told once.
    pub(crate) fn finish(&self, reason: ClosedReason) {
        let spare = self.kept().spare.take();
        drop(spare);
        if let Some(pull) = &self.pull {
            pull.close();
        }
        let first = self.state.send_replace(ListenState::Closed) != ListenState::Closed;
        if first {
            telemetry::server_closed(&self.span, reason, &self.info());
            let server = self.id;
            self.pool.report(PoolEvent::ServerClosed { server, reason });
        }
        self.pool.shards()[self.id.shard()].forget_server(self.id);
    }

    pub(crate) fn opened(&self) {
        self.counts.accepted.fetch_add(1, Ordering::Relaxed);
        self.counts.live.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, reason: ClosedReason) {
        self.counts.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
        if self.counts.live.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.drained.notify_waiters();
        }
    }

    /// A TLS handshake was done.
    pub(crate) fn secured(&self, tls: &TlsInfo) {
        self.counts.handshakes.fetch_add(1, Ordering::Relaxed);
        if tls.resumed {
            self.counts.resumed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A TLS handshake has ended, and was not done.
    pub(crate) fn not_secured(&self) {
        self.counts
            .handshakes_failed
            .fetch_add(1, Ordering::Relaxed);
    }

    /// A peer is on its way to another shard.
    pub(super) fn moves(&self) {
        self.counts.moving.fetch_add(1, Ordering::SeqCst);
    }

    /// It is there, or lost.
    pub(crate) fn moved(&self) {
        if self.counts.moving.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.drained.notify_waiters();
        }
    }

    pub(super) fn rejected(&self, peer_addr: Option<SocketAddr>, reason: RejectReason) {
        self.counts.rejected[reason as usize].fetch_add(1, Ordering::Relaxed);
        telemetry::rejected(&self.span, peer_addr, reason);
    }

    /// A peer had left when it was its turn.
    pub(super) fn gone(&self, peer_addr: Option<SocketAddr>) {
        self.counts.gone.fetch_add(1, Ordering::Relaxed);
        telemetry::gone(&self.span, peer_addr);
    }

    /// A peer was accepted, but its socket could not be moved to its shard.
    pub(crate) fn lost(&self, error: &std::io::Error) {
        self.counts.faults.fetch_add(1, Ordering::Relaxed);
        telemetry::accept_fault(&self.span, error);
    }

    /// Waits until it has no connection.
    pub(super) async fn drained(&self) {
        loop {
            let mut changed = std::pin::pin!(self.drained.notified());
            changed.as_mut().enable();
            let counts = &self.counts;
            // What moves becomes live before it moves no more.
            let moving = counts.moving.load(Ordering::SeqCst);
            if moving == 0 && counts.live.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn info(&self) -> ServerInfo {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counts = &self.counts;
        let rejected = |reason| read(&counts.rejected[reason as usize]);
        let rejections = Rejections {
            limit: rejected(RejectReason::Limit),
            prefix: rejected(RejectReason::Prefix),
            slots: rejected(RejectReason::Slots),
            denied: rejected(RejectReason::Denied),
        };
        ServerInfo {
            id: self.id,
            requested: self.requested.clone(),
            address: self.address.clone(),
            local_addr: self.local_addr,
            state: self.state(),
            accepted: read(&counts.accepted),
            live: read(&counts.live),
            closed: [0, 1, 2, 3].map(|reason: usize| read(&counts.closed[reason])),
            rejected: rejections.in_all(),
            rejections,
            gone: read(&counts.gone),
            shed: read(&counts.shed),
            faults: read(&counts.faults),
            pauses: read(&counts.pauses),
            restarts: read(&counts.restarts),
            alarm_raised: self.alarm.as_ref().is_some_and(|alarm| alarm.is_raised()),
            tls: TlsCounts {
                handshakes: read(&counts.handshakes),
                resumed: read(&counts.resumed),
                failed: read(&counts.handshakes_failed),
            },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
