//! What a stream reader holds: the bytes that came and were not read yet, and how they end.
//!
//! No IO and no waiting: a reader pushes what it received and takes what it can; when that is not
//! there yet it is told [`Taken::More`]. The reader of the upper floor, and one that is fed by hand
//! (AIO-30), differ in where their bytes come from and in nothing else.

mod chunks;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use chunks::Chunks;

/// The unread bytes of a stream and its end, if that is known. `E` is the error that may end it.
///
/// A result that lies in one chunk is a part of that chunk, not a copy. No byte is searched twice for
/// the end of a line, however small the chunks, and none more often than the delimiter is long for
/// [`take_until`](Self::take_until). Bytes that came before an error are read before it is told.
#[derive(Debug)]
pub struct StreamBuffer<E> {
    chunks: Chunks,
    end: End<E>,
    /// What was looked for last.
    delimiter: Bytes,
    /// It does not begin in so many of the first bytes.
    scanned: usize,
}

/// How a stream ends.
#[derive(Debug)]
enum End<E> {
    /// More may come.
    Open,
    Finished,
    Failed(E),
}

/// What came of a try to take bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken<E> {
    /// What was asked for.
    Ready(Bytes),
    /// It is not there yet; nothing was taken.
    More,
    /// The stream ended before it was complete: the rest, taken. Empty at the clean end.
    Ended(Bytes),
    /// The stream failed with this before it was complete; nothing was taken.
    Failed(E),
    /// It is longer than the limit.
    Over {
        /// Bytes that are certain to belong to it.
        length: usize,
        /// Bytes that were thrown away; 0 if they stay.
        dropped: usize,
    },
}

impl<E> Default for StreamBuffer<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// What came in.
impl<E> StreamBuffer<E> {
    /// Nothing, and more may come.
    #[must_use]
    pub fn new() -> Self {
        Self {
            chunks: Chunks::default(),
            end: End::Open,
            delimiter: Bytes::new(),
            scanned: 0,
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// After the end: the bytes come back.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), Bytes> {
        if !self.is_open() {
            return Err(chunk);
        }
        self.chunks.push(chunk);
        Ok(())
    }

    /// Nothing more comes: the clean end. A stream that has ended already stays as it is.
    pub fn finish(&mut self) {
        if self.is_open() {
            self.end = End::Finished;
        }
    }

    /// Nothing more comes, because of this. A stream that has ended already stays as it is.
    pub fn fail(&mut self, error: E) {
        if self.is_open() {
            self.end = End::Failed(error);
        }
    }
}

/// Looking.
impl<E> StreamBuffer<E> {
    /// Unread bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether there are no unread bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.len() == 0
    }

    /// Whether more may come.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.end, End::Open)
    }

    /// Whether everything was read and the end was a clean one.
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.is_empty() && matches!(self.end, End::Finished)
    }

    /// What the stream failed with.
    #[must_use]
    pub const fn error(&self) -> Option<&E> {
        match &self.end {
            End::Failed(error) => Some(error),
            End::Open | End::Finished => None,
        }
    }

    /// The first unread bytes, as many as lie together; empty only if there are none.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.chunks.first()
    }
}

/// Taking.
impl<E: Clone> StreamBuffer<E> {
    /// At least one byte and at most so many (AIO-31, UA-16); of nothing, nothing at once.
    pub fn take_up_to(&mut self, most: usize) -> Taken<E> {
        if most > 0 && self.is_empty() {
            return self.incomplete();
        }
        let count = most.min(self.len());
        Taken::Ready(self.take(count))
    }

    /// Exactly so many bytes (AIO-33, UA-18).
    pub fn take_exact(&mut self, count: usize) -> Taken<E> {
        if count > self.len() {
            return self.incomplete();
        }
        Taken::Ready(self.take(count))
    }

    /// A line with its LF (AIO-32, UA-19). One of more than `limit` bytes, its LF not counted, is
    /// dropped as asyncio does it: with its LF if that is there already, else with all that is there.
    pub fn take_line(&mut self, limit: usize) -> Taken<E> {
        let found = self.seek(&Bytes::from_static(b"\n"));
        let length = found.unwrap_or(self.scanned);
        if length > limit {
            let dropped = length + usize::from(found.is_some());
            self.consume(dropped);
            return Taken::Over { length, dropped };
        }
        match found {
            Some(at) => Taken::Ready(self.take(at + 1)),
            None => self.incomplete(),
        }
    }

    /// All up to a delimiter, and the delimiter. If more than `limit` bytes come before it, they stay
    /// where they are. An empty delimiter is found at once.
    pub fn take_until(&mut self, delimiter: &Bytes, limit: usize) -> Taken<E> {
        let found = self.seek(delimiter);
        let length = found.unwrap_or(self.scanned);
        if length > limit {
            return Taken::Over { length, dropped: 0 };
        }
        match found {
            Some(at) => Taken::Ready(self.take(at + delimiter.len())),
            None => self.incomplete(),
        }
    }

    /// Everything up to the clean end (AIO-31). If that is more than `max` bytes, they stay where they
    /// are.
    pub fn take_all(&mut self, max: usize) -> Taken<E> {
        let length = self.len();
        match &self.end {
            _ if length > max => Taken::Over { length, dropped: 0 },
            End::Finished => Taken::Ready(self.take(length)),
            End::Open => Taken::More,
            End::Failed(error) => Taken::Failed(error.clone()),
        }
    }

    /// What to say when there is too little.
    fn incomplete(&mut self) -> Taken<E> {
        match &self.end {
            End::Open => Taken::More,
            End::Finished => Taken::Ended(self.take(self.len())),
            End::Failed(error) => Taken::Failed(error.clone()),
        }
    }
}

/// Moving, whatever the end.
impl<E> StreamBuffer<E> {
    /// Moves bytes into `target`, as many as there are and fit; says how many.
    pub fn copy_to(&mut self, target: &mut [u8]) -> usize {
        let mut copied = 0;
        while copied < target.len() && !self.is_empty() {
            let first = self.chunks.first();
            let count = first.len().min(target.len() - copied);
            target[copied..copied + count].copy_from_slice(&first[..count]);
            self.consume(count);
            copied += count;
        }
        copied
    }

    /// Throws so many bytes away, or all if there are fewer.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.len());
        self.chunks.skip(count);
        self.scanned = self.scanned.saturating_sub(count);
    }

    fn take(&mut self, count: usize) -> Bytes {
        self.scanned = self.scanned.saturating_sub(count);
        self.chunks.take(count)
    }

    /// Where the delimiter is, looking only where it was not looked for before.
    fn seek(&mut self, delimiter: &Bytes) -> Option<usize> {
        if self.delimiter != *delimiter {
            self.delimiter = delimiter.clone();
            self.scanned = 0;
        }
        let found = self.chunks.find(delimiter, self.scanned);
        // The last bytes may be the start of a delimiter.
        let passed = (self.len() + 1).saturating_sub(delimiter.len());
        self.scanned = found.unwrap_or(self.scanned.max(passed));
        found
    }
}
