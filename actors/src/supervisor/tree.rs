//! A supervisor at work.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::future::{pending, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};

use actix::{Actor, Addr};
use switchboard_core::restart::{Backoff, Intensity};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep};
use tracing::Span;

use crate::message::PoolEvent;
use crate::telemetry;

use super::guard::Exit;
use super::spec::{ChildSpec, OnEscalation, OnExit, Running, Strategy, Supervise};

/// The handle of a supervisor. Cheap to clone, usable from any thread. Dropping it stops nothing.
#[derive(Clone)]
pub struct Supervisor {
    name: Arc<str>,
    orders: mpsc::UnboundedSender<Order>,
    /// Whether nobody has any grace any more.
    hurry: Arc<watch::Sender<bool>>,
    addresses: Addresses,
}

type Addresses = Arc<Mutex<HashMap<String, Box<dyn Any + Send>>>>;

/// What a supervisor is asked for.
enum Order {
    Stop(oneshot::Sender<()>),
    Status(oneshot::Sender<Vec<ChildStatus>>),
}

/// A child, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChildStatus {
    /// Its name.
    pub name: String,
    /// Whether it runs now.
    pub running: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// The text of its last panic, if it ever panicked.
    pub last_panic: Option<String>,
}

impl Supervisor {
    /// The supervisor's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of a child of this name and type, if it runs. It is another one after each restart,
    /// so ask again when sending fails.
    #[must_use]
    pub fn addr<A: Actor>(&self, child: &str) -> Option<Addr<A>> {
        lock(&self.addresses)
            .get(child)?
            .downcast_ref::<Addr<A>>()
            .cloned()
    }

    /// Its children, in the order in which they are started; none once it has ended.
    pub async fn status(&self) -> Vec<ChildStatus> {
        let (answer, status) = oneshot::channel();
        let _ = self.orders.send(Order::Status(answer));
        status.await.unwrap_or_default()
    }

    /// Stops the children in the reverse order, each within its grace, and ends. Resolves when all are
    /// gone; at once if it had ended.
    pub async fn stop(&self) {
        let (done, gone) = oneshot::channel();
        let _ = self.orders.send(Order::Stop(done));
        let _ = gone.await;
    }

    /// Children that are stopped have no grace from now on.
    pub(crate) fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.orders.is_closed()
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To whom a supervisor reports.
pub(crate) trait Supervision: 'static {
    /// Something happened that subscribers should know.
    fn report(&self, event: PoolEvent);
    /// Children failed too often, and the pool is to stop.
    fn escalate(&self);
}

/// Starts a supervisor and its children on this thread.
pub(crate) fn launch(supervise: Supervise, above: impl Supervision, span: &Span) -> Supervisor {
    let (orders, asked) = mpsc::unbounded_channel();
    let addresses = Addresses::default();
    let (hurry, hurried) = watch::channel(false);
    let supervisor = Supervisor {
        name: supervise.name.as_str().into(),
        orders,
        hurry: Arc::new(hurry),
        addresses: Arc::clone(&addresses),
    };
    let seed = supervise
        .seed
        .unwrap_or_else(|| RandomState::new().hash_one(0));
    let backoff = |position: usize| {
        let seed = seed.wrapping_add(position as u64);
        Backoff::new(supervise.backoff.clone(), seed)
    };
    let children = supervise.children.into_iter().enumerate();
    let (most, period) = supervise.intensity;
    let mut tree = Tree {
        span: telemetry::supervisor_span(span, &supervise.name),
        name: supervise.name,
        strategy: supervise.strategy,
        on_escalation: supervise.on_escalation,
        intensity: Intensity::new(most, period),
        children: children
            .map(|(position, spec)| Child {
                spec,
                state: State::Down,
                backoff: backoff(position),
                restarts: 0,
                last_panic: None,
            })
            .collect(),
        above: Box::new(above),
        addresses,
        asked,
        hurried,
    };
    for position in 0..tree.children.len() {
        tree.start(position);
    }
    tokio::task::spawn_local(tree.run());
    supervisor
}

