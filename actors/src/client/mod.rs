//! `Client`, the handle of one connection, and `ClientActor`, which moves its bytes.

mod actor;
mod addresses;
mod ahead;
mod dialling;
mod extra;
mod held;
mod home;
mod idle;
mod making;
mod moving;
mod pair;
mod piped;
mod request;
mod securing;
mod shared;
mod slot;
mod succession;
mod task;
mod telling;
mod ticket;
mod turn;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use socket2::SockRef;
use switchboard_core::connection::Snapshot;
use switchboard_core::{
    Access, Address, ArmError, AsLine, Cause, ClientId, LimitsError, Payload, Receive, SendError,
    SendRefusal, ServerId, SlotError, TlsInfo, Token,
};
use tokio::sync::oneshot;

use crate::pool::Pool;
use crate::states::{States, keeps_states};
use crate::transport::{ChannelKind, PeerCredentials};

pub use actor::ClientActor;
use actor::WithSocket;
pub(crate) use actor::{Launch, Link};
pub(crate) use addresses::Addresses;
pub(crate) use dialling::{Attempt, Dialler, establish};
pub use extra::ExtraInfo;
pub(crate) use home::{this_thread, thread_ends};
pub(crate) use idle::Idleness;
pub use request::{Frame, Receiving, RecvError, Sending, SentError};
pub(crate) use request::{RecvSlot, SendWait, kind_of};
pub(crate) use shared::{Origin, Shared, clock};
pub use slot::SendSlot;
pub(crate) use ticket::Issuer;
pub use ticket::{Answer, Ticket};
pub(crate) use turn::{Next, SharedEvent};

/// The handle of one connection. Cheap to clone, usable from any thread; dropping every handle does
/// not close the connection (AC-19).
///
/// Commands take effect in the order in which they are given; what a session commands in a handler
/// decides what it gets next. From another thread a command meets a session that may be at work: up to
/// 8 frames can be with it already. After the connection is closed every
/// one of them answers with its `Closed` error and does nothing (XAS-23).
///
/// Only a [`Pool`] makes one; there is no constructor (XAS-15).
///
/// ```compile_fail,E0451
/// # use switchboard::Client;
/// let client = Client { shared: unreachable!() };
/// ```
///
/// ```compile_fail,E0624
/// # use switchboard::Client;
/// let client = Client::new(unreachable!());
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
}

/// What a connection is and does, at one moment (XAS-57, AIO-02, AIO-06).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// The connection.
    pub id: ClientId,
    /// The listener that accepted it; `None` for an outbound connection.
    pub server: Option<ServerId>,
    /// What carries its bytes.
    pub kind: ChannelKind,
    /// Whether we connected to the peer (or it to us).
    pub outbound: bool,
    /// Our own IP address, once it is known, if there is one.
    pub local_addr: Option<SocketAddr>,
    /// The peer's IP address, once it is known, if there is one.
    pub peer_addr: Option<SocketAddr>,
    /// Our own address of whatever kind, once it is known.
    pub local: Option<Address>,
    /// The peer's address of whatever kind, once it is known.
    pub peer: Option<Address>,
    /// Who the process at the other end of a Unix socket is.
    pub peer_credentials: Option<PeerCredentials>,
    /// How long ago it was accepted or asked for.
    pub age: Duration,
    /// The facts of the TLS that it speaks, if it does (XAS-56).
    pub tls: Option<Arc<TlsInfo>>,
    /// State, counters, queues.
    pub activity: Snapshot,
}

/// Getters.
impl Client {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.shared.id
    }

    /// The pool that it belongs to (XAS-16).
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// The listener that accepted it; `None` for an outbound connection.
    #[must_use]
    pub fn server(&self) -> Option<ServerId> {
        self.shared.server.as_ref().map(|server| server.id)
    }

    /// What carries its bytes. [`ChannelKind::Network`] before an outbound connection is established.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        self.shared.kind()
    }

    /// Whether we connected to the peer.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.shared.outbound
    }

    /// What it is and does. Never blocks data.
    #[must_use]
    pub fn info(&self) -> ClientInfo {
        let core = self.shared.lock();
        let (activity, tls) = (core.machine.snapshot(), core.machine.tls().cloned());
        drop(core);
        ClientInfo {
            id: self.id(),
            server: self.server(),
            kind: self.kind(),
            outbound: self.is_outbound(),
            local_addr: self.local_addr(),
            peer_addr: self.peer_addr(),
            local: self.local(),
            peer: self.peer(),
            peer_credentials: self.peer_credentials(),
            age: self.shared.age(),
            tls,
            activity,
        }
    }

    /// Queued bytes that the system has not taken yet (AIO-06).
    #[must_use]
    pub fn write_buffer_size(&self) -> usize {
        self.shared.lock().machine.write_buffer_size()
    }

    /// Whether the connection is closed or closing.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        use switchboard_core::ConnectionState::{Closed, Closing};
        matches!(self.shared.lock().machine.state(), Closing | Closed)
    }

    /// The actor, for commands as messages (see [`crate::message::command`]); `None` before it has
    /// started and after it has ended.
    #[must_use]
    pub fn addr(&self) -> Option<Addr<ClientActor>> {
        self.shared.addr()
    }

    /// Lends the socket to `use_it`, on the connection's thread, to read or set options (XAS-17).
    /// `None`: the connection has no socket (any more), or a TLS handshake has it just now.
    pub async fn with_socket<R, F>(&self, use_it: F) -> Option<R>
    where
        R: Send + 'static,
        F: FnOnce(SockRef<'_>) -> R + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.addr()?.do_send(WithSocket(Box::new(|socket| {
            let _ = answer.send(use_it(socket));
        })));
        result.await.ok()
    }
}

