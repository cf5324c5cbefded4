//! Urgent bytes (AC-06): single bytes that the peer may hear of before what was sent ahead of them.
//!
//! One that is sent has its place in the outbox like all others, so it leaves behind what was sent before.
//! One that comes is told as it is noticed, which says nothing about its place in the stream (RFC 6093).

use crate::error::SendRefusal;
use crate::id::Token;
use crate::now::Now;

use super::secure::Security;
use super::state::{ReadHalf, State, WriteHalf};
use super::{Connection, Event, Interests};

/// So many that came may wait to be told; further ones stay with the system, and reading with them.
const MAX_WAITING: usize = 16;

impl Connection {
    /// Says whether what carries its bytes has urgent ones. Until then it has none.
    pub const fn set_carries_urgent(&mut self, carries: bool) {
        self.carries_urgent = carries;
    }

    /// Queues one urgent byte behind all that was sent before. `Ok(true)`: the outbox was empty, so the
    /// driver must be woken.
    ///
    /// # Errors
    /// As any send, and where urgent bytes are not supported.
    pub fn send_urgent(&mut self, byte: u8, token: Option<Token>) -> Result<bool, SendRefusal> {
        self.check_writable()?;
        if matches!(self.state, State::Connecting) || !self.has_urgent() {
            return Err(SendRefusal::NotSupported);
        }
        self.check_send(1, token)?;
        let wake = self.outbox.is_empty();
        self.outbox.push_urgent(byte);
        self.queued(1, token);
        Ok(wake)
    }

    /// The byte that is to be sent as an urgent one now; asked when nothing else is lent out.
    #[must_use]
    pub fn poll_transmit_urgent(&self) -> Option<u8> {
        match self.state {
            State::Open {
                write: WriteHalf::Open | WriteHalf::Finishing,
                ..
            }
            | State::Closing(_)
                if self.transmittable() > 0 =>
            {
                self.outbox.front_urgent()
            }
            _ => None,
        }
    }

    /// Whether the session is told of urgent bytes, so that reading must not pass one that was not taken.
    #[inline]
    #[must_use]
    pub fn hears_urgent(&self) -> bool {
        self.interests.contains(Interests::URGENT)
            && self.has_urgent()
            && matches!(
                self.state,
                State::Open {
                    read: ReadHalf::Open,
                    ..
                }
            )
    }

    /// Whether to look out for urgent bytes: also while nothing is read.
    #[must_use]
    pub fn wants_urgent(&self) -> bool {
        self.hears_urgent() && !self.vacant && self.urgent_waiting() < MAX_WAITING
    }

    /// An urgent byte came.
    pub fn handle_urgent(&mut self, byte: u8, now: &mut Now) {
        self.bytes_in += 1;
        self.touch_read(now);
        self.notify(Interests::URGENT, Event::Urgent(byte));
    }

    fn urgent_waiting(&self) -> usize {
        let urgent = |event: &&Event| matches!(event, Event::Urgent(_));
        self.notices.iter().filter(urgent).count()
    }

    const fn has_urgent(&self) -> bool {
        self.carries_urgent && matches!(self.security, Security::Plain)
    }
}
