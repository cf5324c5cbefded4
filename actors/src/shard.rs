//! `ShardActor`: one per arbiter. It owns that thread's registry, so that opening and closing a
//! connection never crosses threads.

mod beginning;
mod by_id;
mod channel;
mod control;
mod crew;
mod drain;
mod ebb;
mod factory;
mod home;
mod opening;
mod pressure;
mod slot;
mod task;
mod visits;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context};
use bytes::BytesMut;
use switchboard_core::connection::Ending;
use switchboard_core::{Cause, ClientId, ClosePhase, ClosedDetail, Interests};
use tracing::Span;

use crate::client::Client;
use crate::placement::Share;
use crate::places::Passes;
use crate::pool::Totals;
use crate::server::{Claim, ServerState};
use crate::session::Outlet;
use crate::supervisor::{Exit, start_guarded_at};
use crate::telemetry;
use crate::transport::Network;

pub(crate) use channel::{Channel, Registered};
pub(crate) use control::{Count, Find, ListClients, StopShard};
pub(crate) use crew::{Crew, Member};
pub(crate) use factory::{Entry, Factory};
pub(crate) use home::{Mailbox, Settling, ShardHandle, ShardHome};
pub(crate) use opening::{HandOver, OpenListener, OpenOutbound, Outbound, Revive};

use by_id::ById;
use drain::Drainage;
pub(crate) use drain::{DrainShard, Pacer};
use ebb::Ebb;
pub(crate) use pressure::KeepBudget;
pub(crate) use slot::{ReadSlot, SlotLease};
use visits::Visits;

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
    registry: RefCell<ById<Registered>>,
    /// Connections whose end was told and whose actor is still there.
    lingering: RefCell<ById<Registered>>,
    scratch: RefCell<BytesMut>,
    /// From a stop on nothing new stays open here.
    stopping: Cell<bool>,
    drainage: Drainage,
    /// Counts the wakes in which bytes moved.
    moves: Cell<u64>,
    /// Counts the messages to connections.
    messages: Cell<u32>,
    visits: Visits,
    ebb: Ebb,
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
            registry: RefCell::default(),
            lingering: RefCell::default(),
            scratch: RefCell::new(BytesMut::new()),
            stopping: Cell::new(false),
            drainage: Drainage::default(),
            moves: Cell::new(0),
            messages: Cell::new(0),
            visits: Visits::default(),
            ebb: Ebb::default(),
            crew: Crew::default(),
        }
    }

    /// A connection is given a message: whether so many have come since the last turn that others have.
    pub(crate) fn is_message_turn(&self, turn: u32) -> bool {
        let messages = self.messages.get() % turn + 1;
        self.messages.set(messages);
        messages == turn
    }

    /// From now on it is listed, drained and stopped.
    pub(crate) fn register(&self, channel: Registered) {
        let mut registry = self.registry.borrow_mut();
        registry.insert(channel.id(), channel);
        self.ebb.rise(registry.len());
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
        self.ebb.fall(self.registry.borrow().len());
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
fn in_order(registry: &ById<Registered>) -> Vec<Registered> {
    let mut channels: Vec<_> = registry.values().cloned().collect();
    channels.sort_unstable_by_key(|channel| channel.id());
    channels
}

/// An accepted connection's papers.
pub(crate) struct Admitted {
    pub(crate) server: Arc<ServerState>,
    pub(crate) passes: Passes,
    pub(crate) share: Share,
    pub(crate) lease: Option<Box<SlotLease>>,
    /// Of whoever asks for it, where a listener is asked.
    pub(crate) claim: Option<Claim>,
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
