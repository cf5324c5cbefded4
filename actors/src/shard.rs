//! `ShardActor`: one per arbiter. It owns that thread's registry, so that opening and closing a
//! connection never crosses threads.

mod channel;
mod control;
mod crew;
mod drain;
mod factory;
mod home;
mod opening;
mod pressure;
mod slot;
mod task;
mod urgent;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context};
use bytes::BytesMut;
use switchboard_core::connection::Ending;
use switchboard_core::{Cause, ClientId, ClosePhase, ClosedDetail, Connection, Interests, Now};
use tracing::Span;

use crate::client::{
    Addresses, Client, ClientActor, Dialler, Launch, Link, Origin, Shared, clock, establish,
};
use crate::placement::Share;
use crate::places::Passes;
use crate::pool::{Pool, Totals};
use crate::server::ServerState;
use crate::session::Outlet;
use crate::supervisor::{Exit, start_guarded_at};
use crate::telemetry;
use crate::transport::{Incoming, Network};
use crate::workers::{Errand, Seating};

pub(crate) use channel::{Channel, Registered};
pub(crate) use control::{Count, Find, ListClients, StopShard};
pub(crate) use crew::{Crew, Member};
pub(crate) use factory::{Entry, Factory};
pub(crate) use home::{Mailbox, Settling, ShardHandle, ShardHome};
pub(crate) use opening::{HandOver, OpenListener, OpenOutbound, Outbound, Revive};

use drain::Drainage;
pub(crate) use drain::{DrainShard, Pacer};
pub(crate) use pressure::KeepBudget;
pub(crate) use slot::{ReadSlot, SlotLease};
use urgent::Ear;

/// The size of the shard's read slot, in bytes.
const READ_SLOT: usize = 64 * 1024;
/// How long a stopped shard waits for sessions that do not end before it goes on without them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes the session of a connection and attaches it.
pub(crate) type Attach =
    Arc<dyn Fn(&Client, Member, &Span) -> Result<(Interests, Outlet), Cause> + Send + Sync>;
/// The same, for a connection whose session is made once only.
pub(crate) type AttachOnce =
    Box<dyn FnOnce(&Client, Member, &Span) -> Result<(Interests, Outlet), Cause> + Send>;

/// Makes the session of one connection.
pub(crate) enum MakeSession {
    Once(AttachOnce),
    Always(Attach),
}

impl MakeSession {
    fn call(
        self,
        client: &Client,
        member: Member,
        span: &Span,
    ) -> Result<(Interests, Outlet), Cause> {
        match self {
            Self::Once(attach) => attach(client, member, span),
            Self::Always(attach) => attach(client, member, span),
        }
    }

    fn once(self) -> AttachOnce {
        match self {
            Self::Once(attach) => attach,
            Self::Always(attach) => {
                Box::new(move |client, member, span| attach(client, member, span))
            }
        }
    }
}

/// Owns one arbiter's share of a pool.
pub(crate) struct ShardActor {
    local: Rc<ShardLocal>,
    network: Arc<dyn Network>,
}

/// What the actors of one shard share, all on one thread.
pub(crate) struct ShardLocal {
    /// What outlives this thread.
    home: ShardHandle,
    registry: RefCell<HashMap<ClientId, Registered>>,
    /// Connections whose end was told and whose actor is still there.
    lingering: RefCell<HashMap<ClientId, Registered>>,
    scratch: RefCell<BytesMut>,
    /// From a stop on nothing new stays open here.
    stopping: Cell<bool>,
    drainage: Drainage,
    ear: Ear,
    /// Counts the wakes in which bytes moved.
    moves: Cell<u64>,
    pub(crate) crew: Crew,
}

impl ShardActor {
    /// Starts an actor of this shard, which serves this mailbox. When it panics the connections and
    /// listeners here notice nothing, and another one can be started.
    fn launch(
        mailbox: Mailbox,
        local: &Rc<ShardLocal>,
        network: &Arc<dyn Network>,
        panicked: impl FnOnce(String) + Unpin + 'static,
    ) {
        let actor = Self {
            local: Rc::clone(local),
            network: Arc::clone(network),
        };
        start_guarded_at(
            Context::with_receiver(mailbox),
            actor,
            Span::none(),
            |exit| {
                if let Exit::Panicked(text) = exit {
                    telemetry::actor_panicked("ShardActor", &text);
                    panicked(text);
                }
            },
        );
    }
}

