//! Sockets of the load: they never block, and each has an address that is free for sure.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// A socket on its way to `server`, which is non-blocking and sends small writes at once.
///
/// # Errors
/// No descriptor, no free address, or the server refused at once.
pub(crate) fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    let mut attempts = 0;
    while let Err(error) = rustix::net::bind(&socket, &next_source()) {
        attempts += 1;
        if error != Errno::ADDRINUSE || attempts == 100 {
            return Err(error.into());
        }
    }
    match rustix::net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// The next source address and port; none repeats for millions of connections.
///
/// The side that closes first keeps the port for a minute. Here that is the load, and one source
/// address has fewer ports than a minute of connections, so every so many connections come from
/// another loopback address.
fn next_source() -> SocketAddrV4 {
    // Above the ports of most services, and below those that the system hands out.
    const FIRST_PORT: u16 = 12_000;
    const PORTS: u16 = 20_000;
    const ADDRESSES: u32 = 60_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);

    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let (address, port) = (next / u32::from(PORTS), next % u32::from(PORTS));
    // Two processes at the same time shall not meet, hence the process id.
    let [_, _, high, low] =
        (address.wrapping_add(std::process::id() * 64) % ADDRESSES + 1).to_be_bytes();
    let port = FIRST_PORT + u16::try_from(port).expect("less than PORTS");
    SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_do_not_repeat() {
        let first: std::collections::HashSet<_> = (0..100_000).map(|_| next_source()).collect();
        assert_eq!(first.len(), 100_000);
        assert!(first.iter().all(|source| source.ip().is_loopback()));
    }
}
