//! How idle a connection is, for whoever has to choose among many.
//!
//! No clock is read for it: connections of one thread are told apart by the order in which their last
//! bytes moved, which costs one count per wake.

use switchboard_core::ConnectionState;

use crate::shard::ShardLocal;

use super::shared::{Core, Shared};

/// The less, the sooner a connection can be missed: idle ones before busy ones, and of these the one
/// whose last byte moved first. Comparable within one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Idleness {
    busy: bool,
    moved: u64,
}

impl Idleness {
    pub(crate) const fn new(busy: bool, moved: u64) -> Self {
        Self { busy, moved }
    }
}

impl Shared {
    /// How idle it is; `None` once it is closing.
    pub(crate) fn idleness(&self) -> Option<Idleness> {
        let core = self.lock();
        core.machine.is_open().then(|| Idleness {
            busy: core.in_flight || core.tickets > 0 || core.machine.is_busy(),
            moved: core.moved,
        })
    }

    /// Whether it is outbound and not yet established.
    pub(crate) fn is_connecting(&self) -> bool {
        self.lock().machine.state() == ConnectionState::Connecting
    }

    /// Whether its end is fixed, told or not.
    pub(crate) fn has_ended(&self) -> bool {
        self.lock().machine.state() == ConnectionState::Closed
    }

    /// The connection opens here: that counts as a move.
    pub(crate) fn set_moved(&self, local: &ShardLocal) {
        self.lock().moved = local.next_move();
    }
}

impl Core {
    /// Remembers when bytes have moved since the machine had counted so many.
    #[inline]
    pub(super) fn note_moves(&mut self, before: u64, local: &ShardLocal) {
        if self.machine.moved() != before {
            self.moved = local.next_move();
        }
    }
}
