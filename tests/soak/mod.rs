//! Random worlds, and the books that must balance in each of them.
//!
//! A seed decides the network, its faults, who connects, what is sent, who breaks off, which session
//! panics. Afterwards every byte must be accounted for, each tracked send must have one outcome, the
//! counters must add up, nothing may be left over, and a new peer must be served.

mod account;
mod page;
mod peer;
mod session;
mod workload;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use switchboard::testkit::{LeakCheck, Link, Rates, Rng, Simulation, World};
use switchboard::{
    Client, Connect, ConnectionOptions, CrashPolicy, Listen, Pool, RateRule, ReconnectConfig,
    Server,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use account::{Account, Book, Role};
use peer::Peer;
pub use workload::Step;

/// Where the worlds' servers listen.
const SERVER: &str = "10.0.0.1:7000";
/// Where the peers listen that are connected to.
const FAR: &str = "10.0.0.2:7000";
/// Where the peer listens that we stay connected with.
const FAR_AND_BACK: &str = "10.0.0.2:7001";
/// In virtual time: longer than every timeout of a connection together.
const SETTLE: Duration = Duration::from_secs(300);
/// No world takes longer, in virtual time.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What one world has seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Connections.
    pub connections: u64,
    /// Bytes that sessions were given.
    pub received: u64,
    /// Bytes that sessions' sends were accepted for.
    pub sent: u64,
    /// Sessions that took the place of others.
    pub successors: u64,
    /// Links that took the place of others.
    pub links: u64,
    /// Faults of the network.
    pub faults: u64,
}

/// Lets one world live; what it has seen, if all its books balance.
///
/// # Panics
/// With the seed and the shortest workload that still fails, if they do not.
pub fn live_through(seed: u64) -> Seen {
    live(seed).0
}

/// Everything that happened in one world, line by line.
///
/// # Panics
/// As [`live_through`].
pub fn trace_of(seed: u64) -> String {
    live(seed).1
}

fn live(seed: u64) -> (Seen, String) {
    let lived = Rc::new(RefCell::default());
    let told = Rc::clone(&lived);
    simulation(seed).check(workload::draw, move |world, steps| {
        let told = Rc::clone(&told);
        async move {
            let seen = Stage::set(world.clone()).await.play(steps).await?;
            *told.borrow_mut() = (seen, world.trace());
            Ok(())
        }
    });
    lived.take()
}

/// The network of a world: quick or slow, kind or harsh.
fn simulation(seed: u64) -> Simulation {
    let mut rng = Rng::with_seed(!seed);
    let mut link = Link::default().window(1 << rng.u32(6..18));
    if rng.bool() {
        link = link.latency(Duration::from_micros(rng.u64(0..80_000)));
    }
    if rng.u8(0..4) == 0 {
        link = link.bandwidth(rng.u64(20_000..10_000_000));
    }
    if rng.u8(0..4) == 0 {
        link = link.chunk(rng.usize(1..2000));
    }
    let mut simulation = Simulation::seeded(seed).link(link).limit(LIMIT);
    if rng.bool() {
        let mut rates = Rates::default();
        if rng.bool() {
            rates.reset = rng.u32(0..10);
            rates.accept_error = rng.u32(0..200);
            rates.refuse = rng.u32(0..200);
        }
        simulation = simulation.faults(rates);
    }
    simulation
}

/// A pool, its peers, and the books.
struct Stage {
    world: World,
    pool: Pool,
    server: Server,
    leaks: LeakCheck,
    book: Book,
    peers: Rc<RefCell<Vec<Rc<Peer>>>>,
    /// Takes links, while it is there.
    far: Option<AbortHandle>,
}

impl Stage {
    async fn set(world: World) -> Self {
        let pool = world.pool();
        let leaks = LeakCheck::begin().only_shown().pool(&pool).net(world.net());
        let book = Book::default();
        let listen = options(Listen::tcp(SERVER).backlog(1000), world.seed());
        let listen = listen.on_crash(role(world.seed()).policy);
        let server = pool
            .listen(listen, session::factory(&book, role(world.seed())))
            .await;
        let server = server.expect("a world of its own has room");
        Self {
            world,
            pool,
            server,
            leaks,
            book,
            peers: Rc::default(),
            far: None,
        }
    }

