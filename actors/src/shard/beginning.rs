//! How a connection begins on its shard: accepted or outbound, it gets a machine, a session and an actor.

use std::rc::Rc;
use std::sync::Arc;

use switchboard_core::{Cause, Connection, Now};
use tracing::Span;

use crate::client::{
    Addresses, Attempt, Client, ClientActor, Dialler, Launch, Link, Origin, Shared, clock,
    establish,
};
use crate::pool::Pool;
use crate::session::Outlet;
use crate::telemetry;
use crate::transport::{Incoming, Network};
use crate::workers::{Errand, Seating};

use super::{Admitted, Entry, Factory, MakeSession, Outbound, Registered, ShardLocal};

impl ShardLocal {
    /// Opens an accepted connection here.
    pub(crate) fn open(self: &Rc<Self>, incoming: Incoming, pool: &Pool, admitted: Admitted) {
        let Admitted {
            server,
            passes,
            share,
            lease,
            claim,
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
        shared.lock().set_kind(incoming.transport.kind());
        let client = Client::new(shared);
        let span = telemetry::connection_span(&server.span, &client);
        if let Some(tls) = &secured {
            span.in_scope(|| telemetry::tls_started(&client, tls));
        }
        let (link, entry, claim) = match &recipe.tls {
            None => (Link::Up(incoming.transport), None, claim),
            Some(tls) => {
                client.shared.lock().make_rare().tls_config = Some(Box::new(tls.config()));
                let handshake = tls.begin(incoming.transport);
                let attach = Arc::clone(&recipe.factory.attach);
                let factory = Factory::new(attach, recipe.seating, span.clone());
                let hosts = recipe.hosts.clone();
                let entry = Entry::new(factory, hosts, handshake.asked(), claim);
                (
                    Link::Securing(Box::new(handshake)),
                    Some(Box::new(entry)),
                    None,
                )
            }
        };
        let (outlet, errand) = if entry.is_some() {
            (Outlet::None, None)
        } else {
            let make = MakeSession::Always(Arc::clone(&recipe.factory.attach));
            client.await_companion();
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
        if let Some(claim) = claim {
            claim.give(client);
        }
    }

    /// Begins an outbound connection here.
    pub(super) fn connect(self: &Rc<Self>, open: Outbound, network: &Arc<dyn Network>) {
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
            client.shared.lock().make_rare().tls_config = Some(Box::new(secure.config()));
        }
        client.await_companion();
        let (outlet, errand) = self.seat(&client, make, seating, &span);
        let (link, outcome) = match refusal {
            None => {
                let target = connect.target.place.to_string();
                let establish = match connect.watched {
                    Some(watched) => watched.establish(target.clone()),
                    None => establish(&**network, connect.target, secure),
                };
                (Attempt::link(target, establish), Some(outcome))
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
}
