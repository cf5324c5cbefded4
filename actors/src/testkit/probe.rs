//! A probe: sessions that record every event, and a place to say what is expected of them.

#![allow(
    clippy::result_large_err,
    reason = "an event that does not fit is handed back whole, in tests only"
)]

mod inbox;
mod kind;
mod look;
mod order;
mod recorder;

use std::panic::Location;
use std::time::Duration;

use switchboard_core::ClientId;

use self::inbox::Inbox;
use self::kind::describe;
use crate::client::Client;
use crate::handle::Handle;
use crate::message::*;

pub use self::kind::EventKind;
pub use self::look::Look;
pub use self::recorder::{FullProbeSession, ProbeSession, Recorder};

/// How long a probe waits for what is expected, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(20);

/// Records every event of the connections that it serves, and says what is expected of them.
///
/// What is expected must be the next event that nobody has looked at, and come within the patience of
/// the probe: 20 s, unless [`patience`](Self::patience) or [`within`](Self::within) say otherwise. A
/// failure panics with what was expected, what came, and a timeline of all that was recorded (at most
/// the last 4096 events), each with its time on tokio's clock, which a test may have stopped.
///
/// **By itself a probe asserts the order contract** for each connection: [`Accepted`] or [`Connected`]
/// comes first, [`Closed`] last, each once, or [`ConnectFailed`] alone; and no session of the probe
/// ends without [`Closed`]. Sockets and processes have no first event, and the same last one. A breach panics at the next look, at [`finish`](Self::finish), or when the
/// probe is dropped. For connections of more than one pool use a probe each, since their ids may be
/// the same; stop a pool before its system ends, or its sessions are never told [`Closed`].
///
/// An event that nobody has looked at is kept. That matters for [`PeerFinished`]: dropping it is what
/// closes the connection.
///
/// ```
/// use std::io::Write;
/// use switchboard::testkit::Probe;
/// use switchboard::{ClosedReason, ConnectionOptions, Listen, Pool};
///
/// actix_rt::System::new().block_on(async {
///     let pool = Pool::builder().shards(0).start().unwrap();
///     let mut probe = Probe::new();
///     let listen = Listen::tcp("127.0.0.1:0").lines();
///     let server = pool.listen(listen, probe.session()).await.unwrap();
///
///     let mut peer = std::net::TcpStream::connect(server.local_addr()).unwrap();
///     peer.write_all(b"hello\n").unwrap();
///     drop(peer);
///
///     let client = probe.expect_open().await;
///     probe.of(client.id()).expect_line("hello").await;
///     probe.expect_closed(ClosedReason::ClosedByPeer).await;
///     pool.stop().await;
///     probe.finish();
/// });
/// ```
#[derive(Debug)]
pub struct Probe {
    inbox: Inbox,
    patience: Duration,
}

impl Probe {
    /// A probe whose time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inbox: Inbox::new(),
            patience: PATIENCE,
        }
    }

    /// Sets how long it waits for what is expected. Default: 20 s.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Lets any event come first: for what is recorded by an actor that does not handle all.
    #[must_use]
    pub const fn partial(mut self) -> Self {
        self.inbox.order.partial = true;
        self
    }

    /// A session factory, for any number of listeners and outbound connections. Its sessions do not
    /// handle [`PeerFinished`], [`WritePaused`] and [`WriteResumed`], so that what the runtime does by
    /// itself in their place can be seen.
    pub fn session(
        &self,
    ) -> impl Fn(Client) -> ProbeSession + Clone + Send + Sync + 'static + use<> {
        let recorder = self.recorder();
        move |client| ProbeSession::new(&client.into(), &recorder)
    }

    /// The same for sessions that handle every event.
    pub fn full_session(
        &self,
    ) -> impl Fn(Client) -> FullProbeSession + Clone + Send + Sync + 'static + use<> {
        let recorder = self.recorder();
        move |client| FullProbeSession::new(&client.into(), &recorder)
    }

    /// A factory of sessions for whatever has a handle, such as [`Udp`](crate::Udp), `Raw` or `Process`. It
    /// is open from the start: no [`Accepted`] comes, [`Closed`] is the last event as ever.
    pub fn session_for<H: Into<Handle> + 'static>(
        &self,
    ) -> impl Fn(H) -> ProbeSession + Clone + Send + Sync + 'static + use<H> {
        let recorder = self.recorder();
        move |handle| ProbeSession::new(&handle.into(), &recorder)
    }

    /// The same for sessions that handle every event.
    pub fn full_session_for<H: Into<Handle> + 'static>(
        &self,
    ) -> impl Fn(H) -> FullProbeSession + Clone + Send + Sync + 'static + use<H> {
        let recorder = self.recorder();
        move |handle| FullProbeSession::new(&handle.into(), &recorder)
    }

    /// A handle through which an actor of the test's own can record what it is told.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.inbox.recorder.clone()
    }

    /// Records an event that was made by hand, as of now.
    pub fn record(&self, event: impl Into<ClientEvent>) {
        self.inbox.recorder.record(event);
    }

    /// Looks at one connection only; what others tell waits to be looked at.
    pub const fn of(&mut self, client: ClientId) -> Look<'_> {
        self.look().of(client)
    }

    /// Looks with another patience.
    pub const fn within(&mut self, patience: Duration) -> Look<'_> {
        self.look().within(patience)
    }

    /// Waits until every session that the probe made is gone.
    ///
    /// # Panics
    ///
    /// If an event is left that nobody has looked at, if a session stays longer than the patience, or
    /// if the order contract is broken.
    #[track_caller]
    pub fn ended(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let in_time = self.inbox.ended(self.patience, at).await;
            if let Some(event) = self.inbox.take(None) {
                let got = describe(&event);
                self.inbox.fail(at, &format!("expected the end, got {got}"));
            }
            if !in_time {
                let (left, patience) = (self.inbox.sessions(), self.patience);
                let why = format!("expected the end, but after {patience:?} sessions live: {left}");
                self.inbox.fail(at, &why);
            }
        }
    }

    /// Ends the probe. Events that nobody has looked at are fine; [`no_more`](Self::no_more) and
    /// [`ended`](Self::ended) are not content with them.
    ///
    /// # Panics
    ///
    /// If a connection that opened has not closed, or if the order contract is broken.
    #[track_caller]
    pub fn finish(mut self) {
        let at = Location::caller();
        self.inbox.look(at);
        let open = self.inbox.order.open();
        if !open.is_empty() {
            let why = format!("expected every connection to be closed, but open are {open:?}");
            self.inbox.fail(at, &why);
        }
    }

    const fn look(&mut self) -> Look<'_> {
        Look::new(&mut self.inbox, self.patience)
    }
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Probe {
    /// Panics with a breach of the order contract that nobody has seen.
    fn drop(&mut self) {
        if let Some(breach) = self.inbox.breach()
            && !std::thread::panicking()
        {
            panic!("{}", self.inbox.report(&breach));
        }
    }
}
