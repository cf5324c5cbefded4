//! Promises about outbound connections; here the peers are plain listeners.

mod addresses;
mod ending;
mod failing;
mod opening;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use switchboard::{Connect, Connecting, Pool};
use switchboard_tests::*;

fn connect(pool: &Pool, connect: Connect) -> (Connecting, Probe) {
    let trace = Probe::new();
    let connecting = pool.connect(connect, trace.session());
    (connecting, trace)
}

/// An address that nobody listens at.
fn closed_port() -> SocketAddr {
    listener().1
}

/// A listener whose backlog is full, so that it answers nobody any more, and what fills it.
struct Stalled {
    address: SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

fn stalled() -> Stalled {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    // Full is the first one that is not answered, and it is answered at once before.
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
        filling.push(stream);
        assert!(filling.len() < 100, "the backlog does not fill");
    }
    Stalled {
        address,
        _listener: listener,
        _filling: filling,
    }
}
