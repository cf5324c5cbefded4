//! Who keeps a listener: it holds the listening socket, lends it to the actor, and starts the actor
//! again when it has failed, or binds again when the socket has.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use switchboard_core::ClosedReason;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep, timeout};

use crate::error::{ListenError, ListenPhase, SuspendError};
use crate::message::PoolEvent;
use crate::options::ListenTarget;
use crate::shard::ShardLocal;
use crate::supervisor::{Exit, OnEscalation, panic_text};
use crate::telemetry;
use crate::transport::{Listener, Network};

use super::control::{Order, Suspend};
use super::door::{Door, Way};
use super::{ListenState, ServerActor, ServerState};

/// How long a network may take to open an address again.
const BIND_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps one listener, on its shard's thread. It ends when the listener closes; when its thread dies
/// the shard that is started again has another one go on.
pub(crate) struct Keeper {
    state: Arc<ServerState>,
    local: Rc<ShardLocal>,
    network: Arc<dyn Network>,
    door: Rc<Door>,
    orders: mpsc::UnboundedReceiver<Order>,
    stage: Stage,
}

/// Where the actor is.
enum Stage {
    Up(oneshot::Receiver<Exit>),
    /// Down until a pause is over.
    Pausing(Pin<Box<Sleep>>),
}

enum Next {
    Asked(Order),
    Ended(Exit),
    PauseOver,
}

impl Keeper {
    /// Begins to keep a listener on this thread; the actor is not started yet.
    pub(crate) fn new(
        state: Arc<ServerState>,
        local: Rc<ShardLocal>,
        network: Arc<dyn Network>,
    ) -> Self {
        let (sender, orders) = mpsc::unbounded_channel();
        state.keeper.send_replace(Some(sender));
        Self {
            state,
            local,
            network,
            door: Rc::new(Door::default()),
            orders,
            stage: Stage::Pausing(Box::pin(sleep(Duration::ZERO))),
        }
    }

    /// Starts to accept through this socket.
    pub(crate) fn open(&mut self, listener: Box<dyn Listener>) {
        self.take(listener);
        self.start();
    }

    /// Comes back after a failure: with the socket that it has, with the spare hold on it, or by taking
    /// its address again.
    pub(crate) async fn come_back(&mut self) -> ControlFlow<()> {
        if self.state.is_closed() {
            return ControlFlow::Break(());
        }
        if self.state.is_closing() {
            // The keeper before this one may not have heard of it.
            self.end(ClosedReason::ClosedByHost);
            return ControlFlow::Break(());
        }
        let suspended = self.state.kept().suspended;
        if !self.door.has_socket() && suspended != Some(Suspend::ClosePort) {
            let spare = self.state.kept().spare.take();
            let attached = match spare.map(|spare| caught(|| spare.attach())) {
                Some(Ok(listener)) => Ok(listener),
                Some(Err(_)) | None => self.bind().await,
            };
            match attached {
                Ok(listener) => self.take(listener),
                Err(_) if self.state.is_closing() => {
                    self.end(ClosedReason::ClosedByHost);
                    return ControlFlow::Break(());
                }
                Err(error) => return self.failed(&error.to_string()),
            }
        }
        self.start();
        self.state.kept().vigil.up();
        let restarts = self.state.counts.restarts.fetch_add(1, Ordering::Relaxed) + 1;
        telemetry::server_restarted(&self.state.span, restarts);
        self.state.pool.report(PoolEvent::ServerRestarted {
            server: self.state.id,
            restarts,
        });
        ControlFlow::Continue(())
    }

