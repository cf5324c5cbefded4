//! `Acceptor`: a listener that takes nobody until it is asked to.

use std::fmt;
use std::sync::Arc;

use crate::client::Client;
use crate::error::AcceptError;

use super::pull::Pull;
use super::{Server, ServerGuard};

/// A listener in pull mode, opened with [`Pool::open_listener`](crate::Pool::open_listener): each
/// [`accept`](Self::accept) takes one peer from the backlog, and nobody is taken without (ACO-03). Its
/// connections have no session.
///
/// It can be used from any thread, and from several at once; put it into an [`Arc`] to share it. When it is
/// dropped the listener begins to close at once; connections that were handed out stay, those that were
/// accepted and not handed out are closed.
#[must_use = "dropped, its listener closes"]
pub struct Acceptor {
    server: ServerGuard,
    pull: Arc<Pull>,
}

impl Acceptor {
    pub(crate) const fn new(server: ServerGuard, pull: Arc<Pull>) -> Self {
        Self { server, pull }
    }

    /// The next peer, as soon as its connection is open: over TLS when its handshake has ended well. Who asks
    /// first gets the first.
    ///
    /// The limits and the access list of the listener count: who is turned away because of them is not the
    /// answer, nor is a peer whose handshake fails. A peer that has left while it waited in the backlog is, as
    /// with accept(2), unless it left without a word while the listener was suspended or at a limit. A suspended listener answers when it is resumed and somebody comes, one that is
    /// restarting when it is back.
    ///
    /// Over TLS up to 16 peers more than are asked for are at their handshakes at a time, so that one that
    /// stalls keeps nobody waiting; those that are done first are kept for the next calls.
    ///
    /// It can be cancelled: when its future is dropped no peer is lost, the next call gets it. The future needs
    /// no runtime around it.
    ///
    /// # Errors
    /// When the listener is closed, or closes meanwhile.
    pub async fn accept(&self) -> Result<Client, AcceptError> {
        let asked = self.pull.ask();
        tokio::select! {
            biased;
            client = asked => client,
            // Its pool may be gone with all its threads, so that nobody is left to say so.
            () = self.server.wait_closed() => Err(AcceptError::Closed),
        }
    }

    /// The listener: its address, its counters, and what can be changed about it. Only
    /// [`swap_session`](Server::swap_session) is refused. Closing it ends the accepting too.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Closes the listener: its port refuses from when this returns, calls that wait are answered, and the
    /// connections that were handed out stay. Closing it again does nothing.
    pub async fn close(&self) {
        self.server.close().await;
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("server", self.server())
            .finish_non_exhaustive()
    }
}
