//! Streams over connections that we open, and over those that peers open to us.

use std::future::Future;
use std::io;
use std::sync::Arc;

use switchboard_core::{ConnectError, ConnectPhase};

use super::halves::{halves, run_for};
use super::{Reader, Writer};
use crate::client::Client;
use crate::error::ListenError;
use crate::options::{Connect, Listen};
use crate::pool::Pool;
use crate::sequence::Served;
use crate::server::Server;

/// Opens a connection as a stream (UA-12, AIO-42). TLS, the local address and the server's name are options of
/// [`Connect`]; a name is resolved beside all other work, so that it holds nobody else up.
///
/// The connection closes, and flushes, when both halves are dropped. When the future is dropped before it has
/// ended, the connect is given up, and no connection comes of it later (UA-06).
///
/// # Errors
/// [`ConnectError`] with the phase and the kind: a name that does not resolve, a peer that refuses or does not
/// answer in time, a certificate that does not hold. `InvalidInput` for options that cannot be; a stream is one
/// link, so [`reconnect`](Connect::reconnect) is none.
pub async fn open_connection(
    pool: &Pool,
    connect: Connect,
) -> Result<(Reader, Writer), ConnectError> {
    if connect.config.reconnect.is_some() {
        let why = "a stream is one link, it cannot reconnect";
        let error = io::Error::new(io::ErrorKind::InvalidInput, why);
        let target = connect.target.place.to_string();
        return Err(ConnectError::new(target, ConnectPhase::Options, &error));
    }
    establish(pool, connect).await.map(halves)
}

/// Opens a connection that is given up with the future.
pub(super) async fn establish(pool: &Pool, connect: Connect) -> Result<Client, ConnectError> {
    let connecting = pool.open(connect);
    let mut pending = Pending(Some(connecting.client().clone()));
    let client = connecting.await;
    pending.0 = None;
    client
}

/// A connection that is given up with the call that waits for it.
struct Pending(Option<Client>);

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(client) = &self.0 {
            client.abort();
        }
    }
}

/// Opens a listener whose peers are streams (UA-13, AIO-43). `callback` is called for each of them on the
/// connection's thread; it returns a future, which becomes a task of its own there, or nothing.
///
/// A connection closes, and flushes, when both of its halves are dropped, wherever they have gone: the end of the
/// task alone does not close it. A panic in the callback or its task closes that connection and nothing
/// else. How many peers may wait to be accepted is [`Listen::backlog`], 256 (uasyncio: 5, asyncio: 100). The
/// listener's end is [`Server::wait_closed`], that of all its connections [`Server::wait_drained`] (AIO-41).
///
/// ```
/// # use std::io::{Read, Write};
/// use switchboard::{Listen, Pool, stream};
///
/// # #[actix::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::builder().shards(0).start()?;
/// let listen = Listen::tcp("127.0.0.1:0");
/// let server = stream::start_server(&pool, listen, async |mut reader: stream::Reader, mut writer: stream::Writer| {
///     while let Ok(line) = reader.read_line().await
///         && !line.is_empty()
///         && writer.write(line).is_ok()
///         && writer.drain().await.is_ok()
///     {}
/// })
/// .await?;
/// # let address = server.local_addr();
/// # let peer = std::thread::spawn(move || {
/// #     let mut peer = std::net::TcpStream::connect(address).unwrap();
/// #     peer.write_all(b"hello\n").unwrap();
/// #     peer.shutdown(std::net::Shutdown::Write).unwrap();
/// #     let mut back = String::new();
/// #     peer.read_to_string(&mut back).unwrap();
/// #     assert_eq!(back, "hello\n");
/// # });
/// # while !peer.is_finished() { tokio::task::yield_now().await; }
/// # peer.join().unwrap();
/// server.close().await;
/// # pool.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Pool::listen`].
pub async fn start_server<F, W, K>(
    pool: &Pool,
    listen: Listen,
    callback: F,
) -> Result<Server, ListenError>
where
    F: Fn(Reader, Writer) -> W + Send + Sync + 'static,
    W: IntoTask<K> + 'static,
{
    let callback = Arc::new(callback);
    let serve = move |client: Client| {
        let (callback, id) = (Arc::clone(&callback), client.id());
        let task = run_for(id, async move {
            let (reader, writer) = halves(client);
            callback(reader, writer).into_task().await;
        });
        // It closes when the halves are dropped, which may be elsewhere by then.
        let closes = false;
        Served { task, closes }
    };
    pool.listen(listen, serve).await
}

/// What a callback of [`start_server`] returns: a future without a value, or nothing at all. The parameter only
/// tells the two apart.
pub trait IntoTask<Kind> {
    /// The task of the connection.
    fn into_task(self) -> impl Future<Output = ()>;
}

/// The kind of callback that returns nothing.
#[derive(Debug)]
pub enum Plain {}

/// The kind of callback that returns a future.
#[derive(Debug)]
pub enum Task {}

impl IntoTask<Plain> for () {
    fn into_task(self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

impl<W: Future<Output = ()>> IntoTask<Task> for W {
    fn into_task(self) -> impl Future<Output = ()> {
        self
    }
}
