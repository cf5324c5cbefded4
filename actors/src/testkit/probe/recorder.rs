//! The end of a probe that events go into: a handle, and the sessions that record.

use actix::{Actor, Context};
use switchboard_core::ClientId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::handle::Handle;
use crate::message::*;

/// Something that a probe is told, and when it happened.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Instant,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    /// A session of the probe was made: for a connection, which an event opens, or for a socket or a
    /// process, which is open from then on.
    Made { open: Option<ClientId> },
    /// A connection told an event.
    Event(ClientEvent),
    /// The session of a connection was dropped.
    Gone(ClientId),
}

/// Passes events to a [`Probe`](super::Probe), from any thread: for an actor that is itself what a
/// test is about and records what it is told.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::UnboundedSender<Entry>);

impl Recorder {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Entry>) {
        let (told, entries) = mpsc::unbounded_channel();
        (Self(told), entries)
    }

    /// Records an event as of now. When the probe is gone, nobody looks and nothing happens.
    pub fn record(&self, event: impl Into<ClientEvent>) {
        self.tell(News::Event(event.into()));
    }

    fn tell(&self, news: News) {
        let at = Instant::now();
        // A test that has seen enough has dropped its probe.
        let _ = self.0.send(Entry { at, news });
    }
}

/// Records for one connection, socket or process, and tells when it is dropped.
#[derive(Debug)]
struct Seat {
    client: ClientId,
    recorder: Recorder,
}

impl Seat {
    fn new(handle: &Handle, recorder: &Recorder) -> Self {
        let client = handle.id();
        let open = handle.client().is_none().then_some(client);
        recorder.tell(News::Made { open });
        Self {
            client,
            recorder: recorder.clone(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.recorder.tell(News::Gone(self.client));
    }
}

macro_rules! records {
    ($(#[$doc:meta])* $session:ident: $($event:ident),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $session(Seat);

        impl $session {
            pub(super) fn new(handle: &Handle, recorder: &Recorder) -> Self {
                Self(Seat::new(handle, recorder))
            }
        }

        impl Actor for $session {
            type Context = Context<Self>;
        }

        $(impl actix::Handler<$event> for $session {
            type Result = ();

            fn handle(&mut self, event: $event, _: &mut Self::Context) {
                self.0.recorder.record(event);
            }
        })*

        crate::session!($session);
    };
}

records! {
    /// A session that records every event but [`PeerFinished`], [`WritePaused`], [`WriteResumed`] and
    /// [`Draining`], which it does not handle: what the runtime does by itself in their place can
    /// be seen. Made by [`Probe::session`](super::Probe::session).
    ProbeSession: Accepted, Connected, ConnectFailed, LineReceived, DataReceived, MessageReceived,
    Sent, Idle, Readable, Writable, Adopted, TlsStarted, UrgentReceived, DatagramReceived,
    DatagramFailed, UdpError, PipeLine, PipeData, PipeClosed, ProcessExited, Disconnected,
    Reconnecting, Closed,
}

records! {
    /// A session that records every event. Made by
    /// [`Probe::full_session`](super::Probe::full_session).
    FullProbeSession: Accepted, Connected, ConnectFailed, LineReceived, DataReceived,
    MessageReceived, Sent, WritePaused, WriteResumed, PeerFinished, Idle, Readable, Writable,
    Adopted, TlsStarted, Draining, UrgentReceived, DatagramReceived, DatagramFailed, UdpError,
    PipeLine, PipeData, PipeClosed, ProcessExited, Disconnected, Reconnecting, Closed,
}
