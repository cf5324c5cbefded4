//! A network in memory.

mod listener;
mod network;
mod pipe;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use switchboard_core::ConnectPhase;
use tokio::time::{sleep, timeout};

pub use listener::MemoryListener;
pub use pipe::Link;
pub use stream::MemoryStream;
use stream::Wire;

/// Where ports begin that nobody chose.
const FIRST_FREE_PORT: u16 = 49_152;
/// How many connections of a [`MemoryListener`] may wait to be accepted.
const BACKLOG: usize = 256;
/// How long an attempt of [`MemoryNet::connect`] may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A network in memory: listeners and connections as with TCP, without a socket.
///
/// Give a clone to [`PoolBuilder::network`](crate::PoolBuilder::network), keep one to play the peers
/// with; the actors under test notice nothing. Clones are the same network. Nothing in it takes
/// real time, so it goes well with a [`Simulation`](super::Simulation), or with any paused clock.
///
/// A paused clock is one thread's own: with a [`Link`] that takes time, and a pool of several shards, let
/// time be real.
///
/// Every address belongs to it. A name is resolved by [`name`](Self::name); `localhost` has the address
/// that it always has.
///
/// ```
/// use switchboard::prelude::*;
/// use switchboard::testkit::MemoryNet;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// struct Echo { client: Client }
/// impl Actor for Echo { type Context = SessionContext<Self>; }
/// impl Handler<LineReceived> for Echo {
///     type Result = ();
///     fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
///         let _ = self.client.send_line(&msg.line);
///     }
/// }
/// session!(Echo);
///
/// actix_rt::System::new().block_on(async {
///     let net = MemoryNet::new();
///     let pool = Pool::builder().shards(0).network(net.clone()).start().unwrap();
///     let listen = Listen::tcp("10.0.0.1:7000").lines();
///     pool.listen(listen, |client| Echo { client }).await.unwrap();
///
///     let mut peer = net.connect("10.0.0.1:7000").await.unwrap();
///     peer.write_all(b"hello\n").await.unwrap();
///     let mut answer = [0; 6];
///     peer.read_exact(&mut answer).await.unwrap();
///     assert_eq!(&answer, b"hello\n");
///     pool.stop().await;
/// });
/// ```
#[derive(Clone, Default)]
pub struct MemoryNet {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    listeners: BTreeMap<SocketAddr, Desk>,
    names: BTreeMap<String, Vec<IpAddr>>,
    unreachable: BTreeSet<IpAddr>,
    silent: BTreeSet<IpAddr>,
    /// Ways that are cut, from one host to another.
    cuts: BTreeSet<(IpAddr, IpAddr)>,
    wires: Vec<Weak<Mutex<Wire>>>,
    link: Link,
    links: BTreeMap<SocketAddr, Link>,
    /// How many ports were given out.
    ports: u16,
    opened: u64,
    /// Attempts over a way that is cut.
    waiting: Vec<Waker>,
    /// Ends of connections that are there, by their own address.
    used: Used,
}

/// How many ends have each address: one of a peer, many of a listener.
type Used = Arc<Mutex<BTreeMap<SocketAddr, usize>>>;

/// Where connections wait for one listener.
struct Desk {
    backlog: usize,
    waiting: VecDeque<MemoryStream>,
    acceptor: Option<Waker>,
    /// Attempts that found the backlog full.
    queue: Vec<Waker>,
}

impl MemoryNet {
    /// A network of its own, on which nobody listens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What connections are like from now on.
    #[must_use]
    pub fn with_link(self, link: Link) -> Self {
        self.set_link(link);
        self
    }

    /// What connections are like that are opened from now on.
    pub fn set_link(&self, link: Link) {
        self.lock().link = link;
    }

    /// What connections to this address are like that are opened from now on.
    pub fn set_link_to(&self, address: SocketAddr, link: Link) {
        self.lock().links.insert(address, link);
    }

    /// Gives a host name its addresses; none of them makes it unknown again.
    pub fn name(&self, host: impl Into<String>, addresses: impl Into<Vec<IpAddr>>) {
        self.lock().names.insert(host.into(), addresses.into());
    }

    /// Makes a host unreachable for connects from now on, or reachable again.
    pub fn set_unreachable(&self, host: IpAddr, unreachable: bool) {
        set(&mut self.lock().unreachable, host, unreachable);
    }

