//! Changing whom a listener lets in while it listens.

use actix::{Handler, Message};
use switchboard_core::{AcceptRate, AccessList};

use crate::options::AtLimit;

#[cfg(doc)]
use super::Server;
use super::ServerActor;

/// Other limits for a listener that is open. What is not named stays as it is; no connection that is
/// there is ever closed for it.
///
/// ```
/// use switchboard::{AccessList, AtLimit, ServerLimits};
///
/// let tighter = ServerLimits::new()
///     .max_connections(100)
///     .max_per_ip(4)
///     .at_limit(AtLimit::Reject)
///     .access(AccessList::new().deny("192.0.2.0/24".parse()?));
/// # drop(tighter);
/// # Ok::<(), switchboard::CidrError>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "limits change nothing until a server is given them"]
pub struct ServerLimits {
    pub(super) max_connections: Option<usize>,
    pub(super) max_per_ip: Option<usize>,
    pub(super) accept_rate: Option<Option<AcceptRate>>,
    pub(super) access: Option<AccessList>,
    pub(super) at_limit: Option<AtLimit>,
}

impl ServerLimits {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The most connections of the listener. At once; those beyond it stay until they end. 0 lets
    /// nobody in, `usize::MAX` is no limit.
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// The most connections of one prefix; its lengths stay what they were when the listener opened.
    /// At once, and connections that are there already count. 0 lets nobody in, `usize::MAX` is no limit.
    pub const fn max_per_ip(mut self, connections: usize) -> Self {
        self.max_per_ip = Some(connections);
        self
    }

    /// How many peers may become connections in a second; `None`: any number. From the next peer on; a
    /// new rate begins with its whole burst.
    pub fn accept_rate(mut self, rate: impl Into<Option<AcceptRate>>) -> Self {
        self.accept_rate = Some(rate.into());
        self
    }

    /// Who may come in. From the next peer on, also for those that wait already.
    pub fn access(mut self, list: AccessList) -> Self {
        self.access = Some(list);
        self
    }

    /// What happens to a peer when there is no place for it. From the next peer on, also for those that
    /// wait already.
    pub fn at_limit(mut self, policy: AtLimit) -> Self {
        self.at_limit = Some(policy);
        self
    }

    /// Whether they go by the IP addresses of peers.
    pub(super) const fn needs_addresses(&self) -> bool {
        self.max_per_ip.is_some() || self.access.is_some()
    }
}

/// What the handle of a listener may change.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) rate: Option<AcceptRate>,
    pub(super) access: AccessList,
    pub(super) at_limit: AtLimit,
}

/// Limits that were not changed: none of them, not even in part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetLimitsError {
    /// The answer at the limit is too long.
    #[error("the answer at the limit has {bytes} bytes, the most is {most}", most = AtLimit::MAX_ANSWER)]
    LongAnswer {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// They go by the IP addresses of peers, and it listens on a Unix socket.
    #[error("peers of a Unix socket have no IP addresses to go by")]
    NoAddresses,
    /// The listener is closed.
    #[error("the listener is closed")]
    Closed,
}

/// Changes whom a listener lets in; replies when it is so. [`Server::set_limits`] is the same.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), SetLimitsError>")]
pub struct SetLimits(pub ServerLimits);

impl Handler<SetLimits> for ServerActor {
    type Result = Result<(), SetLimitsError>;

    fn handle(&mut self, msg: SetLimits, _: &mut Self::Context) -> Self::Result {
        // The acceptor, which is polled in the same wake, looks anew.
        self.state().set_limits(msg.0)
    }
}

/// Has the acceptor look anew.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct LimitsChanged;

impl Handler<LimitsChanged> for ServerActor {
    type Result = ();

    fn handle(&mut self, _: LimitsChanged, _: &mut Self::Context) {}
}
