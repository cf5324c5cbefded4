//! How connections end: `Closed` comes once and last, with the right reason, and nothing that was
//! accepted for sending is lost silently.

mod closing;
mod half_closed;
mod idle;
mod reasons;
mod stop;
mod whatever;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard::Connecting;
use switchboard::message::*;
use switchboard::prelude::*;
use switchboard_tests::*;
use tokio::sync::mpsc as tokio_mpsc;

const MIB: usize = 1024 * 1024;

/// Tests that measure time or need much of the machine run one after the other.
fn in_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn local() -> Listen {
    Listen::tcp("127.0.0.1:0")
}

/// Opens an outbound connection whose session records, and its peer.
async fn opened_outbound(pool: &Pool) -> (TcpStream, Client, Probe) {
    let mut trace = Probe::new();
    let (listener, address) = listener();
    let connecting: Connecting = pool.connect(Connect::tcp(address).lines(), trace.session());
    let (stream, _) = peer(move || listener.accept().unwrap()).await;
    let client = connecting.await.unwrap();
    expect!(trace, Connected);
    (stream, client, trace)
}

/// Reads until the peer's end, whichever it is; says how many bytes came and how it ended.
fn drain(stream: &mut TcpStream) -> (usize, Result<(), ErrorKind>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, Ok(())),
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (count, Err(error.kind())),
        }
    }
}

/// A stretch of a stream in which a byte that is missing, doubled or out of place shows.
fn stretch(range: std::ops::Range<usize>) -> Vec<u8> {
    let block: Vec<u8> = (0..=u16::MAX).map(|n| (n ^ (n >> 8)) as u8).collect();
    let start = range.start % block.len();
    let mut bytes = block.repeat((start + range.len()).div_ceil(block.len()));
    bytes.truncate(start + range.len());
    bytes.split_off(start)
}

/// Answers lines and counts how often it is told the end.
struct Counted {
    client: Client,
    ends: tokio_mpsc::UnboundedSender<(ClientId, ClosedReason)>,
}

impl Actor for Counted {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Counted {
    type Result = ();

    fn handle(&mut self, event: LineReceived, _: &mut Self::Context) {
        // A pool that is being stopped takes no more.
        let _ = self.client.send_line(&event.line);
    }
}

impl Handler<Closed> for Counted {
    type Result = ();

    fn handle(&mut self, event: Closed, _: &mut Self::Context) {
        self.ends.send((event.client, event.reason)).unwrap();
    }
}

session!(Counted);