struct Tree {
    name: String,
    strategy: Strategy,
    on_escalation: OnEscalation,
    intensity: Intensity,
    children: Vec<Child>,
    above: Box<dyn Supervision>,
    addresses: Addresses,
    asked: mpsc::UnboundedReceiver<Order>,
    hurried: watch::Receiver<bool>,
    span: Span,
}

struct Child {
    spec: ChildSpec,
    state: State,
    backoff: Backoff,
    restarts: u64,
    last_panic: Option<String>,
}

enum State {
    /// It has ended, and is not started again unless with another one.
    Down,
    Up {
        /// Nothing if its factory panicked.
        running: Option<Running>,
        exit: oneshot::Receiver<Exit>,
    },
    /// Down until a pause is over; then these are started, it among them, in this order.
    Pausing {
        pause: Pin<Box<Sleep>>,
        start: Vec<usize>,
    },
}

/// What comes next.
enum Next {
    Asked(Option<Order>),
    Ended(usize, Exit),
    Start(Vec<usize>),
}

impl Tree {
    async fn run(mut self) {
        loop {
            let go_on = match poll_fn(|cx| self.poll_next(cx)).await {
                Next::Asked(Some(Order::Status(answer))) => {
                    let _ = answer.send(self.status());
                    true
                }
                Next::Asked(Some(Order::Stop(done))) => {
                    self.stop_all().await;
                    // Whoever asked learns it when the orders are closed, too.
                    let _ = done.send(());
                    false
                }
                // Nobody can ask any more; the pool holds one handle until it stops.
                Next::Asked(None) => {
                    self.stop_all().await;
                    false
                }
                Next::Ended(position, exit) => self.ended(position, exit).await,
                Next::Start(positions) => {
                    for position in positions {
                        self.start_again(position);
                    }
                    true
                }
            };
            if !go_on {
                return;
            }
        }
    }

    fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Next> {
        if let Poll::Ready(order) = self.asked.poll_recv(cx) {
            return Poll::Ready(Next::Asked(order));
        }
        for (position, child) in self.children.iter_mut().enumerate() {
            match &mut child.state {
                State::Down => {}
                State::Up { exit, .. } => {
                    if let Poll::Ready(exit) = Pin::new(exit).poll(cx) {
                        // The guard reports on every path; without a report it is gone all the same.
                        return Poll::Ready(Next::Ended(position, exit.unwrap_or(Exit::Normal)));
                    }
                }
                State::Pausing { pause, start } => {
                    if pause.as_mut().poll(cx).is_ready() {
                        let start = std::mem::take(start);
                        child.state = State::Down;
                        return Poll::Ready(Next::Start(start));
                    }
                }
            }
        }
        Poll::Pending
    }

    fn start_again(&mut self, position: usize) {
        self.children[position].restarts += 1;
        self.start(position);
        let child = &self.children[position];
        if matches!(
            child.state,
            State::Up {
                running: Some(_),
                ..
            }
        ) {
            telemetry::child_restarted(&self.span, &child.spec.name, child.restarts);
            self.above.report(PoolEvent::ChildRestarted {
                supervisor: self.name.clone(),
                child: child.spec.name.clone(),
                restarts: child.restarts,
            });
        }
    }

    /// Starts a child. If its factory panics, it has ended already.
    fn start(&mut self, position: usize) {
        let child = &mut self.children[position];
        let (ended, exit) = oneshot::channel();
        let (failed, on_exit) = end_once(ended);
        let running = match (child.spec.start)(self.span.clone(), on_exit) {
            Ok((address, running)) => {
                child.backoff.up(Instant::now().into_std());
                let name = child.spec.name.clone();
                let last = lock(&self.addresses).insert(name, address);
                // Let go of when the lock is free: it may be the last address of an actor.
                drop(last);
                Some(running)
            }
            Err(text) => {
                failed(Exit::Panicked(text));
                None
            }
        };
        child.state = State::Up { running, exit };
    }

