//! `ShardActor`: one per arbiter. It owns that thread's registry, so that opening and closing a
//! connection never crosses threads.

mod drain;
mod home;
mod opening;
mod pressure;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Context, Handler, Message, ResponseActFuture, WrapFuture};
use bytes::BytesMut;
use switchboard_core::connection::Ending;
use switchboard_core::{
    BufferSlot, Cause, ClientId, ClosePhase, ClosedDetail, Connection, ConnectionConfig,
    ConnectionState, CrashPolicy, Interests, Now,
};
use tokio::sync::Notify;
use tracing::Span;

use crate::client::{
    Client, ClientActor, ClientInfo, Dialler, Launch, Link, Origin, Shared, clock, establish,
};
use crate::drain::DrainReport;
use crate::placement::Share;
use crate::places::Passes;
use crate::pool::{Pool, Totals};
use crate::server::{Server, ServerState};
use crate::session::Outlet;
use crate::supervisor::{Exit, start_guarded_at};
use crate::telemetry;
use crate::transport::{Incoming, Network};
use crate::workers::{Errand, Seating};

pub(crate) use home::{Mailbox, Settling, ShardHandle, ShardHome};
pub(crate) use opening::{HandOver, OpenListener, OpenOutbound, Outbound, Revive};

use drain::Drainage;
pub(crate) use drain::{DrainShard, Pacer};
pub(crate) use pressure::KeepBudget;

/// The size of the shard's read slot, in bytes.
const READ_SLOT: usize = 64 * 1024;
/// How long a stopped shard waits for sessions that do not end before it goes on without them.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long connections that were closed by a stop wait for their peers to finish too.
const STOP_LINGER: Duration = Duration::from_millis(250);

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

/// Makes the successors of a session that panicked.
pub(crate) struct Factory {
    attach: Attach,
    seating: Seating,
    span: Span,
}

impl Factory {
    /// Kept only where the settings ask for it.
    fn if_needed(
        config: &ConnectionConfig,
        attach: &Attach,
        seating: Seating,
        span: &Span,
    ) -> Option<Self> {
        matches!(config.crash, CrashPolicy::Restart { .. }).then(|| Self {
            attach: Arc::clone(attach),
            seating,
            span: span.clone(),
        })
    }

