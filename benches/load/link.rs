//! One way to a server: a socket that never blocks, plain or with TLS over it.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use crate::socket::connect;
use crate::tls::SERVER_NAME;

/// The most that one read asks the socket for, below TLS.
const WIRE_BYTES: usize = 32 * 1024;

/// Where a server is, and how to speak to it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The client's side of TLS; none where the server speaks in plain.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection. A call that would have to wait fails with [`io::ErrorKind::WouldBlock`].
#[derive(Debug)]
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsLink>),
}

impl Link {
    /// Begins to connect; what is written before there is a connection waits or is refused.
    ///
    /// # Errors
    /// No descriptor, no address, or the server refused at once.
    pub(crate) fn connect(target: &Target) -> io::Result<Self> {
        let socket = connect(target.address)?;
        match &target.tls {
            None => Ok(Self::Plain(socket)),
            Some(config) => Ok(Self::Tls(Box::new(TlsLink::new(
                socket,
                Arc::clone(config),
            )?))),
        }
    }

    /// Takes bytes to send. With TLS some of them may have to wait for [`Link::flush`].
    ///
    /// # Errors
    /// The connection failed, or takes nothing at present.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(link) => link.write(bytes),
        }
    }

    /// Sends what was taken; true when nothing waits any more.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(link) => link.flush(),
        }
    }

    /// Reads what is here; zero at the end of the stream.
    ///
    /// # Errors
    /// The connection failed, or nothing is here.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(link) => link.read(into),
        }
    }

    /// Whether the next read may bring something that the socket does not announce.
    pub(crate) fn holds_bytes(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(link) => link.holds_bytes(),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Plain(socket) => socket.as_fd(),
            Self::Tls(link) => link.socket.as_fd(),
        }
    }
}

/// TLS over a socket. The handshake goes on with every read and write; until it is done the first
/// bytes wait in the session, so that they leave together with the client's last message of it.
pub(crate) struct TlsLink {
    socket: TcpStream,
    session: ClientConnection,
    /// What came over the socket, of which the session has taken the bytes before `taken`.
    wire: Vec<u8>,
    taken: usize,
    /// Whether the last read left decrypted bytes in the session.
    has_plaintext: bool,
}

impl TlsLink {
    fn new(socket: TcpStream, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        Ok(Self {
            socket,
            session: ClientConnection::new(config, name).map_err(io::Error::other)?,
            wire: Vec::new(),
            taken: 0,
            has_plaintext: false,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Bytes that wait make room for others first: the session's own buffer stays small.
        if !self.session.is_handshaking() && !self.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.session.writer().write(bytes)?;
        self.flush()?;
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => {
                    // A read that filled its buffer may have left something.
                    self.has_plaintext = outcome.as_ref().is_ok_and(|count| *count == into.len());
                    return outcome;
                }
            }
            self.has_plaintext = false;
            if self.taken == self.wire.len() {
                self.fill()?;
            }
            self.taken += self.session.read_tls(&mut &self.wire[self.taken..])?;
            self.session
                .process_new_packets()
                .map_err(io::Error::other)?;
            self.flush()?;
        }
    }

    /// Reads from the socket once: rustls by itself asks it for 4 KiB at a time.
    fn fill(&mut self) -> io::Result<()> {
        self.taken = 0;
        self.wire.resize(WIRE_BYTES, 0);
        let outcome = self.socket.read(&mut self.wire);
        self.wire.truncate(*outcome.as_ref().unwrap_or(&0));
        match outcome? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn holds_bytes(&self) -> bool {
        self.has_plaintext || self.taken < self.wire.len()
    }
}

impl Drop for TlsLink {
    /// Says goodbye: a stream without a `close_notify` could have been cut off by anybody.
    fn drop(&mut self) {
        self.session.send_close_notify();
        // Nobody waits for the answer, nor knows what to do without one.
        let _ = self.flush();
    }
}

impl fmt::Debug for TlsLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsLink")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::{Duration, Instant};

    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;
    use crate::tls::Credentials;

    /// Echoes one connection after the other with the certificate of `credentials`.
    fn serve(credentials: &Credentials) -> SocketAddr {
        let chain = CertificateDer::pem_file_iter(credentials.certificate()).unwrap();
        let key = PrivateKeyDer::from_pem_file(credentials.key()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = StreamOwned::new(session, socket.unwrap());
                let mut buffer = vec![0; 20_000];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..count]).unwrap();
                }
            }
        });
        address
    }

    /// Sends all of `bytes` and reads as many, in small pieces.
    fn exchange(link: &mut Link, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let blocked = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        let (mut sent, mut back, mut piece) = (0, Vec::new(), [0; 1_000]);
        while back.len() < bytes.len() {
            assert!(Instant::now() < deadline, "{} bytes came back", back.len());
            if sent < bytes.len() {
                match link.write(&bytes[sent..]) {
                    Err(error) if blocked(&error) => {}
                    outcome => sent += outcome?,
                }
            }
            link.flush()?;
            match link.read(&mut piece) {
                Err(error) if blocked(&error) => {}
                outcome => back.extend_from_slice(&piece[..outcome?]),
            }
        }
        Ok(back)
    }

    #[test]
    fn bytes_come_back_through_tls() {
        let credentials = Credentials::new().unwrap();
        let target = Target {
            address: serve(&credentials),
            tls: Some(credentials.client()),
        };
        let bytes: Vec<_> = (0..=u8::MAX).cycle().take(1_000_000).collect();
        // The second one is checked in the shorter way.
        for _ in 0..2 {
            let mut link = Link::connect(&target).unwrap();
            assert!(exchange(&mut link, &bytes).unwrap() == bytes);
        }
    }

    #[test]
    fn another_certificate_is_refused() {
        let (ours, theirs) = (Credentials::new().unwrap(), Credentials::new().unwrap());
        let mut target = Target {
            address: serve(&ours),
            tls: Some(ours.client()),
        };
        exchange(&mut Link::connect(&target).unwrap(), b"known").unwrap();
        target.tls = Some(theirs.client());
        let error = exchange(&mut Link::connect(&target).unwrap(), b"refused").unwrap_err();
        assert!(
            error.to_string().contains("invalid peer certificate"),
            "{error}"
        );
    }
}