    /// Makes a host leave connects unanswered from now on, so that they run into their timeout, or
    /// answer again.
    pub fn set_silent(&self, host: IpAddr, silent: bool) {
        set(&mut self.lock().silent, host, silent);
    }

    /// Cuts the way from one host to another, or heals it: meanwhile nothing arrives that way, in any
    /// connection between them, and no connection is opened. Peers and pools connect from localhost unless
    /// they say otherwise ([`connect_from`](Self::connect_from),
    /// [`Connect::local_addr`](crate::Connect::local_addr)). Nothing is lost: what was sent arrives
    /// when the way is healed, as TCP sends it again. The other way stays as it is; cut both for a
    /// partition.
    pub fn set_cut(&self, from: IpAddr, to: IpAddr, cut: bool) {
        let mut state = self.lock();
        set(&mut state.cuts, (from, to), cut);
        state.wires.retain(|wire| wire.strong_count() > 0);
        let wires: Vec<_> = state.wires.iter().filter_map(Weak::upgrade).collect();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for wire in wires {
            let mut wire = lock(&wire);
            let wakers = wire.set_cut(from, to, cut);
            drop(wire);
            wakers.into_iter().for_each(Waker::wake);
        }
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.lock().opened
    }

    /// How many ends of connections there are now; each connection has two.
    #[must_use]
    pub fn open_ends(&self) -> usize {
        let state = self.lock();
        let used = lock(&state.used);
        used.values().sum()
    }

    /// Connects as a peer from localhost, within 5 seconds.
    ///
    /// # Errors
    /// As a pool's connect: refused, unreachable, unknown name, no answer in time.
    pub async fn connect(&self, address: impl fmt::Display) -> io::Result<MemoryStream> {
        self.dial(None, address.to_string()).await
    }

