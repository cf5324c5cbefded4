//! The handshake, as the actor of a connection drives it.

use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use switchboard_core::TlsInfo;
use tokio::io::AsyncWriteExt;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::rustls::{self, CommonState};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use crate::transport::{LocalFuture, Transport};

use super::below::Below;
use super::client::TlsClient;
use super::fault::{self, Stage};
use super::provider::{cipher_of, version_of};
use super::server::TlsServer;
use super::transport::TlsTransport;

/// A handshake under way. It has the transport, and gives it back at the end, protected or not.
pub(crate) struct Handshake {
    outcome: LocalFuture<Result<Box<dyn Transport>, Failed>>,
    reset: Rc<Cell<bool>>,
    asked: Asked,
}

/// What the client has asked for (SNI), as soon as a server has understood it.
pub(crate) type Asked = Rc<OnceCell<String>>;

/// A handshake that failed; what the peer is to know of it was sent as far as possible.
pub(crate) struct Failed {
    pub(crate) error: io::Error,
    /// The transport, as plain as it was, to be ended in order.
    pub(crate) transport: Option<Box<dyn Transport>>,
}

impl Handshake {
    pub(super) fn accept(server: TlsServer, transport: Box<dyn Transport>, early: Bytes) -> Self {
        let below = Below::new(transport, early);
        let reset = below.reset_switch();
        let asked = Asked::default();
        Self {
            outcome: Box::pin(accept(server, below, Rc::clone(&asked))),
            reset,
            asked,
        }
    }

    pub(super) fn connect(
        client: &TlsClient,
        name: ServerName<'static>,
        transport: Box<dyn Transport>,
        early: Bytes,
    ) -> Self {
        let below = Below::new(transport, early);
        let reset = below.reset_switch();
        Self {
            outcome: Box::pin(connect(client.clone(), name, below)),
            reset,
            asked: Asked::default(),
        }
    }

    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Box<dyn Transport>, Failed>> {
        self.outcome.as_mut().poll(cx)
    }

    /// Where it will be what the client asks for.
    pub(crate) fn asked(&self) -> Asked {
        Rc::clone(&self.asked)
    }

    /// Makes dropping it a reset.
    pub(crate) fn set_reset(&self) {
        self.reset.set(true);
    }
}

impl Future for Handshake {
    type Output = Result<Box<dyn Transport>, Failed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Self::poll(&mut self, cx)
    }
}

async fn accept(
    server: TlsServer,
    below: Below,
    asked: Asked,
) -> Result<Box<dyn Transport>, Failed> {
    let mut hello = LazyConfigAcceptor::new(Acceptor::default(), below);
    let start = match (&mut hello).await {
        Ok(start) => start,
        Err(error) => {
            let transport = hello.take_io();
            return Err(failed(error, &Stage::Hello, transport));
        }
    };
    let name = start.client_hello().server_name().map(str::to_owned);
    let config = server.choose(name.as_deref());
    if let Some(name) = name {
        let _ = asked.set(name);
    }
    let config = match config {
        Ok(config) => config,
        Err(error) => {
            let mut below = start.io;
            // Whether it gets through is the peer's affair.
            let _ = below.write_all(&fault::UNRECOGNIZED_NAME).await;
            return Err(failed(error.into(), &Stage::Handshake, Some(below)));
        }
    };
    match start.into_stream(config).into_fallible().await {
        Ok(stream) => {
            let server_name = stream.get_ref().1.server_name().map(str::to_owned);
            let info = info_of(stream.get_ref().1, server_name);
            let lenient = server.accepts_missing_close_notify();
            Ok(protected(TlsStream::Server(stream), info, lenient))
        }
        Err((error, below)) => Err(failed(error, &Stage::Handshake, Some(below))),
    }
}

async fn connect(
    client: TlsClient,
    name: ServerName<'static>,
    below: Below,
) -> Result<Box<dyn Transport>, Failed> {
    let shown = name.to_str().into_owned();
    let connector = TlsConnector::from(client.config());
    match connector.connect(name, below).into_fallible().await {
        Ok(stream) => {
            let info = info_of(stream.get_ref().1, Some(shown));
            let lenient = client.accepts_missing_close_notify();
            Ok(protected(TlsStream::Client(stream), info, lenient))
        }
        Err((error, below)) => Err(failed(error, &Stage::Asking { name: shown }, Some(below))),
    }
}

fn protected(stream: TlsStream<Below>, info: TlsInfo, lenient: bool) -> Box<dyn Transport> {
    Box::new(TlsTransport::new(stream, Arc::new(info), lenient))
}

fn failed(error: io::Error, stage: &Stage, below: Option<Below>) -> Failed {
    Failed {
        error: fault::of(error, stage.clone()),
        transport: below.map(|below| Box::new(below) as Box<dyn Transport>),
    }
}

/// The facts of a connection whose handshake is done.
fn info_of(state: &CommonState, server_name: Option<String>) -> TlsInfo {
    let mut info = TlsInfo::new(
        version_of(state.protocol_version()),
        cipher_of(state.negotiated_cipher_suite()),
    );
    info.alpn = state.alpn_protocol().map(Bytes::copy_from_slice);
    info.server_name = server_name;
    info.peer_certificates = state
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| Bytes::copy_from_slice(certificate))
        .collect();
    info.resumed = state.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    info
}
