//! The options of a listener.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{BackoffConfig, BufferSlots, ConnectionConfig, UnixName};

use super::{
    AdmissionOptions, ConnectionOptions, ListenPlace, ListenTarget, SocketOptions, validate,
};
#[cfg(feature = "tls")]
use crate::client::Client;
use crate::placement::Placement;
#[cfg(feature = "tls")]
use crate::session::IntoSession;
use crate::session::SessionFactory;
use crate::supervisor::{OnEscalation, RestartRules};
use crate::tls::TlsServer;

/// A listener to be opened by [`Pool::listen`](crate::Pool::listen).
///
/// Options of the listener take effect when it opens, those of its connections for each when it opens.
/// Later, [`Server::set_limits`](crate::Server::set_limits) changes whom it lets in,
/// [`Server::set_options`](crate::Server::set_options) the settings of connections that open from then
/// on, and [`Server::swap_session`](crate::Server::swap_session) their sessions; the port stays open.
#[derive(Debug, Clone)]
#[must_use = "nothing listens until it is given to a pool"]
pub struct Listen {
    pub(crate) target: ListenTarget,
    pub(crate) config: ConnectionConfig,
    pub(crate) admission: AdmissionOptions,
    pub(crate) placement: Option<Placement>,
    pub(crate) on_workers: Option<bool>,
    pub(crate) restart: RestartRules,
    pub(crate) on_escalation: OnEscalation,
    /// `None`: plain.
    pub(crate) tls: Option<TlsServer>,
    /// Sessions by the host that peers ask for.
    pub(crate) hosts: Vec<(String, SessionFactory)>,
}

impl Listen {
    /// Listens for TCP at `address:port` or `name:port`; port 0 takes a free one.
    pub fn tcp(address: impl fmt::Display) -> Self {
        Self::at(address.to_string())
    }

    pub(crate) fn at(place: impl Into<ListenPlace>) -> Self {
        Self {
            target: ListenTarget::new(place),
            config: ConnectionConfig::default(),
            admission: AdmissionOptions::default(),
            placement: None,
            on_workers: None,
            restart: RestartRules::default(),
            on_escalation: OnEscalation::StopChildren,
            tls: None,
            hosts: Vec::new(),
        }
    }

    /// Takes over a socket that listens already; its backlog and address stay as they are (ACO-01). One that
    /// does not listen is refused when it is to be opened.
    pub fn adopt(listener: std::net::TcpListener) -> Self {
        Self::at(ListenPlace::AdoptedTcp(Arc::new(listener)))
    }

    /// How many connections may wait to be accepted. Default: 256; 0 is refused (AC-16).
    pub const fn backlog(mut self, connections: u32) -> Self {
        self.target.backlog = connections;
        self
    }

    /// Whether an address in TIME_WAIT may be taken. Default: yes (AC-17).
    pub const fn reuse_addr(mut self, reuse: bool) -> Self {
        self.target.reuse_addr = reuse;
        self
    }

    /// Whether an IPv6 listener refuses IPv4 peers. Default: the system's setting.
    pub const fn only_v6(mut self, only: bool) -> Self {
        self.target.only_v6 = Some(only);
        self
    }

    /// Lets every connection lease two slots for its life, one to receive and one to send, so that
    /// memory is taken from a fixed stock (XAS-25); their size becomes the receive buffer, the
    /// longest line and the send slot. Default: slots are lent for the length of a read only.
    pub fn slots(mut self, slots: BufferSlots) -> Self {
        self.config.recv_buffer = slots.size();
        self.config.send_slot = slots.size();
        self.config.max_line = slots.size();
        self.admission.slots = Some(slots);
        self
    }

    /// Which shard an accepted connection goes to. It holds for the listener's life. Default: as the
    /// pool's [`placement`](crate::PoolBuilder::placement).
    pub const fn placement(mut self, placement: Placement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// The most restarts of this listener in any such period; one more closes it. Its actor is started
    /// again on the same socket, in which peers wait meanwhile; a socket that died is bound again at the
    /// same address (T-05). Default: 10 in 10 s; with 0 it is never started again.
    pub const fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.restart.intensity = (restarts, period);
        self
    }

    /// The pauses before restarts. Default: [`BackoffConfig::default`].
    pub const fn backoff(mut self, pauses: BackoffConfig) -> Self {
        self.restart.backoff = pauses;
        self
    }

    /// What happens when it fails too often. It closes in any case, and its connections stay. Default:
    /// nothing else ([`OnEscalation::StopChildren`]).
    pub const fn on_escalation(mut self, action: OnEscalation) -> Self {
        self.on_escalation = action;
        self
    }

    /// Speaks TLS from the first byte (AIO-40). A peer is counted against the limits as soon as it is
    /// accepted; its session is made when its handshake has ended, and is told
    /// [`Accepted`](crate::message::Accepted), then [`TlsStarted`](crate::message::TlsStarted), or
    /// [`Closed`](crate::message::Closed) alone when it failed; none is made for a handshake whose thread
    /// ends. Default: plain.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsServer) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Gives sessions from another factory to peers that ask for this host (SNI), or with `*.b.example` for
    /// any host one label below; all others get theirs from the one that the listener is opened with. It
    /// is chosen when the handshake has ended, and also tells of one that failed, if it came so far that
    /// the peer has asked. What the session cannot handle is refused when the listener opens, as is this
    /// without [`tls`](Self::tls). [`Server::swap_session`](crate::Server::swap_session) leaves it as it is.
    /// Default: none.
    #[cfg(feature = "tls")]
    pub fn host_session<F, S>(mut self, host: impl Into<String>, session: F) -> Self
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        let factory = SessionFactory::new(session);
        self.hosts.push((host.into(), factory));
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.target.backlog == 0 {
            return Err("backlog is 0, the least is 1".into());
        }
        let pauses = self.restart.backoff.validate();
        pauses.map_err(|error| error.to_string())?;
        if self.config.reconnect.is_some() {
            return Err("accepted connections cannot reconnect".into());
        }
        let admission = self.admission.validate();
        admission.map_err(|error| error.to_string())?;
        self.validate_place()?;
        if !self.hosts.is_empty() && self.tls.is_none() {
            return Err("sessions by host need tls".into());
        }
        validate(&self.config, &self.target.socket)
    }

    /// Refuses what was asked for and cannot be at such a place.
    fn validate_place(&self) -> Result<(), String> {
        let place = &self.target.place;
        match (self.target.permissions, place) {
            (Some(mode), _) if mode > 0o777 => {
                return Err(format!("permissions are {mode:o}, the most is 777"));
            }
            (Some(_), place) if !matches!(place, ListenPlace::Unix(UnixName::Path(_))) => {
                return Err("permissions need a Unix socket with a file of its own".into());
            }
            _ => {}
        }
        if !place.is_unix() {
            return Ok(());
        }
        if self.target.only_v6.is_some() {
            return Err("only_v6 is for IPv6, and this is a Unix socket".into());
        }
        if self.admission.needs_addresses() {
            return Err(
                "access, max_per_ip and max_per_prefix go by IP addresses, which peers of a \
                 Unix socket do not have"
                    .into(),
            );
        }
        Ok(())
    }
}

impl ConnectionOptions for Listen {
    fn on_workers(mut self, yes: bool) -> Self {
        self.on_workers = Some(yes);
        self
    }

    fn config_mut(&mut self) -> &mut ConnectionConfig {
        &mut self.config
    }

    fn socket_mut(&mut self) -> &mut SocketOptions {
        &mut self.target.socket
    }
}
