//! Runs that a seed decides: one thread, a clock that jumps, and every choice from one source.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_rt::System;
use fastrand::Rng;
use tokio::time::{Instant, timeout};

use crate::pool::{Pool, PoolBuilder};
use crate::supervisor::text_of;

use super::faults::{Faults, FaultyNet, Rates};
use super::memory::{Link, MemoryNet};

/// How many runs the search for a shorter script may take.
const MOST_RUNS: usize = 300;
/// How many lines of a trace a failure quotes.
const QUOTED: usize = 60;

/// A world of one thread in which a seed decides everything: what the network does to each byte, and
/// what the test draws from it. The same seed gives the same [trace](World::trace), bit for bit.
///
/// Choices that tokio or the standard library make by chance are not the seed's: write `biased;` in a
/// `select!` of your own, and do not go by the order of a `HashMap`.
///
/// Time is virtual: while all are waiting it jumps to the next deadline, so that a day of silence
/// takes no time. What needs real time, such as a socket, does not belong into it.
///
/// ```
/// use std::time::Duration;
/// use switchboard::testkit::Simulation;
///
/// let begun = std::time::Instant::now();
/// Simulation::seeded(7).run(|world| async move {
///     tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
///     assert_eq!(world.elapsed(), Duration::from_secs(24 * 3600));
/// });
/// assert!(begun.elapsed() < Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is simulated until it is run"]
pub struct Simulation {
    seed: u64,
    link: Link,
    rates: Option<Rates>,
    limit: Duration,
}

impl Simulation {
    /// A simulation that this seed decides.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            link: Link::default(),
            rates: None,
            limit: Duration::from_secs(7 * 24 * 3600),
        }
    }

    /// What connections are like. Default: [`Link::default`].
    pub fn link(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// How often the network misbehaves towards [pools](World::pool). Default: never.
    pub fn faults(mut self, rates: Rates) -> Self {
        self.rates = Some(rates);
        self
    }

    /// How much virtual time the test may take; then it counts as hanging, and fails. A loop that never
    /// waits is not ended by it: time stands still meanwhile. Default: 7 days.
    pub const fn limit(mut self, time: Duration) -> Self {
        self.limit = time;
        self
    }

    /// Runs a test in a new world.
    ///
    /// # Panics
    /// With the seed and the trace, when the test panics or takes longer than the limit.
    #[track_caller]
    pub fn run<F, W, T>(&self, test: F) -> T
    where
        F: FnOnce(World) -> W,
        W: Future<Output = T>,
    {
        match self.attempt(test) {
            Ok(value) => value,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Draws a script from the seed and plays it in a new world; one that fails is shortened as long
    /// as it still fails.
    ///
    /// # Panics
    /// With the seed, the shortest script that fails and its trace, when `play` gives an error, panics
    /// or takes longer than the limit.
    #[track_caller]
    pub fn check<S, D, P, W>(&self, draw: D, play: P)
    where
        S: Clone + fmt::Debug,
        D: FnOnce(&mut Rng) -> Vec<S>,
        P: Fn(World, Vec<S>) -> W,
        W: Future<Output = Result<(), String>>,
    {
        let script = draw(&mut Rng::with_seed(self.seed));
        let fails = |script: &[S]| self.play(&play, script.to_vec()).err();
        let Some(first) = fails(&script) else {
            return;
        };
        let (shortest, failure) = shorten(script.clone(), first, fails);
        let steps: Vec<_> = shortest.iter().map(|step| format!("  {step:?}")).collect();
        panic!(
            "{failure}\nshrunk from {} steps to {}:\n{}",
            script.len(),
            shortest.len(),
            steps.join("\n")
        );
    }

    fn play<S, P, W>(&self, play: &P, script: Vec<S>) -> Result<(), Failure>
    where
        P: Fn(World, Vec<S>) -> W,
        W: Future<Output = Result<(), String>>,
    {
        let mut seen = None;
        let outcome = self.attempt(|world| {
            seen = Some(world.clone());
            play(world, script)
        })?;
        outcome.map_err(|what| self.failure(what, seen.as_ref()))
    }

    fn attempt<F, W, T>(&self, test: F) -> Result<T, Failure>
    where
        F: FnOnce(World) -> W,
        W: Future<Output = T>,
    {
        let mut seen = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            // The clock of a paused runtime stands still from its first moment on.
            let system = System::with_tokio_rt(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .start_paused(true)
                    .build()
                    .unwrap_or_else(|error| panic!("no runtime for a simulation: {error}"))
            });
            system.block_on(async {
                let world = World::new(self);
                seen = Some(world.clone());
                timeout(self.limit, test(world)).await
            })
        }));
        let what = match outcome {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(_)) => format!("it was not done after {:?}", self.limit),
            Err(payload) => told(&*payload),
        };
        Err(self.failure(what, seen.as_ref()))
    }

    fn failure(&self, what: String, world: Option<&World>) -> Failure {
        Failure {
            seed: self.seed,
            what,
            trace: world.map(World::trace).unwrap_or_default(),
        }
    }
}

