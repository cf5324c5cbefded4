//! How a connection whose handshake is done moves to another thread.
//!
//! The stream is made of what carries it, which is bound to a thread, and of the state of the protocol,
//! which is not. There is no way to put a stream together but a handshake, so on the other thread one is
//! begun over nothing, and given the state of the one that is done.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use switchboard_core::TlsInfo;
use tokio_rustls::rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;
use tokio_rustls::rustls::{ClientConfig, Connection, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::tls::Provider;
use crate::tls::below::{Below, DetachedBelow};
use crate::transport::{Detached, Transport};

use super::{TlsTransport, Watch};

struct DetachedTls {
    state: Connection,
    below: DetachedBelow,
    info: Arc<TlsInfo>,
    in_flight: usize,
    failed: Option<io::Error>,
    lenient: bool,
    hangup: Watch,
    ended: bool,
}

pub(super) fn depart(transport: TlsTransport) -> io::Result<Box<dyn Detached>> {
    let (below, mut state) = match transport.stream {
        TlsStream::Client(stream) => {
            let (below, state) = stream.into_inner();
            (below, Connection::from(state))
        }
        TlsStream::Server(stream) => {
            let (below, state) = stream.into_inner();
            (below, Connection::from(state))
        }
    };
    // The handshake over nothing must find nothing to send.
    let mut unsent = Vec::new();
    while state.wants_write() {
        state.write_tls(&mut unsent)?;
    }
    Ok(Box::new(DetachedTls {
        state,
        below: below.depart(&unsent)?,
        info: transport.info,
        in_flight: transport.in_flight,
        failed: transport.failed,
        lenient: transport.lenient,
        hangup: transport.hangup,
        ended: transport.ended,
    }))
}

impl Detached for DetachedTls {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Transport>> {
        let below = self.below.arrive()?;
        let mut transport = TlsTransport {
            stream: revive(self.state)?,
            info: self.info,
            in_flight: self.in_flight,
            // Whoever does asks again here.
            write_waits: false,
            failed: self.failed,
            lenient: self.lenient,
            hangup: self.hangup,
            ended: self.ended,
        };
        *transport.below_mut() = below;
        Ok(Box::new(transport))
    }
}

fn revive(state: Connection) -> io::Result<TlsStream<Below>> {
    Ok(match state {
        Connection::Server(state) => {
            let stream = TlsAcceptor::from(Arc::clone(&NO_SERVER))
                .accept_with(Below::empty(), |begun| *begun = state);
            TlsStream::Server(at_once(stream)?)
        }
        Connection::Client(state) => {
            let nobody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0; 4])));
            let stream = TlsConnector::from(Arc::clone(&NO_CLIENT)).connect_with(
                nobody,
                Below::empty(),
                |begun| *begun = state,
            );
            TlsStream::Client(at_once(stream)?)
        }
    })
}

/// What comes of a handshake that has nothing to do any more.
fn at_once<T>(mut stream: impl Future<Output = io::Result<T>> + Unpin) -> io::Result<T> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(&mut stream).poll(&mut cx) {
        Poll::Ready(stream) => stream,
        Poll::Pending => Err(io::Error::other("its TLS was not done when it moved")),
    }
}

const USUAL: &str = "a provider supports the protocol versions that are usual";

/// Shakes hands with nobody.
static NO_SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let config = ServerConfig::builder_with_provider(Provider::Ring.crypto())
        .with_safe_default_protocol_versions()
        .expect(USUAL)
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    Arc::new(config)
});

/// Trusts nobody, and keeps nothing.
static NO_CLIENT: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let config = ClientConfig::builder_with_provider(Provider::Ring.crypto())
        .with_safe_default_protocol_versions()
        .expect(USUAL)
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Arc::new(config)
});
