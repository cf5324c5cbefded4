//! Events: what a session is told. Each carries the [`ClientId`] of its connection.
//!
//! The order is fixed: [`Accepted`] or [`Connected`] first and once, [`Closed`] last and once, data
//! in the order of the stream between them. [`ConnectFailed`] comes instead of all others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Message;
use bytes::Bytes;
use switchboard_core::connection::Event as CoreEvent;
use switchboard_core::{
    Address, ClientId, ClosedDetail, ClosedReason, ConnectError, DatagramError, Destination,
    IoOperation, Line, ServerId, TimeoutKind, TlsInfo, Token,
};

use crate::client::{Answer, Client, Ticket};
use crate::handle::Handle;

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Message)]
            #[rtype(result = "()")]
            #[non_exhaustive]
            pub struct $name {
                /// The connection.
                pub client: ClientId,
                $($(#[$field_doc])* pub $field: $type,)*
                /// Gives the credit back when the event was handled by a shared handler.
                pub(crate) ticket: Ticket,
            }

            impl $name {
                /// Makes one by hand, to test a handler without a connection.
                #[must_use]
                pub const fn new(client: ClientId, $($field: $type),*) -> Self {
                    Self { client, $($field,)* ticket: Ticket::none() }
                }
            }
        )*

        /// Any event of a connection.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum ClientEvent {
            $(
                #[doc = concat!("See [`", stringify!($name), "`].")]
                $name($name),
            )*
        }

        impl ClientEvent {
            /// The event's name, as reports quote it.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }

            pub(crate) fn set_ticket(&mut self, ticket: Ticket) {
                match self {
                    $(Self::$name(event) => event.ticket = ticket,)*
                }
            }
        }
    };
}

