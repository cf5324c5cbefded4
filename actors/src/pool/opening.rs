//! How a pool opens listeners and connections.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use switchboard_core::{ConnectError, ConnectPhase, Connection, CrashPolicy, Interests, Receive};
use tokio::sync::oneshot;

use crate::client::{Client, Origin, Shared};
use crate::error::{ListenError, PoolDraining, PoolStopped};
use crate::options::{Connect, ConnectionOptions, Listen};
use crate::places::Passes;
use crate::server::{Pull, Server, ServerGuard, host_sessions};
use crate::session::{Holder, IntoSession, Seat, SessionFactory, make_session, own};
use crate::shard::{AttachOnce, MakeSession, OpenListener, OpenOutbound, Outbound};
use crate::transport::ChannelKind;
use crate::workers::Seating;

use super::{Connecting, Pool};

/// Opening.
impl Pool {
    /// Opens a listener. Each peer gets a session of its own from `session`, which is called on the
    /// thread that the session will live on, before a byte is read: a worker's, if the pool has
    /// [workers](crate::PoolBuilder::workers), else that of the connection.
    ///
    /// # Errors
    /// Names the address and how far it came: a bad or busy address, a name that does not resolve, a
    /// preset receive that the session does not handle, a draining or stopped pool (XAS-24).
    pub async fn listen<F, S>(&self, listen: Listen, session: F) -> Result<Server, ListenError>
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        let server = self.open_server(listen, session, None).await?;
        Ok(server.into_inner())
    }

    /// `pull`: who asks for its peers, where somebody does. Dropped before anybody has the listener, it closes.
    pub(super) async fn open_server<F, S>(
        &self,
        listen: Listen,
        session: F,
        pull: Option<Arc<Pull>>,
    ) -> Result<ServerGuard, ListenError>
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        let address = &listen.target.place.to_string();
        listen
            .validate()
            .map_err(|why| ListenError::options(address, why))?;
        check_first_receive::<S, _>(&mut listen.clone())
            .map_err(|why| ListenError::options(address, why))?;
        let seating = Seating::of(listen.on_workers, own::<S>(), self.workers())
            .map_err(|why| ListenError::options(address, why))?;
        let hosts = host_sessions(&listen, self.workers())
            .map_err(|why| ListenError::options(address, why))?;
        if self.is_draining() {
            return Err(ListenError::draining(address));
        }
        if !self.is_running() {
            return Err(ListenError::stopped(address));
        }
        let address = address.clone();
        let open = OpenListener {
            listen,
            factory: SessionFactory::new(session),
            seating,
            hosts,
            pull,
            pool: self.clone(),
        };
        let shards = &self.inner.shards;
        let shard = &shards[self
            .inner
            .placer
            .in_turn(shards.len(), |at| shards[at].load())];
        tokio::select! {
            // None that lives was found: this one is started again, or the pool stops.
            () = shard.up() => {}
            _ = self.stopped() => return Err(ListenError::stopped(address)),
        }
        let sent = shard.address().send(open);
        match sent.await {
            Ok(outcome) => outcome,
            Err(_) if self.is_running() => Err(ListenError::shard_failed(address)),
            Err(_) => Err(ListenError::stopped(address)),
        }
    }

    /// Opens a connection. It begins at once, whether or not the result is awaited: the session from
    /// `session` is told [`Connected`](crate::message::Connected) or
    /// [`ConnectFailed`](crate::message::ConnectFailed), and [`Connecting::client`] can be given
    /// commands already (XAS-31, XAS-35, AC-13).
    pub fn connect<F, S>(&self, connect: Connect, session: F) -> Connecting
    where
        F: FnOnce(Client) -> S + Send + 'static,
        S: IntoSession,
    {
        let attach: AttachOnce = Box::new(move |client, member, span| {
            let made = make_session(|| session(client.clone()))?;
            Ok(made.attach(Seat {
                holder: Holder::Client(client),
                member,
                span,
            }))
        });
        self.open_outbound::<S>(connect, MakeSession::Once(attach))
    }

    /// The same, with a session that can be made again: for connections that live on when their session
    /// panics, as [`ConnectionOptions::on_crash`] says.
    pub fn connect_supervised<F, S>(&self, connect: Connect, session: F) -> Connecting
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        self.open_outbound::<S>(
            connect,
            MakeSession::Always(SessionFactory::new(session).attach),
        )
    }

    fn open_outbound<S: IntoSession>(&self, connect: Connect, make: MakeSession) -> Connecting {
        let shards = &self.inner.shards;
        let load = |shard: usize| shards[shard].load();
        let handle = &shards[self.inner.placer.place(shards.len(), load, None)];
        let config = Arc::new(connect.config.clone());
        let chance = || RandomState::new().hash_one(0);
        let seed = config.reconnect.as_ref().and_then(|again| again.seed);
        let machine = Connection::connecting(config).with_reconnect(seed.unwrap_or_else(chance));
        let machine = connect.shape(machine);
        let shared = Shared::new(handle.ids.client(), self.clone(), Origin::Outbound, machine);
        if connect.watched.is_some() {
            shared.lock().set_kind(ChannelKind::Pipe);
        }
        let client = Client::new(shared);
        let (outcome, result) = oneshot::channel();
        let connecting = Connecting {
            client: client.clone(),
            target: connect.target.place.to_string(),
            result,
        };
        let refuse = |kind: io::ErrorKind, why: String| {
            let error = io::Error::new(kind, why);
            ConnectError::new(&connecting.target, ConnectPhase::Options, &error)
        };
        let seating = connect
            .validate()
            .and_then(|()| check_first_receive::<S, _>(&mut connect.clone()))
            .and_then(|()| check_crash_policy(&connect, &make))
            .and_then(|()| Seating::of(connect.on_workers, own::<S>(), self.workers()));
        let (seating, problem) = match seating {
            Ok(seating) => (seating, None),
            Err(why) => (Seating::Here, Some(why)),
        };
        let (passes, full) = match self.inner.gates.try_enter() {
            Ok(passes) => (passes, None),
            Err(full) => (Passes::default(), Some(full)),
        };
        let refusal = if let Some(why) = problem {
            Some(refuse(io::ErrorKind::InvalidInput, why))
        } else if self.is_draining() {
            Some(refuse(
                io::ErrorKind::NotConnected,
                PoolDraining.to_string(),
            ))
        } else if !self.is_running() {
            Some(refuse(io::ErrorKind::NotConnected, PoolStopped.to_string()))
        } else {
            full.map(|full| refuse(io::ErrorKind::QuotaExceeded, full.to_string()))
        };
        let open = OpenOutbound::new(Outbound {
            client,
            connect,
            make,
            seating,
            outcome,
            passes,
            share: handle.take_share(),
            refusal,
        });
        if handle.is_up() || !self.is_running() {
            handle.address().do_send(open);
        } else {
            // It waits until the shard is started again.
            self.inner.address.do_send(open);
        }
        connecting
    }
}