    /// Connects as a peer from this host, within 5 seconds.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_from(
        &self,
        host: IpAddr,
        address: impl fmt::Display,
    ) -> io::Result<MemoryStream> {
        let local = SocketAddr::new(host, 0);
        self.dial(Some(local), address.to_string()).await
    }

    async fn dial(&self, local: Option<SocketAddr>, address: String) -> io::Result<MemoryStream> {
        let mut progress = Progress::default();
        let attempt = self.clone().open(address, local, &mut progress);
        match timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Listens as a peer; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or is none.
    pub fn listen(&self, address: impl fmt::Display) -> io::Result<MemoryListener> {
        let address = address.to_string();
        let addresses = self.lock().resolve(&address)?;
        self.bind(addresses[0], BACKLOG)
    }

    fn bind(&self, mut address: SocketAddr, backlog: usize) -> io::Result<MemoryListener> {
        let mut state = self.lock();
        if address.port() == 0 {
            address.set_port(state.free_port(address.ip())?);
        }
        if !state.is_free(address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let desk = Desk {
            backlog,
            waiting: VecDeque::new(),
            acceptor: None,
            queue: Vec::new(),
        };
        state.listeners.insert(address, desk);
        drop(state);
        Ok(MemoryListener::new(self.clone(), address))
    }

    async fn open(
        self,
        target: String,
        local: Option<SocketAddr>,
        progress: &mut Progress,
    ) -> io::Result<MemoryStream> {
        let addresses = self.lock().resolve(&target)?;
        progress.phase = ConnectPhase::Connect;
        let mut last = io::ErrorKind::NotFound.into();
        for address in addresses {
            match self.try_open(address, local).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    progress.attempts.push((address, error.kind()));
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn try_open(
        &self,
        address: SocketAddr,
        local: Option<SocketAddr>,
    ) -> io::Result<MemoryStream> {
        let latency = self.lock().link_to(address).latency;
        if self.lock().silent.contains(&address.ip()) {
            std::future::pending::<()>().await;
        }
        if !latency.is_zero() {
            // There and back.
            sleep(latency.saturating_mul(2)).await;
        }
        if self.lock().unreachable.contains(&address.ip()) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        poll_fn(|cx| self.lock().poll_open(address, local, cx)).await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn set<T: Ord>(all: &mut BTreeSet<T>, one: T, is_in: bool) {
    if is_in {
        all.insert(one);
    } else {
        all.remove(&one);
    }
}

impl State {
    fn resolve(&self, target: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = target.parse() {
            return Ok(vec![address]);
        }
        let invalid = || {
            let text = format!("{target} is no address with a port");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        };
        let (host, port) = target.rsplit_once(':').ok_or_else(invalid)?;
        let port: u16 = port.parse().map_err(|_| invalid())?;
        let local = [Ipv4Addr::LOCALHOST.into()];
        let addresses = match self.names.get(host) {
            Some(addresses) => &addresses[..],
            None if host == "localhost" => &local,
            None => &[],
        };
        if addresses.is_empty() {
            let text = format!("the name {host} has no address");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let to = |ip: &IpAddr| SocketAddr::new(*ip, port);
        Ok(addresses.iter().map(to).collect())
    }

    /// A port at this host that nobody uses.
    fn free_port(&mut self, ip: IpAddr) -> io::Result<u16> {
        for _ in FIRST_FREE_PORT..=u16::MAX {
            let port = FIRST_FREE_PORT + self.ports % (u16::MAX - FIRST_FREE_PORT + 1);
            self.ports = self.ports.wrapping_add(1);
            let address = SocketAddr::new(ip, port);
            let used = lock(&self.used).contains_key(&address);
            if !used && self.is_free(address) {
                return Ok(port);
            }
        }
        let text = format!("every port of {ip} is in use");
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
    }

    /// Whether nobody listens where this address would.
    fn is_free(&self, address: SocketAddr) -> bool {
        let overlaps = |at: &SocketAddr| {
            let same_family = at.is_ipv4() == address.is_ipv4();
            let everywhere = at.ip().is_unspecified() || address.ip().is_unspecified();
            at.port() == address.port() && (*at == address || (same_family && everywhere))
        };
        !self.listeners.keys().any(overlaps)
    }

    /// Who listens there: at the address itself, or at every address of its family.
    fn desk_of(&mut self, address: SocketAddr) -> Option<&mut Desk> {
        let everywhere: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let everywhere = SocketAddr::new(everywhere, address.port());
        let at = if self.listeners.contains_key(&address) {
            address
        } else {
            everywhere
        };
        self.listeners.get_mut(&at)
    }

    fn link_to(&self, address: SocketAddr) -> &Link {
        self.links.get(&address).unwrap_or(&self.link)
    }

    fn poll_open(
        &mut self,
        address: SocketAddr,
        local: Option<SocketAddr>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<MemoryStream>> {
        let here = local.map_or_else(|| own_address(address), |local| local.ip());
        let ways = [(here, address.ip()), (address.ip(), here)];
        if ways.iter().any(|way| self.cuts.contains(way)) {
            remember(&mut self.waiting, cx.waker());
            return Poll::Pending;
        }
        let Some(desk) = self.desk_of(address) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
        };
        if desk.waiting.len() >= desk.backlog {
            remember(&mut desk.queue, cx.waker());
            return Poll::Pending;
        }
        let mut local = local.unwrap_or_else(|| SocketAddr::new(here, 0));
        if local.port() == 0 {
            match self.free_port(local.ip()) {
                Ok(port) => local.set_port(port),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let (near, far) = stream::pair(self.link_to(address), &self.used, local, address);
        self.opened += 1;
        if self.wires.len() == self.wires.capacity() {
            self.wires.retain(|wire| wire.strong_count() > 0);
        }
        self.wires.push(near.wire());
        if let Some(desk) = self.desk_of(address) {
            desk.waiting.push_back(far);
            if let Some(acceptor) = desk.acceptor.take() {
                acceptor.wake();
            }
        }
        Poll::Ready(Ok(near))
    }
}

/// Wakers of tasks; each task is in it once.
fn remember(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|other| other.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where connections come from that say nothing else.
fn own_address(to: SocketAddr) -> IpAddr {
    match to {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

impl fmt::Debug for MemoryNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("MemoryNet")
            .field("listeners", &state.listeners.keys().collect::<Vec<_>>())
            .field("opened", &state.opened)
            .finish_non_exhaustive()
    }
}

/// How far an attempt has come.
struct Progress {
    phase: ConnectPhase,
    attempts: Vec<(SocketAddr, io::ErrorKind)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            phase: ConnectPhase::Resolve,
            attempts: Vec::new(),
        }
    }
}
