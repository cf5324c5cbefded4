//! Whom a pool tells that a session panicked.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use actix::{Message, Recipient};
use switchboard_core::{Cause, ClientId};

use crate::message::PoolEvent;
use crate::pool::Pool;
use crate::telemetry;

/// A session panicked, or the factory that should have made it (UA-24, AC-09). Goes to the pool's failure
/// handler; see [`Pool::set_failure_handler`](crate::Pool::set_failure_handler).
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
#[non_exhaustive]
pub struct HandlerFailed {
    /// The connection.
    pub client: ClientId,
    /// The event that was being handled; `None` if it was something else of the session's own.
    pub event: Option<&'static str>,
    /// The text of the panic.
    pub text: String,
    /// Whether the connection stays open and gets another session; if not, it is closed with reason
    /// Error, unless it was closing already.
    pub restarted: bool,
}

impl HandlerFailed {
    /// What the pool does with it when nobody else is set: one line in the log.
    pub fn log(&self) {
        telemetry::session_panicked(self.client, self.event, &self.text);
    }
}

impl fmt::Display for HandlerFailed {
    /// The whole story in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the session of connection {} panicked", self.client)?;
        if let Some(event) = self.event {
            write!(f, " while handling {event}")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// Tells that a session panicked.
pub(crate) fn report(pool: &Pool, client: ClientId, cause: Cause, restarted: bool) {
    let Cause::SessionPanicked { event, text } = cause else {
        return;
    };
    pool.report(PoolEvent::SessionFailed {
        client,
        event,
        text: text.clone(),
        restarted,
    });
    pool.failed(HandlerFailed {
        client,
        event,
        text,
        restarted,
    });
}

/// Who is told; shared by the pool's handle and its actor.
#[derive(Clone, Default)]
pub(crate) struct FailureHandler(Arc<Mutex<Option<Recipient<HandlerFailed>>>>);

impl FailureHandler {
    pub(crate) fn set(&self, handler: Option<Recipient<HandlerFailed>>) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = std::mem::replace(&mut *place, handler);
        drop(place);
        // Perhaps the last address of an actor, so not under the lock.
        drop(earlier);
    }

    pub(crate) fn get(&self) -> Option<Recipient<HandlerFailed>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells the handler; without one, or when it is gone or has too much to do, the log.
    pub(crate) fn tell(&self, failed: HandlerFailed) {
        use actix::prelude::SendError::{Closed, Full};
        let untold = match self.get() {
            None => failed,
            Some(handler) => match handler.try_send(failed) {
                Ok(()) => return,
                Err(Full(failed) | Closed(failed)) => failed,
            },
        };
        untold.log();
    }
}
