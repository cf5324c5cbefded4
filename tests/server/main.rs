//! Promises about listeners: what they say when they cannot open, whom they let in, what they
//! survive.

mod accepting;
mod ending;
mod opening;
mod places;
mod starving;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use actix::prelude::*;
use switchboard::message::*;
use switchboard::{Client, ConnectionOptions, Listen, ListenError, Pool, Server, SessionContext};
use switchboard_tests::*;

const ANY: &str = "127.0.0.1:0";

/// Greets, so that a peer sees that it was let in, and echoes lines.
struct Greeter {
    client: Client,
    /// How many are in, and the most that ever were.
    inside: Option<Arc<(AtomicUsize, AtomicUsize)>>,
}

impl Actor for Greeter {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        // A peer that is gone already needs no greeting.
        let _ = msg.handle.send("hello\n");
    }
}

impl Handler<LineReceived> for Greeter {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        let _ = self.client.send_line(&msg.line);
    }
}

impl Handler<Closed> for Greeter {
    type Result = ();

    fn handle(&mut self, _: Closed, _: &mut Self::Context) {
        if let Some(inside) = &self.inside {
            inside.0.fetch_sub(1, SeqCst);
        }
    }
}

switchboard::session!(Greeter);

async fn greet(pool: &Pool, listen: Listen) -> Server {
    pool.listen(listen.lines(), |client| Greeter {
        client,
        inside: None,
    })
    .await
    .unwrap()
}

async fn refused(pool: &Pool, listen: Listen) -> ListenError {
    pool.listen(listen, |client| Echo { client })
        .await
        .unwrap_err()
}

/// Whether the peer was let in: it is greeted, or sees the end.
fn is_let_in(peer: &mut TcpStream) -> bool {
    let mut greeting = [0; 6];
    match peer.read(&mut greeting).unwrap() {
        0 => false,
        count => {
            peer.read_exact(&mut greeting[count..]).unwrap();
            assert_eq!(&greeting, b"hello\n");
            true
        }
    }
}

/// Whether nothing comes for a moment, in which a peer that is let in would be greeted.
fn waits(peer: &mut TcpStream) -> bool {
    peer.set_read_timeout(Some(Duration::from_millis(30)))
        .unwrap();
    let error = peer.read(&mut [0]).map_err(|error| error.kind());
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    error == Err(std::io::ErrorKind::WouldBlock)
}

fn is_rejected(event: &PoolEvent) -> Option<Option<SocketAddr>> {
    match event {
        PoolEvent::AcceptRejected { peer_addr, .. } => Some(*peer_addr),
        _ => None,
    }
}
