//! What a connection holds of its pool's memory budget.

use switchboard_core::{Cause, ConnectionState, Share};

use super::shared::{Core, Rare, Shared};

impl Core {
    /// Brings the connection's share of the budget up to date. Who grows while it is exceeded reads no
    /// more until it is relieved.
    #[inline]
    pub(super) fn count_held(&mut self) {
        if let Some(Rare {
            share: Some(share), ..
        }) = self.rare.as_deref_mut()
            && share.update(self.machine.held())
        {
            self.machine.hold_reading();
        }
    }
}

impl Shared {
    /// How many bytes the budget counts for it, and in which of its shard's wakes bytes moved last;
    /// `None` when it has ended or nothing is counted.
    pub(crate) fn held(&self) -> Option<(usize, u64)> {
        let core = self.lock();
        let share = core.rare.as_ref().and_then(|rare| rare.share.as_ref());
        let counted = share.map_or(0, Share::counted);
        let lives = core.machine.state() != ConnectionState::Closed;
        (counted > 0 && lives).then_some((counted, core.moved))
    }

    /// Stops reading for others' sake.
    pub(crate) fn hold_reading(&self) {
        self.command(|machine, _| machine.hold_reading());
    }

    /// Goes on reading, if that was stopped for others' sake.
    pub(crate) fn release_reading(&self) {
        if self.lock().machine.is_reading_held() {
            self.command(|machine, now| machine.release_reading(now));
        }
    }

    /// Ends it, so that what it holds is free.
    pub(crate) fn give_up_memory(&self) {
        self.command(|machine, _| machine.abort(Cause::MemoryPressure));
    }
}
