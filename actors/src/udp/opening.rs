//! How a pool opens sockets.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use actix::{ActorFutureExt, Handler, Message, ResponseActFuture, WrapFuture};
use switchboard_core::datagram::DatagramConfig;
use switchboard_core::{Address, Cause, CrashPolicy, Interests};
use tracing::Span;

use crate::error::{ListenPhase, PoolStopped};
use crate::options::{BindUdp, DatagramPlace};
use crate::placement::Share;
use crate::places::Passes;
use crate::pool::{Place, Pool};
use crate::session::{Holder, IntoSession, Outlet, Seat, make_session};
use crate::shard::{Member, ShardActor, ShardLocal};
use crate::telemetry;
use crate::transport::ChannelKind;
use crate::transport::datagram::DatagramSocket;

use super::actor::{Launch, UdpActor};
use super::raw::{self, OpenRaw, Raw};
use super::shared::{Beginning, Socket};
use super::{Udp, system};

/// A socket that could not be opened (XAS-58).
#[derive(Debug, thiserror::Error)]
#[error("cannot open a socket on {target}: {phase} failed: {source}")]
#[non_exhaustive]
pub struct BindError {
    /// The address as it was written.
    pub target: String,
    /// Where it failed.
    pub phase: ListenPhase,
    /// What failed.
    pub source: io::Error,
}

impl BindError {
    pub(super) fn new(target: &str, phase: ListenPhase, source: io::Error) -> Self {
        Self {
            target: target.to_owned(),
            phase,
            source,
        }
    }

    pub(super) fn options(target: &str, why: String) -> Self {
        Self::refused(target, io::ErrorKind::InvalidInput, why)
    }

    fn refused(
        target: &str,
        kind: io::ErrorKind,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(target, ListenPhase::Options, io::Error::new(kind, why))
    }
}

/// Makes the session of a socket and attaches it.
pub(crate) type SocketFactory = Arc<
    dyn Fn(&Socket, &Rc<ShardLocal>, Member, &Span) -> Result<(Interests, Outlet), Cause>
        + Send
        + Sync,
>;

/// Opening sockets that move datagrams.
impl Pool {
    /// Opens a UDP or Unix datagram socket (XAS-58, UA-25). Its session from `session` is told
    /// [`DatagramReceived`](crate::message::DatagramReceived), and
    /// [`Closed`](crate::message::Closed) last. Like a connection it is listed, counted against the pool's
    /// limit, drained and stopped.
    ///
    /// # Errors
    /// Names the address and how far it came: a bad or busy address, a name that does not resolve, options
    /// that cannot work, a draining or stopped pool or one that is full.
    pub async fn bind_udp<F, S>(&self, bind: BindUdp, session: F) -> Result<Udp, BindError>
    where
        F: FnOnce(Udp) -> S + Send + 'static,
        S: IntoSession,
    {
        if matches!(bind.config.crash, CrashPolicy::Restart { .. }) {
            let why = "a session that is to be replaced when it panics needs bind_udp_supervised";
            return Err(BindError::options(&bind.target(), why.into()));
        }
        let factory = once(session, Udp::new);
        let socket = self.open_datagrams(Origin::Udp(bind), Some(factory)).await;
        Ok(Udp::new(socket?))
    }

    /// The same, with a session that can be made again: for sockets that live on when their session panics, as
    /// [`BindUdp::on_crash`] says.
    ///
    /// # Errors
    /// As [`bind_udp`](Self::bind_udp).
    pub async fn bind_udp_supervised<F, S>(
        &self,
        bind: BindUdp,
        session: F,
    ) -> Result<Udp, BindError>
    where
        F: Fn(Udp) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        let factory = again(session, Udp::new);
        let socket = self.open_datagrams(Origin::Udp(bind), Some(factory)).await;
        Ok(Udp::new(socket?))
    }

    /// Opens a UDP or Unix datagram socket without a session: for
    /// [`recv_from`](Udp::recv_from) and [`sent_to`](Udp::sent_to) (UA-26, UA-27).
    ///
    /// # Errors
    /// As [`bind_udp`](Self::bind_udp).
    pub async fn open_udp(&self, bind: BindUdp) -> Result<Udp, BindError> {
        let socket = self.open_datagrams(Origin::Udp(bind), None).await;
        Ok(Udp::new(socket?))
    }

    /// Opens a raw IP socket (UA-36). Its session is told
    /// [`DatagramReceived`](crate::message::DatagramReceived) for each packet of the protocol that comes.
    ///
    /// # Errors
    /// As [`bind_udp`](Self::bind_udp); without the right to open one (CAP_NET_RAW on Linux)
    /// [`ErrorKind::PermissionDenied`](io::ErrorKind::PermissionDenied), which says so.
    pub async fn open_raw<F, S>(&self, open: OpenRaw, session: F) -> Result<Raw, BindError>
    where
        F: FnOnce(Raw) -> S + Send + 'static,
        S: IntoSession,
    {
        let factory = once(session, Raw::new);
        let socket = self.open_datagrams(Origin::Raw(open), Some(factory)).await;
        Ok(Raw::new(socket?))
    }

    /// Opens a raw IP socket without a session: for [`recv`](Raw::recv) (UA-38).
    ///
    /// # Errors
    /// As [`open_raw`](Self::open_raw).
    pub async fn open_raw_alone(&self, open: OpenRaw) -> Result<Raw, BindError> {
        let socket = self.open_datagrams(Origin::Raw(open), None).await;
        Ok(Raw::new(socket?))
    }

    pub(super) async fn open_datagrams(
        &self,
        origin: Origin,
        factory: Option<SocketFactory>,
    ) -> Result<Socket, BindError> {
        let target = origin.target();
        if let Err(why) = origin.validate() {
            return Err(BindError::options(&target, why));
        }
        let refused = |error| BindError::new(&target, ListenPhase::Options, error);
        let Place {
            shard,
            passes,
            share,
        } = self.find_place().await.map_err(refused)?;
        let open = OpenSocket {
            origin,
            factory,
            pool: self.clone(),
            passes,
            share,
        };
        let opened = self.ask_shard(&shard, open).await.map_err(refused)?;
        opened.map(Fresh::claim)
    }
}

