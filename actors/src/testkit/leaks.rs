//! Whether everything is back to where it began.

use std::fmt;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::BufferSlots;
use crate::pool::Pool;

use super::MemoryNet;

/// How long what ends may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often is looked again.
const PAUSE: Duration = Duration::from_millis(5);

/// Remembers what there is, and finds later what is still there that was not: descriptors and threads
/// of the process (on Linux), tasks of the runtime, and of what it is shown also connections, actors,
/// slots and unread bytes.
///
/// The process is everybody's: in a test program that runs tests side by side, only what it is shown
/// says something about one of them; leave descriptors and threads out with
/// [`only_shown`](Self::only_shown) there.
///
/// ```
/// use switchboard::prelude::*;
/// use switchboard::testkit::{LeakCheck, Probe, Simulation};
///
/// Simulation::seeded(1).run(|world| async move {
///     let pool = world.pool();
///     let leaks = LeakCheck::begin().pool(&pool).net(world.net());
///     let mut probe = Probe::new();
///     let listen = Listen::tcp("10.0.0.1:7000").lines();
///     let server = pool.listen(listen, probe.session()).await.unwrap();
///     drop(world.net().connect(server.local_addr()).await.unwrap());
///     probe.expect::<Accepted>().await;
///     probe.expect_closed(ClosedReason::ClosedByPeer).await;
///     leaks.settle().await;
/// });
/// ```
#[derive(Debug)]
#[must_use = "a check finds nothing until it is asked"]
pub struct LeakCheck {
    process: Option<Process>,
    tasks: usize,
    pools: Vec<Pool>,
    nets: Vec<(MemoryNet, usize)>,
    slots: Vec<(BufferSlots, usize)>,
    patience: Duration,
}

/// What a process has, by the system's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    descriptors: usize,
    threads: usize,
}

impl Process {
    fn now() -> Option<Self> {
        let count = |path| Some(std::fs::read_dir(path).ok()?.count());
        Some(Self {
            descriptors: count("/proc/self/fd")?,
            threads: count("/proc/self/task")?,
        })
    }
}

/// Something that was not there at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// What kind of thing.
    pub what: &'static str,
    /// How many there were.
    pub before: usize,
    /// How many there are.
    pub now: usize,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} before, {} now", self.what, self.before, self.now)
    }
}

impl LeakCheck {
    /// Remembers what there is now.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn begin() -> Self {
        Self {
            process: Process::now(),
            tasks: Handle::current().metrics().num_alive_tasks(),
            pools: Vec::new(),
            nets: Vec::new(),
            slots: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Leaves out what belongs to the whole process.
    pub fn only_shown(mut self) -> Self {
        self.process = None;
        self
    }

    /// How long to wait for what ends by itself. Default: 10 s.
    pub const fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Also looks for connections and actors of this pool, which has none now.
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.pools.push(pool.clone());
        self
    }

    /// Also looks for ends of connections on this network, and so for bytes in them.
    pub fn net(mut self, net: &MemoryNet) -> Self {
        self.nets.push((net.clone(), net.open_ends()));
        self
    }

    /// Also looks for slots that were not given back.
    pub fn slots(mut self, slots: &BufferSlots) -> Self {
        self.slots.push((slots.clone(), slots.available()));
        self
    }

    /// What there is now that was not there at first.
    pub async fn leaks(&self) -> Vec<Leak> {
        let mut leaks = Vec::new();
        let mut look = |what, before, now| {
            if now > before {
                leaks.push(Leak { what, before, now });
            }
        };
        for pool in &self.pools {
            // A stopped pool has waited for everything of its own.
            if let Ok(status) = pool.status().await {
                let live = status.totals.live + status.totals.connecting;
                look(
                    "connections",
                    0,
                    usize::try_from(live).unwrap_or(usize::MAX),
                );
                look("actors", 0, status.actors);
            }
        }
        for (net, before) in &self.nets {
            look("ends of connections in memory", *before, net.open_ends());
        }
        for (slots, available) in &self.slots {
            let taken = |free| slots.count() - free;
            look("slots in use", taken(*available), taken(slots.available()));
        }
        look(
            "tasks",
            self.tasks,
            Handle::current().metrics().num_alive_tasks(),
        );
        if let (Some(before), Some(now)) = (self.process, Process::now()) {
            look("descriptors", before.descriptors, now.descriptors);
            look("threads", before.threads, now.threads);
        }
        leaks
    }

    /// Waits until nothing is left that was not there at first.
    ///
    /// # Panics
    /// With a list of what is left, when the patience is at its end.
    pub async fn settle(&self) {
        let since = Instant::now();
        loop {
            let leaks = self.leaks().await;
            if leaks.is_empty() {
                return;
            }
            if since.elapsed() >= self.patience {
                let lines: Vec<_> = leaks.iter().map(ToString::to_string).collect();
                panic!("left over: {}", lines.join("; "));
            }
            sleep(PAUSE).await;
        }
    }
}
