//! What somebody needs to know who sends past the queue, in sequence.

use crate::address::Address;

use super::state::State;
use super::{DatagramRefusal, Datagrams, Peer};

impl Datagrams {
    /// Where a datagram goes that is not queued; `None`: to the peer that the socket is connected to.
    ///
    /// # Errors
    /// As a [`send`](Self::send) to there would be refused.
    pub fn direct<'a>(
        &self,
        to: Option<&'a Address>,
    ) -> Result<Option<&'a Address>, DatagramRefusal> {
        if !matches!(self.state, State::Adopting | State::Open) {
            return Err(DatagramRefusal::Closed);
        }
        match (&self.peer, to) {
            (Peer::Anybody, None) => Err(DatagramRefusal::NoDestination),
            (Peer::Anybody, Some(to)) => Ok(Some(to)),
            (Peer::Unknown | Peer::Connected(_), None) => Ok(None),
            (Peer::Connected(peer), Some(to)) if to == peer => Ok(None),
            (Peer::Unknown | Peer::Connected(_), Some(_)) => Err(DatagramRefusal::OtherPeer),
        }
    }

    /// Whether [`poll_resolve`](Self::poll_resolve) would give something.
    #[must_use]
    pub fn wants_lookup(&self) -> bool {
        self.names.wants_asking()
    }

    /// Whether datagrams are queued that go first.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.outbox.is_empty()
    }
}
