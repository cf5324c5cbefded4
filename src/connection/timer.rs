//! The timer table: one instant per clock, no timer object anywhere.

use std::time::{Duration, Instant};

use crate::reason::TimeoutKind;

use super::pace::Pace;

/// The clocks of a connection, in the order in which they are looked at.
const KINDS: [TimeoutKind; 13] = [
    TimeoutKind::Adoption,
    TimeoutKind::Handshake,
    TimeoutKind::Receive,
    TimeoutKind::Frame,
    TimeoutKind::ReadRate,
    TimeoutKind::WriteRate,
    TimeoutKind::Lifetime,
    TimeoutKind::IdleRead,
    TimeoutKind::IdleWrite,
    TimeoutKind::Idle,
    TimeoutKind::Flush,
    TimeoutKind::HalfClosed,
    TimeoutKind::Linger,
];

const fn index(kind: TimeoutKind) -> usize {
    match kind {
        TimeoutKind::Adoption => 0,
        TimeoutKind::Handshake => 1,
        TimeoutKind::Receive => 2,
        TimeoutKind::Frame => 3,
        TimeoutKind::ReadRate => 4,
        TimeoutKind::WriteRate => 5,
        TimeoutKind::Lifetime => 6,
        TimeoutKind::IdleRead => 7,
        TimeoutKind::IdleWrite => 8,
        TimeoutKind::Idle => 9,
        TimeoutKind::Flush => 10,
        TimeoutKind::HalfClosed => 11,
        TimeoutKind::Linger => 12,
    }
}

/// Deadlines by kind. Most connections have none, so the table is made when first needed.
#[derive(Debug, Default)]
pub(super) struct Timers {
    table: Option<Box<[Option<Instant>; KINDS.len()]>>,
    pub(super) pace: Pace,
}

impl Timers {
    pub(super) fn set(&mut self, kind: TimeoutKind, at: Instant) {
        self.table.get_or_insert_default()[index(kind)] = Some(at);
    }

    /// Sets a clock that runs out after so long; one that runs for longer than time can tell never
    /// does.
    pub(super) fn start(&mut self, kind: TimeoutKind, now: Instant, after: Duration) {
        match now.checked_add(after) {
            Some(at) => self.set(kind, at),
            None => self.clear(kind),
        }
    }

    /// As [`start`](Self::start), unless the clock runs out earlier already.
    pub(super) fn shorten(&mut self, kind: TimeoutKind, now: Instant, after: Duration) {
        let earlier = self.table.as_ref().and_then(|table| table[index(kind)]);
        if let Some(at) = now.checked_add(after)
            && earlier.is_none_or(|earlier| at < earlier)
        {
            self.set(kind, at);
        }
    }

    /// Whether a clock runs.
    #[inline]
    pub(super) fn are_any(&self) -> bool {
        let table = self.table.as_ref();
        table.is_some_and(|table| table.iter().any(Option::is_some))
    }

    #[inline]
    pub(super) fn clear(&mut self, kind: TimeoutKind) {
        if let Some(table) = &mut self.table {
            table[index(kind)] = None;
        }
    }

    pub(super) fn clear_all(&mut self) {
        self.table = None;
        self.pace = Pace::default();
    }

    /// When a clock runs out, if it runs.
    pub(super) fn get(&self, kind: TimeoutKind) -> Option<Instant> {
        self.table.as_ref()?[index(kind)]
    }

    pub(super) fn is_set(&self, kind: TimeoutKind) -> bool {
        self.get(kind).is_some()
    }

    /// The nearest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.table.as_ref()?.iter().flatten().min().copied()
    }

    /// Takes one clock that has run out, the first of the table's order.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<TimeoutKind> {
        let table = self.table.as_mut()?;
        let due = table.iter().position(|at| at.is_some_and(|at| at <= now))?;
        table[due] = None;
        Some(KINDS[due])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_gives_the_nearest_and_takes_each_once() {
        let start = Instant::now();
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        for (n, kind) in (0_u64..).zip(KINDS) {
            assert_eq!(KINDS[index(kind)], kind);
            timers.set(kind, start + Duration::from_secs(13 - n));
        }
        assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
        assert_eq!(timers.take_due(start), None);
        let late = start + Duration::from_secs(14);
        let mut taken = Vec::new();
        while let Some(kind) = timers.take_due(late) {
            taken.push(kind);
        }
        assert_eq!(taken, KINDS);
        assert_eq!(timers.next(), None);
    }
}
