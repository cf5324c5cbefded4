//! Commands to a socket as messages to its actor.

use std::io;

use actix::Message;
use bytes::Bytes;
use switchboard_core::{Destination, LimitsError, Token};

use crate::client::ClientInfo;
use crate::message::{Abort, Close, GetInfo, PauseReading, ResumeReading, SetWriteLimits};
use crate::options::Multicast;

use super::{DatagramSendError, Udp};

/// A command that a socket obeys.
pub trait UdpCommand: Message + Sized {
    /// Carries it out.
    fn run(self, udp: &Udp) -> Self::Result;
}

/// Sends a datagram. Answered by [`Sent`](crate::message::Sent) if it carries a token, or by
/// [`DatagramFailed`](crate::message::DatagramFailed) (XAS-60, XAS-61, AIO-15).
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<(), DatagramSendError>")]
pub struct SendTo {
    /// What to send; may be empty.
    pub data: Bytes,
    /// Where to; `None`: to the peer that the socket is connected to.
    pub to: Option<Destination>,
    /// Asks for a notice.
    pub token: Option<Token>,
}

impl UdpCommand for SendTo {
    fn run(self, udp: &Udp) -> Self::Result {
        udp.socket.send(self.data, self.to, self.token)
    }
}

/// Joins a multicast group; see [`Udp::join_multicast`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "io::Result<()>")]
pub struct JoinMulticast(pub Multicast);

impl UdpCommand for JoinMulticast {
    fn run(self, udp: &Udp) -> Self::Result {
        udp.join_multicast(self.0)
    }
}

/// Leaves a multicast group; see [`Udp::leave_multicast`].
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "io::Result<()>")]
pub struct LeaveMulticast(pub Multicast);

impl UdpCommand for LeaveMulticast {
    fn run(self, udp: &Udp) -> Self::Result {
        udp.leave_multicast(self.0)
    }
}

impl UdpCommand for Close {
    fn run(self, udp: &Udp) -> bool {
        udp.close_with(self.flush, self.deadline)
    }
}

impl UdpCommand for Abort {
    fn run(self, udp: &Udp) -> bool {
        udp.abort()
    }
}

impl UdpCommand for GetInfo {
    fn run(self, udp: &Udp) -> ClientInfo {
        udp.info()
    }
}

impl UdpCommand for PauseReading {
    fn run(self, udp: &Udp) {
        udp.pause_reading();
    }
}

impl UdpCommand for ResumeReading {
    fn run(self, udp: &Udp) {
        udp.resume_reading();
    }
}

impl UdpCommand for SetWriteLimits {
    fn run(self, udp: &Udp) -> Result<(), LimitsError> {
        udp.set_write_limits(self.high, self.low)
    }
}
