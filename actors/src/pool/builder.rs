//! What a pool is made with.

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::{AsyncContext, Context};
use switchboard_core::{BackoffConfig, Budget, Gate};
use tokio::sync::watch;

use crate::client::clock;
use crate::drain::Drain;
use crate::error::StartError;
use crate::failure::FailureHandler;
use crate::placement::{Placement, Placer};
use crate::places::PoolGates;
use crate::shard::KeepBudget;
use crate::supervisor::RestartRules;
use crate::transport::{Network, TcpNetwork};
use crate::workers::Crowd;

use super::actor::{PoolActor, Root};
use super::shards::Shards;
use super::{GRACE, Inner, Phase, Pool, PressureReport};

/// How many shards an id can tell apart.
const MOST_SHARDS: usize = 1 << 16;
/// How many workers there may be: a thread each, and a look at each for every new connection.
const MOST_WORKERS: usize = 4096;
/// The least memory budget: what one read may bring.
const LEAST_BUDGET: usize = 64 * 1024;

/// Settings of a pool that is not started yet. Each takes effect when it starts, for its whole life.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is started"]
pub struct PoolBuilder {
    name: String,
    shards: Option<usize>,
    workers: usize,
    placement: Placement,
    max_connections: Option<usize>,
    on_signal: Drain,
    memory_budget: Option<usize>,
    gives_back_memory: bool,
    shared: Option<Gate>,
    network: Arc<dyn Network>,
    restart: RestartRules,
}

impl Default for PoolBuilder {
    fn default() -> Self {
        Self {
            name: "pool".into(),
            shards: None,
            workers: 0,
            placement: Placement::default(),
            max_connections: None,
            on_signal: Drain::within(GRACE).close_untold(true),
            memory_budget: None,
            gives_back_memory: true,
            shared: None,
            network: Arc::new(TcpNetwork),
            restart: RestartRules {
                backoff: quick_pauses(),
                ..RestartRules::default()
            },
        }
    }
}

/// Pauses that are short enough for the intensity to be reached by what cannot be mended.
fn quick_pauses() -> BackoffConfig {
    let mut pauses = BackoffConfig::default();
    pauses.max = Duration::from_secs(1);
    pauses
}

