//! The options of a socket that moves datagrams.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::datagram::DatagramConfig;
use switchboard_core::{Address, CrashPolicy, Destination, UnixName};

use super::{Interface, Multicast};

/// A UDP or Unix datagram socket to be opened by [`Pool::bind_udp`](crate::Pool::bind_udp).
///
/// Every option takes effect when it opens; what can be changed later is changed by a command to the
/// [`Udp`](crate::Udp).
///
/// ```
/// use switchboard::prelude::*;
///
/// struct Echo {
///     udp: Udp,
/// }
///
/// impl Actor for Echo {
///     type Context = SessionContext<Self>;
/// }
///
/// impl Handler<DatagramReceived> for Echo {
///     type Result = ();
///
///     fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
///         let _ = self.udp.send_to(msg.data, msg.from);
///     }
/// }
///
/// session!(Echo);
///
/// # async fn open(pool: &Pool) -> Result<(), switchboard::Error> {
/// let udp = pool.bind_udp(BindUdp::new("127.0.0.1:0"), |udp| Echo { udp }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is bound until it is given to a pool"]
pub struct BindUdp {
    pub(crate) place: DatagramPlace,
    pub(crate) remote: Option<Destination>,
    pub(crate) config: DatagramConfig,
    pub(crate) options: DatagramOptions,
}

/// Where a datagram socket comes from.
#[derive(Debug, Clone)]
pub(crate) enum DatagramPlace {
    /// `address:port` or `name:port`.
    Inet(String),
    /// IPv4, bound by its first send.
    Unbound,
    /// A Unix socket with this name, or with none.
    #[cfg_attr(not(unix), expect(dead_code, reason = "made on Unix only"))]
    Unix(UnixName),
    /// A UDP socket that exists already.
    Adopted(Arc<std::net::UdpSocket>),
    /// A Unix socket that exists already.
    #[cfg(unix)]
    AdoptedUnix(Arc<std::os::unix::net::UnixDatagram>),
}

/// What is set at the socket itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatagramOptions {
    /// `None`: as a member of groups needs it.
    pub(crate) reuse_addr: Option<bool>,
    pub(crate) reuse_port: bool,
    pub(crate) only_v6: Option<bool>,
    pub(crate) broadcast: bool,
    pub(crate) recv_buffer_size: Option<usize>,
    pub(crate) send_buffer_size: Option<usize>,
    pub(crate) ttl: Option<u32>,
    pub(crate) multicast_ttl: Option<u32>,
    pub(crate) multicast_loop: Option<bool>,
    pub(crate) multicast_interface: Option<Interface>,
    pub(crate) join: Vec<Multicast>,
    pub(crate) permissions: Option<u32>,
}

/// Where it comes from.
impl BindUdp {
    fn at(place: DatagramPlace) -> Self {
        Self {
            place,
            remote: None,
            config: DatagramConfig::default(),
            options: DatagramOptions::default(),
        }
    }

    /// A UDP socket bound to `address:port` or `name:port`, IPv4 or IPv6; port 0 takes a free one.
    pub fn new(local: impl fmt::Display) -> Self {
        Self::at(DatagramPlace::Inet(local.to_string()))
    }

    /// A UDP socket at this port of every IPv4 address (UA-25); 0 takes a free one.
    pub fn port(port: u16) -> Self {
        Self::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    }

    /// An IPv4 UDP socket without an address of its own, for sending only: the system gives it one with
    /// the first send, and nothing is read unless it is asked for with
    /// [`recv_from`](crate::Udp::recv_from) (XAS-58).
    pub fn send_only() -> Self {
        Self::at(DatagramPlace::Unbound)
    }

