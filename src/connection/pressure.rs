//! Memory that is short: how much the connection holds, and reading that waits for others.

use crate::now::Now;

use super::Connection;
use super::state::State;

impl Connection {
    /// Bytes that wait here: received and not handled, those with the session included, and queued to
    /// be sent.
    #[must_use]
    pub fn held(&self) -> usize {
        self.inbound.len() + self.credit.bytes_out() + self.outbox.size()
    }

    /// Stops reading until [`release_reading`](Self::release_reading), whatever the session wants. What
    /// is there already is delivered; the session is told nothing. Repeating it does nothing.
    pub const fn hold_reading(&mut self) {
        self.reading_held = true;
    }

    /// Whether reading is held.
    #[must_use]
    pub const fn is_reading_held(&self) -> bool {
        self.reading_held
    }

    /// Goes on with reading as the session wants it. Repeating it does nothing.
    pub fn release_reading(&mut self, now: &mut Now) {
        if std::mem::take(&mut self.reading_held) && matches!(self.state, State::Open { .. }) {
            // No byte has moved: only the peer's silence is counted anew.
            self.start_idle_read(now);
            self.restart_frame_clocks(now);
        }
    }
}
