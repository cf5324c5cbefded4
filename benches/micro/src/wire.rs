//! A machine in use, on a wire that takes and brings whatever it is told to.

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use switchboard_core::receive::{Receive, ReceiveKind};
use switchboard_core::{Connection, ConnectionConfig, Interests, Now};

/// A line, by the connection's own settings.
pub(crate) const LINES: ReceiveKind = ReceiveKind::Line {
    rule: None,
    encoding: None,
    max: None,
};

/// An open connection whose session takes lines.
pub(crate) struct Wire {
    pub(crate) machine: Connection,
    pub(crate) now: Now,
    block: BytesMut,
}

impl Wire {
    /// Settings for lines that go on for ever.
    pub(crate) fn lines() -> ConnectionConfig {
        let mut config = ConnectionConfig::default();
        config.first_receive = Some(Receive::always(LINES));
        config
    }

    pub(crate) fn open(config: ConnectionConfig) -> Self {
        let mut machine = Connection::accepted(Arc::new(config));
        machine.set_interests(Interests::LINE.with_if(Interests::IDLE, true));
        let mut now = Now::at(Instant::now());
        machine.adopt(&mut now).expect("the session takes lines");
        Self {
            machine,
            now,
            block: BytesMut::with_capacity(64 * 1024),
        }
    }

    /// The peer sent this.
    pub(crate) fn come(&mut self, bytes: &[u8]) {
        self.block.extend_from_slice(bytes);
        self.machine.handle_data(&mut self.block, &mut self.now);
    }

    /// The socket takes what is queued, at most so much at once; returns how much that was in all.
    pub(crate) fn flush(&mut self, gulp: usize) -> usize {
        let mut all = 0;
        loop {
            let mut slices = [IoSlice::new(&[]); 16];
            let count = self.machine.poll_transmit(&mut slices);
            let lent: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            if lent == 0 {
                return all;
            }
            let taken = lent.min(gulp);
            self.machine.handle_written(taken, &mut self.now);
            all += taken;
        }
    }
}
