//! Which frames of a batch the session begins with, and which are recalled before it does.

use std::sync::atomic::Ordering;

use crate::sync::AtomicU32;

/// How far the session is with its [`Batch`](super::Batch), without a lock.
///
/// The session claims a few frames at a time and then begins with them one by one. Whoever recalls
/// closes the claim first: what was claimed by then stays with the session, unless it recalls itself,
/// and everything else comes back. So each frame is either begun with or recalled.
///
/// Batches are [started](Self::start) and recalled under the connection's lock, which also tells
/// what was recalled before; only [`begin`](Self::begin) goes without.
#[derive(Debug)]
pub struct Claim {
    /// How many frames the session has claimed; [`RECALLED`] or more once the rest was taken back.
    claimed: AtomicU32,
    /// How many of them it has begun with: for the session's own thread only.
    begun: AtomicU32,
}

/// Stands behind every frame: nothing more can be begun with.
const RECALLED: u32 = u32::MAX / 2;
/// How many frames a session claims in one go.
const CLAIM: u32 = 8;

impl Claim {
    /// Nothing to begin with.
    #[must_use]
    pub fn new() -> Self {
        Self {
            claimed: AtomicU32::new(RECALLED),
            begun: AtomicU32::new(RECALLED),
        }
    }

    /// The session has a new batch, of which it has claimed nothing.
    #[inline]
    pub fn start(&self) {
        self.begun.store(0, Ordering::Relaxed);
        self.claimed.store(0, Ordering::Release);
    }

    /// The session begins with the next frame: its position, which is behind the last one if there is
    /// none left, or if they were recalled. `claimed` is how many it has claimed, 0 for a new batch.
    #[inline]
    pub fn begin(&self, claimed: &mut u32) -> usize {
        let position = self.begun.load(Ordering::Relaxed);
        if position == *claimed {
            if self.claimed.fetch_add(CLAIM, Ordering::AcqRel) >= RECALLED {
                return RECALLED as usize;
            }
            *claimed += CLAIM;
        }
        if position < RECALLED {
            self.begun.store(position + 1, Ordering::Relaxed);
        }
        position as usize
    }

    /// With how many frames of its batch the session has begun; as seen from another thread it may be
    /// more already.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed) as usize
    }

    /// On the session's own thread: frames from this position on were not begun with, and will not be.
    #[inline]
    pub fn recall_here(&self) -> usize {
        self.claimed.swap(RECALLED, Ordering::AcqRel);
        self.begun.swap(RECALLED, Ordering::Relaxed) as usize
    }

    /// On another thread: frames from this position on were not claimed, and will not be. It is behind
    /// the last one if they were recalled before.
    #[inline]
    pub fn recall_elsewhere(&self) -> usize {
        self.claimed.swap(RECALLED, Ordering::AcqRel) as usize
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    const LAST: usize = RECALLED as usize - 1;

    #[test]
    fn frames_are_begun_with_in_order_and_the_own_thread_recalls_the_rest() {
        let claim = Claim::new();
        claim.start();
        let mut claimed = 0;
        for position in 0..11 {
            assert_eq!(claim.begin(&mut claimed), position);
        }
        assert_eq!(claim.recall_here(), 11);
        assert!(claim.begin(&mut claimed) > LAST);
    }

    #[test]
    fn what_is_claimed_stays_when_another_thread_recalls() {
        let claim = Claim::new();
        claim.start();
        let mut claimed = 0;
        claim.begin(&mut claimed);
        assert_eq!(claim.recall_elsewhere(), 8);
        assert!(claim.recall_elsewhere() > LAST, "only once");
        for position in 1..8 {
            assert_eq!(claim.begin(&mut claimed), position);
        }
        assert!(claim.begin(&mut claimed) > LAST && claim.begin(&mut claimed) > LAST);
        assert_eq!(claim.recall_here(), 8);
    }

    #[test]
    fn nothing_is_begun_with_before_the_start_or_after_an_early_recall() {
        let claim = Claim::new();
        assert!(claim.begin(&mut 0) > LAST);
        claim.start();
        assert_eq!(claim.recall_elsewhere(), 0);
        assert!(claim.begin(&mut 0) > LAST);
        assert_eq!(claim.recall_here(), 0);
    }
}
