//! How the link of an outbound connection is established, and established again.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use switchboard_core::connection::Ending;
use switchboard_core::{ConnectError, ConnectPhase, Now};
use tokio::time::sleep;

use crate::options::ConnectTarget;
use crate::session::Outlet;
use crate::supervisor::panic_text;
use crate::telemetry;
use crate::tls::Secure;
use crate::transport::{self, LocalFuture, Network};

use super::actor::Link;
use super::addresses::Addresses;
use super::shared::{Core, Reader};
use super::{ClientActor, Shared};

pub(crate) type Establish = LocalFuture<Result<transport::Connected, ConnectError>>;

/// Makes attempts to connect.
pub(crate) struct Dialler {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) target: ConnectTarget,
    /// `None`: plain.
    pub(crate) secure: Option<Secure>,
}

impl Dialler {
    /// An attempt that begins after a pause.
    fn link(&self, delay: Duration) -> Link {
        let (network, target) = (Arc::clone(&self.network), self.target.clone());
        let secure = self.secure.clone();
        let place = target.place.to_string();
        let establish = Box::pin(async move {
            sleep(delay).await;
            establish(&*network, target, secure).await
        });
        Attempt::link(place, establish)
    }
}

/// An attempt to connect that is under way.
pub(crate) struct Attempt {
    /// Where to.
    pub(super) target: String,
    establish: Establish,
}

impl Attempt {
    pub(crate) fn link(target: String, establish: Establish) -> Link {
        Link::Connecting(Box::new(Self { target, establish }))
    }
}

/// Begins to connect through a network, which may be the user's: a panic in it is an error.
pub(crate) fn establish(
    network: &dyn Network,
    target: ConnectTarget,
    secure: Option<Secure>,
) -> Establish {
    let Some(secure) = secure else {
        return dial(network, target);
    };
    let place = target.place.clone();
    let connecting = dial(network, target);
    Box::pin(async move { secure.connect(connecting.await?, place).await })
}

fn dial(network: &dyn Network, target: ConnectTarget) -> Establish {
    let address = target.place.to_string();
    catch_unwind(AssertUnwindSafe(|| network.connect(target))).unwrap_or_else(|payload| {
        let error = io::Error::other(panic_text(payload));
        let error = ConnectError::new(&address, ConnectPhase::Connect, &error);
        Box::pin(std::future::ready(Err(error)))
    })
}

impl ClientActor {
    /// A link that is over is established again, where the settings say so.
    pub(super) fn reconnect(
        &self,
        shared: &Shared,
        core: &mut Core,
        link: &mut Link,
        cx: &TaskContext<'_>,
        now: &mut Now,
    ) {
        let Some(dialler) = self.rare.as_ref().and_then(|rare| rare.dialler.as_ref()) else {
            return;
        };
        if core.released || !matches!(core.machine.ending(), Some(Ending::Closed(_))) {
            return;
        }
        // What the session has not begun with belongs to the link that is over.
        shared.recall(core, now);
        let reset = core.machine.is_over() == Some(true);
        let Some(Ending::Closed(detail)) = core.machine.ending() else {
            return;
        };
        let detail = detail.clone();
        let Some(delay) = core.machine.poll_reconnect(now) else {
            return;
        };
        core.lose_link(&detail);
        self.berth.local.link_lost(&self.client, &detail, delay);
        self.berth.let_go(link, reset);
        *link = dialler.link(delay);
        core.reader = Reader::Nobody;
        shared.set_addresses(Addresses::default());
        cx.waker().wake_by_ref();
    }

    /// Waits for an outbound connection to be established.
    pub(super) fn drive_connecting(
        &mut self,
        shared: &Arc<Shared>,
        cx: &mut TaskContext<'_>,
        now: &mut Now,
    ) {
        let berth = Rc::clone(&self.berth);
        let mut link = berth.link.borrow_mut();
        let Link::Connecting(attempt) = &mut *link else {
            return;
        };
        let Attempt { target, establish } = &mut **attempt;
        let cancelled = shared.lock().machine.is_cancelled();
        let outcome = if cancelled {
            Err(given_up(target, "given up here"))
        } else {
            match establish.as_mut().poll(cx) {
                Poll::Pending => return,
                Poll::Ready(outcome) => outcome,
            }
        };
        let tls = match &outcome {
            Ok(connected) => connected.transport.tls().cloned(),
            Err(_) => None,
        };
        if let Some(tls) = &tls {
            telemetry::tls_started(&self.client, tls);
        }
        let mut core = shared.lock();
        let told = match outcome {
            Ok(connected) => {
                shared.set_addresses(Addresses::new(
                    connected.transport.unix(),
                    connected.transport.local_addr(),
                    connected.peer_addr,
                ));
                let carries_urgent = connected.transport.carries_urgent();
                core.machine.set_carries_urgent(carries_urgent);
                core.set_kind(connected.transport.kind());
                core.machine.handle_connected(tls);
                *link = Link::Up(connected.transport);
                self.berth.local.connected(&self.client);
                if !matches!(self.outlet, Outlet::None) && core.is_session_made() {
                    let _ = core.machine.adopt(now);
                } else {
                    core.machine.handle_unadopted(now);
                }
                Ok(self.client.clone())
            }
            Err(error) => {
                if let Some(dialler) = self.rare.as_ref().and_then(|rare| rare.dialler.as_ref())
                    && let Some(delay) = core.machine.poll_retry(&error, now)
                {
                    telemetry::reconnecting(&self.client, delay, &error);
                    *link = dialler.link(delay);
                    // The new attempt has to be looked at.
                    cx.waker().wake_by_ref();
                    return;
                }
                *link = Link::Down;
                core.machine.handle_connect_failed(error.clone());
                // The machine has added what was not sent.
                Err(match core.machine.ending() {
                    Some(Ending::ConnectFailed(failure)) => failure.clone(),
                    _ => error,
                })
            }
        };
        drop(core);
        if let Some(outcome) = self.rare.as_mut().and_then(|rare| rare.outcome.take()) {
            let _ = outcome.send(told);
        }
    }
}

/// The failure of an attempt that was ended on our side.
pub(super) fn given_up(target: &str, why: &str) -> ConnectError {
    let error = io::Error::new(io::ErrorKind::Interrupted, why);
    ConnectError::new(target, ConnectPhase::Connect, &error)
}
