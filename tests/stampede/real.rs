//! On real sockets and real threads: whatever is killed, from a session to a thread.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_rt::Arbiter;
use switchboard::message::*;
use switchboard::testkit::{LeakCheck, Rng};
use switchboard::transport::TcpNetwork;
use switchboard::{
    BackoffConfig, BufferSlots, Client, ConnectionOptions, CrashPolicy, Listen, Pool, PoolEvent,
    SessionContext,
};
use switchboard_tests::failing::{FailOnAccept, Faults};
use switchboard_tests::{PATIENCE, watch};

/// How many peers there are at any time.
const HERD: usize = 100;
/// For how long something is killed.
const STAMPEDE: Duration = Duration::from_secs(10);
/// How often something is killed.
const PAUSE: Duration = Duration::from_millis(50);

/// Echoes lines, unless one is its death or that of its thread.
struct Mortal {
    client: Client,
}

impl Actor for Mortal {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Mortal {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, ctx: &mut Self::Context) {
        match &msg.line[..] {
            // A panic of which the hook makes no noise.
            b"panic" => std::panic::resume_unwind(Box::new("as it was told")),
            b"stop" => ctx.stop(),
            b"stop the thread" => {
                Arbiter::current().stop();
            }
            line => drop(self.client.send_line(&line)),
        }
    }
}

switchboard::session!(Mortal);

/// A peer, which is not surprised by anything.
struct Peer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Peer {
    /// Comes in. While a socket that died is bound again nobody listens.
    fn new(address: SocketAddr) -> Self {
        let patience = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < patience, "{error}, for too long"),
            }
            // The pause before the port is bound again.
            std::thread::sleep(Duration::from_millis(5));
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    fn says(&mut self, line: &str) -> bool {
        self.stream
            .write_all(format!("{line}\n").as_bytes())
            .is_ok()
    }

    /// Whether it gets its own line back. `false`: its connection is gone.
    fn is_served(&mut self) -> bool {
        let mut answer = String::new();
        self.says("alive")
            && self
                .lines
                .read_line(&mut answer)
                .is_ok_and(|_| answer == "alive\n")
    }
}

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// A session, which has a successor.
    Session,
    /// A session that ends by itself, which has none.
    Connection,
    ClientActor,
    ServerActor,
    Socket,
    /// The thread of a shard.
    Shard,
    /// The thread on which a session lives, if that is another one.
    Worker,
}

const VICTIMS: [Victim; 7] = [
    Victim::Session,
    Victim::Connection,
    Victim::ClientActor,
    Victim::ServerActor,
    Victim::Socket,
    Victim::Shard,
    Victim::Worker,
];

/// The herd, and how many of each kind were killed.
struct Stampede {
    address: SocketAddr,
    pool: Pool,
    faults: Arc<Faults>,
    rng: Rng,
    herd: Vec<Peer>,
    killed: [usize; VICTIMS.len()],
}

impl Stampede {
    /// Kills something.
    async fn kill(&mut self, victim: Victim) {
        self.killed[victim as usize] += 1;
        let chosen = self.rng.usize(..self.herd.len());
        let peer = &mut self.herd[chosen];
        match victim {
            // It may be dead already; then nobody notices.
            Victim::Session => drop(peer.says("panic")),
            Victim::Connection => drop(peer.says("stop")),
            Victim::Worker => drop(peer.says("stop the thread")),
            Victim::ClientActor => {
                if let Some(client) = self.some_client().await {
                    let crash = |_: socket2::SockRef<'_>| {
                        std::panic::resume_unwind(Box::new("with the socket"))
                    };
                    client.with_socket::<(), _>(crash).await;
                }
            }
            Victim::Shard => {
                if let Some(client) = self.some_client().await {
                    client.with_socket(|_| Arbiter::current().stop()).await;
                }
            }
            // The next peer that comes is the end of it.
            Victim::ServerActor => drop(self.faults.panics.fetch_add(1, SeqCst)),
            Victim::Socket => drop(self.faults.deaths.fetch_add(1, SeqCst)),
        }
    }

    async fn some_client(&mut self) -> Option<Client> {
        let all = self.pool.connections().await.ok()?;
        let chosen = self.rng.usize(..all.len().max(1));
        self.pool.connection(all.get(chosen)?.id).await
    }

    /// Looks at some peers and has others come for those that are gone. Blocks.
    fn gather(&mut self) {
        for _ in 0..5 {
            if !self.herd.is_empty() {
                let chosen = self.rng.usize(..self.herd.len());
                if !self.herd[chosen].is_served() {
                    self.herd.swap_remove(chosen);
                }
            }
        }
        while self.herd.len() < HERD {
            self.herd.push(Peer::new(self.address));
        }
    }
}

