//! Unix stream sockets of the system (AC-12, AMB-16).

mod acceptor;
mod file;
mod name;
mod stream;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use switchboard_core::{ConnectPhase, UnixName};
use tokio::time::{sleep, timeout};

use crate::error::ListenPhase;
use crate::options::{ConnectTarget, ListenTarget};

use super::system::NotListening;
use super::tcp::{apply_buffers, check_listening};
use super::{Connected, Listener};

use acceptor::UnixAcceptor;
use stream::UnixTransport;

pub(crate) use file::SocketFile;
pub(crate) use name::{local_name, peer_name};

/// Listens at a name.
pub(super) fn listen(
    name: &UnixName,
    target: &ListenTarget,
) -> Result<Box<dyn Listener>, NotListening> {
    let bind = |error| (ListenPhase::Bind, error);
    let listen = |error| (ListenPhase::Listen, error);
    let address = name::address(name).map_err(bind)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(bind)?;
    socket.set_nonblocking(true).map_err(bind)?;
    let file = match name {
        UnixName::Path(path) => Some(SocketFile::bind(path, &socket, &address).map_err(bind)?),
        UnixName::Unnamed | UnixName::Abstract(_) => {
            socket.bind(&address).map_err(bind)?;
            None
        }
    };
    if let (Some(file), Some(mode)) = (&file, target.permissions) {
        // Nobody can connect yet: it does not listen.
        file.set_permissions(mode).map_err(bind)?;
    }
    let backlog = i32::try_from(target.backlog).unwrap_or(i32::MAX);
    socket.listen(backlog).map_err(listen)?;
    let acceptor = UnixAcceptor::new(socket.into(), name.clone(), file.map(Arc::new), target);
    Ok(Box::new(acceptor.map_err(listen)?))
}

/// Takes over a socket that listens already, through a descriptor of our own.
pub(super) fn adopt_listener(
    listener: &UnixListener,
    target: &ListenTarget,
) -> Result<Box<dyn Listener>, NotListening> {
    let adopt = || {
        let listener = listener.try_clone()?;
        check_unix(&SockRef::from(&listener))?;
        check_listening(&SockRef::from(&listener))?;
        listener.set_nonblocking(true)?;
        let name = local_name(&listener)?;
        UnixAcceptor::new(listener, name, None, target)
    };
    match adopt() {
        Ok(acceptor) => Ok(Box::new(acceptor)),
        Err(error) => Err((ListenPhase::Listen, error)),
    }
}

/// How long a full backlog is left alone, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Connects to a name.
pub(super) async fn connect(
    name: &UnixName,
    target: &ConnectTarget,
) -> Result<Connected, (ConnectPhase, io::Error)> {
    let local = |error| (ConnectPhase::Local, error);
    let address = name::address(name).map_err(local)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(local)?;
    socket.set_nonblocking(true).map_err(local)?;
    apply_buffers(&SockRef::from(&socket), &target.socket).map_err(local)?;
    let connecting = knock(&socket, &address);
    match timeout(target.timeout, connecting).await {
        Ok(Ok(())) => Ok(connected(
            UnixTransport::open(socket.into()).map_err(local)?,
        )),
        Ok(Err(error)) => Err((ConnectPhase::Connect, error)),
        Err(_) => {
            let text = format!("its backlog is full for {:?}", target.timeout);
            let error = io::Error::new(io::ErrorKind::TimedOut, text);
            Err((ConnectPhase::Connect, error))
        }
    }
}

/// A Unix socket connects at once or not at all: while the backlog is full the system says that it would
/// have to wait, and tells nobody when it has room (connect(2), EAGAIN).
async fn knock(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    let (mut pause, most) = PAUSES;
    loop {
        match socket.connect(address) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            outcome => return outcome,
        }
        pause = (pause * 2).min(most);
    }
}

/// Takes over a connection that exists already, through a descriptor of our own.
pub(super) fn adopt_stream(stream: &UnixStream, target: &ConnectTarget) -> io::Result<Connected> {
    let stream = stream.try_clone()?;
    let socket = SockRef::from(&stream);
    check_unix(&socket)?;
    if socket.r#type()? != Type::STREAM {
        return Err(not_it("the adopted socket is no stream"));
    }
    // Fails where there is no peer.
    peer_name(&stream)?;
    apply_buffers(&socket, &target.socket)?;
    stream.set_nonblocking(true)?;
    Ok(connected(UnixTransport::open(stream)?))
}

fn connected(transport: UnixTransport) -> Connected {
    Connected {
        transport: Box::new(transport),
        peer_addr: None,
    }
}

fn check_unix(socket: &SockRef<'_>) -> io::Result<()> {
    if socket.local_addr()?.is_unix() {
        Ok(())
    } else {
        Err(not_it("the adopted socket is no Unix socket"))
    }
}

fn not_it(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
