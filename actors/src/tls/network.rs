//! TLS under a whole pool.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::SockRef;
use switchboard_core::{Address, ConnectError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::error::ListenError;
use crate::options::{ConnectTarget, ListenTarget};
use crate::telemetry;
use crate::transport::{Connected, DetachedListener, Incoming, Listener, LocalFuture, Network};

use super::start::Secure;
use super::{TlsClient, TlsServer};

/// How many peers of one listener may be in their handshake, or be done with it and wait to be accepted.
pub const HANDSHAKES: usize = 256;
/// How many peers one poll takes from the listener below.
const TURN: usize = 32;

/// Any network, with TLS on all of its connections: neither listeners nor sessions say a word of it.
///
/// Every peer that a listener accepts has done its handshake as the [`TlsServer`] demands; every
/// connection that is established has done its own, and the host that it was opened to has proved to be
/// that host. Sessions are told what was agreed on as always, with
/// [`TlsStarted`](crate::message::TlsStarted).
///
/// ```no_run
/// use switchboard::Pool;
/// use switchboard::tls::{Identity, Roots, TlsClient, TlsNetwork, TlsServer};
/// use switchboard::transport::TcpNetwork;
///
/// # fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::from_pem_files("chain.pem", "key.pem")?;
/// let server = TlsServer::builder(identity).build()?;
/// let client = TlsClient::builder(Roots::system()?).build()?;
/// let pool = Pool::builder().network(TlsNetwork::new(TcpNetwork, server, client)).start()?;
/// # Ok(())
/// # }
/// ```
///
/// The handshakes of a listener run on its thread beside it: one that stalls holds up nobody, and is
/// given up with its timeout. At most [`HANDSHAKES`] are under way at once; who comes then waits to be
/// accepted by the network below. Peers whose handshake fails never become a connection: they are
/// logged, and count for no limit.
///
/// It cannot: connect to a Unix socket, which has no host to prove to be; leave a listener or a connection in plain, or give one settings of its own; upgrade in
/// mid-stream, since everything is TLS already; limit peers that are in their handshake by their
/// addresses. [`Listen::tls`](crate::Listen::tls) and [`Connect::tls`](crate::Connect::tls) can, and are
/// the better choice for a listener that strangers reach.
#[derive(Clone)]
pub struct TlsNetwork {
    inner: Arc<dyn Network>,
    server: TlsServer,
    client: TlsClient,
}

impl TlsNetwork {
    /// Puts TLS over a network.
    pub fn new(inner: impl Network, server: TlsServer, client: TlsClient) -> Self {
        Self {
            inner: Arc::new(inner),
            server,
            client,
        }
    }
}

impl fmt::Debug for TlsNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsNetwork")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Network for TlsNetwork {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let server = self.server.clone();
        let listening = self.inner.listen(target);
        Box::pin(async move {
            let inner = listening.await?;
            Ok(Box::new(TlsListener::new(inner, server)) as Box<dyn Listener>)
        })
    }

    /// The handshake has the time that the [`TlsClient`] gives it, after the connection is established.
    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        let secure = Secure::new(self.client.clone(), None);
        let place = target.place.clone();
        let connecting = self.inner.connect(target);
        Box::pin(async move { secure.connect(connecting.await?, place).await })
    }
}

/// A listener whose peers do their handshake before they are accepted.
struct TlsListener {
    inner: Box<dyn Listener>,
    server: TlsServer,
    /// `None` of those whose handshake has failed.
    handshakes: JoinSet<Option<Incoming>>,
}

impl TlsListener {
    fn new(inner: Box<dyn Listener>, server: TlsServer) -> Self {
        Self {
            inner,
            server,
            handshakes: JoinSet::new(),
        }
    }
}

impl Listener for TlsListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let mut turn = TURN;
        loop {
            while let Poll::Ready(Some(done)) = self.handshakes.poll_join_next(cx) {
                if let Ok(Some(incoming)) = done {
                    return Poll::Ready(Ok(incoming));
                }
            }
            if self.handshakes.len() >= HANDSHAKES {
                return Poll::Pending;
            }
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            turn -= 1;
            match self.inner.poll_accept(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(incoming)) => {
                    let server = self.server.clone();
                    self.handshakes.spawn_local(secure(incoming, server));
                }
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn address(&self) -> Address {
        self.inner.address()
    }

    fn duplicate(&self) -> io::Result<Box<dyn DetachedListener>> {
        Ok(Box::new(DetachedTls {
            inner: self.inner.duplicate()?,
            server: self.server.clone(),
        }))
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.inner.socket()
    }

    fn shed(&mut self) -> io::Result<bool> {
        self.inner.shed()
    }
}

/// Lets a peer do its handshake. One that fails is ended in order: it shall read the alert.
async fn secure(incoming: Incoming, server: TlsServer) -> Option<Incoming> {
    let Incoming {
        transport,
        peer_addr,
        local_addr,
    } = incoming;
    let error = match timeout(server.handshake_timeout(), server.begin(transport)).await {
        Ok(Ok(transport)) => {
            return Some(Incoming {
                transport,
                peer_addr,
                local_addr,
            });
        }
        Ok(Err(failed)) => {
            if let Some(transport) = failed.transport {
                transport.turn_away(&[]);
            }
            failed.error
        }
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    telemetry::handshake_failed(peer_addr, &error);
    None
}

/// A second hold on the listener below.
struct DetachedTls {
    inner: Box<dyn DetachedListener>,
    server: TlsServer,
}

impl DetachedListener for DetachedTls {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(TlsListener::new(
            self.inner.attach()?,
            self.server,
        )))
    }
}