    pub(crate) async fn run(mut self) {
        loop {
            let go_on = match poll_fn(|cx| self.poll_next(cx)).await {
                Next::Asked(order) => self.obey(order).await,
                Next::Ended(exit) => self.ended(exit),
                Next::PauseOver => self.come_back().await,
            };
            if go_on.is_break() {
                return;
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        // The state holds a sender for as long as there is a keeper.
        if let Poll::Ready(Some(order)) = self.orders.poll_recv(cx) {
            return Poll::Ready(Next::Asked(order));
        }
        match &mut self.stage {
            Stage::Up(exit) => Pin::new(exit)
                .poll(cx)
                .map(|exit| Next::Ended(exit.unwrap_or(Exit::Normal))),
            Stage::Pausing(pause) => pause.as_mut().poll(cx).map(|()| Next::PauseOver),
        }
    }

    /// Starts the actor.
    fn start(&mut self) {
        let (ended, exit) = oneshot::channel();
        let actor = ServerActor::launch(
            Arc::clone(&self.state),
            Rc::clone(&self.door),
            Rc::clone(&self.local),
            ended,
        );
        let mut kept = self.state.kept();
        kept.actor = Some(actor.downgrade());
        let suspended = kept.suspended;
        drop(kept);
        self.stage = Stage::Up(exit);
        self.show(suspended);
    }

    fn show(&self, suspended: Option<Suspend>) {
        self.state.set_state(match (&self.stage, suspended) {
            (Stage::Pausing(_), _) => ListenState::Restarting,
            (Stage::Up(_), Some(how)) => ListenState::Suspended(how),
            (Stage::Up(_), None) => ListenState::Accepting,
        });
    }

    /// Takes a socket in, and a second hold on it if the thread can die alone.
    fn take(&mut self, listener: Box<dyn Listener>) {
        let spare = if self.state.pool.has_threads() {
            caught(|| listener.duplicate()).ok()
        } else {
            None
        };
        let mut kept = self.state.kept();
        let last = std::mem::replace(&mut kept.spare, spare);
        let way = match kept.suspended {
            None => Way::Open(listener),
            Some(_) => Way::Held(listener),
        };
        drop(kept);
        drop((last, self.door.set(way)));
    }

    /// Lets go of the port.
    fn let_go(&mut self) {
        let spare = self.state.kept().spare.take();
        drop((spare, self.door.set(Way::None)));
    }

    /// Takes the real address again, unless the listener is to close.
    async fn bind(&self) -> Result<Box<dyn Listener>, ListenError> {
        let opening = open(&*self.network, self.state.target.clone());
        let fail = |kind, text: String| {
            let error = io::Error::new(kind, text);
            let address = self.state.target.place.to_string();
            Err(ListenError::new(address, ListenPhase::Listen, error))
        };
        tokio::select! {
            biased;
            () = self.state.closes() => {
                fail(io::ErrorKind::Interrupted, "the listener closes".into())
            }
            opened = timeout(BIND_TIMEOUT, opening) => opened.unwrap_or_else(|_| {
                fail(io::ErrorKind::TimedOut, format!("not open within {BIND_TIMEOUT:?}"))
            }),
        }
    }

    async fn obey(&mut self, order: Order) -> ControlFlow<()> {
        // Whoever asked may have stopped waiting for the answer.
        match order {
            Order::Close(done) => {
                self.end(ClosedReason::ClosedByHost);
                let _ = done.send(());
                if let Stage::Up(exit) = &mut self.stage {
                    // Reported on every path, if only by its end.
                    let _ = exit.await;
                }
                return ControlFlow::Break(());
            }
            Order::Suspend(how, done) => {
                let _ = done.send(self.suspend(how).await);
            }
            Order::Resume(done) => {
                let _ = done.send(self.resume().await);
            }
        }
        ControlFlow::Continue(())
    }

    async fn suspend(&mut self, how: Suspend) -> Result<(), SuspendError> {
        if how == Suspend::StopAccepting && self.is_port_closed() {
            let listener = self.bind().await?;
            if self.state.is_closed() {
                return Err(SuspendError::Closed);
            }
            self.state.kept().suspended = Some(how);
            self.take(listener);
        } else {
            self.state.kept().suspended = Some(how);
            match how {
                Suspend::ClosePort => self.let_go(),
                Suspend::StopAccepting => self.door.hold(true),
            }
        }
        self.show(Some(how));
        telemetry::server_suspended(&self.state.span, how);
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), SuspendError> {
        if self.state.kept().suspended.is_none() {
            return Ok(());
        }
        if self.is_port_closed() {
            let listener = self.bind().await?;
            if self.state.is_closed() {
                return Err(SuspendError::Closed);
            }
            self.state.kept().suspended = None;
            self.take(listener);
        } else {
            self.state.kept().suspended = None;
            self.door.hold(false);
        }
        self.show(None);
        telemetry::server_resumed(&self.state.span);
        Ok(())
    }

    fn is_port_closed(&self) -> bool {
        self.state.kept().suspended == Some(Suspend::ClosePort)
    }

    /// The actor is gone.
    fn ended(&mut self, exit: Exit) -> ControlFlow<()> {
        if let Some(error) = self.door.take_failure() {
            self.let_go();
            return self.failed(&error.to_string());
        }
        match exit {
            Exit::Normal if self.door.is_over() => ControlFlow::Break(()),
            Exit::Normal => self.failed("its actor ended"),
            Exit::Panicked(text) => self.failed(&text),
        }
    }

    fn failed(&mut self, text: &str) -> ControlFlow<()> {
        let state = Arc::clone(&self.state);
        let server = state.id;
        let pause = state.kept().vigil.failed();
        telemetry::server_failed(&state.span, text);
        state.pool.report(PoolEvent::ServerFailed {
            server,
            text: text.into(),
            restart_in: pause,
        });
        self.stage = Stage::Pausing(Box::pin(sleep(pause.unwrap_or_default())));
        if pause.is_some() {
            state.set_state(ListenState::Restarting);
            return ControlFlow::Continue(());
        }
        let (most, period) = state.kept().vigil.limits();
        telemetry::escalated(&state.span, most, period);
        state.pool.report(PoolEvent::Escalated {
            supervisor: format!("server {server}"),
        });
        self.end(ClosedReason::Error);
        if state.on_escalation == OnEscalation::StopPool {
            drop(state.pool.stop());
        }
        ControlFlow::Break(())
    }

    /// Closes the port for good.
    fn end(&self, reason: ClosedReason) {
        drop(self.door.set(Way::Over));
        self.state.finish(reason);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let comes_back = !self.state.is_closed()
            && !self.state.is_closing()
            && self.state.pool.is_running()
            && self.state.pool.has_threads()
            && !std::thread::panicking();
        if comes_back {
            self.state.set_state(ListenState::Restarting);
        } else {
            self.end(ClosedReason::ClosedByHost);
        }
        self.state.keeper.send_replace(None);
    }
}

/// Opens an address through a network, which may be the user's: a panic in it is an error.
pub(crate) async fn open(
    network: &dyn Network,
    target: ListenTarget,
) -> Result<Box<dyn Listener>, ListenError> {
    let address = target.place.to_string();
    let fail = |error| ListenError::new(&address, ListenPhase::Listen, error);
    let mut listening = caught(|| Ok(network.listen(target))).map_err(fail)?;
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| listening.as_mut().poll(cx)));
        polled.unwrap_or_else(|payload| Poll::Ready(Err(fail(panicked(payload)))))
    })
    .await
}

/// Runs what a network's user has written; a panic in it is an error.
fn caught<T>(run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| Err(panicked(payload)))
}

fn panicked(payload: Box<dyn std::any::Any + Send>) -> io::Error {
    io::Error::other(panic_text(payload))
}