impl ShardActor {
    /// What the actors here share.
    pub(crate) const fn local(&self) -> &Rc<ShardLocal> {
        &self.local
    }
}

impl Actor for ShardActor {
    type Context = Context<Self>;
}

impl ShardLocal {
    fn new(home: ShardHandle) -> Self {
        Self {
            home,
            registry: RefCell::new(HashMap::new()),
            lingering: RefCell::new(HashMap::new()),
            scratch: RefCell::new(BytesMut::new()),
            stopping: Cell::new(false),
            drainage: Drainage::default(),
            ear: Ear::default(),
            moves: Cell::new(0),
            crew: Crew::default(),
        }
    }

    /// Opens an accepted connection here.
    pub(crate) fn open(self: &Rc<Self>, incoming: Incoming, pool: &Pool, admitted: Admitted) {
        let Admitted {
            server,
            passes,
            share,
            lease,
        } = admitted;
        self.home.count().accepted += 1;
        server.opened();
        let recipe = server.recipe();
        // Where the network itself speaks it.
        let secured = match recipe.tls {
            None => incoming.transport.tls().cloned(),
            Some(_) => None,
        };
        let mut machine = Connection::accepted(Arc::clone(&recipe.config));
        if let Some(lease) = &lease {
            machine.lend_slot(lease.send_memory());
        }
        machine.set_carries_urgent(incoming.transport.carries_urgent());
        if let Some(tls) = &recipe.tls {
            let within = tls.handshake_timeout();
            machine = machine.with_handshake(within, &mut Now::ask(clock));
        }
        if let Some(tls) = &secured {
            machine.handle_secured(Arc::clone(tls), &mut Now::ask(clock));
        }
        let origin = Origin::Accepted {
            server: Arc::clone(&server),
            addresses: Addresses::new(
                incoming.transport.unix(),
                incoming.local_addr,
                incoming.peer_addr,
            ),
        };
        let shared = Shared::new(self.home.ids.client(), pool.clone(), origin, machine);
        shared.set_kind(incoming.transport.kind());
        let client = Client::new(shared);
        let span = telemetry::connection_span(&server.span, &client);
        self.add_for_urgent(client.id(), &*incoming.transport);
        if let Some(tls) = &secured {
            span.in_scope(|| telemetry::tls_started(&client, tls));
        }
        let (link, entry) = match &recipe.tls {
            None => (Link::Up(incoming.transport), None),
            Some(tls) => {
                client.shared.lock().tls_config = Some(tls.config());
                let handshake = tls.begin(incoming.transport);
                let attach = Arc::clone(&recipe.factory.attach);
                let factory = Factory::new(attach, recipe.seating, span.clone());
                let entry = Entry::new(factory, recipe.hosts.clone(), handshake.asked());
                (Link::Securing(handshake), Some(Box::new(entry)))
            }
        };
        let (outlet, errand) = if entry.is_some() {
            (Outlet::None, None)
        } else {
            let make = MakeSession::Always(Arc::clone(&recipe.factory.attach));
            self.seat(&client, make, recipe.seating, &span)
        };
        if !matches!(outlet, Outlet::None) && errand.is_none() {
            client
                .shared
                .lock()
                .machine
                .adopt(&mut Now::ask(clock))
                .unwrap_or_else(|error| telemetry::not_adopted(&client, &error));
        }
        let launch = Launch {
            client,
            link,
            outlet,
            entry,
            factory: Factory::if_needed(
                &recipe.config,
                &recipe.factory.attach,
                recipe.seating,
                &span,
            ),
            dialler: None,
            outcome: None,
            lease,
            passes,
            share,
            span,
        };
        let client = self.launch(launch, errand);
        self.turn_away(&*client.shared);
    }