/// Receiving.
impl Client {
    /// Arms a receive: a [`RecvLine`](crate::message::RecvLine),
    /// [`RecvData`](crate::message::RecvData), [`RecvUntil`](crate::message::RecvUntil) or
    /// [`RecvMsg`](crate::message::RecvMsg).
    ///
    /// # Errors
    /// See [`ArmError`]; what was armed before stays as it was.
    pub fn arm(&self, receive: impl Into<Receive>) -> Result<(), ArmError> {
        let receive = receive.into();
        self.shared
            .command(|machine, now| machine.arm(&receive, now))
    }

    /// See [`CancelRecv`](crate::message::CancelRecv).
    #[allow(
        clippy::must_use_candidate,
        reason = "cancelling is the point, the answer a courtesy"
    )]
    pub fn cancel_recv(&self) -> bool {
        self.shared.command(|machine, _| machine.cancel_receive())
    }

    /// See [`TryRecv`](crate::message::TryRecv).
    ///
    /// # Errors
    /// While a receive is armed, or when the connection is closed.
    pub fn try_recv(&self, most: usize) -> Result<Option<Bytes>, ArmError> {
        self.shared
            .command(|machine, now| machine.try_receive(most, now))
    }

    /// See [`SetInterest`](crate::message::SetInterest).
    ///
    /// # Errors
    /// When the session does not handle the event, or a receive is armed.
    pub fn set_interest(&self, readable: bool, writable: bool) -> Result<(), ArmError> {
        self.shared
            .command(|machine, now| machine.set_readiness(readable, writable, now))
    }

    /// See [`PauseReading`](crate::message::PauseReading).
    pub fn pause_reading(&self) {
        self.shared.command(|machine, _| machine.pause_reading());
    }

    /// See [`ResumeReading`](crate::message::ResumeReading).
    pub fn resume_reading(&self) {
        self.shared
            .command(|machine, now| machine.resume_reading(now));
    }
}

/// Sending. Never blocks: bytes are queued, or refused and handed back.
impl Client {
    /// Queues bytes to be sent (XAS-50, AIO-13).
    ///
    /// # Errors
    /// See [`SendRefusal`]; the payload comes back.
    pub fn send<P: Payload>(&self, payload: P) -> Result<(), SendError<P>> {
        if self.shared.note(payload.as_slice()) {
            return Ok(());
        }
        self.shared
            .send(|machine| machine.send(payload, None).map(|wake| ((), wake)))
    }

    /// Queues bytes and asks for [`Sent`](crate::message::Sent) with this number.
    ///
    /// # Errors
    /// See [`SendRefusal`]; the payload comes back.
    pub fn send_with<P: Payload>(
        &self,
        payload: P,
        token: impl Into<Token>,
    ) -> Result<(), SendError<P>> {
        let token = Some(token.into());
        self.shared
            .send(|machine| machine.send(payload, token).map(|wake| ((), wake)))
    }

    /// Queues a line: with its own ending if it is a received [`Line`](switchboard_core::Line), else
    /// with the connection's.
    ///
    /// # Errors
    /// See [`SendRefusal`].
    pub fn send_line(&self, line: &(impl AsLine + ?Sized)) -> Result<(), SendRefusal> {
        let is_noted = match line.wire() {
            Some(wire) => self.shared.note(wire),
            None => self.shared.note_line(line.body(), line.ending()),
        };
        if is_noted {
            return Ok(());
        }
        self.shared
            .send(|machine| machine.send_line(line, None).map(|wake| ((), wake)))
    }

    /// See [`SendMany`](crate::message::SendMany).
    ///
    /// # Errors
    /// See [`SendRefusal`]; the parts come back.
    pub fn send_many(
        &self,
        parts: Vec<Bytes>,
        token: Option<Token>,
    ) -> Result<(), SendError<Vec<Bytes>>> {
        self.shared
            .send(|machine| machine.send_many(parts, token).map(|wake| ((), wake)))
    }

