//! What is supervised, and how.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context};
use switchboard_core::restart::{BackoffConfig, BackoffError};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tracing::Span;

use super::guard::{Exit, panic_text, start_killable};

/// When a child that ended is started again (as in OTP, whose words these are).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// After a panic only, or another failure of what it stands for.
    Transient,
    /// Never.
    Temporary,
}

impl Restart {
    pub(super) const fn wants(self, exit: &Exit) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => matches!(exit, Exit::Panicked(_)),
            Self::Temporary => false,
        }
    }
}

/// Who else is started again with a child that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Nobody.
    #[default]
    OneForOne,
    /// Those that were started after it: they may depend on it.
    RestForOne,
    /// All of them: they depend on one another.
    OneForAll,
}

/// What happens when children fail more often than the intensity allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnEscalation {
    /// The pool stops in order: a program that cannot do its work should end, so that whoever runs it
    /// sees that.
    #[default]
    StopPool,
    /// The supervisor stops its children and ends; the pool goes on.
    StopChildren,
}

/// How long a child may take to stop, unless it says otherwise.
const GRACE: Duration = Duration::from_secs(5);

/// A child: how it is made, each time anew, and when it is started again.
pub struct ChildSpec {
    pub(super) name: String,
    pub(super) start: StartChild,
    pub(super) restart: Restart,
    pub(super) grace: Duration,
}

/// How a child failed that ended in order; empty as long as it has not.
pub(crate) type Failure = Rc<RefCell<Option<String>>>;

/// Starts a child; gives its address and a hold on it, or the text of a panic.
pub(super) type StartChild =
    Box<dyn FnMut(Span, OnExit) -> Result<(Address, Running), String> + Send>;
pub(super) type OnExit = Box<dyn FnOnce(Exit)>;
/// The `Addr` of an actor whose type only its user knows.
pub(super) type Address = Box<dyn Any + Send>;

/// A child that runs.
pub(super) struct Running {
    /// Dropped, it asks the child to stop.
    pub(super) stop: oneshot::Sender<()>,
    pub(super) kill: AbortHandle,
}

impl ChildSpec {
    /// An actor, made by `make` each time that it is started: nothing of an instance that failed is
    /// used again. A panic in `make` counts as a failure of the child.
    pub fn actor<A, F>(name: impl Into<String>, mut make: F) -> Self
    where
        A: Actor<Context = Context<A>>,
        F: FnMut() -> A + Send + 'static,
    {
        Self::failing(name, move |_| make())
    }

    /// An actor that can say that what it stands for has failed, by leaving a text behind.
    pub(crate) fn failing<A, F>(name: impl Into<String>, mut make: F) -> Self
    where
        A: Actor<Context = Context<A>>,
        F: FnMut(Failure) -> A + Send + 'static,
    {
        let start = move |span: Span, on_exit: OnExit| {
            let failure = Failure::default();
            let actor = catch_unwind(AssertUnwindSafe(|| make(Rc::clone(&failure))));
            let actor = actor.map_err(panic_text)?;
            let (stop, stopped) = oneshot::channel::<()>();
            let (address, kill) = start_killable(
                actor,
                span,
                |ctx| {
                    // Asked to stop, or the supervisor is gone: either way it stops.
                    let stopping = actix::fut::wrap_future::<_, A>(stopped);
                    ctx.spawn(stopping.map(|_, _, ctx| ctx.stop()));
                },
                move |exit| {
                    let failed = failure.borrow_mut().take();
                    on_exit(match (exit, failed) {
                        (Exit::Normal, Some(text)) => Exit::Panicked(text),
                        (exit, _) => exit,
                    });
                },
            );
            Ok((Box::new(address) as Address, Running { stop, kill }))
        };
        Self {
            name: name.into(),
            start: Box::new(start),
            restart: Restart::default(),
            grace: GRACE,
        }
    }

    /// When it is started again. Default: always.
    #[must_use]
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long it may take to stop, in `stopping` and `stopped` and with what it still waits for; then it
    /// is dropped as it is. Default: 5 s.
    #[must_use]
    pub const fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("restart", &self.restart)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// A supervisor to be started by [`Pool::supervise`](crate::Pool::supervise): its children, in the
/// order in which they are started, and what happens when one fails.
///
/// ```
/// use switchboard::prelude::*;
/// use switchboard::{ChildSpec, Restart, Strategy, Supervise};
///
/// #[derive(Default)]
/// struct Room {
///     members: Vec<String>,
/// }
///
/// impl Actor for Room {
///     type Context = Context<Self>;
/// }
///
/// actix_rt::System::new().block_on(async {
///     let pool = Pool::builder().shards(0).start().unwrap();
///     let room = ChildSpec::actor("room", Room::default).restart(Restart::Permanent);
///     let chat = Supervise::new("chat").strategy(Strategy::OneForOne).child(room);
///     let supervisor = pool.supervise(chat).await.unwrap();
///     let room: Addr<Room> = supervisor.addr("room").unwrap();
///     assert!(room.connected());
///     pool.stop().await;
/// });
/// ```
#[derive(Debug)]
#[must_use = "nothing is supervised until it is given to a pool"]
pub struct Supervise {
    pub(super) name: String,
    pub(super) children: Vec<ChildSpec>,
    pub(super) strategy: Strategy,
    pub(super) intensity: (u32, Duration),
    pub(super) backoff: BackoffConfig,
    pub(super) seed: Option<u64>,
    pub(super) on_escalation: OnEscalation,
}

impl Supervise {
    /// A supervisor without children yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            children: Vec::new(),
            strategy: Strategy::default(),
            intensity: (10, Duration::from_secs(10)),
            backoff: BackoffConfig::default(),
            seed: None,
            on_escalation: OnEscalation::default(),
        }
    }

    /// Adds a child; it is started after those before it and stopped before them.
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Who else is started again with a child that is. Default: nobody.
    pub const fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The most restarts in any such period, over all children; one more escalates. Default: 10 in 10 s.
    pub const fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = (restarts, period);
        self
    }

    /// The pauses before restarts, for each child. Default: [`BackoffConfig::default`].
    pub const fn backoff(mut self, pauses: BackoffConfig) -> Self {
        self.backoff = pauses;
        self
    }

    /// What decides the jitter of the pauses. Default: chance.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// What happens when children fail too often. Default: the pool stops in order.
    pub const fn on_escalation(mut self, action: OnEscalation) -> Self {
        self.on_escalation = action;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), SuperviseError> {
        self.backoff.validate()?;
        for (position, child) in self.children.iter().enumerate() {
            if self.children[..position]
                .iter()
                .any(|other| other.name == child.name)
            {
                return Err(SuperviseError::NameTaken(child.name.clone()));
            }
        }
        Ok(())
    }
}

/// A supervisor that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// Two children have the same name.
    #[error("two children are named {0:?}")]
    NameTaken(String),
    /// The pauses cannot work.
    #[error(transparent)]
    Backoff(#[from] BackoffError),
    /// The pool is stopped.
    #[error(transparent)]
    Stopped(#[from] crate::error::PoolStopped),
}
