//! A peer that leaves while nobody reads: it is noticed all the same, and no byte is read for it.

use std::io;

use bytes::BytesMut;

use crate::now::Now;
use crate::reason::Cause;
use crate::tls::TlsError;

use super::Connection;
use super::state::{ReadHalf, State};

impl Connection {
    /// Whether to look out for the peer's end without reading: nothing is to be received, and nothing is
    /// with the session.
    #[must_use]
    pub fn wants_watch(&self) -> bool {
        matches!(
            self.state,
            State::Open {
                read: ReadHalf::Open | ReadHalf::Finished { .. },
                ..
            }
        ) && !self.vacant
            && !self.is_securing()
            && self.credit.frames_out() == 0
            && (self.reading_paused || (self.inbound.armed().is_none() && !self.interest.readable))
    }

    /// Whether bytes that came before a reset may still be read, to be handed back.
    #[must_use]
    pub fn wants_rest(&self) -> bool {
        matches!(
            self.state,
            State::Open {
                read: ReadHalf::Open,
                ..
            }
        ) && self.inbound.len() < self.config.read_window
    }

    /// Bytes that came before a reset. All of `data` is taken.
    pub fn handle_rest(&mut self, data: &mut BytesMut) {
        self.bytes_in += data.len() as u64;
        self.inbound.keep(data);
    }

    /// The peer has reset the connection while nobody read. Nobody is left to answer to: it is over, and
    /// what was received is handed back (AMB-04). One that has cut its stream short may still take what is
    /// queued.
    pub fn handle_reset(&mut self, error: &io::Error, now: &mut Now) {
        let cause = Cause::io(self.reset_operation(), error);
        if cause == Cause::Tls(TlsError::Truncated) {
            self.handle_read_error(error, now);
        } else if matches!(self.state, State::Open { .. }) {
            self.end(cause, None, false);
        }
    }
}
