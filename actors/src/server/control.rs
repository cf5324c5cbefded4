//! What a listener is told: every command to a `ServerActor`.

use std::fmt;

use actix::{Handler, Message, ResponseFuture};
use tokio::sync::oneshot;

use crate::client::Client;
use crate::error::{ChangeError, SuspendError};
use crate::session::{IntoSession, SessionFactory};

use super::{Server, ServerActor};

/// Stops taking peers for a while; replies when it is so. As a message to
/// [`Server::addr`], or with [`Server::suspend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Message)]
#[rtype(result = "Result<(), SuspendError>")]
pub enum Suspend {
    /// Closes the port: peers are refused, and those in the backlog are reset. [`Resume`] takes the
    /// same real port again.
    ClosePort,
    /// Keeps the port and accepts nobody: peers wait in the backlog, and are refused or left
    /// unanswered by the system when it is full. Those who wait are accepted after [`Resume`].
    StopAccepting,
}

/// Takes peers again; replies when it is so. As a message to [`Server::addr`], or with
/// [`Server::resume`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<(), SuspendError>")]
pub struct Resume;

/// Closes the listener; replies when its port refuses. As a message to [`Server::addr`], or with
/// [`Server::close`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct CloseServer;

/// Sessions of new connections come from another factory; replies when it is so. As a message to
/// [`Server::addr`], or with [`Server::swap_session`].
#[derive(Clone, Message)]
#[rtype(result = "Result<(), ChangeError>")]
pub struct SwapSession {
    pub(super) factory: SessionFactory,
}

impl SwapSession {
    /// To this factory.
    pub fn new<F, S>(session: F) -> Self
    where
        F: Fn(Client) -> S + Send + Sync + 'static,
        S: IntoSession,
    {
        Self {
            factory: SessionFactory::new(session),
        }
    }
}

impl fmt::Debug for SwapSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwapSession").finish_non_exhaustive()
    }
}

/// What a listener's keeper is asked for.
pub(super) enum Order {
    Close(oneshot::Sender<()>),
    Suspend(Suspend, oneshot::Sender<Result<(), SuspendError>>),
    Resume(oneshot::Sender<Result<(), SuspendError>>),
}

impl Handler<Suspend> for ServerActor {
    type Result = ResponseFuture<Result<(), SuspendError>>;

    fn handle(&mut self, how: Suspend, _: &mut Self::Context) -> Self::Result {
        let server = Server::of(self.state());
        Box::pin(async move { server.suspend(how).await })
    }
}

impl Handler<Resume> for ServerActor {
    type Result = ResponseFuture<Result<(), SuspendError>>;

    fn handle(&mut self, _: Resume, _: &mut Self::Context) -> Self::Result {
        let server = Server::of(self.state());
        Box::pin(async move { server.resume().await })
    }
}

impl Handler<SwapSession> for ServerActor {
    type Result = Result<(), ChangeError>;

    fn handle(&mut self, swap: SwapSession, _: &mut Self::Context) -> Self::Result {
        self.state().swap(swap.factory)
    }
}

impl Handler<CloseServer> for ServerActor {
    type Result = ();

    fn handle(&mut self, _: CloseServer, _: &mut Self::Context) {
        self.close();
    }
}
