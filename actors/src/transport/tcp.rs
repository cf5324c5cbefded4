//! TCP of the system, IPv4 and IPv6.

mod stream;

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use switchboard_core::{ConnectError, ConnectPhase};
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use tokio::net::{TcpListener, TcpStream};
use tokio::net::{TcpSocket, lookup_host};
use tokio::time::timeout;

use crate::error::ListenPhase;
use crate::options::{ConnectTarget, ListenTarget, SocketOptions};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::priority::{PriorityListener as TcpListener, PriorityStream as TcpStream};
use super::spare::Spare;
use super::system::NotListening;
use super::{Connected, DetachedListener, Incoming, Listener};

use stream::TcpTransport;

#[cfg(unix)]
pub(super) use stream::{dismiss, has_left};

/// Listens at the first address of a name that can be listened at.
pub(super) async fn listen(
    address: &str,
    target: &ListenTarget,
) -> Result<Box<dyn Listener>, NotListening> {
    let addresses = resolve(address)
        .await
        .map_err(|error| (ListenPhase::Resolve, error))?;
    let mut last = (ListenPhase::Resolve, no_address());
    for address in addresses {
        match open_listener(address, target) {
            Ok(listener) => return Ok(Box::new(listener)),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

/// Connects to the first address of a name that answers.
pub(super) async fn connect(
    address: &str,
    target: &ConnectTarget,
) -> Result<Connected, ConnectError> {
    let mut progress = Progress::default();
    let trying = try_all(address, target, &mut progress);
    let outcome = timeout(target.timeout, trying).await.unwrap_or_else(|_| {
        let text = format!("no answer within {:?}", target.timeout);
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    });
    let (stream, peer_addr) = outcome.map_err(|error| progress.fail(address, &error))?;
    Ok(Connected {
        transport: Box::new(TcpTransport::new(stream)),
        peer_addr: Some(peer_addr),
    })
}

/// How far an attempt has come, so that a timeout can tell.
struct Progress {
    phase: ConnectPhase,
    attempts: Vec<(SocketAddr, io::ErrorKind)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            phase: ConnectPhase::Resolve,
            attempts: Vec::new(),
        }
    }
}

impl Progress {
    fn fail(self, address: &str, error: &io::Error) -> ConnectError {
        let mut failure = ConnectError::new(address, self.phase, error);
        failure.attempts = self.attempts;
        failure
    }
}

/// Tries every address of the name in order.
async fn try_all(
    address: &str,
    target: &ConnectTarget,
    progress: &mut Progress,
) -> io::Result<(TcpStream, SocketAddr)> {
    let addresses = resolve(address).await?;
    let mut last = no_address();
    for address in addresses {
        progress.phase = ConnectPhase::Local;
        // An address of the other family cannot be reached from the local one.
        if target
            .local_addr
            .is_some_and(|local| local.is_ipv4() != address.is_ipv4())
        {
            last = io::Error::new(
                io::ErrorKind::InvalidInput,
                "the local address is of the other family",
            );
            progress.attempts.push((address, last.kind()));
            continue;
        }
        let socket = prepare(address, target)?;
        progress.phase = ConnectPhase::Connect;
        match socket.connect(address).await {
            Ok(stream) => return Ok((established(stream)?, address)),
            Err(error) => {
                progress.attempts.push((address, error.kind()));
                last = error;
            }
        }
    }
    Err(last)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn established(stream: tokio::net::TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(stream.into_std()?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
const fn established(stream: TcpStream) -> io::Result<TcpStream> {
    Ok(stream)
}

fn prepare(address: SocketAddr, target: &ConnectTarget) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    apply(&SockRef::from(&socket), &target.socket)?;
    if let Some(local) = target.local_addr {
        socket.bind(local)?;
    }
    Ok(socket)
}

async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    // A literal needs no resolver thread.
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    Ok(lookup_host(address).await?.collect())
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

fn open_listener(address: SocketAddr, target: &ListenTarget) -> Result<TcpAcceptor, NotListening> {
    let bind = |error| (ListenPhase::Bind, error);
    let listen = |error| (ListenPhase::Listen, error);
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .map_err(bind)?;
    socket.set_nonblocking(true).map_err(bind)?;
    socket.set_reuse_address(target.reuse_addr).map_err(bind)?;
    if let Some(only) = target.only_v6
        && address.is_ipv6()
    {
        socket.set_only_v6(only).map_err(bind)?;
    }
    apply(&SockRef::from(&socket), &target.socket).map_err(bind)?;
    socket.bind(&address.into()).map_err(bind)?;
    let backlog = i32::try_from(target.backlog).unwrap_or(i32::MAX);
    socket.listen(backlog).map_err(listen)?;
    let listener = TcpListener::from_std(socket.into()).map_err(listen)?;
    let local_addr = listener.local_addr().map_err(listen)?;
    Ok(TcpAcceptor {
        listener,
        local_addr,
        options: target.socket.clone(),
        spare: Spare::new(target.spare_descriptor),
    })
}

/// Takes over a socket that listens already, through a descriptor of our own.
pub(super) fn adopt_listener(
    listener: &std::net::TcpListener,
    target: &ListenTarget,
) -> Result<Box<dyn Listener>, NotListening> {
    let adopt = || {
        let listener = listener.try_clone()?;
        check_listening(&SockRef::from(&listener))?;
        listener.set_nonblocking(true)?;
        apply(&SockRef::from(&listener), &target.socket)?;
        let listener = TcpListener::from_std(listener)?;
        let local_addr = listener.local_addr()?;
        Ok(TcpAcceptor {
            listener,
            local_addr,
            options: target.socket.clone(),
            spare: Spare::new(target.spare_descriptor),
        })
    };
    match adopt() {
        Ok(acceptor) => Ok(Box::new(acceptor)),
        Err(error) => Err((ListenPhase::Listen, error)),
    }
}

/// Refuses a socket that was taken for a listening one and is none (SO_ACCEPTCONN), where the system tells.
pub(crate) fn check_listening(socket: &SockRef<'_>) -> io::Result<()> {
    #[cfg(any(target_os = "android", target_os = "freebsd", target_os = "linux"))]
    if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        let what = "the socket does not listen";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    #[cfg(not(any(target_os = "android", target_os = "freebsd", target_os = "linux")))]
    let _ = socket;
    Ok(())
}

/// Takes over a connection that exists already, through a descriptor of our own.
pub(super) fn adopt_stream(
    stream: &std::net::TcpStream,
    target: &ConnectTarget,
) -> io::Result<Connected> {
    let stream = stream.try_clone()?;
    stream.set_nonblocking(true)?;
    let peer_addr = Some(stream.peer_addr()?);
    apply(&SockRef::from(&stream), &target.socket)?;
    let transport = TcpTransport::new(TcpStream::from_std(stream)?);
    // Who had it before may have taken one whose place is still to be read past.
    transport.be_wary();
    Ok(Connected {
        transport: Box::new(transport),
        peer_addr,
    })
}

fn apply(socket: &SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
    socket.set_tcp_nodelay(options.nodelay)?;
    if let Some(after) = options.keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after.max(LEAST_KEEPALIVE)))?;
    }
    apply_buffers(socket, options)
}