/// Many short pauses, as often as it takes.
fn undaunted() -> BackoffConfig {
    let mut pauses = BackoffConfig::default();
    pauses.min = Duration::from_millis(1);
    pauses.max = Duration::from_millis(20);
    pauses
}

async fn trample(seed: u64, workers: usize) {
    let (network, faults) = FailOnAccept::over(TcpNetwork);
    let pool = Pool::builder()
        .shards(2)
        .workers(workers)
        .network(network)
        .intensity(10_000, STAMPEDE)
        .backoff(undaunted())
        .start()
        .unwrap();
    let slots = BufferSlots::new(2 * (HERD + 50), 4096, false).unwrap();
    let leaks = LeakCheck::begin()
        .pool(&pool)
        .slots(&slots)
        .patience(PATIENCE);
    let mut events = watch(&pool);
    let listen = Listen::tcp("127.0.0.1:0")
        .lines()
        .slots(slots.clone())
        .max_connections(HERD + 50)
        .on_crash(CrashPolicy::Restart {
            max: 10_000,
            within: STAMPEDE,
        })
        .intensity(10_000, STAMPEDE)
        .backoff(undaunted());
    let server = pool.listen(listen, |client| Mortal { client }).await;
    let server = server.unwrap();
    let mut stampede = Stampede {
        address: server.local_addr(),
        pool: pool.clone(),
        faults,
        rng: Rng::with_seed(seed),
        herd: Vec::new(),
        killed: [0; VICTIMS.len()],
    };
    let end = Instant::now() + STAMPEDE;
    while Instant::now() < end {
        stampede = tokio::task::spawn_blocking(move || {
            stampede.gather();
            stampede
        })
        .await
        .unwrap();
        let victim = VICTIMS[stampede.rng.usize(..VICTIMS.len())];
        stampede.kill(victim).await;
        // The rhythm of the stampede.
        tokio::time::sleep(PAUSE).await;
    }
    assert!(
        stampede.killed.iter().all(|killed| *killed >= 5),
        "too little was killed: {:?}",
        stampede.killed
    );

    // Then everything serves again, though nobody of the herd need be alive.
    let served = tokio::task::spawn_blocking(move || {
        stampede.herd.clear();
        let mut served = 0;
        // What was still to be killed is, by the first ones that come.
        let patience = Instant::now() + PATIENCE;
        while served < HERD && Instant::now() < patience {
            served = if Peer::new(stampede.address).is_served() {
                served + 1
            } else {
                0
            };
        }
        served
    });
    assert_eq!(served.await.unwrap(), HERD, "not everybody is served again");
    let info = server.info();
    assert!(info.restarts > 0, "{info:?}");
    server.close().await;
    server.wait_drained().await;
    let mut told = 0;
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, PoolEvent::Escalated { .. }), "{event:?}");
        told += usize::from(matches!(event, PoolEvent::SessionFailed { .. }));
    }
    assert!(told > 0, "sessions panicked and nobody was told");
    leaks.settle().await;
    let info = server.info();
    assert_eq!((info.live, info.accepted), (0, info.closed.iter().sum()));
    let totals = pool.stop().await;
    assert_eq!(totals.live, 0, "{totals}");
    assert_eq!(totals.accepted, totals.closed_in_all(), "{totals}");
    assert_eq!(totals.accepted, info.accepted);
}

/// T-05: with sessions on the threads of their connections, and on workers. The seed is shown when it
/// fails, though threads have a will of their own.
#[test]
fn after_a_stampede_on_real_sockets_everyone_is_served_and_nothing_is_left() {
    for (seed, workers) in [(1, 0), (2, 2)] {
        let outcome = std::panic::catch_unwind(|| {
            let threads = || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    // Blocking threads that have nothing to do are not left over.
                    .thread_keep_alive(Duration::from_millis(50))
                    .build()
                    .unwrap()
            };
            System::with_tokio_rt(threads).block_on(async move {
                let limit = STAMPEDE + 3 * PATIENCE;
                tokio::time::timeout(limit, trample(seed, workers))
                    .await
                    .expect("it takes too long");
            });
        });
        assert!(outcome.is_ok(), "seed {seed}, {workers} workers");
    }
}
