//! How a pool opens connections that are used in sequence, without a session.

use std::future::Future;

use crate::client::Client;
use crate::error::ListenError;
use crate::options::{Connect, Listen};
use crate::sequence::{Sequence, Served};
use crate::server::Server;

use super::{Connecting, Pool};

/// In sequence.
impl Pool {
    /// Opens a connection that has no session: it is used by calls that wait, such as
    /// [`Client::recv_line`] and [`Client::sent`] (ACO-04, ACO-14). When the peer finishes, the connection stays open
    /// for sending until it is [closed](Client::close) or has been half-closed for too long; over TLS it
    /// closes. A preset receive is refused.
    ///
    /// ```
    /// # use switchboard::prelude::*;
    /// # #[actix::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = Pool::builder().start()?;
    /// # let server = pool.serve(Listen::tcp("127.0.0.1:0"), |client| async move {
    /// #     while let Ok(line) = client.recv_line().await { let _ = client.sent_line(&line).await; }
    /// # }).await?;
    /// let client = pool.open(Connect::tcp(server.local_addr())).await?;
    /// client.sent("hello\n").await?;
    /// assert_eq!(client.recv_line().await?.as_bytes(), b"hello");
    /// # pool.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(&self, connect: Connect) -> Connecting {
        self.connect(connect, |_| Sequence)
    }

    /// Opens a listener whose connections have no session but a task each, from `serve`, which runs on the
    /// connection's thread. When the task ends, its connection closes, after it has sent what is queued; a
    /// panic of it ends its connection only, and is told as that of a session is (UA-13, UA-24). When the
    /// pool stops, tasks whose connections are closed have a quarter of a second left.
    ///
    /// # Errors
    /// As [`listen`](Self::listen); a preset receive is refused.
    pub async fn serve<F, W>(&self, listen: Listen, serve: F) -> Result<Server, ListenError>
    where
        F: Fn(Client) -> W + Send + Sync + 'static,
        W: Future<Output = ()> + 'static,
    {
        let session = move |client| Served {
            task: serve(client),
            closes: true,
        };
        self.listen(listen, session).await
    }
}