fn told(payload: &(dyn Any + Send)) -> String {
    text_of(payload).unwrap_or_else(|| "a panic without a text".into())
}

/// Leaves out parts, from halves down to single steps, as long as what is left fails.
fn shorten<S: Clone>(
    mut script: Vec<S>,
    mut failure: Failure,
    fails: impl Fn(&[S]) -> Option<Failure>,
) -> (Vec<S>, Failure) {
    let mut runs = 0;
    let mut part = script.len().div_ceil(2);
    while part > 0 && !script.is_empty() {
        let mut start = 0;
        let mut shorter = false;
        while start < script.len() && runs < MOST_RUNS {
            let mut less = script.clone();
            less.drain(start..(start + part).min(script.len()));
            runs += 1;
            if let Some(next) = fails(&less) {
                (script, failure, shorter) = (less, next, true);
            } else {
                start += part;
            }
        }
        if part == 1 && !shorter {
            break;
        }
        part = if part == 1 { 1 } else { part.div_ceil(2) };
        if runs >= MOST_RUNS {
            break;
        }
    }
    (script, failure)
}

/// A run that failed.
struct Failure {
    seed: u64,
    what: String,
    trace: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.trace.lines().collect();
        let first = lines.len().saturating_sub(QUOTED);
        writeln!(
            f,
            "the simulation with seed {seed} failed: {what}\n\
             to see it again: Simulation::seeded({seed}) with the same settings",
            seed = self.seed,
            what = self.what,
        )?;
        if first > 0 {
            writeln!(f, "  ... {first} lines")?;
        }
        write!(f, "{}", lines[first..].join("\n"))
    }
}

/// The world of one run. Clones are the same world.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    seed: u64,
    begun: Instant,
    net: MemoryNet,
    faults: Faults,
    rng: Mutex<Rng>,
    trace: Mutex<Vec<(Duration, String)>>,
}

impl World {
    fn new(simulation: &Simulation) -> Self {
        let faults = match &simulation.rates {
            Some(rates) => Faults::none().at_random(simulation.seed, rates.clone()),
            None => Faults::none(),
        };
        Self {
            inner: Arc::new(Inner {
                seed: simulation.seed,
                begun: Instant::now(),
                net: MemoryNet::new().with_link(simulation.link.clone()),
                faults,
                rng: Mutex::new(Rng::with_seed(simulation.seed)),
                trace: Mutex::default(),
            }),
        }
    }

    /// The seed that decides this run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.inner.seed
    }

    /// The network, to play peers on it; they meet no faults of their own.
    #[must_use]
    pub fn net(&self) -> &MemoryNet {
        &self.inner.net
    }

    /// The faults that pools meet, to see how many there were.
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Settings of a pool on this network and this thread.
    pub fn builder(&self) -> PoolBuilder {
        let network = FaultyNet::new(self.inner.net.clone(), self.inner.faults.clone());
        Pool::builder().shards(0).network(network)
    }

    /// A pool on this network and this thread.
    ///
    /// # Panics
    /// Outside of the simulation.
    #[must_use]
    pub fn pool(&self) -> Pool {
        self.builder()
            .start()
            .unwrap_or_else(|error| panic!("a pool of no shards needs nothing: {error}"))
    }

    /// Draws from the seed.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut lock(&self.inner.rng))
    }

    /// How much virtual time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.inner.begun.elapsed()
    }

    /// Writes a line into the trace.
    pub fn note(&self, what: impl fmt::Display) {
        let entry = (self.elapsed(), what.to_string());
        lock(&self.inner.trace).push(entry);
    }

    /// Everything that was noted, one line each, with the virtual time in seconds.
    #[must_use]
    pub fn trace(&self) -> String {
        let line =
            |(at, what): &(Duration, String)| format!("{:>12.6}  {what}\n", at.as_secs_f64());
        lock(&self.inner.trace).iter().map(line).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.inner.seed)
            .field("net", &self.inner.net)
            .finish_non_exhaustive()
    }
}
