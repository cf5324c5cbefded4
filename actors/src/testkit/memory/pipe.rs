//! One direction of a connection in memory: bytes on their way, in order, each with its hour.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// What a connection in memory is like, in each direction.
///
/// ```
/// use std::time::Duration;
/// use switchboard::testkit::Link;
///
/// let slow = Link::default()
///     .latency(Duration::from_millis(40))
///     .bandwidth(125_000)
///     .window(16 * 1024);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a link does nothing until a network has it"]
pub struct Link {
    pub(super) window: usize,
    pub(super) latency: Duration,
    pub(super) bandwidth: Option<u64>,
    pub(super) chunk: Option<usize>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            window: 64 * 1024,
            latency: Duration::ZERO,
            bandwidth: None,
            chunk: None,
        }
    }
}

impl Link {
    /// How many bytes may be under way or unread; whoever writes more has to wait. Default: 64 KiB; at
    /// least 1.
    pub const fn window(mut self, bytes: usize) -> Self {
        self.window = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// How long each byte, each end and each reset takes to the other side. Default: no time.
    pub const fn latency(mut self, time: Duration) -> Self {
        self.latency = time;
        self
    }

    /// How many bytes go through in a second; 0 is taken as 1. Default: any number.
    pub const fn bandwidth(mut self, bytes_per_second: u64) -> Self {
        self.bandwidth = Some(if bytes_per_second == 0 {
            1
        } else {
            bytes_per_second
        });
        self
    }

    /// The most bytes that one read brings, cut at the same places of the stream whatever the reads
    /// ask for; 0 is taken as 1. Default: a read brings what is there.
    pub const fn chunk(mut self, bytes: usize) -> Self {
        self.chunk = Some(if bytes == 0 { 1 } else { bytes });
        self
    }

    fn sending_time(&self, bytes: usize) -> Duration {
        self.bandwidth.map_or(Duration::ZERO, |per_second| {
            let nanos = bytes as u128 * 1_000_000_000 / u128::from(per_second);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        })
    }
}

/// A moment, or one that nobody lives to see.
fn later(now: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now.checked_add(time.min(FAR)).unwrap_or(now)
}

/// What a read finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Bytes,
    /// Nothing yet, but at this moment there will be.
    NotBefore(Instant),
    Nothing,
    End,
    Reset,
}

/// What a write finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Bytes(usize),
    /// The window is full.
    Full,
}

#[derive(Debug)]
pub(super) struct Pipe {
    link: Link,
    segments: VecDeque<(Instant, Bytes)>,
    /// Bytes in `segments`.
    held: usize,
    /// When the wire is free for the next byte.
    free_at: Option<Instant>,
    /// Bytes of the current chunk that were written already.
    in_chunk: usize,
    end: Option<Instant>,
    reset: Option<Instant>,
    /// Whether the way is cut: nothing arrives.
    cut: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Pipe {
    pub(super) const fn new(link: Link) -> Self {
        Self {
            link,
            segments: VecDeque::new(),
            held: 0,
            free_at: None,
            in_chunk: 0,
            end: None,
            reset: None,
            cut: false,
            reader: None,
            writer: None,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8], now: Instant) -> Taken {
        let count = bytes.len().min(self.link.window - self.held);
        if count == 0 && !bytes.is_empty() {
            return Taken::Full;
        }
        let mut left = &bytes[..count];
        while !left.is_empty() {
            let chunk = self.link.chunk.unwrap_or(usize::MAX);
            let step = left.len().min(chunk - self.in_chunk);
            let (segment, rest) = left.split_at(step);
            self.put(segment, now);
            // A chunk goes on in the next write, unless it is whole.
            self.in_chunk = (self.in_chunk + step) % chunk;
            left = rest;
        }
        Taken::Bytes(count)
    }

    fn put(&mut self, bytes: &[u8], now: Instant) {
        let start = self.free_at.map_or(now, |free| free.max(now));
        let sent = later(start, self.link.sending_time(bytes.len()));
        self.free_at = Some(sent);
        self.held += bytes.len();
        let due = later(sent, self.link.latency);
        self.segments
            .push_back((due, Bytes::copy_from_slice(bytes)));
    }

    /// Nothing follows what was written so far.
    pub(super) fn finish(&mut self, now: Instant) {
        self.end.get_or_insert(self.arrives(now));
    }

    /// The connection breaks: what is under way still arrives.
    pub(super) fn reset(&mut self, now: Instant) {
        self.reset.get_or_insert(self.arrives(now));
    }

    /// The answer to bytes that find nobody: there and back.
    pub(super) fn answer_with_reset(&mut self, now: Instant) {
        self.reset(later(now, self.link.latency));
    }

    /// When something arrives that is sent behind all bytes.
    fn arrives(&self, now: Instant) -> Instant {
        let free = self.free_at.map_or(now, |free| free.max(now));
        later(free, self.link.latency)
    }

    pub(super) const fn is_full(&self) -> bool {
        self.held >= self.link.window
    }

    pub(super) const fn reset_due(&self) -> Option<Instant> {
        self.reset
    }

    pub(super) fn read(&mut self, buffer: &mut ReadBuf<'_>, now: Instant) -> Found {
        if self.cut {
            return Found::Nothing;
        }
        let mut found = false;
        while buffer.remaining() > 0
            && let Some((due, segment)) = self.segments.front_mut()
        {
            if *due > now {
                break;
            }
            if found && self.link.chunk.is_some() {
                break;
            }
            found = true;
            let count = segment.len().min(buffer.remaining());
            buffer.put_slice(&segment[..count]);
            segment.advance(count);
            self.held -= count;
            if segment.is_empty() {
                self.segments.pop_front();
            }
        }
        if found || buffer.remaining() == 0 {
            return Found::Bytes;
        }
        if let Some((due, _)) = self.segments.front() {
            return Found::NotBefore(*due);
        }
        if self.has_ended(now) {
            return Found::End;
        }
        match (self.reset, self.end) {
            (Some(due), _) if due <= now => Found::Reset,
            (Some(reset), Some(end)) => Found::NotBefore(reset.min(end)),
            (Some(due), None) | (None, Some(due)) => Found::NotBefore(due),
            (None, None) => Found::Nothing,
        }
    }

    /// Whether the end has come, and no reset before it: a later one changes nothing for who reads.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        let first = |end| self.reset.is_none_or(|reset| end <= reset);
        !self.cut && self.end.is_some_and(|end| end <= now && first(end))
    }

