//! Who waits for queued bytes to be taken, and is told how many were if not all of them are.

use super::Outbox;

/// A wait for queued bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchId(u64);

/// What became of the bytes that were watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// The system has taken them all.
    Taken,
    /// So many were taken, the rest never will be.
    Lost {
        /// How many.
        taken: usize,
    },
}

/// The waits of an outbox; there are few.
#[derive(Debug, Default)]
pub(super) struct Watches {
    next: u64,
    waits: Vec<Watch>,
}

#[derive(Debug)]
struct Watch {
    id: WatchId,
    /// Where its bytes begin and end in the stream.
    start: u64,
    end: u64,
    /// Whether what stood behind its end was thrown away.
    cut: bool,
    outcome: Option<Watched>,
}

impl Watch {
    fn taken_at(&self, position: u64) -> usize {
        let taken = position.clamp(self.start, self.end) - self.start;
        usize::try_from(taken).unwrap_or(usize::MAX)
    }

    /// What stands behind this position is thrown away; what stands before it may still be taken.
    fn cut_at(&mut self, position: u64) {
        if self.end > position {
            self.end = self.start.max(position);
            self.cut = true;
        }
    }

    /// So many bytes of the stream were taken.
    fn settle(&mut self, taken: u64) {
        let nothing_left = self.cut && self.start == self.end;
        if nothing_left || self.end <= taken {
            self.outcome = Some(if self.cut {
                let taken = self.taken_at(self.end);
                Watched::Lost { taken }
            } else {
                Watched::Taken
            });
        }
    }
}

impl Outbox {
    /// Watches the last so many bytes that were queued.
    pub(in crate::connection) fn watch(&mut self, length: usize) -> WatchId {
        let end = self.position;
        let taken = end - self.size as u64;
        let watches = &mut self.rare.get_or_insert_default().watches;
        let id = WatchId(watches.next);
        watches.next += 1;
        watches.waits.push(Watch {
            id,
            start: end.saturating_sub(length as u64),
            end,
            cut: false,
            outcome: (end <= taken).then_some(Watched::Taken),
        });
        id
    }

    /// What has become of them, if that is known.
    pub(in crate::connection) fn watched(&self, id: WatchId) -> Option<Watched> {
        self.find(id)?.outcome
    }

    /// How many of them were taken so far.
    pub(in crate::connection) fn watched_taken(&self, id: WatchId) -> usize {
        let taken = self.position - self.size as u64;
        self.find(id).map_or(0, |watch| match watch.outcome {
            None => watch.taken_at(taken),
            Some(Watched::Taken) => watch.taken_at(watch.end),
            Some(Watched::Lost { taken }) => taken,
        })
    }

    fn find(&self, id: WatchId) -> Option<&Watch> {
        let waits = &self.rare.as_ref()?.watches.waits;
        waits.get(place_of(waits, id)?)
    }

    /// Nobody waits for them any more.
    pub(in crate::connection) fn unwatch(&mut self, id: WatchId) {
        if let Some(rare) = &mut self.rare
            && let Some(place) = place_of(&rare.watches.waits, id)
        {
            rare.watches.waits.remove(place);
        }
    }

    /// Bytes were taken.
    #[cold]
    pub(super) fn note_taken(&mut self) {
        let taken = self.position - self.size as u64;
        self.open_watches().for_each(|watch| watch.settle(taken));
    }

    /// What stands behind this position is thrown away.
    pub(super) fn note_lost(&mut self, position: u64) {
        let taken = self.position - self.size as u64;
        for watch in self.open_watches() {
            watch.cut_at(position);
            watch.settle(taken);
        }
    }

    fn open_watches(&mut self) -> impl Iterator<Item = &mut Watch> {
        let waits = self.rare.iter_mut();
        let waits = waits.flat_map(|rare| &mut rare.watches.waits);
        waits.filter(|watch| watch.outcome.is_none())
    }
}

/// Where it is: they stand in the order of their numbers.
fn place_of(waits: &[Watch], id: WatchId) -> Option<usize> {
    waits.binary_search_by_key(&id.0, |watch| watch.id.0).ok()
}
