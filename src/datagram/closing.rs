//! The rules of ending.

use std::time::Duration;

use bytes::Bytes;

use crate::address::Destination;
use crate::id::Token;
use crate::now::Now;
use crate::reason::{Cause, ClosePhase, ClosedDetail};

use super::outbox::Queued;
use super::state::{Closing, State};
use super::{DatagramError, Datagrams};

impl Datagrams {
    /// From use to closing; over at once if nothing is queued.
    pub(super) fn begin_close(&mut self, cause: Cause, deadline: Option<Duration>, now: &mut Now) {
        if !matches!(self.state, State::Adopting | State::Open) {
            return;
        }
        let deadline = deadline.unwrap_or(self.config.flush_timeout);
        let closing = Closing::new(cause, self.phase(), deadline);
        self.state = State::Closing(Box::new(closing));
        self.idle_at = None;
        if self.queued() == 0 {
            self.conclude(None);
        } else {
            self.deadline_at = now.get().checked_add(deadline);
        }
    }

    /// From closing to the end: what is still queued is dropped, and the report is made.
    pub(super) fn conclude(&mut self, cut_short: Option<Cause>) {
        let State::Closing(closing) = &self.state else {
            return;
        };
        let cause = closing.cause.clone();
        let phase = closing.phase;
        let mut unsent_tokens = Vec::new();
        let unsent = self.outbox.size();
        let complete = self.queued() == 0;
        while let Some((data, to, token)) = self.next_dropped() {
            unsent_tokens.extend(token);
            self.fail(data, to, token, DatagramError::Closed);
        }
        self.counts.unread += self.inbound.len() as u64;
        self.idle_at = None;
        self.deadline_at = None;
        self.shortage.end();
        let report = ClosedDetail {
            cause,
            cut_short,
            phase: if complete {
                phase
            } else {
                ClosePhase::Flushing
            },
            unsent,
            unsent_tokens,
            unread: self.inbound.take_unread(),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            tls: None,
        };
        self.state = State::Over {
            report: Some(Box::new(report)),
        };
    }

    fn next_dropped(&mut self) -> Option<Dropped> {
        if let Some(Queued { data, to, token }) = self.outbox.pop() {
            return Some((data, Queued::destination(to), token));
        }
        if let Some(Queued { data, to, token }) = self.stuck.pop() {
            return Some((data, Queued::destination(to), token));
        }
        let named = self.names.pop()?;
        Some((named.data, Some(Destination::Name(named.name)), named.token))
    }
}

/// A datagram, where it was to go, and its token.
type Dropped = (Bytes, Option<Destination>, Option<Token>);
