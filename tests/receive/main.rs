//! Receiving: what is armed is delivered, whole, in order and once; what is not armed is not read.

mod arming;
mod data;
mod deadlines;
mod lines;
mod messages;
mod peer_end;
mod pressure;
mod readiness;
mod refusals;

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{Client, Pool, SessionContext};
use switchboard_tests::*;
use tokio::sync::mpsc;

const ANY: &str = "127.0.0.1:0";
const MIB: usize = 1024 * 1024;

fn size(bytes: usize) -> NonZeroUsize {
    NonZeroUsize::new(bytes).unwrap()
}

fn times(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits until the connection has read so many bytes in all.
async fn has_read(client: &Client, bytes: usize) {
    until(|| client.info().activity.bytes_in >= bytes as u64).await;
}

async fn text(trace: &mut Probe) -> String {
    expect!(trace, LineReceived).line.text().unwrap().into()
}

/// A thread that writes the same block again and again.
struct Flood {
    written: Arc<AtomicUsize>,
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Flood {
    /// Writes so many bytes, or fewer if the connection ends before.
    fn begin(stream: &TcpStream, block: Vec<u8>, total: usize) -> Self {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let mut writer = stream.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            while count.load(Ordering::Relaxed) < total {
                match writer.write(&block) {
                    Ok(more) => _ = count.fetch_add(more, Ordering::Relaxed),
                    Err(_) => break,
                }
            }
        });
        let stream = stream.try_clone().unwrap();
        Self {
            written,
            stream,
            thread,
        }
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until it has written nothing for a while: TCP holds it back.
    async fn stalls(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.written();
            // The time that the system may need to move bytes on between its own buffers.
            tokio::time::sleep(ms(150)).await;
            if self.written() == before {
                return before;
            }
            assert!(Instant::now() < deadline, "the peer is never held back");
        }
    }

    /// Breaks it off, wherever it is.
    fn end(self) {
        // A connection that is over already needs no shutdown.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.thread.join().unwrap();
    }
}

/// The most by which resident memory grows until something is so.
async fn growth_until(mut is_so: impl FnMut() -> bool) -> usize {
    let (before, mut most) = (resident(), 0);
    until(|| {
        most = most.max(resident());
        is_so()
    })
    .await;
    most.saturating_sub(before)
}

/// Arms the next receive inside the handler of the one before.
struct OneByOne {
    client: Client,
    receive: RecvLine,
    left: usize,
    lines: mpsc::UnboundedSender<String>,
}

impl Actor for OneByOne {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for OneByOne {
    type Result = ();

    fn handle(&mut self, _: Accepted, _: &mut Self::Context) {
        self.client.arm(self.receive.clone()).unwrap();
    }
}

impl Handler<LineReceived> for OneByOne {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.lines.send(msg.line.text().unwrap().into()).unwrap();
        self.left -= 1;
        if self.left > 0 {
            self.client.arm(self.receive.clone()).unwrap();
        }
    }
}

switchboard::session!(OneByOne);

/// Answers every line in capitals.
struct Shout {
    client: Client,
}

impl Actor for Shout {
    type Context = SessionContext<Self>;
}

impl Handler<LineReceived> for Shout {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        self.client
            .send_line(&msg.line.to_ascii_uppercase())
            .unwrap();
    }
}

switchboard::session!(Shout);

/// The first connection of a pool.
async fn first_of(pool: &Pool) -> Client {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(info) = pool.connections().await.unwrap().first() {
            return pool.connection(info.id).await.unwrap();
        }
        assert!(Instant::now() < deadline, "no connection comes");
        // Nothing tells a session without `Accepted` of its connection.
        tokio::time::sleep(ms(1)).await;
    }
}

async fn peer_stuffs(stream: TcpStream, bytes: Vec<u8>) -> (TcpStream, usize, Vec<u8>) {
    peer(move || {
        let sent = stuff(&stream, &bytes);
        (stream, sent, bytes)
    })
    .await
}
