//! What the integration tests share: a pool to test in, a session that records, peers of plain
//! `std::net`.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{Client, Pool, PoolBuilder, Totals};
use tokio::sync::mpsc;

/// No test waits longer than this for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test inside an actix system with a pool of one shard, then stops the pool and checks that
/// nothing is left and that the counters add up.
pub fn with_pool<F, T>(test: F) -> Totals
where
    F: FnOnce(Pool) -> T,
    T: Future<Output = ()>,
{
    with(Pool::builder().shards(1), test)
}

/// The same, for a pool with settings of its own.
pub fn with<F, T>(builder: PoolBuilder, test: F) -> Totals
where
    F: FnOnce(Pool) -> T,
    T: Future<Output = ()>,
{
    System::new().block_on(async move {
        let pool = builder.start().unwrap();
        tokio::time::timeout(PATIENCE * 2, test(pool.clone()))
            .await
            .expect("the test takes too long");
        let totals = tokio::time::timeout(PATIENCE, pool.stop())
            .await
            .expect("the pool does not stop");
        assert_eq!(totals.live, 0, "connections are left over: {totals}");
        assert_eq!(
            totals.accepted + totals.connected,
            totals.live + totals.closed_in_all(),
            "the counters do not add up: {totals}"
        );
        totals
    })
}

/// Runs blocking peer code beside the system.
pub async fn peer<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A plain blocking connection to `address` whose operations give up after [`PATIENCE`].
pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A plain blocking listener on a free port of the loopback interface.
pub fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Everything until the peer finishes.
pub fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Exactly so many bytes.
pub fn read_exact(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Writes and reads back the same number of bytes.
pub fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    read_exact(stream, bytes.len())
}

/// Makes closing the stream a reset.
pub fn reset_on_close(stream: &TcpStream) {
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// A session that passes every event on, in order, to whoever looks. It handles neither
/// `PeerFinished` nor `WritePaused`, so that what the runtime does by itself can be seen.
pub struct Recorder {
    pub client: Client,
    pub events: mpsc::UnboundedSender<ClientEvent>,
}

/// A session that passes on `PeerFinished`, `WritePaused` and `WriteResumed` as well.
pub struct FullRecorder {
    pub client: Client,
    pub events: mpsc::UnboundedSender<ClientEvent>,
}

macro_rules! records {
    ($session:ident: $($event:ident),*) => {
        impl Actor for $session {
            type Context = Context<Self>;
        }

        $(impl Handler<$event> for $session {
            type Result = ();

            fn handle(&mut self, event: $event, _: &mut Self::Context) {
                // A test that has seen enough no longer looks.
                let _ = self.events.send(ClientEvent::$event(event));
            }
        })*

        switchboard::session!($session);
    };
}

records!(Recorder: Accepted, Connected, ConnectFailed, LineReceived, DataReceived, MessageReceived,
    Sent, Idle, Readable, Writable, Closed);
records!(FullRecorder: Accepted, Connected, ConnectFailed, LineReceived, DataReceived,
    MessageReceived, Sent, WritePaused, WriteResumed, PeerFinished, Idle, Readable, Writable, Closed);

/// The looking end of recorders.
pub struct Trace {
    events: mpsc::UnboundedReceiver<ClientEvent>,
}

/// A channel for recorders: give clones of the sender to sessions, look at the trace.
pub fn trace() -> (mpsc::UnboundedSender<ClientEvent>, Trace) {
    let (sender, events) = mpsc::unbounded_channel();
    (sender, Trace { events })
}

/// Takes the next event, which must be of this kind.
#[macro_export]
macro_rules! expect {
    ($trace:expr, $event:ident) => {
        match $trace.next().await {
            switchboard::message::ClientEvent::$event(event) => event,
            other => panic!("expected {}, got {other:?}", stringify!($event)),
        }
    };
}

impl Trace {
    /// The next event.
    pub async fn next(&mut self) -> ClientEvent {
        tokio::time::timeout(PATIENCE, self.events.recv())
            .await
            .expect("no event in time")
            .expect("every recorder is gone")
    }

    /// What has been recorded and not yet looked at.
    pub fn so_far(&mut self) -> Vec<ClientEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// Waits a moment in which nothing may happen.
    pub async fn nothing_for(&mut self, time: Duration) {
        if let Ok(Some(event)) = tokio::time::timeout(time, self.events.recv()).await {
            panic!("expected nothing, got {event:?}");
        }
    }
}