    /// Begins an outbound connection here.
    fn connect(self: &Rc<Self>, open: Outbound, network: &Arc<dyn Network>) {
        let Outbound {
            client,
            connect,
            make,
            seating,
            outcome,
            passes,
            share,
            refusal,
        } = open;
        let span = telemetry::connection_span(client.pool().span(), &client);
        let secure = connect.secure();
        let dialler = connect.config.reconnect.is_some().then(|| {
            Box::new(Dialler {
                network: Arc::clone(network),
                target: connect.target.clone(),
                secure: secure.clone(),
            })
        });
        let factory = match &make {
            MakeSession::Once(_) => None,
            MakeSession::Always(attach) => {
                Factory::if_needed(&connect.config, attach, seating, &span)
            }
        };
        if let Some(secure) = &secure {
            client.shared.lock().tls_config = Some(secure.config());
        }
        let (outlet, errand) = self.seat(&client, make, seating, &span);
        let (link, outcome) = match refusal {
            None => {
                let target = connect.target.place.to_string();
                let establish = match connect.watched {
                    Some(watched) => watched.establish(target.clone()),
                    None => establish(&**network, connect.target, secure),
                };
                (Link::Connecting { target, establish }, Some(outcome))
            }
            Some(error) => {
                // It has failed already: nothing that ends it now becomes the reason.
                let failure = client.shared.lock().machine.refuse(error);
                let _ = outcome.send(Err(failure));
                (Link::Down, None)
            }
        };
        let launch = Launch {
            client,
            link,
            outlet,
            entry: None,
            factory,
            dialler,
            outcome,
            lease: None,
            passes,
            share,
            span,
        };
        let client = self.launch(launch, errand);
        self.turn_away(&*client.shared);
    }

    /// Gives a connection its session, or the successor of one; without any it closes at once. What a
    /// worker is to make is still to be [sent for](Self::send_for).
    pub(crate) fn seat(
        &self,
        client: &Client,
        make: MakeSession,
        seating: Seating,
        span: &Span,
    ) -> (Outlet, Option<Errand>) {
        let member = self.crew.join();
        if let Seating::Worker(interests) = seating {
            let errand = Errand::new(client, make.once(), member, span);
            return (client.shared.await_session(interests), Some(errand));
        }
        let seat = client.shared.seat();
        let outlet = match make.call(client, member, span) {
            Ok((interests, outlet)) => {
                let nobody = matches!(outlet, Outlet::None);
                client.shared.seated(interests, nobody);
                outlet
            }
            Err(cause) => {
                client.shared.session_gone(seat, cause);
                Outlet::None
            }
        };
        (outlet, None)
    }

    /// Has a worker make a session.
    pub(crate) fn send_for(client: &Client, errand: Option<Errand>) {
        if let (Some(errand), Some(workers)) = (errand, client.pool().workers()) {
            workers.assign(errand);
        }
    }

    /// Starts the connection's actor, and sends for a session that a worker makes.
    fn launch(self: &Rc<Self>, launch: Launch, errand: Option<Errand>) -> Client {
        let client = launch.client.clone();
        self.register(Arc::clone(&client.shared) as Registered);
        client.shared.set_moved(self);
        ClientActor::launch(launch, Rc::clone(self));
        if self.stopping.get() {
            client.close_because(Cause::PoolStopped, true, None);
        }
        Self::send_for(&client, errand);
        client
    }

    /// From now on it is listed, drained and stopped.
    pub(crate) fn register(&self, channel: Registered) {
        self.registry.borrow_mut().insert(channel.id(), channel);
    }

    /// An outbound connection was established.
    pub(crate) fn connected(&self, client: &Client) {
        self.home.count().connected += 1;
        telemetry::connected(client);
    }

    /// An outbound connection lost its link, and is to get another one.
    pub(crate) fn link_lost(&self, client: &Client, detail: &ClosedDetail, delay: Duration) {
        self.home.count().closed[detail.cause.reason() as usize] += 1;
        telemetry::disconnected(client, detail, delay);
    }

