//! Sockets that move datagrams, with plain `std::net` peers.

mod echo;
mod multicast;
mod once;
mod peers;
#[path = "../peers/programs.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod programs;
#[cfg(unix)]
mod raw;
mod recording;
#[cfg(unix)]
mod unix;

use std::net::UdpSocket;
use std::time::Duration;

use switchboard::Address;
use switchboard::prelude::*;

/// How long a peer waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Sends back what it gets.
pub struct Echo {
    pub udp: Udp,
}

impl Actor for Echo {
    type Context = Context<Self>;
}

impl Handler<DatagramReceived> for Echo {
    type Result = ();

    fn handle(&mut self, msg: DatagramReceived, _: &mut Self::Context) {
        self.udp.send_to(msg.data, msg.from).unwrap();
    }
}

session!(Echo);

/// A plain peer, which waits for [`PATIENCE`] at most.
pub fn peer() -> UdpSocket {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer
}

/// The socket's real address.
pub fn address(udp: &Udp) -> std::net::SocketAddr {
    udp.local_addr().as_ref().and_then(Address::inet).unwrap()
}
