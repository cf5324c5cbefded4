//! Commands to a connection. Each can be sent as a message to [`Client::addr`] or called as the
//! method of the same meaning on [`Client`]; both take the same path, and a command given after a
//! send takes effect after it.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use actix::Message;
use bytes::Bytes;
use switchboard_core::{
    ArmError, Encoding, LimitsError, LineRule, OnTimeout, Receive, ReceiveKind, Repeat, SendError,
    SendRefusal, Token,
};

use crate::client::{Client, ClientInfo};

/// A command that a connection obeys.
pub trait ClientCommand: Message + Sized {
    /// Carries it out.
    fn run(self, client: &Client) -> Self::Result;
}

macro_rules! command {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }
     -> $result:ty, |$command:ident, $client:ident| $run:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Message for $name {
            type Result = $result;
        }

        impl ClientCommand for $name {
            fn run(self, $client: &Client) -> Self::Result {
                let $command = self;
                $run
            }
        }
    };
}

command! {
    /// Sends bytes. Answered by [`Sent`](crate::message::Sent) if it carries a token; if the
    /// connection ends before, they are counted in [`Closed`](crate::message::Closed) (XAS-50).
    SendData {
        /// What to send; not empty.
        data: Bytes,
        /// Asks for a notice.
        token: Option<Token>,
    } -> Result<(), SendError<Bytes>>, |command, client| match command.token {
        Some(token) => client.send_with(command.data, token),
        None => client.send(command.data),
    }
}

command! {
    /// Sends several blocks as one send with one notice; all or none (AIO-14). Answered as
    /// [`SendData`].
    SendMany {
        /// What to send; not empty in all.
        parts: Vec<Bytes>,
        /// Asks for a notice.
        token: Option<Token>,
    } -> Result<(), SendError<Vec<Bytes>>>,
    |command, client| client.send_many(command.parts, command.token)
}

command! {
    /// Sends a message behind its 4-byte big-endian length (ACO-08). Answered as [`SendData`].
    SendMsg {
        /// The message; may be empty.
        message: Bytes,
        /// Asks for a notice.
        token: Option<Token>,
    } -> Result<(), SendError<Bytes>>,
    |command, client| client.send_msg(command.message, command.token)
}

command! {
    /// Sends one urgent byte, TCP's out-of-band data, behind all that was sent before (AC-06). Answered as
    /// [`SendData`]; it counts as one byte of the stream. Refused with
    /// [`NotSupported`](SendRefusal::NotSupported) on a connection that speaks TLS, that is not established
    /// yet or whose transport has none, and on other systems than Linux. A peer holds one urgent byte at a
    /// time: a second one turns the first into an ordinary byte, if the peer has not read past it by then.
    SendUrgent {
        /// The byte.
        byte: u8,
        /// Asks for a notice.
        token: Option<Token>,
    } -> Result<(), SendRefusal>, |command, client| match command.token {
        Some(token) => client.send_urgent_with(command.byte, token),
        None => client.send_urgent(command.byte),
    }
}

command! {
    /// Sends as much as fits below the high mark and says how much that was, perhaps 0 (AC-14).
    TrySend {
        /// What to send.
        data: Bytes,
    } -> Result<usize, SendRefusal>, |command, client| client.try_send(&command.data)
}

command! {
    /// Takes received bytes at once; `None` when nothing is there (AC-15). Meant for readiness mode,
    /// see [`SetInterest`].
    TryRecv {
        /// The most to take, in bytes.
        most: usize,
    } -> Result<Option<Bytes>, ArmError>, |command, client| client.try_recv(command.most)
}

command! {
    /// Disarms the receive; replies whether one was armed. What has arrived stays for the next one.
    CancelRecv {} -> bool, |_command, client| client.cancel_recv()
}

command! {
    /// Stops delivery and reading; the kernel's window then holds the peer back (AIO-03). Repeating
    /// it does nothing.
    PauseReading {} -> (), |_command, client| client.pause_reading()
}