    /// Whether a reset has arrived.
    pub(super) fn is_reset(&self, now: Instant) -> bool {
        !self.cut && self.reset.is_some_and(|due| due <= now)
    }

    /// When the peer's end or a reset arrives that is still under way.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        let coming = |due: &Instant| *due > now && !self.cut;
        self.end.into_iter().chain(self.reset).filter(coming).min()
    }

    /// Cuts the way, or heals it: then everything arrives that was sent meanwhile.
    pub(super) const fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Bytes that were written and not read.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Whether there are bytes that nobody has read.
    pub(super) fn has_unread(&self) -> bool {
        !self.segments.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pipe: &mut Pipe, most: usize, now: Instant) -> Result<Vec<u8>, Found> {
        let mut space = vec![0; most];
        let mut buffer = ReadBuf::new(&mut space);
        match pipe.read(&mut buffer, now) {
            Found::Bytes => Ok(buffer.filled().to_vec()),
            other => Err(other),
        }
    }

    #[test]
    fn the_window_bounds_what_is_unread() {
        let now = Instant::now();
        let mut pipe = Pipe::new(Link::default().window(5));
        assert_eq!(pipe.write(b"abc", now), Taken::Bytes(3));
        assert_eq!(pipe.write(b"defg", now), Taken::Bytes(2));
        assert_eq!(pipe.write(b"f", now), Taken::Full);
        assert_eq!(read(&mut pipe, 4, now).unwrap(), b"abcd");
        assert_eq!(pipe.write(b"fghijk", now), Taken::Bytes(4));
        assert_eq!(read(&mut pipe, 9, now).unwrap(), b"efghi");
    }

    #[test]
    fn latency_and_bandwidth_add_up() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut pipe = Pipe::new(Link::default().latency(second).bandwidth(10));
        let _ = pipe.write(b"0123456789", now);
        let _ = pipe.write(b"abcde", now);
        pipe.finish(now);
        let due = now + 2 * second;
        assert_eq!(read(&mut pipe, 99, now), Err(Found::NotBefore(due)));
        assert_eq!(read(&mut pipe, 99, due).unwrap(), b"0123456789");
        let next = due + second / 2;
        assert_eq!(read(&mut pipe, 99, due), Err(Found::NotBefore(next)));
        assert_eq!(read(&mut pipe, 99, next).unwrap(), b"abcde");
        assert_eq!(read(&mut pipe, 99, next), Err(Found::End));
    }

    #[test]
    fn chunks_are_cut_at_the_same_places_whatever_the_writes_are() {
        let now = Instant::now();
        for writes in [&[7_usize][..], &[1, 6], &[2, 2, 3], &[4, 3]] {
            let mut pipe = Pipe::new(Link::default().chunk(3));
            let mut left = &b"abcdefg"[..];
            for &count in writes {
                let _ = pipe.write(&left[..count], now);
                left = &left[count..];
            }
            let mut ends = Vec::new();
            let mut total = 0;
            while let Ok(bytes) = read(&mut pipe, 99, now) {
                assert!(bytes.len() <= 3);
                total += bytes.len();
                ends.push(total);
            }
            assert_eq!(total, 7);
            assert!(ends.contains(&3) && ends.contains(&6), "{ends:?}");
        }
    }

    #[test]
    fn what_was_written_before_a_reset_still_arrives() {
        let now = Instant::now();
        let mut pipe = Pipe::new(Link::default());
        let _ = pipe.write(b"last", now);
        pipe.reset(now);
        assert!(pipe.is_reset(now));
        assert_eq!(read(&mut pipe, 99, now).unwrap(), b"last");
        assert_eq!(read(&mut pipe, 99, now), Err(Found::Reset));
    }
}
