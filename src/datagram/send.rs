//! Sending: what is accepted, what a name becomes, and what follows from an outcome.

use std::sync::Arc;

use bytes::Bytes;

use crate::address::{Address, Destination};
use crate::config::write_limits;
use crate::error::LimitsError;
use crate::id::Token;
use crate::now::Now;

use super::names::Lookup;
use super::outbox::Queued;
use super::state::State;
use super::{DatagramError, DatagramEvent, DatagramRefusal, Datagrams, Peer};

impl Datagrams {
    /// Queues a datagram, perhaps an empty one (XAS-60, AMB-07). It has exactly one outcome: it is sent or
    /// it fails. `to` may be missing if the socket is connected, and must then be its peer (AIO-15); a name
    /// is no address, and so no peer.
    ///
    /// # Errors
    /// When nothing can be queued; the datagram comes back.
    pub fn send(
        &mut self,
        data: Bytes,
        to: Option<Destination>,
        token: Option<Token>,
        _now: &mut Now,
    ) -> Result<(), (DatagramRefusal, Bytes)> {
        if let Err(refusal) = self.check_send(data.len(), to.as_ref(), token) {
            return Err((refusal, data));
        }
        self.outbox.accept(data.len(), token);
        let to = match to {
            Some(Destination::Name(name)) => {
                self.names.push(name, data, token);
                self.check_pause();
                return Ok(());
            }
            Some(Destination::Address(to)) => Some(to),
            None => None,
        };
        self.line_up(Queued { data, to, token });
        self.check_pause();
        Ok(())
    }

    #[inline]
    fn check_pause(&mut self) {
        if self.outbox.check_pause() {
            self.notify_level(DatagramEvent::WritePaused);
        }
    }

    /// Changes the write marks; a missing one is derived (AIO-08). May pause or resume at once.
    ///
    /// # Errors
    /// When the high mark would be below the low one; nothing changes.
    pub fn set_write_limits(
        &mut self,
        high: Option<usize>,
        low: Option<usize>,
    ) -> Result<(), LimitsError> {
        let (high, low) = write_limits(high, low)?;
        self.outbox.set_limits(high, low);
        if self.outbox.check_pause() {
            self.notify_level(DatagramEvent::WritePaused);
        } else if self.outbox.check_resume() {
            self.notify_level(DatagramEvent::WriteResumed);
        }
        Ok(())
    }

    /// A name that is to be looked up for a datagram, if there is one that nobody looks up yet.
    pub fn poll_resolve(&mut self) -> Option<(Lookup, Arc<str>)> {
        self.names.ask()
    }

    /// A name was looked up: its datagram is ready to go now, behind all that are, or fails
    /// (akka #22076). A key whose datagram is gone means nothing.
    pub fn handle_resolved(
        &mut self,
        lookup: Lookup,
        outcome: Result<Address, DatagramError>,
        _now: &mut Now,
    ) {
        let Some(named) = self.names.take(lookup) else {
            return;
        };
        match outcome {
            Ok(address) => self.line_up(Queued {
                data: named.data,
                to: Some(address),
                token: named.token,
            }),
            Err(error) => {
                self.fail(
                    named.data,
                    Some(Destination::Name(named.name)),
                    named.token,
                    error,
                );
                self.settled();
            }
        }
    }

    /// Behind those that are ready to go, or behind those whose receiver has no room.
    #[inline]
    fn line_up(&mut self, queued: Queued) {
        if !self.stuck.is_idle()
            && let Some(to) = &queued.to
            && self.stuck.holds(to)
        {
            self.stuck.push(queued);
        } else {
            self.outbox.push(queued);
        }
    }

    fn check_send(
        &self,
        length: usize,
        to: Option<&Destination>,
        token: Option<Token>,
    ) -> Result<(), DatagramRefusal> {
        if !matches!(self.state, State::Adopting | State::Open) {
            return Err(DatagramRefusal::Closed);
        }
        match (&self.peer, to) {
            (Peer::Anybody, None) => return Err(DatagramRefusal::NoDestination),
            (Peer::Anybody, Some(_)) | (Peer::Unknown | Peer::Connected(_), None) => {}
            (Peer::Connected(peer), Some(Destination::Address(to))) if to == peer => {}
            (Peer::Unknown | Peer::Connected(_), Some(_)) => {
                return Err(DatagramRefusal::OtherPeer);
            }
        }
        // Failed datagrams that were not told yet hold their bytes still.
        let queued = self.outbox.size() + self.notices.failed_bytes();
        let capacity = self.config.send_bytes;
        if length > capacity.saturating_sub(queued) {
            return Err(DatagramRefusal::Full {
                queued,
                capacity,
                asked: length,
            });
        }
        let limit = self.config.send_datagrams;
        if self.queued() + self.notices.failed() >= limit {
            return Err(DatagramRefusal::TooMany { limit });
        }
        let limit = self.config.max_notices;
        if token.is_some() && self.outbox.tokens() + self.notices.len() >= limit {
            return Err(DatagramRefusal::TooManyNotices { limit });
        }
        Ok(())
    }

    /// How writing stands is told when there is a session.
    fn notify_level(&mut self, event: DatagramEvent) {
        if !matches!(self.state, State::Adopting) {
            self.notify(event);
        }
    }

    /// An accepted datagram was never sent.
    pub(super) fn fail(
        &mut self,
        data: Bytes,
        to: Option<Destination>,
        token: Option<Token>,
        error: DatagramError,
    ) {
        self.outbox.settle(data.len(), token);
        self.counts.failed += 1;
        let failed = DatagramEvent::Failed {
            token,
            to,
            data,
            error,
        };
        if self.interests.contains(failed.interest()) && !self.is_over() {
            self.notices.push(failed);
        } else {
            self.spent.extend(failed.into_data());
        }
    }

    /// What follows when datagrams have their outcome.
    #[inline]
    pub(super) fn settled(&mut self) {
        if self.outbox.check_resume() {
            self.notify_level(DatagramEvent::WriteResumed);
        }
        if matches!(self.state, State::Closing(_)) && self.queued() == 0 {
            self.conclude(None);
        }
    }
}
