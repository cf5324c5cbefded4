//! What a listener and an outbound connection are made with: every option, its unit, its default.

mod admission;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::{
    BackoffConfig, BufferSlots, ConfigError, ConnectionConfig, CrashPolicy, Encoding, IdleAction,
    IdleRule, LineEnding, LineRule, RateRule, Receive, ReconnectConfig,
};

use crate::message::{RecvData, RecvLine, RecvMsg};
use crate::placement::Placement;
use crate::supervisor::{OnEscalation, RestartRules};

pub(crate) use admission::AdmissionOptions;
pub use admission::AtLimit;

/// Options of the socket itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Sends small packets at once (TCP_NODELAY). Default: on (AIO-46).
    pub nodelay: bool,
    /// Probes a silent peer after so long (SO_KEEPALIVE, TCP_KEEPIDLE). Default: the system's
    /// setting, which is off.
    pub keepalive: Option<Duration>,
    /// The kernel's receive buffer in bytes (SO_RCVBUF). Default: the system's.
    pub recv_buffer_size: Option<usize>,
    /// The kernel's send buffer in bytes (SO_SNDBUF). Default: the system's.
    pub send_buffer_size: Option<usize>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: None,
            recv_buffer_size: None,
            send_buffer_size: None,
        }
    }
}

/// Where and how to listen, as a [`Network`](crate::transport::Network) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListenTarget {
    /// `address:port` or `name:port`, IPv4 or IPv6; port 0 takes a free one.
    pub address: String,
    /// How many connections may wait to be accepted. Default: 256 (XAS-24); at least 1 (AC-16).
    pub backlog: u32,
    /// Takes an address that is still in TIME_WAIT (SO_REUSEADDR). Default: on (AC-17).
    pub reuse_addr: bool,
    /// For an IPv6 address: refuses IPv4 peers (IPV6_V6ONLY). Default: the system's setting.
    pub only_v6: Option<bool>,
    /// Options that accepted connections inherit.
    pub socket: SocketOptions,
    /// A socket that listens already, to be taken over instead of opening one.
    pub adopted: Option<Arc<std::net::TcpListener>>,
    /// Keeps a descriptor in reserve, so that peers can be [shed](crate::transport::Listener::shed)
    /// when there is no other. Default: on.
    pub spare_descriptor: bool,
}

/// Where and how to connect, as a [`Network`](crate::transport::Network) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectTarget {
    /// `address:port` or `name:port`; all addresses of a name are tried in order (AMB-06).
    pub address: String,
    /// For resolving and connecting together. Default: 5 s (XAS-31).
    pub timeout: Duration,
    /// Our own address, if it matters.
    pub local_addr: Option<SocketAddr>,
    /// Options of the socket.
    pub socket: SocketOptions,
    /// A connection that exists already, to be taken over instead of opening one.
    pub adopted: Option<Arc<std::net::TcpStream>>,
}

impl ListenTarget {
    /// This address, with the defaults of everything else; for those who use a network without a pool.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            backlog: 256,
            reuse_addr: true,
            only_v6: None,
            socket: SocketOptions::default(),
            adopted: None,
            spare_descriptor: true,
        }
    }
}

impl ConnectTarget {
    /// This address, with the defaults of everything else; for those who use a network without a pool.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            timeout: Duration::from_secs(5),
            local_addr: None,
            socket: SocketOptions::default(),
            adopted: None,
        }
    }
}

/// A listener to be opened by [`Pool::listen`](crate::Pool::listen).
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
}

impl Listen {
    /// Listens for TCP at `address:port` or `name:port`; port 0 takes a free one.
    pub fn tcp(address: impl fmt::Display) -> Self {
        Self {
            target: ListenTarget::new(address.to_string()),
            config: ConnectionConfig::default(),
            admission: AdmissionOptions::default(),
            placement: None,
            on_workers: None,
            restart: RestartRules::default(),
            on_escalation: OnEscalation::StopChildren,
        }
    }

