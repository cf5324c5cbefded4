//! What travels with an event, and does its work when the event is dropped.

use std::fmt;
use std::sync::Arc;

use switchboard_core::Cause;
use switchboard_core::connection::Permit;

use crate::handlers::Handlers;
use crate::message::ClientEvent;

use super::{Client, Shared};

/// Gives credit back when an event that went to a shared handler is dropped, finds the connection
/// whose event made the handler panic, and notices an event that was never handled since its handler
/// had gone.
#[derive(Default)]
pub struct Ticket(Option<Box<Issued>>);

/// Whose events go to shared handlers.
pub(crate) trait Issuer: Send + Sync {
    /// The session of this seat failed or ended.
    fn session_gone(&self, seat: u32, cause: Cause);

    /// A shared handler is done with an event that it was given for the session of this seat.
    fn ticket_back(&self, seat: u32, permit: Permit);
}

struct Issued {
    issuer: Arc<dyn Issuer>,
    seat: u32,
    permit: Permit,
    event: &'static str,
    handlers: Arc<Handlers>,
}

impl Ticket {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn issue(
        (issuer, seat): (Arc<dyn Issuer>, u32),
        permit: Permit,
        event: &ClientEvent,
        handlers: &Arc<Handlers>,
    ) -> Self {
        Self(Some(Box::new(Issued {
            issuer,
            seat,
            permit,
            event: event.name(),
            handlers: Arc::clone(handlers),
        })))
    }
}

impl Drop for Ticket {
    #[inline]
    fn drop(&mut self) {
        if let Some(issued) = self.0.take() {
            issued.come_back();
        }
    }
}

impl Issued {
    #[cold]
    fn come_back(self) {
        // A mailbox that is dropped is closed first: what is still in it is nobody's fault.
        if !self.handlers.lives(self.event) {
            self.issuer.session_gone(self.seat, Cause::SessionStopped);
        } else if std::thread::panicking() {
            let cause = Cause::SessionPanicked {
                event: Some(self.event),
                text: "in a shared handler".into(),
            };
            self.issuer.session_gone(self.seat, cause);
        }
        self.issuer.ticket_back(self.seat, self.permit);
    }
}

impl Issuer for Shared {
    fn session_gone(&self, seat: u32, cause: Cause) {
        Self::session_gone(self, seat, cause);
    }

    fn ticket_back(&self, seat: u32, permit: Permit) {
        Self::ticket_back(self, seat, permit);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// The pending answer to `PeerFinished`: dropped, it closes the connection.
#[derive(Debug)]
pub struct Answer(Option<Client>);

impl Answer {
    pub(crate) fn of(client: &Client) -> Self {
        Self(Some(client.clone()))
    }

    pub(crate) fn keep_open(mut self) {
        let tls = |client: &Client| client.shared.lock().machine.tls().is_some();
        if !self.0.as_ref().is_some_and(tls) {
            self.0 = None;
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            client
                .shared
                .command(|machine, now| machine.close_after_peer(now));
        }
    }
}
