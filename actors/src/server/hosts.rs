//! Sessions of their own for peers that ask for certain hosts.

use std::sync::Arc;

use crate::options::Listen;
#[cfg(feature = "tls")]
use crate::pool::unhandled;
use crate::session::SessionFactory;
use crate::tls::Hosts;
use crate::workers::{Seating, Workers};

/// Where the sessions for one host come from, and where they live.
#[derive(Clone)]
pub(crate) struct HostSession {
    pub(crate) factory: SessionFactory,
    pub(crate) seating: Seating,
}

/// `None`: a listener whose peers all get the same.
pub(crate) type HostSessions = Option<Arc<Hosts<HostSession>>>;

/// Those of a listener that is to be opened, if they can be.
#[cfg(feature = "tls")]
pub(crate) fn host_sessions(
    listen: &Listen,
    workers: Option<&Arc<Workers>>,
) -> Result<HostSessions, String> {
    if listen.hosts.is_empty() {
        return Ok(None);
    }
    let mut hosts = Hosts::new();
    for (host, factory) in &listen.hosts {
        if let Some(event) = unhandled(factory.known, listen.config.first_receive.as_ref()) {
            return Err(format!("the session of {host} does not handle {event}"));
        }
        let session = HostSession {
            factory: factory.clone(),
            seating: Seating::of(listen.on_workers, factory.own(), workers)?,
        };
        let inserted = hosts.insert(host, session);
        inserted.map_err(|error| error.to_string())?;
    }
    Ok(Some(Arc::new(hosts)))
}

/// There are none without TLS.
#[cfg(not(feature = "tls"))]
pub(crate) fn host_sessions(_: &Listen, _: Option<&Arc<Workers>>) -> Result<HostSessions, String> {
    Ok(None)
}