events! {
    /// A peer connected to a listener. Comes first, once (XAS-30, AIO-35).
    Accepted {
        /// The handle of the connection.
        handle: Client,
        /// The listener.
        server: Option<ServerId>,
        /// The peer's address, where the transport has one.
        peer_addr: Option<SocketAddr>,
    }
    /// An outbound connection is established. Comes first, once (XAS-35, AC-07).
    Connected {
        /// The handle of the connection.
        handle: Client,
        /// Our own address, where the transport has one.
        local_addr: Option<SocketAddr>,
        /// The peer's address, where the transport has one.
        peer_addr: Option<SocketAddr>,
    }
    /// An outbound connection never came to be; no other event comes (XAS-34, AMB-03).
    ConnectFailed {
        /// What failed, and where.
        error: Box<ConnectError>,
    }
    /// A line came, as armed by [`RecvLine`](crate::message::RecvLine) (XAS-36).
    LineReceived {
        /// The line without its ending; it still knows its ending.
        line: Line,
    }
    /// Bytes came, as armed by [`RecvData`](crate::message::RecvData) or
    /// [`RecvUntil`](crate::message::RecvUntil) (XAS-42).
    DataReceived {
        /// The bytes; yours to keep (XAS-44).
        data: Bytes,
    }
    /// A length-prefixed message came, as armed by [`RecvMsg`](crate::message::RecvMsg) (ACO-09).
    MessageReceived {
        /// The message without its length; perhaps empty.
        message: Bytes,
    }
    /// The system took the last byte of a send that asked for a notice. It does not say that the
    /// peer has read it (XAS-51).
    Sent {
        /// The number that the sender gave.
        token: Token,
        /// Bytes of that send.
        bytes: usize,
    }
    /// More than the high mark is queued: stop sending until [`WriteResumed`] (AIO-09).
    WritePaused {}
    /// No more than the low mark is queued any more (AIO-09). Strictly alternates with
    /// [`WritePaused`].
    WriteResumed {}
    /// The peer finished sending, and everything it sent was delivered (AIO-37). Unless
    /// [`keep_open`](PeerFinished::keep_open) is called, dropping this event closes the connection.
    PeerFinished {
        /// The pending decision.
        answer: Answer,
    }
    /// A clock ran out that only reports: a receive, or an idle time.
    Idle {
        /// Which clock.
        kind: TimeoutKind,
    }
    /// Received bytes wait to be taken by `try_recv` (AC-04). Told again as long as bytes are left.
    Readable {}
    /// There is room to send (AC-05). Told again as long as the interest is on.
    Writable {}
    /// The session before this one panicked, and this one has the connection now. What it had sent is
    /// still sent; what it had not handled is still there.
    Adopted {
        /// The handle of the connection.
        handle: Handle,
        /// Received bytes that wait for it.
        unread: usize,
        /// How many sessions of this connection panicked before it.
        restarts: u32,
    }
    /// The connection speaks TLS: all bytes that come behind this are protected (XAS-55). After
    /// [`Accepted`] or [`Connected`] where it does from the start, else after
    /// `Client::start_tls`.
    TlsStarted {
        /// What both sides agreed on.
        tls: Arc<TlsInfo>,
    }
    /// The pool drains: finish what is under way and close, or be closed when the time is up.
    Draining {
        /// How much time is left.
        deadline: Duration,
    }
    /// An outbound connection that reconnects has lost its link. [`Reconnecting`] follows.
    Disconnected {
        /// Who or what ended the link.
        reason: ClosedReason,
        /// Everything that is known about it, as of an end: what was not sent is lost.
        detail: Box<ClosedDetail>,
    }
    /// The next attempt to connect comes after a pause; [`Connected`] or another one of these follows.
    Reconnecting {
        /// Which attempt it will be, from 1 since the last link.
        attempt: u32,
        /// How long the pause is.
        delay: Duration,
    }
    /// The peer sent an urgent byte, TCP's out-of-band data (AC-06). The stream around it is as if it had not
    /// been sent, and goes on (XAS-70). Linux only, on connections without TLS.
    ///
    /// It is told as soon as it is noticed: also while reading is paused or nothing is armed, and before
    /// stream bytes that the peer sent ahead of it and that wait to be read. Its place in the stream is not
    /// told (RFC 6093 advises against relying on it). The system holds one urgent byte at a time: when the
    /// peer sends another one before the stream was read past the first, the system leaves the first in the
    /// stream as an ordinary byte, also when it was told before; or, when the stream was read right up to it,
    /// drops it. So of several in a row the last is told, those before it may not be. While 16 of them wait for
    /// the session, nothing is read. One that was not noticed before a reset is gone with it.
    ///
    /// The reads of a connection whose session handles this event cost more system calls. Each thread of the
    /// pool has one descriptor to notice urgent bytes with; without a free one for it the byte is noticed when
    /// the stream is read. Where the session does not handle it, and with TLS, the byte is thrown away and the
    /// stream goes on at once, what has come behind it included.
    UrgentReceived {
        /// The byte.
        byte: u8,
    }
    /// A datagram came (XAS-59, AIO-38). It may be empty.
    DatagramReceived {
        /// Who sent it.
        from: Address,
        /// Its bytes; yours to keep. Up to 128 of them may lie in a block of 1 KiB beside those of others, which
        /// stays as long as one of them: copy what is to be kept of few among many.
        data: Bytes,
        /// Whether it was longer than the receive size, and its end is lost.
        truncated: bool,
    }
    /// An accepted datagram was never sent: instead of [`Sent`], whether or not that was asked for
    /// (XAS-61). The socket lives on.
    DatagramFailed {
        /// The number that the sender gave, if any.
        token: Option<Token>,
        /// Where it was to go; `None`: to the peer that the socket is connected to.
        to: Option<Destination>,
        /// What was to be sent.
        data: Bytes,
        /// Why it was not.
        error: DatagramError,
    }
    /// The system reported an error of the socket, such as that nobody listens at a peer (AIO-38). The
    /// socket lives on.
    UdpError {
        /// What was tried when it was reported; it may be about an earlier datagram.
        operation: IoOperation,
        /// The portable kind, such as `ConnectionRefused`.
        kind: io::ErrorKind,
        /// The system's number, if it gave one.
        errno: Option<i32>,
        /// How often it was reported in a row.
        count: u64,
    }
    /// A child process wrote a line (AIO-21).
    PipeLine {
        /// The number of the pipe in the child: 1 for its output, 2 for its errors.
        fd: i32,
        /// The line without its ending.
        line: Line,
    }
    /// A child process wrote bytes (AIO-21).
    PipeData {
        /// The number of the pipe in the child: 1 for its output, 2 for its errors.
        fd: i32,
        /// The bytes; never empty.
        data: Bytes,
    }
    /// A pipe of a child process closed (AIO-22). That the process closed its input, as each does that ends, is
    /// an error only if something was to be sent still.
    PipeClosed {
        /// The number of the pipe in the child, from 0.
        fd: i32,
        /// Why, and what was not sent or not read.
        detail: Box<ClosedDetail>,
    }
    /// A child process ended; its pipes may be open still, held by children of its own (AIO-23).
    ProcessExited {
        /// Its exit code, or minus the number of the signal that ended it (AIO-17).
        code: i32,
    }
    /// It is over. Comes last, once, on every path (XAS-19).
    Closed {
        /// Who or what ended it.
        reason: ClosedReason,
        /// Everything that is known about it.
        detail: Box<ClosedDetail>,
        /// The handle, for the state that was kept in it (XAS-21).
        handle: Handle,
    }
}

