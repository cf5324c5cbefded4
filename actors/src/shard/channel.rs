//! What a shard registers: anything with an id, a session and an end.

use std::sync::Arc;
use std::time::Duration;

use switchboard_core::connection::Standing;
use switchboard_core::{Cause, ClientId};

use crate::client::{Client, ClientInfo, Idleness, Shared};
use crate::handle::Handle;

/// A connection, a socket or a process, as its shard lists, drains and stops it.
pub(crate) trait Channel: Send + Sync {
    fn id(&self) -> ClientId;

    /// Its public handle.
    fn handle(self: Arc<Self>) -> Handle;

    /// What it is and does.
    fn info(self: Arc<Self>) -> ClientInfo;

    /// Whether it is still being established.
    fn is_connecting(&self) -> bool {
        false
    }

    /// Whether its end is fixed, told or not.
    fn has_ended(&self) -> bool;

    /// How idle it is; `None` once it is closing.
    fn idleness(&self) -> Option<Idleness>;

    /// The pool drains, and so much time is left.
    fn drain(&self, left: Duration) -> Standing;

    /// Closes it when what is queued is sent, for which there is so much time; one that is closing
    /// already goes on as it does.
    fn close(&self, cause: Cause, flush: Duration);

    /// Closes it, or lets the closing that is under way take no longer than this.
    fn close_within(&self, cause: Cause, flush: Duration);

    /// Shortens the time that it will linger once it has finished.
    fn hurry(&self, _: Duration) {}

    /// Ends it without sending what is queued.
    fn abort(&self, cause: Cause);
}

/// How a shard holds it.
pub(crate) type Registered = Arc<dyn Channel>;

/// What of it holds bytes of a stream: the connection, if it is one, or the pipes of a process.
pub(super) fn streams(channel: Registered) -> Vec<Client> {
    match channel.handle() {
        Handle::Client(client) => vec![client],
        #[cfg(unix)]
        Handle::Process(process) => process.pipes().cloned().collect(),
        _ => Vec::new(),
    }
}

impl Channel for Shared {
    fn id(&self) -> ClientId {
        self.id
    }

    fn handle(self: Arc<Self>) -> Handle {
        Handle::Client(Client::new(self))
    }

    fn info(self: Arc<Self>) -> ClientInfo {
        Client::new(self).info()
    }

    fn is_connecting(&self) -> bool {
        Self::is_connecting(self)
    }

    fn has_ended(&self) -> bool {
        Self::has_ended(self)
    }

    fn idleness(&self) -> Option<Idleness> {
        Self::idleness(self)
    }

    fn drain(&self, left: Duration) -> Standing {
        self.command(|machine, _| machine.handle_draining(left))
    }

    fn close(&self, cause: Cause, flush: Duration) {
        self.command(|machine, now| machine.close(cause, true, Some(flush), now));
    }

    fn close_within(&self, cause: Cause, flush: Duration) {
        Self::close_within(self, cause, flush);
    }

    fn hurry(&self, linger: Duration) {
        Self::hurry(self, linger);
    }

    fn abort(&self, cause: Cause) {
        self.command(|machine, _| machine.abort(cause));
    }
}