    async fn play(mut self, steps: Vec<Step>) -> Result<Seen, String> {
        for step in steps {
            self.world.note(format_args!("{step:?}"));
            self.take(step).await;
            self.balance_so_far()?;
        }
        self.settle().await
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Wait(time) => sleep(time).await,
            Step::PeerConnects { kind } => {
                self.book.set_next(kind);
                let peer = Peer::new(&self.world);
                peer.connect_to(SERVER).await;
                self.peers.borrow_mut().push(peer);
                // The listener has its turn.
                sleep(Duration::from_millis(1)).await;
            }
            Step::WeConnect { kind } => self.connect_out(kind).await,
            Step::WeStayConnected { kind } => self.stay_connected(kind).await,
            Step::FarServes { on } => self.far_serves(on),
            Step::PeerSends { peer, bytes } => self.with_peer(peer, |peer| peer.send(bytes)),
            Step::PeerReads { peer, on } => self.with_peer(peer, |peer| peer.set_reading(on)),
            Step::PeerFinishes { peer } => self.with_peer(peer, |peer| peer.finish()),
            Step::PeerResets { peer } => self.with_peer(peer, |peer| peer.reset()),
            Step::PeerDrops { peer } => self.with_peer(peer, |peer| peer.drop_it()),
            Step::Send { of, bytes, tracked } => self.with(of, |account, client| {
                let token = tracked.then(|| account.next_token());
                let payload = account.to_send(bytes);
                let outcome = match token {
                    Some(token) => client.send_with(payload.clone(), token),
                    None => client.send(payload.clone()),
                };
                if outcome.is_ok() {
                    account.accepted(&payload, token);
                }
            }),
            Step::TrySend { of, bytes } => self.with(of, |account, client| {
                let payload = account.to_send(bytes);
                if let Ok(count) = client.try_send(&payload) {
                    account.accepted(&payload[..count], None);
                }
            }),
            Step::Pause { of } => self.with(of, |_, client| client.pause_reading()),
            Step::Resume { of } => self.with(of, |account, client| {
                account.left = false;
                client.resume_reading();
            }),
            Step::WriteEof { of } => self.with(of, |_, client| {
                // Refused when it is closing.
                let _ = client.write_eof();
            }),
            Step::Close { of, flush } => self.with(of, |account, client| {
                account.ends = true;
                client.close_with(flush, None);
            }),
            Step::Abort { of } => self.with(of, |account, client| {
                account.ends = true;
                client.abort();
            }),
            Step::Desert { of, resets } => self.desert(of, resets),
            Step::Panic { of, successors } => {
                self.with(of, |account, _| account.panics = 1 + successors);
            }
            Step::StopSession { of } => self.with(of, |account, _| account.stops = true),
        }
    }

    async fn connect_out(&mut self, kind: session::Kind) {
        self.book.set_next(kind);
        let peer = Peer::new(&self.world);
        let mut far = self.world.net().listen(FAR).expect("it is free again");
        let attempt = self.pool.connect(
            options(
                Connect::tcp(FAR).timeout(Duration::from_secs(3)),
                self.world.seed(),
            ),
            session::factory(&self.book, PLAIN),
        );
        let accepted = timeout(Duration::from_secs(10), far.accept());
        let (attempt, accepted) = tokio::join!(attempt, accepted);
        // One without the other: the network refused, or broke at once.
        self.book.outbound(attempt.is_ok());
        if let Ok(stream) = accepted {
            peer.take(stream);
        }
        self.peers.borrow_mut().push(peer);
    }

    /// Connects, with sessions and links that can be replaced.
    async fn stay_connected(&mut self, kind: session::Kind) {
        if self.far.is_none() {
            self.far_serves(true);
        }
        let seed = self.world.seed();
        self.book.set_next(kind);
        let mut again = ReconnectConfig::default();
        again.backoff.max = Duration::from_secs(2);
        again.max_attempts = Some(5);
        again.seed = Some(seed);
        let connect = Connect::tcp(FAR_AND_BACK)
            .timeout(Duration::from_secs(3))
            .reconnect(again);
        let connect = options(connect, seed).on_crash(role(seed).policy);
        let role = Role {
            reconnects: true,
            ..role(seed)
        };
        let attempt = self
            .pool
            .connect_supervised(connect, session::factory(&self.book, role));
        let book = self.book.clone();
        tokio::task::spawn_local(async move { book.outbound(attempt.await.is_ok()) });
        // The first session is made.
        sleep(Duration::from_millis(1)).await;
    }

    fn far_serves(&mut self, on: bool) {
        if let Some(far) = self.far.take() {
            far.abort();
        }
        if !on {
            return;
        }
        let (world, peers) = (self.world.clone(), Rc::clone(&self.peers));
        let far = tokio::task::spawn_local(async move {
            // The one before may be about to go.
            let mut far = loop {
                match world.net().listen(FAR_AND_BACK) {
                    Ok(far) => break far,
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            };
            loop {
                let stream = far.accept().await;
                let peer = Peer::new(&world);
                peer.take(stream);
                peers.borrow_mut().push(peer);
            }
        });
        self.far = Some(far.abort_handle());
    }

    /// Leaves a reader that pauses.
    fn desert(&self, of: usize, resets: bool) {
        let peers = self.peers.borrow();
        self.with(of, |account, client| {
            let peer = account.address().and_then(|address| {
                let is_it = |peer: &&Rc<Peer>| peer.address.get() == Some(address);
                peers.iter().find(is_it)
            });
            let Some(peer) = peer.filter(|peer| peer.end.get().is_none()) else {
                return;
            };
            client.pause_reading();
            if resets {
                account.left = true;
                peer.reset();
            } else {
                peer.finish();
            }
        });
    }

    fn with_peer(&self, number: usize, act: impl FnOnce(&Rc<Peer>)) {
        let peers = self.peers.borrow();
        if let Some(peer) = peers.get(number % peers.len().max(1)) {
            act(peer);
        }
    }

    fn with(&self, number: usize, act: impl FnOnce(&mut Account, &Client)) {
        self.book.with(number, act);
    }

    fn balance_so_far(&self) -> Result<(), String> {
        self.book.violations()
    }

    /// Everything comes to its end, and then the books must balance.
    async fn settle(self) -> Result<Seen, String> {
        for peer in &*self.peers.borrow() {
            peer.set_reading(true);
        }
        sleep(SETTLE).await;
        self.serves().await?;
        self.server.close().await;
        let totals = self.pool.stop().await;
        if let Some(far) = &self.far {
            far.abort();
        }
        for peer in &*self.peers.borrow() {
            peer.drop_it();
        }
        self.leaks.settle().await;
        self.world.note(&totals);
        if totals.live != 0 || totals.accepted + totals.connected != totals.closed_in_all() {
            return Err(format!("the counters do not add up: {totals}"));
        }
        let mut seen = self
            .book
            .balance(&self.world, &self.peers.borrow(), &totals)?;
        seen.faults = self.world.faults().counts().total();
        Ok(seen)
    }

    /// After all that a new peer is served, though the network may break it off.
    async fn serves(&self) -> Result<(), String> {
        const TRIES: u32 = 30;
        for _ in 0..TRIES {
            self.book.set_next(session::Kind::Echo);
            let served = async {
                let mut peer = self.world.net().connect(SERVER).await.ok()?;
                peer.write_all(b"still there?\n").await.ok()?;
                let mut answer = [0; 13];
                peer.read_exact(&mut answer).await.ok()?;
                // Read to the end, so that the books of this one balance too.
                peer.shutdown().await.ok()?;
                let mut rest = Vec::new();
                peer.read_to_end(&mut rest).await.ok()?;
                Some(&answer == b"still there?\n" && rest.is_empty())
            };
            match timeout(SETTLE, served).await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => return Err("a new peer got a wrong answer".to_owned()),
                // The network broke it off.
                Ok(None) if self.world.faults().counts().total() > 0 => {}
                Ok(None) => {
                    return Err("a new peer was broken off in a network without faults".to_owned());
                }
                Err(_) => return Err("a new peer is not served".to_owned()),
            }
        }
        Err(format!("no new peer was served in {TRIES} tries"))
    }
}