    /// A child ended; `false`: so does the supervisor.
    async fn ended(&mut self, position: usize, exit: Exit) -> bool {
        let child = &mut self.children[position];
        child.state = State::Down;
        drop(lock(&self.addresses).remove(&child.spec.name));
        let wanted = child.spec.restart.wants(&exit);
        let text = match exit {
            Exit::Normal => None,
            Exit::Panicked(text) => Some(text),
        };
        child.last_panic = text.clone().or(child.last_panic.take());
        let now = Instant::now().into_std();
        let allowed = wanted && self.intensity.allows(now);
        let pause = allowed.then(|| child.backoff.next_pause(now));
        let child = child.spec.name.clone();
        if let Some(text) = text {
            telemetry::child_failed(&self.span, &child, &text);
            let supervisor = self.name.clone();
            self.above.report(PoolEvent::ChildFailed {
                supervisor,
                child,
                text,
                restart_in: pause,
            });
        }
        match pause {
            None if wanted => {
                self.escalate().await;
                false
            }
            None => true,
            Some(pause) => {
                let start = self.stop_dependents(position).await;
                let pause = Box::pin(sleep(pause));
                self.children[position].state = State::Pausing { pause, start };
                true
            }
        }
    }

    /// Stops whoever is to be started again with this child, in the reverse order; all of them, in the
    /// order of starting.
    async fn stop_dependents(&mut self, failed: usize) -> Vec<usize> {
        let first = match self.strategy {
            Strategy::OneForOne => return vec![failed],
            Strategy::RestForOne => failed,
            Strategy::OneForAll => 0,
        };
        let mut stopped = Vec::new();
        for position in (first..self.children.len()).rev() {
            match &mut self.children[position].state {
                // One that has ended for good, as it was to, stays so.
                State::Down if position != failed => continue,
                // Those that were stopped with it wait for the same pause.
                State::Pausing { start, .. } => stopped.append(start),
                State::Down | State::Up { .. } => stopped.push(position),
            }
            self.stop_child(position).await;
        }
        stopped.sort_unstable();
        stopped
    }

    async fn escalate(&mut self) {
        let (most, period) = (self.intensity.most(), self.intensity.period());
        telemetry::escalated(&self.span, most, period);
        self.stop_all().await;
        self.above.report(PoolEvent::Escalated {
            supervisor: self.name.clone(),
        });
        if self.on_escalation == OnEscalation::StopPool {
            self.above.escalate();
        }
    }

    async fn stop_all(&mut self) {
        for position in (0..self.children.len()).rev() {
            self.stop_child(position).await;
        }
    }

    /// Asks a child to stop, and drops it when its grace is over.
    async fn stop_child(&mut self, position: usize) {
        let child = &mut self.children[position];
        let state = std::mem::replace(&mut child.state, State::Down);
        let address = lock(&self.addresses).remove(&child.spec.name);
        drop(address);
        let State::Up { running, mut exit } = state else {
            return;
        };
        let Some(Running { stop, kill }) = running else {
            return;
        };
        drop(stop);
        let mut hurried = self.hurried.clone();
        let no_grace = async {
            if hurried.wait_for(|hurried| *hurried).await.is_err() {
                // Nobody is left who could hurry it.
                pending().await
            }
        };
        let in_time = tokio::select! {
            biased;
            _ = &mut exit => true,
            () = no_grace => false,
            () = sleep(child.spec.grace) => false,
        };
        if !in_time {
            kill.abort();
            telemetry::child_killed(&self.span, &child.spec.name, child.spec.grace);
            // Dropping it reports its end.
            let _ = exit.await;
        }
    }

    fn status(&self) -> Vec<ChildStatus> {
        let status = |child: &Child| ChildStatus {
            name: child.spec.name.clone(),
            running: matches!(child.state, State::Up { .. }),
            restarts: child.restarts,
            last_panic: child.last_panic.clone(),
        };
        self.children.iter().map(status).collect()
    }
}

/// Two ways to tell an end, of which only the first one counts.
fn end_once(ended: oneshot::Sender<Exit>) -> (impl FnOnce(Exit), OnExit) {
    let ended = Rc::new(Cell::new(Some(ended)));
    let other = Rc::clone(&ended);
    let tell = |ended: &Cell<Option<oneshot::Sender<Exit>>>, exit| {
        if let Some(ended) = ended.take() {
            let _ = ended.send(exit);
        }
    };
    (
        move |exit| tell(&ended, exit),
        Box::new(move |exit| tell(&other, exit)),
    )
}
