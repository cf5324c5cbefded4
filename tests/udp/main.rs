//! Sockets that move datagrams, with plain `std::net` peers.

mod adopting;
mod corners;
mod echo;
mod errors;
mod leaks;
mod multicast;
mod once;
mod opening;
mod peers;
mod pool;
mod pressure;
#[path = "../peers/programs.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod programs;
mod queue;
#[cfg(unix)]
mod raw;
mod receiving;
mod recording;
mod sending;
mod sequence;
mod sessions;
mod stalled;
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
    type Context = SessionContext<Self>;
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

/// Waits for a datagram at a plain peer.
pub fn received(peer: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let (count, _) = peer.recv_from(&mut buffer).unwrap();
    buffer.truncate(count);
    buffer
}

/// An address of the loopback interface where nobody listens, and which no other test gets either.
pub fn nobody() -> std::net::SocketAddr {
    UdpSocket::bind("127.9.9.9:0")
        .or_else(|_| UdpSocket::bind("127.0.0.1:0"))
        .unwrap()
        .local_addr()
        .unwrap()
}

/// A socket at a free port of the loopback interface, to be bound.
pub fn local() -> BindUdp {
    BindUdp::new("127.0.0.1:0")
}

/// The socket's real address.
pub fn address(udp: &Udp) -> std::net::SocketAddr {
    udp.local_addr().as_ref().and_then(Address::inet).unwrap()
}
