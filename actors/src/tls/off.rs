//! Stands where TLS is left out of the crate: there is nothing of it that could exist.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use switchboard_core::ConnectError;

use crate::options::ConnectPlace;
use crate::transport::{Connected, LocalFuture, Transport};

pub(crate) struct Failed {
    pub(crate) error: io::Error,
    pub(crate) transport: Option<Box<dyn Transport>>,
}

pub(crate) struct Handshake(Infallible);

impl Handshake {
    pub(crate) fn poll(&mut self, _: &mut Context<'_>) -> Poll<Result<Box<dyn Transport>, Failed>> {
        match self.0 {}
    }

    pub(crate) fn asked(&self) -> Asked {
        match self.0 {}
    }

    pub(crate) fn set_reset(&self) {
        match self.0 {}
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TlsConfig;
pub(crate) type Asked = Rc<OnceCell<String>>;

pub(crate) struct Hosts<T>(Infallible, PhantomData<T>);

impl<T> Hosts<T> {
    pub(crate) fn get(&self, _: &str) -> Option<&T> {
        match self.0 {}
    }

    pub(crate) fn values(&self) -> std::slice::Iter<'_, T> {
        match self.0 {}
    }
}

pub(crate) struct Upgrade(Infallible);

impl Upgrade {
    pub(crate) fn config(&self) -> TlsConfig {
        match self.0 {}
    }

    pub(crate) fn begin(self, _: Box<dyn Transport>) -> Handshake {
        match self.0 {}
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TlsServer(Infallible);

impl TlsServer {
    pub(crate) fn config(&self) -> TlsConfig {
        match self.0 {}
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        match self.0 {}
    }

    pub(crate) fn begin(&self, _: Box<dyn Transport>) -> Handshake {
        match self.0 {}
    }
}

#[derive(Debug, Clone)]
pub(crate) struct TlsClient(Infallible);

#[derive(Debug, Clone)]
pub(crate) struct Secure(Infallible);

impl Secure {
    pub(crate) fn new(tls: TlsClient, _: Option<String>) -> Self {
        match tls.0 {}
    }

    pub(crate) fn config(&self) -> TlsConfig {
        match self.0 {}
    }

    pub(crate) fn validate(&self, _: &ConnectPlace) -> Result<(), String> {
        match self.0 {}
    }

    pub(crate) fn connect(
        self,
        _: Connected,
        _: ConnectPlace,
    ) -> LocalFuture<Result<Connected, ConnectError>> {
        match self.0 {}
    }
}