const PLAIN: Role = Role {
    policy: CrashPolicy::Close,
    reconnects: false,
};

/// In one world of three a connection outlives its session, but not too many of them.
const fn role(seed: u64) -> Role {
    if !seed.is_multiple_of(3) {
        return PLAIN;
    }
    let policy = CrashPolicy::Restart {
        max: 2,
        within: Duration::from_secs(5),
    };
    Role { policy, ..PLAIN }
}

/// One world in four has no patience with slow peers, nor with old connections.
fn options<O: ConnectionOptions>(mut options: O, seed: u64) -> O {
    if seed.is_multiple_of(4) {
        let rule = RateRule::new(200, Duration::from_secs(2));
        options = options.read_rate(rule).write_rate(rule);
        options = options.max_lifetime(Duration::from_secs(20));
    }
    options
        .write_limits(8 * 1024, 2 * 1024)
        .write_capacity(64 * 1024)
        .max_line(4 * 1024)
        .idle_timeout(Duration::from_secs(120))
        .flush_timeout(Duration::from_secs(20))
}

impl Seen {
    /// Adds what another world has seen.
    pub const fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.received += other.received;
        self.sent += other.sent;
        self.successors += other.successors;
        self.links += other.links;
        self.faults += other.faults;
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} connections, {} successors, {} more links, {} bytes received, {} sent, {} faults",
            self.connections, self.successors, self.links, self.received, self.sent, self.faults
        )
    }
}
