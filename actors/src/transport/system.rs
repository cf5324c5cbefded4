//! The sockets of the system.

use std::io;

use switchboard_core::{ConnectError, ConnectPhase};

use crate::error::{ListenError, ListenPhase};
use crate::options::{ConnectPlace, ConnectTarget, ListenPlace, ListenTarget};

#[cfg(unix)]
use super::unix;
use super::{Connected, Listener, LocalFuture, Network, tcp};

/// TCP (IPv4 and IPv6) and Unix stream sockets of the system. Names are resolved off the arbiter's thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        Box::pin(async move {
            let fail = |(phase, error)| ListenError::new(target.place.to_string(), phase, error);
            match &target.place {
                ListenPlace::Tcp(address) => tcp::listen(address, &target).await,
                ListenPlace::AdoptedTcp(listener) => tcp::adopt_listener(listener, &target),
                #[cfg(unix)]
                ListenPlace::Unix(name) => unix::listen(name, &target),
                #[cfg(unix)]
                ListenPlace::AdoptedUnix(listener) => unix::adopt_listener(listener, &target),
                #[cfg(not(unix))]
                ListenPlace::Unix(_) => Err((ListenPhase::Bind, no_unix())),
            }
            .map_err(fail)
        })
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        Box::pin(async move {
            let fail = |(phase, error)| ConnectError::new(target.place.to_string(), phase, &error);
            match &target.place {
                ConnectPlace::Tcp(address) => tcp::connect(address, &target).await,
                ConnectPlace::AdoptedTcp(stream) => {
                    tcp::adopt_stream(stream, &target).map_err(|error| fail((LOCAL, error)))
                }
                #[cfg(unix)]
                ConnectPlace::Unix(name) => unix::connect(name, &target).await.map_err(fail),
                #[cfg(unix)]
                ConnectPlace::AdoptedUnix(stream) => {
                    unix::adopt_stream(stream, &target).map_err(|error| fail((LOCAL, error)))
                }
                #[cfg(not(unix))]
                ConnectPlace::Unix(_) => Err(fail((LOCAL, no_unix()))),
            }
        })
    }
}

/// Where taking over fails.
const LOCAL: ConnectPhase = ConnectPhase::Local;

/// How opening a listener has failed.
pub(super) type NotListening = (ListenPhase, io::Error);

#[cfg(not(unix))]
fn no_unix() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "there are no Unix sockets here")
}
