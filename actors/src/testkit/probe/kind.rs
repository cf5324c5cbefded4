//! The events as types that can be asked for, and as the words that a timeline has for them.

use std::fmt::{self, Write};

use crate::message::*;

mod sealed {
    pub trait Sealed {}
}

/// An event that a [`Probe`](super::Probe) can be asked for: each that a session can be told.
pub trait EventKind: Into<ClientEvent> + sealed::Sealed {
    /// Its name, as reports quote it.
    const NAME: &'static str;

    /// The event, if it is one of this kind.
    ///
    /// # Errors
    ///
    /// It is another one, which comes back.
    fn from_event(event: ClientEvent) -> Result<Self, ClientEvent>;
}

macro_rules! kinds {
    ($($event:ident),* $(,)?) => {$(
        impl sealed::Sealed for $event {}

        impl EventKind for $event {
            const NAME: &'static str = stringify!($event);

            fn from_event(event: ClientEvent) -> Result<Self, ClientEvent> {
                match event {
                    ClientEvent::$event(event) => Ok(event),
                    other => Err(other),
                }
            }
        }

        impl From<$event> for ClientEvent {
            fn from(event: $event) -> Self {
                Self::$event(event)
            }
        }
    )*

        /// Which connection the event is of.
        pub(super) const fn client_of(event: &ClientEvent) -> switchboard_core::ClientId {
            match event {
                $(ClientEvent::$event(event) => event.client,)*
            }
        }
    };
}

kinds! {
    Accepted, Connected, ConnectFailed, LineReceived, DataReceived, MessageReceived, Sent,
    WritePaused, WriteResumed, PeerFinished, Idle, Readable, Writable, Adopted, TlsStarted,
    Draining, UrgentReceived, DatagramReceived, DatagramFailed, UdpError, PipeLine, PipeData,
    PipeClosed, ProcessExited, Disconnected, Reconnecting, Closed,
}

/// An event in one short line: its name, and what tells it from others of its kind.
pub(super) fn describe(event: &ClientEvent) -> String {
    let mut text = event.name().to_owned();
    // Writing to a string does not fail.
    let _ = match event {
        ClientEvent::Accepted(Accepted { peer_addr, .. }) => address(&mut text, "from", *peer_addr),
        ClientEvent::Connected(Connected { peer_addr, .. }) => address(&mut text, "to", *peer_addr),
        ClientEvent::ConnectFailed(failed) => write!(text, ": {}", failed.error),
        ClientEvent::LineReceived(line) => write!(text, " {}", quote(&line.line)),
        ClientEvent::DataReceived(data) => write!(text, " {}", quote_bytes(&data.data)),
        ClientEvent::MessageReceived(message) => {
            write!(text, " {}", quote_bytes(&message.message))
        }
        ClientEvent::Sent(sent) => write!(text, " token {}, {} bytes", sent.token.0, sent.bytes),
        ClientEvent::Idle(idle) => write!(text, " {}", idle.kind),
        ClientEvent::Adopted(adopted) => write!(
            text,
            " {} bytes unread, {} restarts",
            adopted.unread, adopted.restarts
        ),
        ClientEvent::TlsStarted(started) => write!(text, " {}", started.tls),
        ClientEvent::Draining(draining) => write!(text, " within {:?}", draining.deadline),
        ClientEvent::UrgentReceived(urgent) => write!(text, " {}", quote_bytes(&[urgent.byte])),
        ClientEvent::DatagramReceived(datagram) => {
            let cut = if datagram.truncated {
                ", truncated"
            } else {
                ""
            };
            let data = quote_bytes(&datagram.data);
            write!(text, " from {}: {data}{cut}", datagram.from)
        }
        ClientEvent::DatagramFailed(failed) => {
            write!(text, " {}: {}", quote_bytes(&failed.data), failed.error)
        }
        ClientEvent::UdpError(error) => {
            write!(
                text,
                " {}: {}, {} times",
                error.operation, error.kind, error.count
            )
        }
        ClientEvent::PipeLine(line) => write!(text, " {}: {}", line.fd, quote(&line.line)),
        ClientEvent::PipeData(data) => write!(text, " {}: {}", data.fd, quote_bytes(&data.data)),
        ClientEvent::PipeClosed(closed) => write!(text, " {}: {}", closed.fd, closed.detail),
        ClientEvent::ProcessExited(exited) => write!(text, " {}", exited.code),
        ClientEvent::Disconnected(down) => write!(text, " {}: {}", down.reason, down.detail),
        ClientEvent::Reconnecting(next) => {
            write!(text, " attempt {} in {:?}", next.attempt, next.delay)
        }
        ClientEvent::Closed(closed) => write!(text, " {}: {}", closed.reason, closed.detail),
        ClientEvent::WritePaused(_)
        | ClientEvent::WriteResumed(_)
        | ClientEvent::PeerFinished(_)
        | ClientEvent::Readable(_)
        | ClientEvent::Writable(_) => Ok(()),
    };
    text
}

fn address(text: &mut String, word: &str, address: Option<std::net::SocketAddr>) -> fmt::Result {
    address.map_or(Ok(()), |address| write!(text, " {word} {address}"))
}

/// How many bytes or characters of a payload a timeline shows.
const SHOWN: usize = 80;

/// Text in quotes, as much of it as a timeline shows.
pub(super) fn quote(text: &[u8]) -> String {
    const LONGEST_CHAR: usize = 4;
    let start = String::from_utf8_lossy(&text[..text.len().min(SHOWN * LONGEST_CHAR)]);
    let shown: String = start.chars().take(SHOWN).collect();
    let cut_off = shown.len() < start.len();
    in_all(format!("{shown:?}"), cut_off, text.len())
}

/// Bytes in quotes, as many of them as a timeline shows.
pub(super) fn quote_bytes(bytes: &[u8]) -> String {
    let shown = bytes[..bytes.len().min(SHOWN)].escape_ascii();
    in_all(format!("b\"{shown}\""), bytes.len() > SHOWN, bytes.len())
}

fn in_all(quoted: String, cut_off: bool, length: usize) -> String {
    if cut_off {
        return format!("{quoted}... ({length} bytes in all)");
    }
    quoted
}