impl PoolBuilder {
    /// The pool's name in logs. Default: `pool`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How many arbiters, each a thread with its own share of the connections. Default: one per
    /// available core. 0: none, everything runs on the calling thread.
    ///
    /// A shard whose thread ends (a session may stop it with `Arbiter::current().stop()`) is started
    /// again on another one: its connections are closed with reason Error, its listeners come back on
    /// their sockets, which peers notice only by the pause, and handles stay valid. For that each
    /// listener holds a second descriptor. With 0 shards there is no thread to start again: what ends
    /// the calling thread ends the pool.
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// How many workers, each a thread on which sessions live apart from the bytes of their connections,
    /// so that a handler may block (sleep, compute, wait for a disk) and stall no other connection's
    /// input and output (XAS-03, XAS-10). A session lives on one worker, the one with the fewest when it
    /// is made, and is handled there in order. It takes effect from the start. Default: 0, sessions live
    /// on the thread of their connection. At most 4,096.
    ///
    /// Sessions that are a connection's own go there, unless
    /// [`on_workers`](crate::ConnectionOptions::on_workers) says otherwise; an `Addr` and
    /// [`Handlers`](crate::Handlers) stay where their actors are. Two sessions on one worker still wait
    /// for each other: as many workers are needed as handlers may block at one time. An answer takes two
    /// wakes between threads more than without workers. A connection whose session could not be made
    /// within its `adoption_timeout` closes, and its factory is not called any more; no more than 16,384
    /// wait at one worker, and one more closes with [`Cause::NoSession`](crate::Cause::NoSession). A thread that ends (a handler has stopped its arbiter) loses its sessions, whose connections
    /// close, and is started again after a pause, as [`intensity`](Self::intensity) allows; then the pool stops, with
    /// [`PoolEvent::Escalated`](crate::PoolEvent::Escalated). A stop of the pool waits for handlers that
    /// block for its grace and up to 4 s more; then it leaves their threads behind.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Which shard a new connection goes to, where
    /// [`Listen::placement`](crate::Listen::placement) does not say otherwise. It takes effect from the
    /// start. Default: [`Placement::RoundRobin`].
    pub const fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// The most connections of the whole pool at one time, exactly. Default: no limit; the system's
    /// own is its number of open files.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// The most restarts in any such period, of all shards together, and of all workers together; with
    /// one more the pool stops in order. Default: 10 in 10 s.
    pub const fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.restart.intensity = (restarts, period);
        self
    }

    /// The pauses before shards and workers are started again. Default: [`BackoffConfig::default`] with
    /// a second at most, so that what fails for ever does reach the intensity.
    pub const fn backoff(mut self, pauses: BackoffConfig) -> Self {
        self.restart.backoff = pauses;
        self
    }

    /// The most bytes that should wait in all connections of the pool together: received and not
    /// handled, those with the sessions included, and queued to be sent. Default: no budget, only the
    /// bounds of each connection; at least 64 KiB. Takes effect at the start.
    ///
    /// Over the budget the connections that hold most stop reading, which their sessions are not told,
    /// until four fifths of it are left; whoever still grows stops reading, too. If it is still
    /// exceeded a second later, connections that hold bytes are reset with the cause
    /// [`MemoryPressure`](crate::Cause::MemoryPressure), one after the other, those first on whose link
    /// nothing has moved for longest. Each shard goes by its own connections.
    ///
    /// No send is refused for it, and what one look at a socket brings is taken: so it can be exceeded
    /// by that much of each connection (256 KiB at most, and no more than its read window and 64 KiB
    /// where frames are shorter), and by what sessions send meanwhile. A connection is counted anew
    /// when it holds 4 KiB more or less, so the sum is off by at most that for each; one that holds
    /// less is not counted, and not ended either. What TLS holds for itself is not counted: a record or
    /// two each way, and 64 KiB at most in a handshake.
    pub const fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = Some(bytes);
        self
    }

    /// Whether memory goes back to the system when a spike of connections is over. Default: true.
    ///
    /// It is done on Linux with glibc, whose `malloc` keeps nearly all that is freed (see
    /// [malloc_trim(3)](https://man7.org/linux/man-pages/man3/malloc_trim.3.html)); elsewhere this changes
    /// nothing. A shard that has had 1,000 connections or more asks for it once no more than a quarter of
    /// the most is left and none has ended for 200 ms (or 2 s have gone by), and not again within 5 s. It
    /// is done on a thread of the runtime for blocking work, for the whole process. While that goes
    /// through the memory of a shard, which takes some milliseconds for what 10,000 connections have left,
    /// the shard may have to wait for it. What is used afterwards is taken from the system again.
    pub const fn give_back_memory(mut self, give_back: bool) -> Self {
        self.gives_back_memory = give_back;
        self
    }

    /// How the pool drains when the process is told to end and
    /// [`run_until_signal`](Pool::run_until_signal) or [`run`](Self::run) is under way. Default: within
    /// 10 s; connections whose session does not handle [`Draining`](crate::message::Draining) are closed
    /// at once, after what is queued is sent ([`Drain::close_untold`]).
    pub const fn drain_on_signal(mut self, drain: Drain) -> Self {
        self.on_signal = drain;
        self
    }

    /// A limit that every pool which is given a clone of it is counted by too, outbound connections
    /// included: that of a whole process, for example. It is exact over all of them, and
    /// [`Gate::set_limit`] changes it at once. The pool's own stays. Default: none.
    ///
    /// ```
    /// # use switchboard::{Gate, Pool};
    /// let process = Gate::new(10_000);
    /// let front = Pool::builder().share_limit(process.clone());
    /// let back = Pool::builder().share_limit(process).max_connections(500);
    /// # drop((front, back));
    /// ```
    pub fn share_limit(mut self, limit: Gate) -> Self {
        self.shared = Some(limit);
        self
    }

    /// What carries the bytes. Default: the system's TCP.
    pub fn network(mut self, network: impl Network) -> Self {
        self.network = Arc::new(network);
        self
    }

    /// Starts the pool on the calling thread, which must run an actix system, or any tokio local set
    /// if there are 0 shards and 0 workers. No port and no helper socket is opened (XAS-04).
    ///
    /// # Errors
    /// Without such a system, when the system gives no thread, when the memory budget is too small, or
    /// when the pauses cannot work.
    ///
    /// # Panics
    /// On a thread without a tokio local set, as every start of an actix actor does.
    pub fn start(self) -> Result<Pool, StartError> {
        let shards = self.shards.unwrap_or_else(|| {
            std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
        });
        if shards > MOST_SHARDS {
            let (asked, most) = (shards, MOST_SHARDS);
            return Err(StartError::TooManyShards { asked, most });
        }
        if self.workers > MOST_WORKERS {
            let (asked, most) = (self.workers, MOST_WORKERS);
            return Err(StartError::TooManyWorkers { asked, most });
        }
        let budget = match self.memory_budget {
            Some(asked) if asked < LEAST_BUDGET => {
                let least = LEAST_BUDGET;
                return Err(StartError::BudgetTooSmall { asked, least });
            }
            budget => budget.map(Budget::new),
        };
        if shards + self.workers > 0 && actix_rt::System::try_current().is_none() {
            return Err(StartError::NoSystem);
        }
        let backoff = self.restart.backoff.validate();
        backoff.map_err(StartError::Backoff)?;
        let ctx = Context::<PoolActor>::new();
        let address = ctx.address();
        let span = crate::telemetry::pool_span(&self.name);
        let subscribed = Arc::new(AtomicBool::new(false));
        let keep = budget.clone().map(|budget| KeepBudget {
            budget,
            report: PressureReport {
                pool: address.downgrade(),
                subscribed: Arc::clone(&subscribed),
                span: span.clone(),
            },
        });
        let crowd = match self.workers {
            0 => None,
            count => Some(Crowd::start(count, &self.restart).map_err(StartError::Runtime)?),
        };
        let mut all = Shards::new(
            shards > 0,
            self.network,
            address.downgrade(),
            keep,
            self.gives_back_memory,
            self.restart,
        );
        for index in 0..shards.max(1) {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            if let Err(error) = all.add(index) {
                for arbiter in all.take_threads() {
                    arbiter.stop();
                }
                return Err(StartError::Runtime(error));
            }
        }
        let workers = crowd.as_ref().map(|crowd| Arc::clone(&crowd.workers));
        let (phase, phases) = watch::channel(Phase::Running);
        let failures = FailureHandler::default();
        let draining = Arc::new(AtomicBool::new(false));
        let homes = all.homes();
        let root = Root {
            pool: address.clone(),
            subscribed: Arc::clone(&subscribed),
        };
        let actor = PoolActor {
            shards: all,
            subscribers: Vec::new(),
            subscribed: Arc::clone(&subscribed),
            draining: Arc::clone(&draining),
            phase,
            failures: failures.clone(),
            workers: crowd.map(|crowd| crowd.supervise(root, span.clone())),
            supervisors: Vec::new(),
            span: span.clone(),
        };
        ctx.run(actor);
        Ok(Pool {
            inner: Arc::new(Inner {
                name: self.name,
                address,
                shards: homes,
                threads: shards > 0,
                placer: Placer::new(self.placement, 0, RandomState::new()),
                workers,
                gates: PoolGates {
                    own: self.max_connections.map_or_else(Gate::unlimited, Gate::new),
                    shared: self.shared,
                },
                budget,
                subscribed,
                failures,
                draining,
                on_signal: self.on_signal,
                phases,
                passes: watch::Sender::new(0),
                began: clock(),
                span,
            }),
        })
    }
}
