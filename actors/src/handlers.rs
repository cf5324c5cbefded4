//! `Handlers`, the manual form of a session: each event to a mailbox of its own choice.

use std::fmt;

use actix::Recipient;
use switchboard_core::{ClosedReason, Interests};

use crate::message::{
    Accepted, Adopted, ClientEvent, Closed, ConnectFailed, Connected, DataReceived, DatagramFailed,
    DatagramReceived, Disconnected, Draining, Idle, LineReceived, MessageReceived, PeerFinished,
    PipeClosed, PipeData, PipeLine, ProcessExited, Readable, Reconnecting, Sent, TlsStarted,
    UdpError, UrgentReceived, Writable, WritePaused, WriteResumed,
};

macro_rules! handlers {
    ($($(#[$doc:meta])* $field:ident: $event:ident => $interest:ident,)*) => {
        /// Where each event of a connection goes: one optional [`Recipient`] per event, so that
        /// different actors, or one actor for all connections, can take different events (AIO-34).
        ///
        /// An event without a recipient is not produced. How many frames may be with the recipients
        /// at once is bounded by the connection's read credit. Without any recipient at all the
        /// connection is closed as soon as it opens (XAS-26).
        #[derive(Clone, Default)]
        #[must_use = "handlers do nothing until a session factory returns them"]
        pub struct Handlers {
            $($field: Option<Recipient<$event>>,)*
            closed: Option<Recipient<Closed>>,
            closed_by: [Option<Recipient<Closed>>; 4],
        }

        impl Handlers {
            /// No recipients yet.
            pub fn new() -> Self {
                Self::default()
            }

            $(
                $(#[$doc])*
                pub fn $field(mut self, recipient: Recipient<$event>) -> Self {
                    self.$field = Some(recipient);
                    self
                }
            )*

            pub(crate) fn interests(&self) -> Interests {
                Interests::NONE
                    $(.with_if(Interests::$interest, self.$field.is_some()))*
                    .with_if(
                        Interests::CLOSED,
                        self.closed.is_some() || self.closed_by.iter().any(Option::is_some),
                    )
            }

            /// Whether the recipient of the event with this name is still there, if it ever was.
            pub(crate) fn lives(&self, event: &str) -> bool {
                $(if event == stringify!($event) {
                    return self.$field.as_ref().is_none_or(Recipient::connected);
                })*
                true
            }

            /// Sends an event on. `false`: its recipient is gone.
            pub(crate) fn deliver(&self, event: ClientEvent) -> bool {
                match event {
                    $(ClientEvent::$event(event) => hand_over(self.$field.as_ref(), event),)*
                    ClientEvent::Closed(event) => {
                        let filtered = self.closed_by[event.reason as usize].as_ref();
                        hand_over(filtered.or(self.closed.as_ref()), event)
                    }
                }
            }
        }
    };
}

handlers! {
    /// Sends [`Accepted`] there.
    accepted: Accepted => OPENED,
    /// Sends [`Connected`] there.
    connected: Connected => OPENED,
    /// Sends [`ConnectFailed`] there.
    connect_failed: ConnectFailed => CONNECT_FAILED,
    /// Sends [`LineReceived`] there.
    line: LineReceived => LINE,
    /// Sends [`DataReceived`] there.
    data: DataReceived => DATA,
    /// Sends [`MessageReceived`] there.
    message: MessageReceived => MESSAGE,
    /// Sends [`Sent`] there.
    sent: Sent => SENT,
    /// Sends [`WritePaused`] there.
    write_paused: WritePaused => WRITE_PAUSED,
    /// Sends [`WriteResumed`] there.
    write_resumed: WriteResumed => WRITE_RESUMED,
    /// Sends [`PeerFinished`] there.
    peer_finished: PeerFinished => PEER_FINISHED,
    /// Sends [`Idle`] there.
    idle: Idle => IDLE,
    /// Sends [`Readable`] there.
    readable: Readable => READABLE,
    /// Sends [`Writable`] there.
    writable: Writable => WRITABLE,
    /// Sends [`Adopted`] there.
    adopted: Adopted => ADOPTED,
    /// Sends [`Draining`] there.
    draining: Draining => DRAINING,
    /// Sends [`TlsStarted`] there.
    tls_started: TlsStarted => TLS_STARTED,
    /// Sends [`UrgentReceived`] there.
    urgent: UrgentReceived => URGENT,
    /// Sends [`DatagramReceived`] there.
    datagram: DatagramReceived => DATAGRAM,
    /// Sends [`DatagramFailed`] there.
    datagram_failed: DatagramFailed => DATAGRAM_FAILED,
    /// Sends [`UdpError`] there.
    udp_error: UdpError => UDP_ERROR,
    /// Sends [`PipeLine`] there.
    pipe_line: PipeLine => PIPE_LINE,
    /// Sends [`PipeData`] there.
    pipe_data: PipeData => PIPE_DATA,
    /// Sends [`PipeClosed`] there.
    pipe_closed: PipeClosed => PIPE_CLOSED,
    /// Sends [`ProcessExited`] there.
    process_exited: ProcessExited => PROCESS_EXITED,
    /// Sends [`Disconnected`] there.
    disconnected: Disconnected => DISCONNECTED,
    /// Sends [`Reconnecting`] there.
    reconnecting: Reconnecting => RECONNECTING,
}

impl Handlers {
    /// Sends [`Closed`] there, unless [`closed_by`](Self::closed_by) has one for its reason.
    pub fn closed(mut self, recipient: Recipient<Closed>) -> Self {
        self.closed = Some(recipient);
        self
    }

    /// Sends [`Closed`] with this reason there (AMB-14).
    pub fn closed_by(mut self, reason: ClosedReason, recipient: Recipient<Closed>) -> Self {
        self.closed_by[reason as usize] = Some(recipient);
        self
    }
}

fn hand_over<E>(recipient: Option<&Recipient<E>>, event: E) -> bool
where
    E: actix::Message + Send,
    E::Result: Send,
{
    let Some(recipient) = recipient else {
        return true;
    };
    let there = recipient.connected();
    if there {
        // Bounded by the connection's credit, of which the event holds a share.
        recipient.do_send(event);
    }
    there
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handlers").field(&self.interests()).finish()
    }
}
