//! One connection of the load: it writes a burst of lines and checks the bytes that come back.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// A line of the load with its newline.
pub(crate) const LINE_BYTES: usize = 64;

/// A connection with at most one burst under way.
#[derive(Debug)]
pub(crate) struct Client {
    /// The socket.
    pub(crate) stream: TcpStream,
    burst: Box<[u8]>,
    sent: usize,
    received: usize,
    /// When the burst under way began.
    pub(crate) started: Instant,
    /// Bursts that came back altered, or with more bytes than were sent.
    pub(crate) mismatches: u64,
}

impl Client {
    /// Begins to connect; the first write that is accepted shows that it succeeded.
    ///
    /// # Errors
    /// No descriptor, no address, or the server refused at once.
    pub(crate) fn connect(server: SocketAddr, burst: Box<[u8]>) -> io::Result<Self> {
        let (started, stream) = (Instant::now(), connect(server)?);
        Ok(Self {
            stream,
            sent: burst.len(),
            received: burst.len(),
            burst,
            started,
            mismatches: 0,
        })
    }

    /// Begins the next burst.
    pub(crate) fn start(&mut self, now: Instant) {
        self.sent = 0;
        self.received = 0;
        self.started = now;
    }

    /// Whether a reply is due.
    pub(crate) fn is_waiting(&self) -> bool {
        self.received < self.burst.len()
    }

    /// Writes what the socket takes; true when the whole burst is out.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn send(&mut self) -> io::Result<bool> {
        while self.sent < self.burst.len() {
            match self.stream.write(&self.burst[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads once and checks; true when this made the reply whole.
    ///
    /// # Errors
    /// The connection failed, or the server closed it.
    pub(crate) fn receive(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let count = match self.stream.read(scratch) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let due = &self.burst[self.received..];
        let was_waiting = !due.is_empty();
        if due.get(..count) != Some(&scratch[..count]) {
            self.mismatches += 1;
        }
        self.received += count.min(due.len());
        Ok(was_waiting && !self.is_waiting())
    }

    /// Gives up on the burst under way.
    pub(crate) fn abandon(&mut self) {
        self.sent = self.burst.len();
        self.received = self.burst.len();
    }
}

/// A burst of lines that no other connection sends, so that a reply to the wrong one shows.
pub(crate) fn burst(connection: usize, lines: usize) -> Box<[u8]> {
    let mut burst = Vec::with_capacity(lines * LINE_BYTES);
    for line in 0..lines {
        let text = format!("connection {connection} line {line} ");
        burst.extend_from_slice(format!("{text:.<width$}\n", width = LINE_BYTES - 1).as_bytes());
    }
    burst.into()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_length_and_its_owner() {
        let two = burst(7, 2);
        assert_eq!(two.len(), 2 * LINE_BYTES);
        assert!(
            two.chunks(LINE_BYTES)
                .all(|line| line.iter().position(|byte| *byte == b'\n') == Some(LINE_BYTES - 1))
        );
        assert_ne!(burst(7, 2), burst(8, 2));
    }

    #[test]
    fn sources_do_not_repeat() {
        let first: std::collections::HashSet<_> = (0..100_000).map(|_| next_source()).collect();
        assert_eq!(first.len(), 100_000);
        assert!(first.iter().all(|source| source.ip().is_loopback()));
    }
}