/// Refuses to replace sessions that can be made only once.
fn check_crash_policy(connect: &Connect, make: &MakeSession) -> Result<(), String> {
    match (connect.config.crash, make) {
        (CrashPolicy::Restart { .. }, MakeSession::Once(_)) => {
            Err("a session that is to be replaced when it panics needs connect_supervised".into())
        }
        _ => Ok(()),
    }
}

/// Refuses a preset receive that the session type is known not to handle.
fn check_first_receive<S: IntoSession, O: ConnectionOptions>(
    options: &mut O,
) -> Result<(), String> {
    match unhandled(S::KNOWN, options.config_mut().first_receive.as_ref()) {
        None => Ok(()),
        Some(event) => Err(format!("the session does not handle {event}")),
    }
}

/// The event that a session of this kind would have to handle to take this receive, and does not.
pub(crate) fn unhandled(
    known: Option<Interests>,
    receive: Option<&Receive>,
) -> Option<&'static str> {
    use switchboard_core::ReceiveKind;
    let (needed, event) = match receive?.kind {
        ReceiveKind::Line { .. } => (Interests::LINE, "LineReceived"),
        ReceiveKind::Message { .. } => (Interests::MESSAGE, "MessageReceived"),
        _ => (Interests::DATA, "DataReceived"),
    };
    (!known?.contains(needed)).then_some(event)
}