command! {
    /// Goes on after [`PauseReading`].
    ResumeReading {} -> (), |_command, client| client.resume_reading()
}

command! {
    /// Readiness mode (AC-04, AC-05, AC-11): answered by [`Readable`](crate::message::Readable) and
    /// [`Writable`](crate::message::Writable) for as long as the interest is on. Switch `writable`
    /// off when there is nothing to send, or it is told again and again.
    SetInterest {
        /// Tell when received bytes wait.
        readable: bool,
        /// Tell when there is room to send.
        writable: bool,
    } -> Result<(), ArmError>,
    |command, client| client.set_interest(command.readable, command.writable)
}

command! {
    /// Changes the write marks, in bytes; a missing one is derived (AIO-08). May be answered at once
    /// by [`WritePaused`](crate::message::WritePaused) or
    /// [`WriteResumed`](crate::message::WriteResumed).
    SetWriteLimits {
        /// Above so many queued bytes writing is paused.
        high: Option<usize>,
        /// At so many or fewer it is resumed.
        low: Option<usize>,
    } -> Result<(), LimitsError>,
    |command, client| client.set_write_limits(command.high, command.low)
}

command! {
    /// Finishes the sending direction when everything queued is sent; receiving goes on (AIO-05).
    WriteEof {} -> Result<(), SendRefusal>, |_command, client| client.write_eof()
}

command! {
    /// Closes: no more data events; what is queued is sent, then the sending direction is finished,
    /// then the peer's end is awaited for a moment. Answered by [`Closed`](crate::message::Closed).
    /// Replies `false` if it was closing already (XAS-20, AIO-01).
    Close {
        /// Whether what is queued is sent (or dropped, and counted as unsent).
        flush: bool,
        /// How long that may take; then the connection is reset. `None`: the connection's
        /// `flush_timeout`.
        deadline: Option<Duration>,
    } -> bool, |command, client| client.close_with(command.flush, command.deadline)
}

impl Default for Close {
    fn default() -> Self {
        Self {
            flush: true,
            deadline: None,
        }
    }
}

command! {
    /// Ends it at once; what is queued is dropped, the peer sees a reset (AIO-04). Answered by
    /// [`Closed`](crate::message::Closed). Replies `false` if it was over already.
    Abort {} -> bool, |_command, client| client.abort()
}

command! {
    /// Asks what the connection is and does (XAS-57, AIO-06). Never blocks data.
    GetInfo {} -> ClientInfo, |_command, client| client.info()
}

macro_rules! receive {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Completes once, unless [`times`](Self::times) or [`always`](Self::always) say otherwise.
        /// Replies at once: [`ArmError::AlreadyReceiving`] while another receive is armed, which
        /// stays as it was (XAS-41).
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(Receive);

        impl $name {
            /// Completes so many times.
            #[must_use]
            pub const fn times(mut self, count: NonZeroU32) -> Self {
                self.0.repeat = Repeat::Times(count);
                self
            }

            /// Completes until it is cancelled or the connection ends.
            #[must_use]
            pub const fn always(mut self) -> Self {
                self.0.repeat = Repeat::Always;
                self
            }

            /// Gives it a deadline, absolute from arming and not moved by bytes that trickle in
            /// (XAS-46). A repetition is armed when the one before was delivered. At the deadline the
            /// connection closes with reason Timeout.
            #[must_use]
            pub const fn timeout(mut self, timeout: Duration) -> Self {
                self.0.timeout = Some(timeout);
                self
            }

            /// At the deadline tells [`Idle`](crate::message::Idle) instead of closing; what has
            /// arrived stays (AMB-05).
            #[must_use]
            pub const fn report_timeout(mut self) -> Self {
                self.0.on_timeout = OnTimeout::Report;
                self
            }
        }

        impl From<$name> for Receive {
            fn from(command: $name) -> Self {
                command.0
            }
        }

        impl Message for $name {
            type Result = Result<(), ArmError>;
        }

        impl ClientCommand for $name {
            fn run(self, client: &Client) -> Self::Result {
                client.arm(self)
            }
        }
    };
}

