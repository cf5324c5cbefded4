//! The network in memory as pools use it.

use std::io;

use switchboard_core::{ConnectError, ConnectPhase};
use tokio::time::timeout;

use crate::error::{ListenError, ListenPhase};
use crate::options::{ConnectPlace, ConnectTarget, ListenPlace, ListenTarget};
use crate::transport::{Connected, Listener, LocalFuture, Network, Transport};

use super::{MemoryNet, Progress};

impl Network for MemoryNet {
    fn listen(&self, target: ListenTarget) -> LocalFuture<Result<Box<dyn Listener>, ListenError>> {
        let net = self.clone();
        Box::pin(async move {
            let fail = |phase, error| ListenError::new(target.place.to_string(), phase, error);
            let address = match &target.place {
                ListenPlace::Tcp(address) => address,
                ListenPlace::Unix(_) => return Err(fail(ListenPhase::Bind, no_unix())),
                _ => return Err(fail(ListenPhase::Listen, no_sockets())),
            };
            let addresses = net.lock().resolve(address);
            let addresses = addresses.map_err(|error| fail(ListenPhase::Resolve, error))?;
            let backlog = usize::try_from(target.backlog).unwrap_or(usize::MAX);
            let mut last = io::ErrorKind::NotFound.into();
            for address in addresses {
                match net.bind(address, backlog) {
                    Ok(listener) => return Ok(Box::new(listener) as Box<dyn Listener>),
                    Err(error) => last = error,
                }
            }
            Err(fail(ListenPhase::Bind, last))
        })
    }

    fn connect(&self, target: ConnectTarget) -> LocalFuture<Result<Connected, ConnectError>> {
        let net = self.clone();
        Box::pin(async move {
            let mut progress = Progress::default();
            let outcome = if let ConnectPlace::Tcp(address) = &target.place {
                let attempt = net.open(address.clone(), target.local_addr, &mut progress);
                timeout(target.timeout, attempt).await.unwrap_or_else(|_| {
                    let text = format!("no answer within {:?}", target.timeout);
                    Err(io::Error::new(io::ErrorKind::TimedOut, text))
                })
            } else {
                progress.phase = ConnectPhase::Local;
                Err(match &target.place {
                    ConnectPlace::Unix(_) => no_unix(),
                    _ => no_sockets(),
                })
            };
            match outcome {
                Ok(stream) => Ok(Connected {
                    peer_addr: Some(stream.peer_addr()),
                    transport: Box::new(stream) as Box<dyn Transport>,
                }),
                Err(error) => {
                    let mut failure =
                        ConnectError::new(target.place.to_string(), progress.phase, &error);
                    failure.attempts = progress.attempts;
                    Err(failure)
                }
            }
        })
    }
}

fn no_unix() -> io::Error {
    let text = "a network in memory has no Unix sockets";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn no_sockets() -> io::Error {
    let text = "a network in memory takes over no sockets";
    io::Error::new(io::ErrorKind::Unsupported, text)
}
