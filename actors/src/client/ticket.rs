//! What travels with an event, and does its work when the event is dropped.

use std::fmt;
use std::sync::Arc;

use switchboard_core::Cause;
use switchboard_core::connection::Permit;

use crate::handlers::Handlers;
use crate::message::ClientEvent;

use super::Client;
use super::shared::Shared;

/// Gives credit back when an event that went to a shared handler is dropped, finds the connection
/// whose event made the handler panic, and notices an event that was never handled since its handler
/// had gone.
#[derive(Default)]
pub struct Ticket(Option<Box<Issued>>);

struct Issued {
    shared: Arc<Shared>,
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
        (shared, seat): (&Arc<Shared>, u32),
        permit: Permit,
        event: &ClientEvent,
        handlers: &Arc<Handlers>,
    ) -> Self {
        Self(Some(Box::new(Issued {
            shared: Arc::clone(shared),
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
            self.shared.session_gone(self.seat, Cause::SessionStopped);
        } else if std::thread::panicking() {
            let cause = Cause::SessionPanicked {
                event: Some(self.event),
                text: "in a shared handler".into(),
            };
            self.shared.session_gone(self.seat, cause);
        }
        self.shared.ticket_back(self.seat, self.permit);
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