    /// See [`SendMsg`](crate::message::SendMsg).
    ///
    /// # Errors
    /// See [`SendRefusal`]; the message comes back.
    pub fn send_msg<P: Payload>(
        &self,
        message: P,
        token: Option<Token>,
    ) -> Result<(), SendError<P>> {
        self.shared
            .send(|machine| machine.send_message(message, token).map(|wake| ((), wake)))
    }

    /// See [`SendUrgent`](crate::message::SendUrgent).
    ///
    /// # Errors
    /// See [`SendRefusal`]; [`NotSupported`](SendRefusal::NotSupported) where there are no urgent bytes.
    pub fn send_urgent(&self, byte: u8) -> Result<(), SendRefusal> {
        self.shared
            .send(|machine| machine.send_urgent(byte, None).map(|wake| ((), wake)))
    }

    /// See [`SendUrgent`](crate::message::SendUrgent); asks for [`Sent`](crate::message::Sent) with this
    /// number.
    ///
    /// # Errors
    /// As [`send_urgent`](Self::send_urgent).
    pub fn send_urgent_with(&self, byte: u8, token: impl Into<Token>) -> Result<(), SendRefusal> {
        let token = Some(token.into());
        self.shared
            .send(|machine| machine.send_urgent(byte, token).map(|wake| ((), wake)))
    }

    /// See [`TrySend`](crate::message::TrySend).
    ///
    /// # Errors
    /// When nothing can ever be sent again.
    pub fn try_send(&self, bytes: &[u8]) -> Result<usize, SendRefusal> {
        self.shared.send(|machine| machine.try_send(bytes))
    }

    /// Borrows the connection's send slot, a buffer of `send_slot` bytes that is filled in place and
    /// sent without a copy (XAS-53).
    ///
    /// # Errors
    /// [`SlotError::Busy`] while it is borrowed or being sent.
    pub fn take_send_slot(&self) -> Result<SendSlot, SlotError> {
        let buffer = self.shared.lock().machine.take_slot()?;
        Ok(SendSlot::new(self.clone(), buffer))
    }

    /// See [`SetWriteLimits`](crate::message::SetWriteLimits).
    ///
    /// # Errors
    /// When the high mark would be below the low one; nothing changes.
    pub fn set_write_limits(
        &self,
        high: Option<usize>,
        low: Option<usize>,
    ) -> Result<(), LimitsError> {
        self.shared
            .command(|machine, _| machine.set_write_limits(high, low))
    }
}

/// Ending.
impl Client {
    /// See [`WriteEof`](crate::message::WriteEof).
    ///
    /// # Errors
    /// When the connection is closed, speaks TLS, or goes through a descriptor that is open for reading
    /// only.
    pub fn write_eof(&self) -> Result<(), SendRefusal> {
        self.shared.command(|machine, _| machine.write_eof())
    }

    /// Whether [`write_eof`](Self::write_eof) is possible on this kind of connection (AIO-05): not on
    /// one that speaks TLS (AMB-12), nor through a descriptor that is open for reading only.
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        let core = self.shared.lock();
        core.machine.tls().is_none()
            && !core.machine.is_securing()
            && core.machine.access() != Access::ReadOnly
    }

    /// See [`StartTls`](crate::message::StartTls).
    ///
    /// # Errors
    /// See [`StartTlsError`](switchboard_core::StartTlsError); the connection stays as it was.
    #[cfg(feature = "tls")]
    pub fn start_tls(
        &self,
        start: crate::tls::StartTls,
    ) -> Result<(), switchboard_core::StartTlsError> {
        self.shared.start_tls(start)
    }

    /// Closes: sends what is queued, then finishes. `false`: it was closing already. See
    /// [`Close`](crate::message::Close).
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close(&self) -> bool {
        self.close_with(true, None)
    }

    /// Closes as [`Close`](crate::message::Close) says.
    #[allow(
        clippy::must_use_candidate,
        reason = "closing is the point, the answer a courtesy"
    )]
    pub fn close_with(&self, flush: bool, deadline: Option<Duration>) -> bool {
        self.close_because(Cause::LocalClose, flush, deadline)
    }

    pub(crate) fn close_because(
        &self,
        cause: Cause,
        flush: bool,
        deadline: Option<Duration>,
    ) -> bool {
        self.shared
            .command(|machine, now| machine.close(cause, flush, deadline, now))
    }

    /// See [`Abort`](crate::message::Abort).
    #[allow(
        clippy::must_use_candidate,
        reason = "aborting is the point, the answer a courtesy"
    )]
    pub fn abort(&self) -> bool {
        self.abort_because(Cause::LocalAbort)
    }

    pub(crate) fn abort_because(&self, cause: Cause) -> bool {
        self.shared.command(|machine, _| machine.abort(cause))
    }
}

impl Client {
    fn states(&self) -> &States {
        &self.shared.states
    }
}

keeps_states!(Client);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

impl PartialEq for Client {
    /// Two handles are equal if they stand for the same connection.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Client {}
