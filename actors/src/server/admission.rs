//! Who may come in: the limits of a listener and of its pool.

use switchboard_core::{BufferSlots, Gate};

use crate::client::Passes;
use crate::options::AtLimit;
use crate::placement::Placer;
use crate::pool::Pool;
use crate::shard::SlotLease;

/// Who may come in, and where they go.
pub(super) struct Admission {
    pub(super) pool: Pool,
    pub(super) at_limit: AtLimit,
    pub(super) slots: Option<BufferSlots>,
    pub(super) placer: Placer,
}

/// Whether there is room for one more.
pub(super) enum Room {
    Free(Passes, Option<SlotLease>),
    Full,
}

impl Admission {
    /// Takes a place with the listener, one with the pool, and two slots; all or nothing.
    pub(super) fn room(&self, gate: &Gate) -> Room {
        let Some(server_pass) = gate.try_enter() else {
            return Room::Full;
        };
        let Some(pool_pass) = self.pool.gate().try_enter() else {
            return Room::Full;
        };
        let lease = match &self.slots {
            None => None,
            Some(slots) => match (slots.try_take(), slots.try_take()) {
                (Some(recv), Some(send)) => Some(SlotLease::new(recv, send)),
                _ => return Room::Full,
            },
        };
        Room::Free((Some(server_pass), Some(pool_pass)), lease)
    }
}
