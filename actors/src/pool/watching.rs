//! How a pool watches descriptors.

use crate::client::Client;
use crate::options::WatchFd;
use crate::session::IntoSession;

use super::{Connecting, Pool};

/// Watching.
impl Pool {
    /// Makes a channel of a descriptor (AC-21, AC-22). It is an outbound connection like those of
    /// [`connect`](Self::connect): the same receives, sends, limits, timeouts and events, from
    /// [`Connected`](crate::message::Connected) to [`Closed`](crate::message::Closed); its actor, which
    /// others would call a pipe actor, is a [`ClientActor`](crate::ClientActor), its handle a [`Client`] of kind
    /// [`Pipe`](crate::ChannelKind::Pipe). The pool's [`Network`](crate::transport::Network) has no part in it.
    ///
    /// ```no_run
    /// use switchboard::prelude::*;
    /// use switchboard::WatchFd;
    ///
    /// struct Typed;
    /// impl Actor for Typed { type Context = Context<Self>; }
    /// impl Handler<LineReceived> for Typed {
    ///     type Result = ();
    ///     fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
    ///         println!("typed: {}", String::from_utf8_lossy(&msg.line));
    ///     }
    /// }
    /// session!(Typed);
    ///
    /// # async fn run(pool: Pool) -> Result<(), Box<dyn std::error::Error>> {
    /// pool.watch_fd(WatchFd::stdin()?.lines(), |_| Typed).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch_fd<F, S>(&self, watch: WatchFd, session: F) -> Connecting
    where
        F: FnOnce(Client) -> S + Send + 'static,
        S: IntoSession,
    {
        self.connect(watch.into_connect(), session)
    }

    /// The same, with a session that can be made again, as
    /// [`connect_supervised`](Self::connect_supervised).
    pub fn watch_fd_supervised<F, S>(&self, watch: WatchFd, session: F) -> Connecting
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        self.connect_supervised(watch.into_connect(), session)
    }
}