impl PeerFinished {
    /// Keeps the connection open for sending, unless it speaks TLS, which closes all the same (AIO-37);
    /// it ends when [`write_eof`](Client::write_eof) or
    /// [`close`](Client::close) is called, or when nothing moves for the half-closed timeout.
    pub fn keep_open(self) {
        self.answer.keep_open();
    }
}

impl ClientEvent {
    /// The typed message for what the machine told.
    pub(crate) fn from_core(event: CoreEvent, handle: &Client) -> Self {
        let client = handle.id();
        match event {
            CoreEvent::Opened if handle.is_outbound() => Self::Connected(Connected::new(
                client,
                handle.clone(),
                handle.local_addr(),
                handle.peer_addr(),
            )),
            CoreEvent::Opened => Self::Accepted(Accepted::new(
                client,
                handle.clone(),
                handle.server(),
                handle.peer_addr(),
            )),
            CoreEvent::Line(line) => Self::LineReceived(LineReceived::new(client, line)),
            CoreEvent::Data(data) => Self::DataReceived(DataReceived::new(client, data)),
            CoreEvent::Message(message) => {
                Self::MessageReceived(MessageReceived::new(client, message))
            }
            CoreEvent::Sent { token, bytes } => Self::Sent(Sent::new(client, token, bytes)),
            CoreEvent::WritePaused => Self::WritePaused(WritePaused::new(client)),
            CoreEvent::WriteResumed => Self::WriteResumed(WriteResumed::new(client)),
            CoreEvent::PeerFinished => {
                Self::PeerFinished(PeerFinished::new(client, Answer::of(handle)))
            }
            CoreEvent::Idle(kind) => Self::Idle(Idle::new(client, kind)),
            CoreEvent::Readable => Self::Readable(Readable::new(client)),
            CoreEvent::Writable => Self::Writable(Writable::new(client)),
            CoreEvent::Urgent(byte) => Self::UrgentReceived(UrgentReceived::new(client, byte)),
            CoreEvent::Adopted { unread, restarts } => {
                Self::Adopted(Adopted::new(client, handle.into(), unread, restarts))
            }
            CoreEvent::TlsStarted(tls) => Self::TlsStarted(TlsStarted::new(client, tls)),
            CoreEvent::Draining(deadline) => Self::Draining(Draining::new(client, deadline)),
            CoreEvent::Disconnected(detail) => {
                Self::Disconnected(Disconnected::new(client, detail.cause.reason(), detail))
            }
            CoreEvent::Reconnecting { attempt, delay } => {
                Self::Reconnecting(Reconnecting::new(client, attempt, delay))
            }
            CoreEvent::Closed(detail) => Self::Closed(Closed::new(
                client,
                detail.cause.reason(),
                Box::new(Arc::unwrap_or_clone(detail)),
                handle.into(),
            )),
            CoreEvent::ConnectFailed(error) => {
                Self::ConnectFailed(ConnectFailed::new(client, error))
            }
        }
    }
}