    /// A Unix datagram socket whose name is this file.
    ///
    /// It holds a lock on the file of this name with `.lock` behind it, as long as it is open; both files are
    /// removed when it closes, the socket's only if it is still its own. What is there already is told apart
    /// as by [`Listen::unix`](crate::Listen): with the lock held, or a socket that lives, the address is in
    /// use; a socket that a process has left over is replaced; whatever is no socket is never removed, and an
    /// error. The directory must be writable.
    ///
    /// What is for a receiver whose queue is full waits, in order, and fails when that has had no room for 10 s;
    /// what is for others does not wait for it.
    #[cfg(unix)]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        let path: PathBuf = path.into();
        Self::at(DatagramPlace::Unix(UnixName::Path(path.into())))
    }

    /// A Unix datagram socket with a name outside of the file system (Linux).
    #[cfg(unix)]
    pub fn unix_abstract(name: impl AsRef<[u8]>) -> Self {
        Self::at(DatagramPlace::Unix(UnixName::Abstract(
            name.as_ref().into(),
        )))
    }

    /// A Unix datagram socket without a name, which can send and not be answered.
    #[cfg(unix)]
    pub fn unix_unnamed() -> Self {
        Self::at(DatagramPlace::Unix(UnixName::Unnamed))
    }

    /// Takes over a socket that exists already (ACO-01), through a descriptor of its own. Options of the
    /// address (its reuse, IPv6 only) are as they were.
    pub fn adopt(socket: std::net::UdpSocket) -> Self {
        Self::at(DatagramPlace::Adopted(Arc::new(socket)))
    }

    /// Takes over a Unix datagram socket that exists already; its file stays its owner's.
    #[cfg(unix)]
    pub fn adopt_unix(socket: std::os::unix::net::UnixDatagram) -> Self {
        Self::at(DatagramPlace::AdoptedUnix(Arc::new(socket)))
    }
}

/// What the socket is like.
impl BindUdp {
    /// Sends to this peer and receives from it only (AIO-15). A name is resolved when it opens.
    pub fn connect(mut self, remote: impl Into<Destination>) -> Self {
        self.remote = Some(remote.into());
        self
    }

    /// Whether it may send to broadcast addresses (SO_BROADCAST, XAS-62). Default: no.
    pub const fn broadcast(mut self, allowed: bool) -> Self {
        self.options.broadcast = allowed;
        self
    }

    /// Whether an address that another socket has may be taken, if that one allows it too (SO_REUSEADDR). On
    /// Linux one of both then gets nothing but multicast, and no error says so. The seed has it always
    /// (XAS-58), where it was meant for addresses that were just given up; those of UDP are free at once.
    /// Default: yes for one that [joins](Self::join) groups when it opens, else no.
    pub const fn reuse_addr(mut self, reuse: bool) -> Self {
        self.options.reuse_addr = Some(reuse);
        self
    }

    /// Whether several sockets share the address, among which the system spreads what comes
    /// (SO_REUSEPORT; Unix). Default: no.
    pub const fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 socket refuses IPv4. Default: the system's setting.
    pub const fn only_v6(mut self, only: bool) -> Self {
        self.options.only_v6 = Some(only);
        self
    }

    /// The kernel's receive buffer in bytes (SO_RCVBUF). Default: the system's.
    pub const fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.options.recv_buffer_size = Some(bytes);
        self
    }

    /// The kernel's send buffer in bytes (SO_SNDBUF). Default: the system's.
    pub const fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.options.send_buffer_size = Some(bytes);
        self
    }

    /// How many routers a datagram may pass (IP_TTL, IPV6_UNICAST_HOPS). Default: the system's.
    pub const fn ttl(mut self, hops: u32) -> Self {
        self.options.ttl = Some(hops);
        self
    }

    /// The same for multicast. Default: the system's, which is 1.
    pub const fn multicast_ttl(mut self, hops: u32) -> Self {
        self.options.multicast_ttl = Some(hops);
        self
    }

    /// Whether what it sends to a group comes back to members on this machine. Default: the system's,
    /// which is yes.
    pub const fn multicast_loop(mut self, back: bool) -> Self {
        self.options.multicast_loop = Some(back);
        self
    }

    /// Through which interface it sends to groups. Default: as the system's routes say.
    pub const fn multicast_interface(mut self, interface: Interface) -> Self {
        self.options.multicast_interface = Some(interface);
        self
    }

    /// Joins this group when it opens. May be said several times. On Linux only what is sent to groups that
    /// it has joined itself is received, whatever others on this machine have joined.
    pub fn join(mut self, group: impl Into<Multicast>) -> Self {
        self.options.join.push(group.into());
        self
    }

    /// The permission bits of the file of a Unix socket, such as `0o660`: who may write to it may send. At no
    /// moment more is allowed (on Linux). Without a file of its own it is refused. Default: as the umask of
    /// the process says.
    #[cfg(unix)]
    pub const fn permissions(mut self, mode: u32) -> Self {
        self.options.permissions = Some(mode);
        self
    }
}

/// Limits and clocks; each value's meaning and default stand at [`DatagramConfig`].
impl BindUdp {
    /// All settings, to change one that has no method of its own.
    pub const fn config_mut(&mut self) -> &mut DatagramConfig {
        &mut self.config
    }

