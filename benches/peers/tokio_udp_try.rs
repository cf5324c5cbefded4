//! `peer-tokio-udp-try ADDR`: an echo of datagrams in bare tokio that drains its socket.
//!
//! One task for the socket. When it is woken it answers everything that has come, with `try_recv_from`
//! and `try_send_to`: about the least that a server on tokio can do with a system call per datagram.

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
        socket.readable().await?;
        loop {
            let (length, from) = match socket.try_recv_from(&mut buffer) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            match socket.try_send_to(&buffer[..length], from) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket.send_to(&buffer[..length], from).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
