//! How a pool opens connections that are used in sequence, without a session.

use std::future::Future;
use std::sync::Arc;

use crate::client::Client;
use crate::error::ListenError;
use crate::options::{Connect, Listen};
use crate::sequence::{Sequence, Served};
use crate::server::{Acceptor, Pull, Server};

use super::{Connecting, Pool};

/// How many more peers than are asked for may be at their TLS handshakes at a time: one that stalls must
/// not keep the others from whoever asks for them.
const HANDSHAKES: usize = 16;

/// In sequence.
impl Pool {
    /// Opens a connection that has no session: it is used by calls that wait, such as
    /// [`Client::recv_line`] and [`Client::sent`] (ACO-04, ACO-14). When the peer finishes, the connection stays open
    /// for sending until it is [closed](Client::close) or has been half-closed for too long; over TLS it
    /// closes. A preset receive is refused. Dropping what this gives does not give the connection up
    /// ([`Client::abort`] does).
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
    /// panic of it ends its connection only, and is told as that of a session is (UA-13, UA-24). A drain closes
    /// its connection as that of a session that does not handle [`Draining`](crate::message::Draining). When the
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

    /// Opens a listener that takes nobody by itself: each [`Acceptor::accept`] takes one peer from the
    /// backlog, and its connection has no session, as that of [`open`](Self::open) (ACO-03). Who is not asked
    /// for waits in the backlog, as long as [`Listen::backlog`] has room.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use switchboard::prelude::*;
    /// # #[actix::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = Pool::builder().start()?;
    /// let acceptor = pool.open_listener(Listen::tcp("127.0.0.1:0")).await?;
    /// # let mut peer = std::net::TcpStream::connect(acceptor.server().local_addr())?;
    /// # peer.write_all(b"hello\n")?;
    /// let client = acceptor.accept().await?;
    /// let line = client.recv_line().await?;
    /// client.sent_line(&line).await?;
    /// # let mut echo = [0; 6];
    /// # peer.read_exact(&mut echo)?;
    /// # assert_eq!(&echo, b"hello\n");
    /// # pool.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`listen`](Self::listen); also for options that are about sessions: a preset receive, and sessions
    /// for hosts.
    pub async fn open_listener(&self, listen: Listen) -> Result<Acceptor, ListenError> {
        if !listen.hosts.is_empty() {
            let address = listen.target.place.to_string();
            let why = "there are no sessions, so none for certain hosts";
            return Err(ListenError::options(address, why));
        }
        let pull = Pull::new(if listen.tls.is_some() { HANDSHAKES } else { 0 });
        let asked = Some(Arc::clone(&pull));
        let server = self.open_server(listen, |_| Sequence, asked).await?;
        Ok(Acceptor::new(server, pull))
    }
}