    /// Takes over a socket that listens already; its backlog and address stay as they are (ACO-01).
    pub fn adopt(listener: std::net::TcpListener) -> Self {
        let address = listener.local_addr();
        let mut listen =
            Self::tcp(address.map_or_else(|_| "an adopted socket".into(), |a| a.to_string()));
        listen.target.adopted = Some(Arc::new(listener));
        listen
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
        validate(&self.config, &self.target.socket)
    }
}

/// A connection to be opened by [`Pool::connect`](crate::Pool::connect).
#[derive(Debug, Clone)]
#[must_use = "nothing connects until it is given to a pool"]
pub struct Connect {
    pub(crate) target: ConnectTarget,
    pub(crate) config: ConnectionConfig,
    pub(crate) on_workers: Option<bool>,
}

impl Connect {
    /// Connects by TCP to `address:port` or `name:port`.
    pub fn tcp(address: impl fmt::Display) -> Self {
        Self {
            target: ConnectTarget::new(address.to_string()),
            config: ConnectionConfig::default(),
            on_workers: None,
        }
    }

    /// Takes over a connection that exists already (ACO-01). Its session is told
    /// [`Connected`](crate::message::Connected).
    pub fn adopt(stream: std::net::TcpStream) -> Self {
        let address = stream.peer_addr();
        let mut connect =
            Self::tcp(address.map_or_else(|_| "an adopted socket".into(), |a| a.to_string()));
        connect.target.adopted = Some(Arc::new(stream));
        connect
    }

    /// How long resolving and connecting may take together. Default: 5 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.target.timeout = timeout;
        self
    }

    /// Establishes the connection again when its link is lost, and tries again when it does not come to be.
    /// Its session then hears [`Disconnected`](crate::message::Disconnected) instead of `Closed`,
    /// [`Reconnecting`](crate::message::Reconnecting) before each further attempt, and
    /// [`Connected`](crate::message::Connected) for each link. What is sent meanwhile is sent over the
    /// next one, as far as the write capacity goes. It ends with `Closed` when this side closes it, or
    /// when the attempts are used up; with `ConnectFailed` if there never was a link. Default: off.
    pub fn reconnect(mut self, again: ReconnectConfig) -> Self {
        self.config.reconnect = Some(again);
        self
    }

    /// Connects from this address of ours.
    pub const fn local_addr(mut self, address: SocketAddr) -> Self {
        self.target.local_addr = Some(address);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.target.timeout.is_zero() {
            return Err("the connect timeout is zero".into());
        }
        if self.config.reconnect.is_some() && self.target.adopted.is_some() {
            return Err("an adopted connection cannot be established again".into());
        }
        validate(&self.config, &self.target.socket)
    }
}

fn validate(config: &ConnectionConfig, socket: &SocketOptions) -> Result<(), String> {
    config
        .validate()
        .map_err(|error: ConfigError| error.to_string())?;
    if socket.keepalive.is_some_and(|after| after.is_zero()) {
        return Err("keepalive is zero; leave it out for none".into());
    }
    Ok(())
}

/// The options that [`Listen`] and [`Connect`] share: what a connection receives first, its limits
/// and its timeouts. Each value's meaning and default stand at [`ConnectionConfig`].
pub trait ConnectionOptions: Sized {
    /// All settings of the connection, to change one that has no method of its own.
    fn config_mut(&mut self) -> &mut ConnectionConfig;

    /// All options of the socket.
    fn socket_mut(&mut self) -> &mut SocketOptions;

    /// Whether sessions live on the pool's [`workers`](crate::PoolBuilder::workers), where a handler
    /// may block, or on the thread of their connection, where an answer takes no way between threads
    /// (XAS-03). It takes effect for connections that open from then on. Default: on the workers if
    /// the pool has any and the session is the connection's own actor. To ask for workers that the
    /// pool does not have, or for a session that lives elsewhere already (an `Addr`,
    /// [`Handlers`](crate::Handlers)), is an error of the options.
    #[must_use]
    fn on_workers(self, yes: bool) -> Self;

