//! A network that follows a plan, and its listeners.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use switchboard_core::{Address, ConnectError, ConnectPhase};
use tokio::time::{Instant, timeout};

use crate::error::ListenError;
use crate::options::{ConnectTarget, ListenTarget};
use crate::transport::{Connected, DetachedListener, Incoming, Listener, LocalFuture, Network};

use super::Faults;
use super::lane::{Lane, Outcome};
use super::script::{Operation, Party, Scripts};
use super::transport::FaultyTransport;

/// Any network, with the faults of a plan. Clones are the same network: they count parties together.
///
/// Without faults it is the network inside.
#[derive(Clone)]
pub struct FaultyNet {
    inner: Arc<dyn Network>,
    plan: Arc<Plan>,
}

/// What a network shares with its listeners.
#[derive(Debug)]
struct Plan {
    faults: Faults,
    listeners: AtomicU64,
    accepted: AtomicU64,
    outbound: AtomicU64,
}

impl FaultyNet {
    /// Puts faults over a network.
    pub fn new(inner: impl Network, faults: Faults) -> Self {
        Self {
            inner: Arc::new(inner),
            plan: Arc::new(Plan {
                faults,
                listeners: AtomicU64::new(0),
                accepted: AtomicU64::new(0),
                outbound: AtomicU64::new(0),
            }),
        }
    }
}

impl fmt::Debug for FaultyNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyNet")
            .field("inner", &self.inner)
            .field("faults", &self.plan.faults)
            .finish_non_exhaustive()
    }
}

impl Network for FaultyNet {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let plan = Arc::clone(&self.plan);
        let listening = self.inner.listen(target);
        Box::pin(async move {
            let inner = listening.await?;
            let party = Party::Listener(plan.listeners.fetch_add(1, Ordering::Relaxed));
            Ok(Box::new(FaultyListener::new(inner, party, plan)) as Box<dyn Listener>)
        })
    }

    fn connect(&self, mut target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        let inner = Arc::clone(&self.inner);
        let plan = Arc::clone(&self.plan);
        let party = Party::Outbound(plan.outbound.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            let fail =
                |error| ConnectError::new(target.place.to_string(), ConnectPhase::Connect, &error);
            let began = Instant::now();
            let mut scripts = plan.faults.scripts(party);
            let Ok(permitted) = timeout(target.timeout, permission(&mut scripts, &plan)).await
            else {
                let why = format!("no answer within {:?}", target.timeout);
                return Err(fail(io::Error::new(io::ErrorKind::TimedOut, why)));
            };
            permitted.map_err(fail)?;
            target.timeout = target.timeout.saturating_sub(began.elapsed());
            let connected = inner.connect(target).await?;
            let counts = Arc::clone(&plan.faults.counts);
            let transport = FaultyTransport::new(connected.transport, scripts, counts);
            Ok(Connected {
                transport: Box::new(transport),
                peer_addr: connected.peer_addr,
            })
        })
    }
}

/// Waits until an attempt to connect may begin.
async fn permission(scripts: &mut Scripts, plan: &Plan) -> io::Result<()> {
    let counts = &plan.faults.counts;
    let mut lane = Lane::new();
    std::future::poll_fn(|cx| {
        let decision = ready!(lane.poll_decide(scripts, Operation::Connect, counts, cx));
        ready!(lane.poll_delay(decision.delay, cx));
        Poll::Ready(match decision.outcome {
            Outcome::Fail(fault) => {
                counts.connect_errors.one();
                Err(fault.error())
            }
            Outcome::Go | Outcome::Eof | Outcome::Lose | Outcome::Corrupt => Ok(()),
        })
    })
    .await
}

/// A listener with faults.
struct FaultyListener {
    inner: Box<dyn Listener>,
    scripts: Scripts,
    lane: Lane,
    /// What came and is delayed.
    held: Option<io::Result<Incoming>>,
    party: Party,
    plan: Arc<Plan>,
}

impl FaultyListener {
    fn new(inner: Box<dyn Listener>, party: Party, plan: Arc<Plan>) -> Self {
        Self {
            inner,
            scripts: plan.faults.scripts(party),
            lane: Lane::new(),
            held: None,
            party,
            plan,
        }
    }
}

/// A second hold on a listener with faults; its own begin anew.
struct DetachedFaulty {
    inner: Box<dyn DetachedListener>,
    party: Party,
    plan: Arc<Plan>,
}

impl DetachedListener for DetachedFaulty {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        let inner = self.inner.attach()?;
        Ok(Box::new(FaultyListener::new(inner, self.party, self.plan)))
    }
}

impl Listener for FaultyListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let counts = &self.plan.faults.counts;
        let scripts = &mut self.scripts;
        let operation = Operation::Accept;
        let decision = ready!(self.lane.poll_decide(scripts, operation, counts, cx));
        let result = match self.held.take() {
            Some(held) => held,
            None => match decision.outcome {
                Outcome::Fail(fault) => {
                    counts.accept_errors.one();
                    Err(fault.error())
                }
                Outcome::Go | Outcome::Eof | Outcome::Lose | Outcome::Corrupt => {
                    ready!(self.inner.poll_accept(cx))
                }
            },
        };
        if self.lane.poll_delay(decision.delay, cx).is_pending() {
            self.held = Some(result);
            return Poll::Pending;
        }
        self.lane.done(0);
        Poll::Ready(result.map(|incoming| {
            let party = Party::Accepted(self.plan.accepted.fetch_add(1, Ordering::Relaxed));
            let scripts = self.plan.faults.scripts(party);
            let counts = Arc::clone(&self.plan.faults.counts);
            Incoming {
                transport: Box::new(FaultyTransport::new(incoming.transport, scripts, counts)),
                ..incoming
            }
        }))
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn address(&self) -> Address {
        self.inner.address()
    }

    fn duplicate(&self) -> io::Result<Box<dyn DetachedListener>> {
        Ok(Box::new(DetachedFaulty {
            inner: self.inner.duplicate()?,
            party: self.party,
            plan: Arc::clone(&self.plan),
        }))
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.inner.socket()
    }
}
