//! `peer-tokio-udp ADDR`: an echo of datagrams in bare tokio.
//!
//! One task for the socket, and in it one `recv_from` and one `send_to` per datagram: what most people write
//! first, and the 1.0 of the ratios over UDP.

use std::io::{self, Write as _};

use tokio::net::UdpSocket;

/// No datagram is longer.
const DATAGRAM_BYTES: usize = 65_535;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let socket = UdpSocket::bind(address).await?;
    writeln!(io::stdout(), "listening on {}", socket.local_addr()?)?;
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..length], from).await?;
    }
}