    /// Takes an ended connection off the registry, before its end is told (XAS-05).
    pub(crate) fn release(&self, client: &Client, ending: Ending<'_>) {
        if client.shared.is_pipe_of_process() {
            // It was never registered: its process is.
            return;
        }
        self.registry.borrow_mut().remove(&client.id());
        self.drainage.ended(client.id(), ending);
        match ending {
            Ending::ConnectFailed(error) => {
                self.home.count().connect_failed += 1;
                telemetry::connect_failed(client, error);
            }
            // Its last link was counted when it was lost.
            Ending::Closed(detail) if detail.phase == ClosePhase::Reconnecting => {
                self.home.count().connect_failed += 1;
                telemetry::closed(client.id(), detail);
            }
            Ending::Closed(detail) => {
                let reason = detail.cause.reason();
                self.home.count().closed[reason as usize] += 1;
                if let Some(server) = &client.shared.server {
                    server.closed(reason);
                }
                telemetry::closed(client.id(), detail);
            }
        }
    }

    /// A socket or a process opened here.
    pub(crate) fn opened(&self, id: ClientId) {
        self.home.count().opened += 1;
        telemetry::opened(id);
    }

    /// Takes one that has ended off the registry, before its end is told.
    pub(crate) fn release_channel(&self, id: ClientId, detail: &ClosedDetail) {
        self.registry.borrow_mut().remove(&id);
        self.drainage.ended(id, Ending::Closed(detail));
        self.home.count().closed[detail.cause.reason() as usize] += 1;
        telemetry::closed(id, detail);
    }

    /// The id of something that opens here.
    pub(crate) fn next_id(&self) -> ClientId {
        self.home.ids.client()
    }

    /// One more of those that live here.
    pub(crate) fn take_share(&self) -> Share {
        self.home.take_share()
    }

    /// Whether nothing new stays open here.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// An ended connection lingers: a stop must still reach it.
    pub(crate) fn lingers(&self, client: &Client) {
        if client.shared.is_pipe_of_process() {
            return;
        }
        let channel = Arc::clone(&client.shared) as Registered;
        self.lingering.borrow_mut().insert(client.id(), channel);
    }

    /// A connection's actor is gone.
    pub(crate) fn gone(&self, client: &Client) {
        self.lingering.borrow_mut().remove(&client.id());
    }

    /// Lends out the thread's read slot for one wake.
    pub(crate) fn read_slot(&self) -> ReadSlot<'_> {
        ReadSlot {
            buffer: self.scratch.borrow_mut(),
            size: READ_SLOT,
        }
    }

    /// The number of a wake in which bytes moved; a later one has a greater number.
    pub(crate) fn next_move(&self) -> u64 {
        let next = self.moves.get().wrapping_add(1);
        self.moves.set(next);
        next
    }

    fn channel(&self, id: ClientId) -> Option<Registered> {
        self.registry.borrow().get(&id).cloned()
    }

    /// What is here, in the order in which it was opened.
    fn channels(&self) -> Vec<Registered> {
        in_order(&self.registry.borrow())
    }

    /// The connections here, in the order in which they were opened, and the pipes of processes.
    fn streams(&self) -> Vec<Client> {
        let channels = self.channels();
        channels.into_iter().flat_map(channel::streams).collect()
    }

    fn totals(&self) -> Totals {
        let mut totals = self.home.count().clone();
        for channel in self.registry.borrow().values() {
            if channel.is_connecting() {
                totals.connecting += 1;
            } else {
                totals.live += 1;
            }
        }
        totals
    }
}

/// What is done to all of them is done in the same order each time.
fn in_order(registry: &HashMap<ClientId, Registered>) -> Vec<Registered> {
    let mut channels: Vec<_> = registry.values().cloned().collect();
    channels.sort_unstable_by_key(|channel| channel.id());
    channels
}

/// An accepted connection's papers.
pub(crate) struct Admitted {
    pub(crate) server: Arc<ServerState>,
    pub(crate) passes: Passes,
    pub(crate) share: Share,
    pub(crate) lease: Option<SlotLease>,
}

impl Drop for ShardLocal {
    /// The thread ends, and with it the book of a drain.
    fn drop(&mut self) {
        self.home.remember_drain(self.drainage.report());
    }
}

impl fmt::Debug for ShardLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardLocal").finish_non_exhaustive()
    }
}