/// Makes one session, for a socket that is handed out as `H`.
fn once<H, F, S>(session: F, wrap: impl Fn(Socket) -> H + Send + Sync + 'static) -> SocketFactory
where
    F: FnOnce(H) -> S + Send + 'static,
    S: IntoSession,
{
    let session = Mutex::new(Some(session));
    Arc::new(move |socket, _, member, span| {
        let session = session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let session = session.ok_or(Cause::NoSession)?;
        let made = make_session(|| session(wrap(socket.clone())))?;
        Ok(made.attach(Seat {
            holder: Holder::Socket(socket),
            member,
            span,
        }))
    })
}

/// Makes sessions for sockets that are handed out as `H`.
pub(super) fn again<H, F, S>(
    session: F,
    wrap: impl Fn(Socket) -> H + Send + Sync + 'static,
) -> SocketFactory
where
    F: Fn(H) -> S + Send + Sync + 'static,
    S: IntoSession,
{
    Arc::new(move |socket, _, member, span| {
        let made = make_session(|| session(wrap(socket.clone())))?;
        Ok(made.attach(Seat {
            holder: Holder::Socket(socket),
            member,
            span,
        }))
    })
}

/// What is opened.
pub(crate) enum Origin {
    Udp(BindUdp),
    Raw(OpenRaw),
}

impl Origin {
    fn target(&self) -> String {
        match self {
            Self::Udp(bind) => bind.target(),
            Self::Raw(open) => open.target(),
        }
    }

    fn validate(&self) -> Result<(), String> {
        match self {
            Self::Udp(bind) => bind.validate(),
            Self::Raw(open) => open.validate(),
        }
    }

    fn config(&self) -> DatagramConfig {
        match self {
            Self::Udp(bind) => bind.config.clone(),
            Self::Raw(open) => open.config.clone(),
        }
    }

    fn kind(&self) -> ChannelKind {
        match self {
            Self::Udp(bind) if bind.is_unix() => ChannelKind::UnixDatagram,
            Self::Udp(_) => ChannelKind::Udp,
            Self::Raw(_) => ChannelKind::Raw,
        }
    }

    const fn reads(&self) -> bool {
        !matches!(
            self,
            Self::Udp(BindUdp {
                place: DatagramPlace::Unbound,
                ..
            })
        )
    }

    fn strips_header(&self) -> bool {
        matches!(self, Self::Raw(open) if open.strips_header())
    }

    /// Opens it; the address of its peer comes with it.
    async fn open(&self) -> Result<Opened, (ListenPhase, io::Error)> {
        match self {
            Self::Udp(bind) => system::open(bind).await,
            Self::Raw(open) => raw::open(open).await,
        }
    }
}

/// A socket, and whom it is connected to.
pub(super) type Opened = (Box<dyn DatagramSocket>, Option<Address>);

/// Opens a socket on this shard.
#[derive(Message)]
#[rtype(result = "Result<Fresh, BindError>")]
pub(crate) struct OpenSocket {
    origin: Origin,
    factory: Option<SocketFactory>,
    pool: Pool,
    passes: Passes,
    share: Share,
}

impl Handler<OpenSocket> for ShardActor {
    type Result = ResponseActFuture<Self, Result<Fresh, BindError>>;

    fn handle(&mut self, open: OpenSocket, _: &mut Self::Context) -> Self::Result {
        let opening = async move {
            let opened = open.origin.open().await;
            (open, opened)
        };
        Box::pin(opening.into_actor(self).map(|(open, opened), shard, _| {
            let target = open.origin.target();
            let (link, peer) =
                opened.map_err(|(phase, error)| BindError::new(&target, phase, error))?;
            let local = Rc::clone(shard.local());
            if local.is_stopping() {
                let kind = io::ErrorKind::NotConnected;
                return Err(BindError::refused(&target, kind, PoolStopped));
            }
            let socket = Socket::new(Beginning {
                id: local.next_id(),
                pool: open.pool,
                kind: open.origin.kind(),
                config: Arc::new(open.origin.config()),
                link,
                peer,
                reads: open.origin.reads(),
                strips_header: open.origin.strips_header(),
            });
            let span = telemetry::socket_span(socket.pool().span(), &socket);
            local.opened(socket.id());
            let launch = Launch {
                socket: socket.clone(),
                factory: open.factory,
                passes: open.passes,
                share: open.share,
                span,
            };
            UdpActor::launch(launch, &local);
            Ok(Fresh::new(socket))
        }))
    }
}

/// A socket on its way to who asked for it. If that one has given up meanwhile, nobody could ever close
/// it: it closes by itself.
#[derive(Debug)]
pub(crate) struct Fresh {
    socket: Socket,
    claimed: bool,
}

impl Fresh {
    const fn new(socket: Socket) -> Self {
        Self {
            socket,
            claimed: false,
        }
    }

    fn claim(mut self) -> Socket {
        self.claimed = true;
        self.socket.clone()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.claimed {
            self.socket
                .0
                .command(|machine, _| machine.abort(Cause::LocalAbort));
        }
    }
}
