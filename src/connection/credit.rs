//! Read credit: how much may be with the session before delivery stops.

/// What one delivered event took from the credit; to be given back when it was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "credit that is not given back stops delivery for ever"]
pub struct Permit {
    frames: u32,
    bytes: usize,
}

impl Permit {
    /// Joins two permits, to be given back together.
    pub const fn join(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            bytes: self.bytes + other.bytes,
        }
    }

    /// A permit for one frame of so many bytes.
    pub(crate) const fn one(bytes: usize) -> Self {
        Self { frames: 1, bytes }
    }

    /// A permit for several frames of so many bytes together.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "frames are counted against a u32 credit"
    )]
    pub(super) const fn many(frames: usize, bytes: usize) -> Self {
        Self {
            frames: frames as u32,
            bytes,
        }
    }

    /// A permit for nothing, as events that carry no data have it.
    pub const NONE: Self = Self {
        frames: 0,
        bytes: 0,
    };

    /// How many frames it is for.
    pub(super) const fn frames(self) -> u32 {
        self.frames
    }

    /// Whether it stands for nothing.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.frames == 0
    }
}

/// Counts what is with the session, in frames and in bytes.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    frames: u32,
    bytes: usize,
}

impl Credit {
    /// Whether another frame may be delivered. The first one always may, however long it is.
    pub(super) const fn is_left(&self, frames: usize, bytes: usize) -> bool {
        self.frames == 0 || ((self.frames as usize) < frames && self.bytes < bytes)
    }

    pub(crate) const fn take(&mut self, permit: Permit) -> Permit {
        self.frames += permit.frames;
        self.bytes += permit.bytes;
        permit
    }

    pub(crate) const fn give_back(&mut self, permit: Permit) {
        self.frames = self.frames.saturating_sub(permit.frames);
        self.bytes = self.bytes.saturating_sub(permit.bytes);
    }

    pub(crate) const fn frames_out(&self) -> u32 {
        self.frames
    }

    pub(crate) const fn bytes_out(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_ends_at_either_bound_and_comes_back() {
        let mut credit = Credit::default();
        assert!(credit.is_left(1, 10));
        let first = credit.take(Permit::one(100));
        assert!(!credit.is_left(1, 1000), "frames are used up");
        assert!(!credit.is_left(9, 100), "bytes are used up");
        assert!(credit.is_left(2, 101));
        let second = credit.take(Permit::one(1));
        credit.give_back(first.join(second));
        assert_eq!(credit.frames_out(), 0);
        assert!(credit.is_left(1, 1));
    }
}
