//! `ServerGuard`: a listener that closes with its handle.

use std::ops::Deref;

use super::Server;

/// A listener that closes when this is dropped (UA-21), from [`Server::guard`].
///
/// Closing begins at once, on whatever thread that happens, and is not waited for: the port refuses as soon
/// as the listener's shard has its turn, which [`Server::wait_closed`] on another handle tells. Connections
/// stay. To wait for it, [`close`](Server::close) before.
#[derive(Debug)]
#[must_use = "dropped at once, it closes its listener at once"]
pub struct ServerGuard {
    server: Server,
    closes: bool,
}

impl ServerGuard {
    pub(super) const fn new(server: Server) -> Self {
        Self {
            server,
            closes: true,
        }
    }

    /// Lets the listener live: what is left is an ordinary handle.
    #[must_use = "to close the listener, drop the guard"]
    pub fn into_inner(mut self) -> Server {
        self.closes = false;
        self.server.clone()
    }
}

impl Deref for ServerGuard {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for ServerGuard {
    fn drop(&mut self) {
        if self.closes {
            // Nobody waits for it.
            drop(self.server.begin_to_close());
        }
    }
}