    /// Receives lines from the start, for ever: [`LineReceived`](crate::message::LineReceived).
    #[must_use]
    fn lines(self) -> Self {
        self.receive(RecvLine::once().always())
    }

    /// Receives whatever comes from the start, for ever:
    /// [`DataReceived`](crate::message::DataReceived) (AIO-36).
    #[must_use]
    fn data(self) -> Self {
        self.receive(RecvData::available().always())
    }

    /// Receives length-prefixed messages from the start, for ever:
    /// [`MessageReceived`](crate::message::MessageReceived).
    #[must_use]
    fn messages(self) -> Self {
        self.receive(RecvMsg::once().always())
    }

    /// Arms this receive as soon as the connection opens. Default: nothing, and so nothing is read
    /// until the session arms something (XAS-30).
    #[must_use]
    fn receive(mut self, receive: impl Into<Receive>) -> Self {
        self.config_mut().first_receive = Some(receive.into());
        self
    }

    /// What ends a line. Default: LF, with or without a CR before it.
    #[must_use]
    fn line_rule(mut self, rule: LineRule) -> Self {
        self.config_mut().line_rule = rule;
        self
    }

    /// How the text of lines is read. Default: UTF-8.
    #[must_use]
    fn encoding(mut self, encoding: Encoding) -> Self {
        self.config_mut().encoding = encoding;
        self
    }

    /// What a sent line gets behind it. Default: LF.
    #[must_use]
    fn line_ending(mut self, ending: LineEnding) -> Self {
        self.config_mut().line_ending = ending;
        self
    }

    /// The longest line in bytes without its ending. Default: 64 KiB.
    #[must_use]
    fn max_line(mut self, bytes: usize) -> Self {
        self.config_mut().max_line = bytes;
        self
    }

    /// The longest message in bytes. Default: 16 MiB.
    #[must_use]
    fn max_message(mut self, bytes: usize) -> Self {
        self.config_mut().max_message = bytes;
        self
    }

    /// The most that one receive may ask for, in bytes. Default: 16 MiB.
    #[must_use]
    fn max_recv(mut self, bytes: usize) -> Self {
        self.config_mut().max_recv = bytes;
        self
    }

    /// What a full receive buffer is, in bytes. Default: 4,096; at least 256.
    #[must_use]
    fn recv_buffer(mut self, bytes: usize) -> Self {
        self.config_mut().recv_buffer = bytes;
        self
    }

    /// The size of the send slot in bytes. Default: 4,096; at least 256.
    #[must_use]
    fn send_slot(mut self, bytes: usize) -> Self {
        self.config_mut().send_slot = bytes;
        self
    }

    /// The most bytes that may be queued to be sent. Default: 16 MiB.
    #[must_use]
    fn write_capacity(mut self, bytes: usize) -> Self {
        self.config_mut().write_capacity = bytes;
        self
    }

    /// The marks above which writing is paused and at which it is resumed, in bytes. Default:
    /// 64 KiB and 16 KiB.
    #[must_use]
    fn write_limits(mut self, high: usize, low: usize) -> Self {
        let config = self.config_mut();
        config.write_high = high;
        config.write_low = low;
        self
    }

    /// Closes the connection when no byte moved either way for so long. Default: never.
    #[must_use]
    fn idle_timeout(mut self, after: Duration) -> Self {
        let action = IdleAction::Close;
        self.config_mut().idle = Some(IdleRule { after, action });
        self
    }

    /// Closes the connection when nothing was received for so long; if nothing was to be received when
    /// the time is up, it starts anew. Default: never.
    #[must_use]
    fn idle_read_timeout(mut self, after: Duration) -> Self {
        let action = IdleAction::Close;
        self.config_mut().idle_read = Some(IdleRule { after, action });
        self
    }

