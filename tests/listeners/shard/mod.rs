//! A shard whose thread ends, or whose actor panics.

mod actor;
mod thread;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use switchboard::{ClientId, SessionContext};
use switchboard_tests::*;

use super::*;

/// Greets, echoes lines, and stops its own thread when it is told `die`.
pub(super) struct Assassin {
    pub(super) client: Client,
}

impl Actor for Assassin {
    type Context = SessionContext<Self>;
}

impl Handler<Accepted> for Assassin {
    type Result = ();

    fn handle(&mut self, msg: Accepted, _: &mut Self::Context) {
        let _ = msg.handle.send_line("hello");
    }
}

impl Handler<LineReceived> for Assassin {
    type Result = ();

    fn handle(&mut self, msg: LineReceived, _: &mut Self::Context) {
        if &msg.line[..] == b"die" {
            actix_rt::Arbiter::current().stop();
        } else {
            let _ = self.client.send_line(&msg.line);
        }
    }
}

switchboard::session!(Assassin);

pub(super) fn quick(builder: PoolBuilder) -> PoolBuilder {
    builder
        .intensity(100, Duration::from_secs(60))
        .backoff(every(Duration::from_millis(20)))
}

pub(super) fn greeted(address: SocketAddr) -> TcpStream {
    let mut peer = dial(address);
    assert_eq!(read_exact(&mut peer, 6), b"hello\n");
    peer
}

/// Whether the connection is there; it must be, or have ended.
pub(super) fn lives(peer: &mut TcpStream) -> bool {
    let sent = peer.write_all(b"echo\n");
    let mut answer = [0; 5];
    match sent.and_then(|()| peer.read_exact(&mut answer)) {
        Ok(()) => {
            assert_eq!(&answer, b"echo\n");
            true
        }
        Err(error) => {
            let ended = [
                ErrorKind::UnexpectedEof,
                ErrorKind::ConnectionReset,
                ErrorKind::BrokenPipe,
            ];
            assert!(ended.contains(&error.kind()), "{error}");
            false
        }
    }
}

pub(super) async fn adds_up(pool: &Pool) -> bool {
    let totals = pool.status().await.unwrap().totals;
    totals.accepted + totals.connected == totals.live + totals.closed_in_all()
}

/// The ids of these peers' connections.
pub(super) async fn ids(pool: &Pool, peers: &[TcpStream]) -> Vec<ClientId> {
    let clients = pool.connections().await.unwrap();
    let id_of = |peer: &TcpStream| {
        let address = peer.local_addr().ok();
        let found = clients.iter().find(|info| info.peer_addr == address);
        found.expect("no connection of this peer").id
    };
    peers.iter().map(id_of).collect()
}