    /// Has another session made.
    pub(crate) fn replace(&self, client: &Client, local: &ShardLocal) -> Outlet {
        let make = MakeSession::Always(Arc::clone(&self.attach));
        let (outlet, errand) = local.seat(client, make, self.seating, &self.span);
        ShardLocal::send_for(client, errand);
        outlet
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
    registry: RefCell<HashMap<ClientId, Client>>,
    /// Connections whose end was told and whose actor is still there.
    lingering: RefCell<HashMap<ClientId, Client>>,
    scratch: RefCell<BytesMut>,
    /// From a stop on nothing new stays open here.
    stopping: Cell<bool>,
    drainage: Drainage,
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
        let mut machine = Connection::accepted(Arc::clone(&recipe.config));
        if let Some(lease) = &lease {
            machine.lend_slot(lease.send_memory());
        }
        let origin = Origin::Accepted {
            server: Arc::clone(&server),
            local_addr: incoming.local_addr,
            peer_addr: incoming.peer_addr,
        };
        let shared = Shared::new(self.home.ids.client(), pool.clone(), origin, machine);
        let client = Client::new(shared);
        let span = telemetry::connection_span(&server.span, &client);
        let make = MakeSession::Always(Arc::clone(&recipe.factory.attach));
        let (outlet, errand) = self.seat(&client, make, recipe.seating, &span);
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
            link: Link::Up(incoming.transport),
            outlet,
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
        self.turn_away(&client);
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
        let dialler = connect.config.reconnect.is_some().then(|| Dialler {
            network: Arc::clone(network),
            target: connect.target.clone(),
        });
        let factory = match &make {
            MakeSession::Once(_) => None,
            MakeSession::Always(attach) => {
                Factory::if_needed(&connect.config, attach, seating, &span)
            }
        };
        let (outlet, errand) = self.seat(&client, make, seating, &span);
        let (link, outcome) = match refusal {
            None => {
                let target = connect.target.address.clone();
                let establish = establish(&**network, connect.target);
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
            factory,
            dialler,
            outcome,
            lease: None,
            passes,
            share,
            span,
        };
        let client = self.launch(launch, errand);
        self.turn_away(&client);
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
        self.registry
            .borrow_mut()
            .insert(client.id(), client.clone());
        client.shared.set_moved(self);
        ClientActor::launch(launch, Rc::clone(self));
        if self.stopping.get() {
            client.close_because(Cause::PoolStopped, true, None);
        }
        Self::send_for(&client, errand);
        client
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
                telemetry::closed(client, detail);
            }
            Ending::Closed(detail) => {
                let reason = detail.cause.reason();
                self.home.count().closed[reason as usize] += 1;
                if let Some(server) = &client.shared.server {
                    server.closed(reason);
                }
                telemetry::closed(client, detail);
            }
        }
    }

    /// An ended connection lingers: a stop must still reach it.
    pub(crate) fn lingers(&self, client: &Client) {
        self.lingering
            .borrow_mut()
            .insert(client.id(), client.clone());
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

    fn client(&self, id: ClientId) -> Option<Client> {
        self.registry.borrow().get(&id).cloned()
    }

    /// The connections here, in the order in which they were opened.
    fn clients(&self) -> Vec<Client> {
        in_order(&self.registry.borrow())
    }

    fn totals(&self) -> Totals {
        let mut totals = self.home.count().clone();
        for client in self.registry.borrow().values() {
            match client.shared.lock().machine.state() {
                ConnectionState::Connecting => totals.connecting += 1,
                _ => totals.live += 1,
            }
        }
        totals
    }
}

/// What is done to all of them is done in the same order each time.
fn in_order(registry: &HashMap<ClientId, Client>) -> Vec<Client> {
    let mut clients: Vec<_> = registry.values().cloned().collect();
    clients.sort_unstable_by_key(Client::id);
    clients
}

/// A slot that is read into.
pub(crate) struct ReadSlot<'a> {
    buffer: RefMut<'a, BytesMut>,
    size: usize,
}

impl ReadSlot<'_> {
    /// The slot, empty and at its full size again.
    pub(crate) fn prepare(&mut self) -> &mut BytesMut {
        self.buffer.clear();
        self.buffer.reserve(self.size);
        &mut self.buffer
    }
}

/// The two slots that a connection leases for its life (XAS-25).
pub(crate) struct SlotLease {
    recv: RefCell<BufferSlot>,
    send: RefCell<BufferSlot>,
}

impl SlotLease {
    pub(crate) const fn new(recv: BufferSlot, send: BufferSlot) -> Self {
        Self {
            recv: RefCell::new(recv),
            send: RefCell::new(send),
        }
    }

    pub(crate) fn read_slot(&self) -> ReadSlot<'_> {
        let size = self.recv.borrow().size();
        ReadSlot {
            buffer: RefMut::map(self.recv.borrow_mut(), BufferSlot::buffer),
            size,
        }
    }

    /// The memory of the sending slot, for the connection to send from.
    fn send_memory(&self) -> BytesMut {
        std::mem::take(self.send.borrow_mut().buffer())
    }

    /// Puts the memory of the sending slot back.
    pub(crate) fn restore(&self, memory: BytesMut) {
        *self.send.borrow_mut().buffer() = memory;
    }
}

/// An accepted connection's papers.
pub(crate) struct Admitted {
    pub(crate) server: Arc<ServerState>,
    pub(crate) passes: Passes,
    pub(crate) share: Share,
    pub(crate) lease: Option<SlotLease>,
}

/// Counts the actors that a stop waits for; sessions on workers are elsewhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crew(Arc<CrewList>);

#[derive(Debug, Default)]
struct CrewList {
    members: AtomicUsize,
    changed: Notify,
}