    /// Closes the connection when nothing was sent for so long. Default: never.
    #[must_use]
    fn idle_write_timeout(mut self, after: Duration) -> Self {
        let action = IdleAction::Close;
        self.config_mut().idle_write = Some(IdleRule { after, action });
        self
    }

    /// Tells [`Idle`](crate::message::Idle) when no byte moved either way for so long, again and
    /// again. Default: never.
    #[must_use]
    fn idle_report(mut self, after: Duration) -> Self {
        let action = IdleAction::Report;
        self.config_mut().idle = Some(IdleRule { after, action });
        self
    }

    /// What becomes of the connection when its session panics. Default: it closes. Takes effect for
    /// connections that open from then on.
    #[must_use]
    fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.config_mut().crash = policy;
        self
    }

    /// Tells [`Idle`](crate::message::Idle) when nothing was received for so long, again and again; if
    /// nothing was to be received when the time is up, it only starts anew. Default: never.
    #[must_use]
    fn idle_read_report(mut self, after: Duration) -> Self {
        let action = IdleAction::Report;
        self.config_mut().idle_read = Some(IdleRule { after, action });
        self
    }

    /// Tells [`Idle`](crate::message::Idle) when nothing was sent for so long, again and again.
    /// Default: never.
    #[must_use]
    fn idle_write_report(mut self, after: Duration) -> Self {
        let action = IdleAction::Report;
        self.config_mut().idle_write = Some(IdleRule { after, action });
        self
    }

    /// How fast the peer must send while a frame has begun and is unfinished; otherwise the connection
    /// closes with reason Timeout. Default: 240 bytes a second over 60 s; `None`: no least rate.
    #[must_use]
    fn read_rate(mut self, rule: impl Into<Option<RateRule>>) -> Self {
        self.config_mut().read_rate = rule.into();
        self
    }

    /// How fast the peer must take what waits to be sent; otherwise the connection is reset with reason
    /// Timeout, and what was not sent is counted in [`Closed`](crate::message::Closed). Default: 240
    /// bytes a second over 10 min; `None`: no least rate.
    #[must_use]
    fn write_rate(mut self, rule: impl Into<Option<RateRule>>) -> Self {
        self.config_mut().write_rate = rule.into();
        self
    }

    /// How long a frame that has begun may take to be complete, whatever the rate. Default: 10 min;
    /// `None`: for ever.
    #[must_use]
    fn frame_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config_mut().frame_timeout = timeout.into();
        self
    }

    /// Closes the connection, and flushes, when it was adopted so long ago, healthy or not. Default:
    /// `None`, never.
    #[must_use]
    fn max_lifetime(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.config_mut().max_lifetime = age.into();
        self
    }

    /// How long a close may take to send what is queued. Default: 30 s.
    #[must_use]
    fn flush_timeout(mut self, timeout: Duration) -> Self {
        self.config_mut().flush_timeout = timeout;
        self
    }

    /// How long a finished connection waits for the peer to finish too. Default: 2 s.
    #[must_use]
    fn linger_timeout(mut self, timeout: Duration) -> Self {
        self.config_mut().linger_timeout = timeout;
        self
    }

    /// Whether small packets are sent at once. Default: yes.
    #[must_use]
    fn nodelay(mut self, nodelay: bool) -> Self {
        self.socket_mut().nodelay = nodelay;
        self
    }

    /// Probes a silent peer after so long. Default: off.
    #[must_use]
    fn keepalive(mut self, after: Duration) -> Self {
        self.socket_mut().keepalive = Some(after);
        self
    }

    /// The kernel's receive buffer in bytes. Default: the system's.
    #[must_use]
    fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.socket_mut().recv_buffer_size = Some(bytes);
        self
    }

    /// The kernel's send buffer in bytes. Default: the system's.
    #[must_use]
    fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.socket_mut().send_buffer_size = Some(bytes);
        self
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

impl ConnectionOptions for Connect {
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
