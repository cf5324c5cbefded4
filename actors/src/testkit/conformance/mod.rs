//! What every transport promises, as checks that any [`Network`] can be put to.
//!
//! [`check`] drives the listeners and transports of a network directly, then a pool over it. Each
//! promise is one small scenario with a bound of its own. A new transport calls it from one test:
//!
//! ```no_run
//! # use switchboard::transport::TcpNetwork;
//! # async fn promises() -> Result<(), Box<dyn std::error::Error>> {
//! let report = switchboard::testkit::conformance::check(TcpNetwork, "127.0.0.1:0").await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```
//!
//! A path instead of an address has it listen on Unix sockets. What a kind of sockets does not have, such as
//! resets, is reported as not offered.

mod bytes;
mod ending;
mod opening;
mod pool;
mod wire;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::options::ListenPlace;
use crate::transport::{LocalFuture, Network};

/// How long [`check`] gives each promise.
pub const BOUND: Duration = Duration::from_secs(20);

/// Checks every promise. `place` is where listeners are opened: a text is an address, with port 0 where
/// there are ports, a path is the file of a Unix socket. Each scenario opens its own, one after the other.
///
/// It can be awaited on any thread of a tokio runtime with I/O and time; it brings its own local set. It
/// needs real time, since it moves connections to other threads, which a paused clock does not reach.
///
/// # Errors
/// When a promise was broken. All of them are checked in any case.
pub async fn check(
    network: impl Network + Clone,
    place: impl Into<ListenPlace>,
) -> Result<Report, Failure> {
    check_within(BOUND, network, place).await
}

/// [`check`] with another bound for each promise. A promise that is not kept by then is broken.
///
/// # Errors
/// As for [`check`].
pub async fn check_within(
    bound: Duration,
    network: impl Network + Clone,
    place: impl Into<ListenPlace>,
) -> Result<Report, Failure> {
    let bench = Bench {
        network: Arc::new(network.clone()),
        place: place.into(),
        builder: Arc::new(move || crate::Pool::builder().network(network.clone())),
    };
    let mut report = Report {
        promises: Vec::new(),
    };
    for &(name, run) in PROMISES {
        // What a scenario leaves behind ends with its set.
        let set = LocalSet::new();
        let outcome = match set.run_until(timeout(bound, run(bench.clone()))).await {
            Ok(Ok(())) => Outcome::Kept,
            Ok(Err(outcome)) => outcome,
            Err(_) => Outcome::Broken(format!("it is not done within {bound:?}")),
        };
        report.promises.push(Promise { name, outcome });
    }
    if report.broken().next().is_none() {
        Ok(report)
    } else {
        Err(Failure { report })
    }
}

/// How one promise was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The promise, as the name of its scenario.
    pub name: &'static str,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was kept.
    Kept,
    /// The network does not do this, and need not; why.
    NotOffered(String),
    /// It was broken, and how.
    Broken(String),
}

/// All promises and what came of each, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One line for each.
    pub promises: Vec<Promise>,
}

impl Report {
    /// The names of those that were broken.
    pub fn broken(&self) -> impl Iterator<Item = &'static str> {
        let promises = self.promises.iter();
        promises
            .filter(|promise| matches!(promise.outcome, Outcome::Broken(_)))
            .map(|promise| promise.name)
    }
}

/// A promise was broken; the report says which, and what came of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// All promises.
    pub report: Report,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    /// One line for each promise that was broken.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.report.promises.len();
        write!(
            f,
            "{} of {all} promises are broken",
            self.report.broken().count()
        )?;
        for promise in &self.report.promises {
            if matches!(promise.outcome, Outcome::Broken(_)) {
                write!(f, "\n{promise}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    /// One line for each promise.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, promise) in self.promises.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(f, "{separator}{promise}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Kept => write!(f, "{}: kept", self.name),
            Outcome::NotOffered(why) => write!(f, "{}: not offered, {why}", self.name),
            Outcome::Broken(why) => write!(f, "{}: broken, {why}", self.name),
        }
    }
}

/// What a scenario has to work with.
#[derive(Clone)]
struct Bench {
    network: Arc<dyn Network>,
    place: ListenPlace,
    builder: Arc<dyn Fn() -> crate::PoolBuilder>,
}

/// What a scenario says; an error is how the promise was not kept.
type Judged = Result<(), Outcome>;

impl From<String> for Outcome {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl From<&str> for Outcome {
    fn from(why: &str) -> Self {
        Self::Broken(why.to_owned())
    }
}

impl From<io::Error> for Outcome {
    fn from(error: io::Error) -> Self {
        Self::Broken(format!("an unexpected error: {error}"))
    }
}

impl From<crate::ListenError> for Outcome {
    fn from(error: crate::ListenError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<crate::ConnectError> for Outcome {
    fn from(error: crate::ConnectError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Asks for a fact that the promise stands on.
fn ensure(is_so: bool, why_not: impl Into<String>) -> Judged {
    if is_so {
        Ok(())
    } else {
        Err(Outcome::Broken(why_not.into()))
    }
}

type Scenario = fn(Bench) -> LocalFuture<Judged>;

macro_rules! promises {
    ($($area:ident: $($name:ident),*;)*) => {
        &[$($((stringify!($name), |bench| Box::pin($area::$name(bench))),)*)*]
    };
}

const PROMISES: &[(&str, Scenario)] = promises! {
    bytes:
        bytes_arrive_in_order_both_ways_at_once,
        vectored_writes_keep_their_order,
        a_read_without_data_wakes_the_last_waker,
        reads_and_writes_wake_their_own_tasks,
        a_peer_that_does_not_read_holds_writes_back,
        a_connection_moves_to_another_thread_with_its_bytes;
    ending:
        a_shutdown_ends_one_direction_only,
        the_end_is_read_again_and_again,
        an_end_wakes_a_read_that_waits,
        a_drop_ends_after_all_data,
        a_reset_reaches_the_peer,
        a_reset_wakes_both_directions,
        who_leaves_is_noticed_without_reading,
        a_write_to_a_peer_that_reset_fails;
    opening:
        addresses_agree_at_both_ends,
        port_0_becomes_a_real_one,
        a_busy_address_is_refused,
        a_connect_to_nobody_is_refused,
        a_connect_given_up_leaves_nothing,
        many_connect_at_once,
        a_closed_listener_refuses_and_spares_the_living;
    pool:
        a_pool_echoes_and_its_counters_add_up;
};
