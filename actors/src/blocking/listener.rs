//! A listener whose `accept` blocks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::server::{Acceptor, Server};

use super::runtime::Runtime;
use super::{AcceptError, Client, wait};

/// A listener that takes a peer whenever it is asked to; others wait in the system's backlog (ACO-03). Cheap to
/// clone, usable from any thread, and from several at once. When the last handle is dropped it closes; the
/// connections that it gave stay.
#[derive(Debug, Clone)]
pub struct Listener {
    acceptor: Arc<Acceptor>,
    timeout: Option<Duration>,
    // Last: the listener closes while there is a pool.
    runtime: Arc<Runtime>,
}

impl Listener {
    pub(super) const fn new(acceptor: Arc<Acceptor>, runtime: Arc<Runtime>) -> Self {
        Self {
            acceptor,
            timeout: None,
            runtime,
        }
    }

    /// A handle of the same listener, of which each [`accept`](Self::accept) waits no longer than this. Default:
    /// for ever.
    #[must_use]
    pub fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout: Some(timeout),
            ..self.clone()
        }
    }

    /// Waits for the next peer; over TLS until its handshake has ended well.
    ///
    /// # Errors
    /// When the listener is closed, or closes meanwhile; when nobody came in time; and on a thread that runs async
    /// code.
    pub fn accept(&self) -> Result<Client, AcceptError> {
        if wait::is_in_async() {
            return Err(AcceptError::InsideAsync);
        }
        let accepted = wait::at_most(self.acceptor.accept(), self.timeout);
        let Some(accepted) = accepted else {
            let after = self.timeout.unwrap_or_default();
            return Err(AcceptError::TimedOut { after });
        };
        let client = accepted.map_err(|_| AcceptError::Closed)?;
        Ok(Client::opened(client, Arc::clone(&self.runtime)))
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server().local_addr()
    }

    /// The listener's handle, for its counters and what can be changed about it.
    #[must_use]
    pub fn server(&self) -> &Server {
        self.acceptor.server()
    }

    /// Closes it: from when this returns its port refuses. Calls that wait are answered, connections that it gave stay.
    /// On a thread that runs async code it only begins.
    pub fn close(&self) {
        let closing = self.acceptor.close();
        if wait::is_in_async() {
            let _ = wait::at_most(closing, Some(Duration::ZERO));
        } else {
            wait::for_ever(closing);
        }
    }
}