/// What sockets of every kind have.
pub(super) fn apply_buffers(socket: &SockRef<'_>, options: &SocketOptions) -> io::Result<()> {
    if let Some(bytes) = options.recv_buffer_size {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_size {
        socket.set_send_buffer_size(bytes)?;
    }
    Ok(())
}

/// The system counts keepalive in whole seconds.
const LEAST_KEEPALIVE: Duration = Duration::from_secs(1);

/// A listening socket.
struct TcpAcceptor {
    listener: TcpListener,
    local_addr: SocketAddr,
    options: SocketOptions,
    spare: Spare,
}

impl Listener for TcpAcceptor {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.listener.poll_accept(cx).map_ok(|(stream, peer_addr)| {
            // On Linux an accepted socket inherits the listener's options.
            if !cfg!(target_os = "linux") {
                let _ = apply(&SockRef::from(&stream), &self.options);
            }
            let local_addr = if self.local_addr.ip().is_unspecified() {
                stream.local_addr().ok()
            } else {
                Some(self.local_addr)
            };
            Incoming {
                transport: Box::new(TcpTransport::new(stream)),
                peer_addr: Some(peer_addr),
                local_addr,
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn duplicate(&self) -> io::Result<Box<dyn DetachedListener>> {
        let listener = SockRef::from(&self.listener).try_clone()?;
        Ok(Box::new(DetachedAcceptor {
            listener: listener.into(),
            options: self.options.clone(),
            spare_descriptor: self.spare.is_wanted(),
        }))
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        Some(SockRef::from(&self.listener))
    }

    fn shed(&mut self) -> io::Result<bool> {
        self.spare
            .lend(|| match SockRef::from(&self.listener).accept() {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            })
    }
}

/// A second descriptor of a listening socket.
struct DetachedAcceptor {
    listener: std::net::TcpListener,
    options: SocketOptions,
    spare_descriptor: bool,
}

impl DetachedListener for DetachedAcceptor {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::from_std(self.listener)?;
        let local_addr = listener.local_addr()?;
        Ok(Box::new(TcpAcceptor {
            listener,
            local_addr,
            options: self.options,
            spare: Spare::new(self.spare_descriptor),
        }))
    }
}