receive! {
    /// Receives a line; answered by [`LineReceived`](crate::message::LineReceived) (XAS-36).
    RecvLine
}

receive! {
    /// Receives bytes; answered by [`DataReceived`](crate::message::DataReceived) (XAS-42).
    RecvData
}

receive! {
    /// Receives everything before a delimiter, which is taken away; answered by
    /// [`DataReceived`](crate::message::DataReceived) (AC-26).
    RecvUntil
}

receive! {
    /// Receives a message behind a 4-byte big-endian length; answered by
    /// [`MessageReceived`](crate::message::MessageReceived) (ACO-09).
    RecvMsg
}

impl RecvLine {
    /// One line, by the connection's own rule, encoding and limit.
    #[must_use]
    pub const fn once() -> Self {
        Self(Receive::once(ReceiveKind::Line {
            rule: None,
            encoding: None,
            max: None,
        }))
    }

    /// What ends a line, for this receive.
    #[must_use]
    pub const fn rule(mut self, wanted: LineRule) -> Self {
        if let ReceiveKind::Line { rule, .. } = &mut self.0.kind {
            *rule = Some(wanted);
        }
        self
    }

    /// How the text of the line is read, for this receive (XAS-40).
    #[must_use]
    pub const fn encoding(mut self, wanted: Encoding) -> Self {
        if let ReceiveKind::Line { encoding, .. } = &mut self.0.kind {
            *encoding = Some(wanted);
        }
        self
    }

    /// The longest line in bytes without its ending, for this receive.
    #[must_use]
    pub const fn max(mut self, wanted: usize) -> Self {
        if let ReceiveKind::Line { max, .. } = &mut self.0.kind {
            *max = Some(wanted);
        }
        self
    }
}

impl Default for RecvLine {
    fn default() -> Self {
        Self::once()
    }
}

impl RecvData {
    /// Exactly so many bytes; what comes behind them waits for the next receive (XAS-43).
    #[must_use]
    pub const fn exact(size: NonZeroUsize) -> Self {
        Self(Receive::once(ReceiveKind::Exact(size)))
    }

    /// As many bytes as the connection's `recv_buffer` holds (XAS-42's receive without a size).
    #[must_use]
    pub const fn full() -> Self {
        Self(Receive::once(ReceiveKind::Full))
    }

    /// Whatever is there, at least one byte (AIO-36).
    #[must_use]
    pub const fn available() -> Self {
        Self(Receive::once(ReceiveKind::Available))
    }

    /// At most so many bytes, at least one (ACO-05).
    #[must_use]
    pub const fn up_to(size: NonZeroUsize) -> Self {
        Self(Receive::once(ReceiveKind::UpTo(size)))
    }
}

impl RecvUntil {
    /// Everything before this delimiter, at most the connection's `max_line` bytes.
    #[must_use]
    pub fn delimiter(delimiter: impl Into<Bytes>) -> Self {
        Self(Receive::once(ReceiveKind::Until {
            delimiter: delimiter.into(),
            max: None,
        }))
    }

    /// The most bytes before the delimiter, for this receive.
    #[must_use]
    pub const fn max(mut self, wanted: usize) -> Self {
        if let ReceiveKind::Until { max, .. } = &mut self.0.kind {
            *max = Some(wanted);
        }
        self
    }
}

impl RecvMsg {
    /// One message, at most the connection's `max_message` bytes.
    #[must_use]
    pub const fn once() -> Self {
        Self(Receive::once(ReceiveKind::Message { max: None }))
    }

    /// The longest message in bytes, for this receive.
    #[must_use]
    pub const fn max(mut self, wanted: usize) -> Self {
        if let ReceiveKind::Message { max } = &mut self.0.kind {
            *max = Some(wanted);
        }
        self
    }
}

impl Default for RecvMsg {
    fn default() -> Self {
        Self::once()
    }
}