/// One actor that is still there, or that is still to be made.
#[derive(Debug)]
pub(crate) struct Member {
    list: Arc<CrewList>,
    /// Its share of a worker.
    pub(crate) share: Option<Share>,
}

impl Crew {
    pub(crate) fn join(&self) -> Member {
        self.0.members.fetch_add(1, Ordering::Relaxed);
        Member {
            list: Arc::clone(&self.0),
            share: None,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.members.load(Ordering::Acquire)
    }

    /// Waits until nobody is left.
    async fn gone(&self) {
        loop {
            // Made before the look, it does not miss who leaves after it.
            let changed = self.0.changed.notified();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.share = None;
        if self.list.members.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.list.changed.notify_waiters();
        }
    }
}

/// Asks for a snapshot of every connection here.
#[derive(Message)]
#[rtype(result = "Vec<ClientInfo>")]
pub(crate) struct ListClients;

impl Handler<ListClients> for ShardActor {
    type Result = Vec<ClientInfo>;

    fn handle(&mut self, _: ListClients, _: &mut Self::Context) -> Self::Result {
        let mut clients: Vec<_> = self.local.clients().iter().map(Client::info).collect();
        clients.sort_by_key(|info| info.id);
        clients
    }
}

/// Asks for one connection.
#[derive(Message)]
#[rtype(result = "Option<Client>")]
pub(crate) struct FindClient(pub(crate) ClientId);

impl Handler<FindClient> for ShardActor {
    type Result = Option<Client>;

    fn handle(&mut self, find: FindClient, _: &mut Self::Context) -> Self::Result {
        self.local.client(find.0)
    }
}

/// Asks for the numbers of listeners and of actors, and for the counters.
#[derive(Message)]
#[rtype(result = "Census")]
pub(crate) struct Count;

/// What there is on one shard.
pub(crate) struct Census {
    pub(crate) servers: usize,
    pub(crate) actors: usize,
    pub(crate) totals: Totals,
}

impl Handler<Count> for ShardActor {
    type Result = actix::MessageResult<Count>;

    fn handle(&mut self, _: Count, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(Census {
            servers: self.local.home.servers().len(),
            actors: self.local.crew.count(),
            totals: self.local.totals(),
        })
    }
}

/// Closes every listener and connection here; replies when every `Closed` was handled and every actor
/// is gone, with what a drain before it has brought about.
#[derive(Message)]
#[rtype(result = "DrainReport")]
pub(crate) struct StopShard {
    /// How long closing connections may take to send what is queued. Zero aborts.
    pub(crate) grace: Duration,
}

impl Handler<StopShard> for ShardActor {
    type Result = ResponseActFuture<Self, DrainReport>;

    fn handle(&mut self, stop: StopShard, _: &mut Self::Context) -> Self::Result {
        self.local.stopping.set(true);
        self.local.drainage.cut(stop.grace.is_zero());
        let local = Rc::clone(&self.local);
        let stopping = async move {
            for server in local.home.servers() {
                Server::of(&server).close().await;
            }
            let ended = in_order(&local.lingering.borrow());
            for client in ended {
                if stop.grace.is_zero() {
                    client.abort_because(Cause::PoolStopped);
                } else {
                    client.shared.hurry(STOP_LINGER);
                }
            }
            let clients = local.clients();
            for client in &clients {
                if stop.grace.is_zero() {
                    client.abort_because(Cause::PoolStopped);
                } else {
                    client.shared.hurry(STOP_LINGER);
                    client.close_because(Cause::PoolStopped, true, Some(stop.grace));
                }
            }
            drop(clients);
            let deadline = stop.grace + STOP_LINGER + PATIENCE;
            if tokio::time::timeout(deadline, local.crew.gone())
                .await
                .is_err()
            {
                for client in local.clients() {
                    client.abort_because(Cause::PoolStopped);
                }
                let _ = tokio::time::timeout(PATIENCE, local.crew.gone()).await;
            }
            let mut report = local.drainage.report();
            report.totals = local.totals();
            report
        };
        Box::pin(stopping.into_actor(self))
    }
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
