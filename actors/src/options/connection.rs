//! The options that every connection has, whichever side opened it.

use std::time::Duration;

use switchboard_core::{
    ConnectionConfig, CrashPolicy, Encoding, IdleAction, IdleRule, LineEnding, LineRule, RateRule,
    Receive,
};

use super::SocketOptions;
use crate::message::{RecvData, RecvLine, RecvMsg};

/// The options that [`Listen`](crate::Listen) and [`Connect`](crate::Connect) share: what a connection receives first, its limits
/// and its timeouts. Each value's meaning and default stand at [`ConnectionConfig`].
pub trait ConnectionOptions: Sized {
    /// All settings of the connection, to change one that has no method of its own.
    fn config_mut(&mut self) -> &mut ConnectionConfig;

    /// All options of the socket.
    fn socket_mut(&mut self) -> &mut SocketOptions;

    /// Whether sessions live on the pool's [`workers`](crate::PoolBuilder::workers), where a handler
    /// may block, or on the thread of their connection, where an answer takes no way between threads
    /// (XAS-03). It takes effect for connections that open from then on. Default: on the workers if
    /// the pool has any and the session is the connection's own actor. To ask for workers that the
    /// pool does not have, or for a session that lives elsewhere already (an `Addr`,
    /// [`Handlers`](crate::Handlers)), is an error of the options.
    #[must_use]
    fn on_workers(self, yes: bool) -> Self;

    /// Receives lines from the start, for ever: [`LineReceived`](crate::message::LineReceived).
    #[must_use]
    fn lines(self) -> Self {
        self.receive(RecvLine::once().always())
    }

    /// Receives whatever comes from the start, for ever:
    /// [`DataReceived`](crate::message::DataReceived) (AIO-36).
    #[must_use]
    fn data(self) -> Self {
        self.receive(RecvData::available().always())
    }

    /// Receives length-prefixed messages from the start, for ever:
    /// [`MessageReceived`](crate::message::MessageReceived).
    #[must_use]
    fn messages(self) -> Self {
        self.receive(RecvMsg::once().always())
    }

    /// Arms this receive as soon as the connection opens. Default: nothing, and so nothing is read
    /// until the session arms something (XAS-30).
    #[must_use]
    fn receive(mut self, receive: impl Into<Receive>) -> Self {
        self.config_mut().first_receive = Some(receive.into());
        self
    }

    /// What ends a line. Default: LF, with or without a CR before it.
    #[must_use]
    fn line_rule(mut self, rule: LineRule) -> Self {
        self.config_mut().line_rule = rule;
        self
    }

    /// How the text of lines is read. Default: UTF-8.
    #[must_use]
    fn encoding(mut self, encoding: Encoding) -> Self {
        self.config_mut().encoding = encoding;
        self
    }

    /// What a sent line gets behind it. Default: LF.
    #[must_use]
    fn line_ending(mut self, ending: LineEnding) -> Self {
        self.config_mut().line_ending = ending;
        self
    }

    /// The longest line in bytes without its ending. Default: 64 KiB.
    #[must_use]
    fn max_line(mut self, bytes: usize) -> Self {
        self.config_mut().max_line = bytes;
        self
    }

    /// The longest message in bytes. Default: 16 MiB.
    #[must_use]
    fn max_message(mut self, bytes: usize) -> Self {
        self.config_mut().max_message = bytes;
        self
    }

    /// The most that one receive may ask for, in bytes. Default: 16 MiB.
    #[must_use]
    fn max_recv(mut self, bytes: usize) -> Self {
        self.config_mut().max_recv = bytes;
        self
    }

    /// What a full receive buffer is, in bytes. Default: 4,096; at least 256.
    #[must_use]
    fn recv_buffer(mut self, bytes: usize) -> Self {
        self.config_mut().recv_buffer = bytes;
        self
    }

    /// The size of the send slot in bytes. Default: 4,096; at least 256.
    #[must_use]
    fn send_slot(mut self, bytes: usize) -> Self {
        self.config_mut().send_slot = bytes;
        self
    }

    /// The most bytes that may be queued to be sent. Default: 16 MiB.
    #[must_use]
    fn write_capacity(mut self, bytes: usize) -> Self {
        self.config_mut().write_capacity = bytes;
        self
    }

    /// The marks above which writing is paused and at which it is resumed, in bytes. Default:
    /// 64 KiB and 16 KiB.
    #[must_use]
    fn write_limits(mut self, high: usize, low: usize) -> Self {
        let config = self.config_mut();
        config.write_high = high;
        config.write_low = low;
        self
    }

