//! What can be awaited of a pool.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use switchboard_core::{ClientId, ConnectError, ConnectPhase};
use tokio::sync::oneshot;

use super::Totals;
use crate::client::Client;
use crate::error::PoolStopped;

/// An outbound connection on its way. Dropping it does not give it up: [`Client::abort`] does.
#[derive(Debug)]
pub struct Connecting {
    pub(super) client: Client,
    pub(super) target: String,
    pub(super) result: oneshot::Receiver<Result<Client, ConnectError>>,
}

impl Connecting {
    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.client.id()
    }

    /// The connection's handle: what is sent already is sent once it is established.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

impl Future for Connecting {
    type Output = Result<Client, ConnectError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let result = std::task::ready!(Pin::new(&mut self.result).poll(cx));
        Poll::Ready(result.unwrap_or_else(|_| {
            let error = io::Error::new(io::ErrorKind::Interrupted, PoolStopped);
            Err(ConnectError::new(
                &self.target,
                ConnectPhase::Connect,
                &error,
            ))
        }))
    }
}

/// A stop under way; resolves to the last counters.
pub struct Stopping {
    wait: Pin<Box<dyn Future<Output = Totals> + Send>>,
}

impl Stopping {
    pub(super) fn until(stopped: impl Future<Output = Totals> + Send + 'static) -> Self {
        let wait = Box::pin(stopped);
        Self { wait }
    }
}

impl Future for Stopping {
    type Output = Totals;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Totals> {
        self.wait.as_mut().poll(cx)
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopping")
    }
}
