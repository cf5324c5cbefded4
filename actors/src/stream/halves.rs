//! What the two halves of a stream have in common: their connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::thread;

use switchboard_core::ClientId;

use super::{Reader, Writer};
use crate::client::Client;

/// A connection that closes, and flushes, when the last half of its stream is dropped.
#[derive(Debug)]
pub(super) struct Half(Arc<Owned>);

#[derive(Debug)]
struct Owned(Client);

impl Half {
    pub(super) fn client(&self) -> &Client {
        &self.0.0
    }
}

thread_local! {
    /// The connection whose task runs on this thread at the moment.
    static RUNNING: Cell<Option<ClientId>> = const { Cell::new(None) };
}

impl Drop for Owned {
    fn drop(&mut self) {
        // A task that panics drops what it has; whoever catches the panic ends the connection for it.
        let of_panic = thread::panicking() && RUNNING.get() == Some(self.0.id());
        if !of_panic {
            self.0.close();
        }
    }
}

/// Runs the task of a connection, whose panics are caught around it.
pub(super) fn run_for(
    client: ClientId,
    task: impl Future<Output = ()>,
) -> impl Future<Output = ()> {
    let mut task = Box::pin(task);
    poll_fn(move |cx| {
        let before = RUNNING.replace(Some(client));
        // Also when it panics.
        let _after = Restore(before);
        task.as_mut().poll(cx)
    })
}

struct Restore(Option<ClientId>);

impl Drop for Restore {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

/// A connection without a session as the two halves of a stream.
pub(super) fn halves(client: Client) -> (Reader, Writer) {
    let owned = Arc::new(Owned(client));
    let reader = Reader::of(Half(Arc::clone(&owned)));
    (reader, Writer::of(Half(owned)))
}