    /// Closes the connection when no byte moved either way for so long. Default: never.
    #[must_use]
    fn idle_timeout(mut self, after: Duration) -> Self {
        let action = IdleAction::Close;
        self.config_mut().idle = Some(IdleRule { after, action });
        self
    }

    /// Closes the connection when nothing was received for so long; if nothing was to be received when
    /// the time is up, it starts anew. Default: never.
    #[must_use]
    fn idle_read_timeout(mut self, after: Duration) -> Self {
        let action = IdleAction::Close;
        self.config_mut().idle_read = Some(IdleRule { after, action });
        self
    }

    /// Closes the connection when nothing was sent for so long. Default: never.
    #[must_use]
    fn idle_write_timeout(mut self, after: Duration) -> Self {
        let action = IdleAction::Close;
        self.config_mut().idle_write = Some(IdleRule { after, action });
        self
    }

    /// Tells [`Idle`](crate::message::Idle) when no byte moved either way for so long, again and
    /// again. Default: never.
    #[must_use]
    fn idle_report(mut self, after: Duration) -> Self {
        let action = IdleAction::Report;
        self.config_mut().idle = Some(IdleRule { after, action });
        self
    }

    /// What becomes of the connection when its session panics. Default: it closes. Takes effect for
    /// connections that open from then on.
    #[must_use]
    fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.config_mut().crash = policy;
        self
    }

    /// Tells [`Idle`](crate::message::Idle) when nothing was received for so long, again and again; if
    /// nothing was to be received when the time is up, it only starts anew. Default: never.
    #[must_use]
    fn idle_read_report(mut self, after: Duration) -> Self {
        let action = IdleAction::Report;
        self.config_mut().idle_read = Some(IdleRule { after, action });
        self
    }

    /// Tells [`Idle`](crate::message::Idle) when nothing was sent for so long, again and again.
    /// Default: never.
    #[must_use]
    fn idle_write_report(mut self, after: Duration) -> Self {
        let action = IdleAction::Report;
        self.config_mut().idle_write = Some(IdleRule { after, action });
        self
    }

    /// How fast the peer must send while a frame has begun and is unfinished; otherwise the connection
    /// closes with reason Timeout. Default: 240 bytes a second over 60 s; `None`: no least rate.
    #[must_use]
    fn read_rate(mut self, rule: impl Into<Option<RateRule>>) -> Self {
        self.config_mut().read_rate = rule.into();
        self
    }

    /// How fast the peer must take what waits to be sent; otherwise the connection is reset with reason
    /// Timeout, and what was not sent is counted in [`Closed`](crate::message::Closed). Default: 240
    /// bytes a second over 10 min; `None`: no least rate.
    #[must_use]
    fn write_rate(mut self, rule: impl Into<Option<RateRule>>) -> Self {
        self.config_mut().write_rate = rule.into();
        self
    }

    /// How long a frame that has begun may take to be complete, whatever the rate. Default: 10 min;
    /// `None`: for ever.
    #[must_use]
    fn frame_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config_mut().frame_timeout = timeout.into();
        self
    }

    /// Closes the connection, and flushes, when it was adopted so long ago, healthy or not. Default:
    /// `None`, never.
    #[must_use]
    fn max_lifetime(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.config_mut().max_lifetime = age.into();
        self
    }

    /// How long a close may take to send what is queued. Default: 30 s.
    #[must_use]
    fn flush_timeout(mut self, timeout: Duration) -> Self {
        self.config_mut().flush_timeout = timeout;
        self
    }

    /// How long a finished connection waits for the peer to finish too. Default: 2 s.
    #[must_use]
    fn linger_timeout(mut self, timeout: Duration) -> Self {
        self.config_mut().linger_timeout = timeout;
        self
    }

    /// Whether small packets are sent at once. Default: yes.
    #[must_use]
    fn nodelay(mut self, nodelay: bool) -> Self {
        self.socket_mut().nodelay = nodelay;
        self
    }

    /// Probes a silent peer after so long. Default: off.
    #[must_use]
    fn keepalive(mut self, after: Duration) -> Self {
        self.socket_mut().keepalive = Some(after);
        self
    }

    /// The kernel's receive buffer in bytes. Default: the system's.
    #[must_use]
    fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.socket_mut().recv_buffer_size = Some(bytes);
        self
    }

    /// The kernel's send buffer in bytes. Default: the system's.
    #[must_use]
    fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.socket_mut().send_buffer_size = Some(bytes);
        self
    }
}