    /// The longest datagram that is received whole, in bytes: of a longer one the end is lost, and
    /// [`truncated`](crate::message::DatagramReceived::truncated) says so. Default: 65,535; least 256,
    /// most 16 MiB.
    pub const fn recv_size(mut self, bytes: usize) -> Self {
        self.config.recv_size = bytes;
        self
    }

    /// How much may wait for the session, or be with it. What comes beyond stays with the system, which
    /// throws away what it has no room for. Default: 64 datagrams, 1 MiB.
    pub const fn recv_limits(mut self, datagrams: usize, bytes: usize) -> Self {
        self.config.recv_datagrams = datagrams;
        self.config.recv_bytes = bytes;
        self
    }

    /// How much may wait to be sent; a send beyond is refused. Default: 1,024 datagrams, 1 MiB.
    pub const fn send_limits(mut self, datagrams: usize, bytes: usize) -> Self {
        self.config.send_datagrams = datagrams;
        self.config.send_bytes = bytes;
        self
    }

    /// The write marks, in bytes. Default: 64 KiB and 16 KiB.
    pub const fn write_limits(mut self, high: usize, low: usize) -> Self {
        self.config.write_high = high;
        self.config.write_low = low;
        self
    }

    /// How many datagrams are moved each way before others have their turn. Default: 16.
    pub const fn budget(mut self, datagrams: usize) -> Self {
        self.config.budget = datagrams;
        self
    }

    /// How long a close may take to send what is queued. Default: 5 s.
    pub const fn flush_timeout(mut self, timeout: Duration) -> Self {
        self.config.flush_timeout = timeout;
        self
    }

    /// Closes it when no datagram moved for so long. Default: never.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.idle_timeout = Some(timeout);
        self
    }

    /// What becomes of it when its session panics. Default: it closes.
    pub const fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.config.crash = policy;
        self
    }
}

impl BindUdp {
    /// What errors call it.
    pub(crate) fn target(&self) -> String {
        match &self.place {
            DatagramPlace::Inet(local) => local.clone(),
            DatagramPlace::Unbound => "an unbound socket".into(),
            DatagramPlace::Unix(UnixName::Unnamed) => "an unnamed socket".into(),
            DatagramPlace::Unix(name) => name.to_string(),
            DatagramPlace::Adopted(socket) => socket.local_addr().map_or_else(
                |_| "an adopted socket".into(),
                |address| address.to_string(),
            ),
            #[cfg(unix)]
            DatagramPlace::AdoptedUnix(_) => "an adopted socket".into(),
        }
    }

    pub(crate) const fn is_unix(&self) -> bool {
        match self.place {
            DatagramPlace::Unix(_) => true,
            #[cfg(unix)]
            DatagramPlace::AdoptedUnix(_) => true,
            _ => false,
        }
    }

    pub(crate) fn validate_for_peers(&self) -> Result<(), String> {
        if self.is_unix() {
            return Err("the peers of a Unix socket cannot be told apart".into());
        }
        let unfit = match &self.place {
            DatagramPlace::Unbound => true,
            DatagramPlace::Adopted(socket) => socket.peer_addr().is_ok(),
            _ => false,
        };
        if self.remote.is_some() || unfit {
            return Err("a socket that is connected or unbound has no peers to serve".into());
        }
        Ok(())
    }

    pub(crate) fn validate(&self) -> Result<(), String> {
        self.config.validate().map_err(|error| error.to_string())?;
        for group in &self.options.join {
            group.validate().map_err(|error| error.to_string())?;
        }
        let unix = self.is_unix();
        let options = &self.options;
        let inet_only = options.broadcast
            || options.ttl.is_some()
            || options.only_v6.is_some()
            || options.multicast_ttl.is_some()
            || options.multicast_loop.is_some()
            || options.multicast_interface.is_some()
            || !options.join.is_empty();
        if unix && inet_only {
            return Err("a Unix socket has no broadcast, hops or groups".into());
        }
        let has_file = matches!(self.place, DatagramPlace::Unix(UnixName::Path(_)));
        if !has_file && options.permissions.is_some() {
            return Err("only a Unix socket with a file of its own has permissions".into());
        }
        match &self.remote {
            Some(Destination::Address(Address::Unix(_))) if !unix => {
                Err("the peer is a Unix socket, and this is none".into())
            }
            Some(Destination::Address(Address::Inet(_)) | Destination::Name(_)) if unix => {
                Err("the peer is no Unix socket, and this is one".into())
            }
            _ => Ok(()),
        }
    }
}
