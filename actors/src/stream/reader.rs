//! `Reader`, the receiving half of a stream.

mod io;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use switchboard_core::{StreamBuffer, Taken};

use super::feeder::{Fed, Feeder};
use super::halves::Half;
use super::{DEFAULT_LIMIT, StreamError};
use crate::client::{Client, RecvError, RecvSlot};

/// The receiving half of a stream: what asyncio calls a `StreamReader`, and uasyncio a `Stream`.
///
/// A read that finds what it wants among the bytes that came already does not wait. Else it asks the connection
/// for more, and only then: what nobody reads stays with the peer. So a reader holds at most its limit and one
/// chunk, or what a single [`read_exact`](Self::read_exact) or [`read_to_end`](Self::read_to_end) was told to
/// take (AIO-29).
///
/// The clean end is nothing, `b""`, again and again. An end by an error, such as a reset, is told when what came
/// before it was read; bytes that are too few for what was asked stay, for [`read`](Self::read).
/// A read that is dropped before it has ended has taken nothing. Only one can be under way, since it
/// borrows the reader: what asyncio makes a `RuntimeError` does not compile.
///
/// Dropped before its writer, it leaves that as it is: what the peer sends from then on is held back, not received.
///
/// It is also a [`tokio::io::AsyncRead`] and [`tokio::io::AsyncBufRead`], over the same bytes.
pub struct Reader {
    source: Source,
    buffer: StreamBuffer<StreamError>,
    limit: usize,
}

/// Where the bytes come from.
enum Source {
    Connection { half: Half, slot: RecvSlot },
    Fed(Fed),
}

/// Making, and looking.
impl Reader {
    /// A reader without a connection, and what feeds it: for tests, and for adapters between other sources of
    /// bytes and what reads streams (AIO-30). The limit is the reader's [`limit`](Self::limit).
    ///
    /// ```
    /// use switchboard::stream::Reader;
    /// # #[actix::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (feeder, mut reader) = Reader::feeder(64);
    /// feeder.feed("one\ntw")?;
    /// feeder.feed("o")?;
    /// feeder.feed_eof();
    /// assert_eq!(reader.read_line().await?, "one\n");
    /// assert_eq!(reader.read_line().await?, "two");
    /// assert!(reader.at_eof());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn feeder(limit: usize) -> (Feeder, Self) {
        let (feeder, fed) = Feeder::new(limit);
        let mut reader = Self::over(Source::Fed(fed));
        reader.limit = limit;
        (feeder, reader)
    }

    pub(super) fn of(half: Half) -> Self {
        let slot = RecvSlot::default();
        Self::over(Source::Connection { half, slot })
    }

    fn over(source: Source) -> Self {
        Self {
            source,
            buffer: StreamBuffer::new(),
            limit: DEFAULT_LIMIT,
        }
    }

    /// The connection; `None` if it is fed by hand.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        match &self.source {
            Source::Connection { half, .. } => Some(half.client()),
            Source::Fed(_) => None,
        }
    }

    /// The most bytes that a line may have, its LF not counted, or that may come before a delimiter. Default:
    /// 64 KiB.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Changes the limit, for reads from then on.
    pub const fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Whether everything was read and the peer has finished. `false` while that is not known yet: it is known
    /// when a read has met the end.
    #[must_use]
    pub fn at_eof(&self) -> bool {
        self.buffer.at_eof()
    }

    /// Bytes that have come and were not read yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The error that the stream has ended with, as `exception()`: known when a read has met it.
    #[must_use]
    pub const fn error(&self) -> Option<&StreamError> {
        self.buffer.error()
    }
}

/// Reading.
impl Reader {
    /// At most so many bytes and at least one; nothing at the end (UA-16, AIO-31). Of none, nothing at once.
    ///
    /// # Errors
    /// When the stream has ended by an error.
    pub async fn read(&mut self, most: usize) -> Result<Bytes, StreamError> {
        match self.take(|buffer| buffer.take_up_to(most)).await? {
            Cut::Whole(bytes) | Cut::Last(bytes) => Ok(bytes),
            // It has no limit.
            Cut::Over { .. } => Ok(Bytes::new()),
        }
    }

    /// As many bytes as have come and fit, and at least one; says how many: 0 at the end (UA-17).
    ///
    /// # Errors
    /// When the stream has ended by an error.
    pub async fn read_into(&mut self, target: &mut [u8]) -> Result<usize, StreamError> {
        if !target.is_empty() {
            let waiting = Waiting(self);
            poll_fn(|cx| waiting.0.poll_some(cx)).await?;
        }
        Ok(self.buffer.copy_to(target))
    }

    /// Exactly so many bytes (UA-18, AIO-33), also more than the limit; of none, nothing at once.
    ///
    /// # Errors
    /// [`StreamError::Incomplete`] with the rest if the peer has finished before; when the stream has ended by
    /// an error.
    pub async fn read_exact(&mut self, count: usize) -> Result<Bytes, StreamError> {
        match self.take(|buffer| buffer.take_exact(count)).await? {
            Cut::Whole(bytes) => Ok(bytes),
            Cut::Last(partial) => Err(StreamError::Incomplete { partial }),
            // It has no limit.
            Cut::Over { .. } => Ok(Bytes::new()),
        }
    }

    /// A line with its LF; the last one may have none, and behind it there is nothing (UA-19, AIO-32). A CR
    /// before the LF stays where it is. [`Client::recv_line`](crate::Client::recv_line) is the other way:
    /// endings taken away, text.
    ///
    /// # Errors
    /// [`StreamError::LineTooLong`] over the [`limit`](Self::limit): the line is dropped, and the next one can be
    /// read; when the stream has ended by an error.
    pub async fn read_line(&mut self) -> Result<Bytes, StreamError> {
        let limit = self.limit;
        match self.take(|buffer| buffer.take_line(limit)).await? {
            Cut::Whole(line) | Cut::Last(line) => Ok(line),
            Cut::Over { dropped, .. } => Err(StreamError::LineTooLong { limit, dropped }),
        }
    }

    /// Everything up to a delimiter, and the delimiter, as `readuntil`.
    ///
    /// # Errors
    /// [`StreamError::TooLong`] when more bytes than the [`limit`](Self::limit) come before it: they stay;
    /// [`StreamError::Incomplete`] with the rest if the peer has finished before it; when the delimiter is empty;
    /// when the stream has ended by an error.
    pub async fn read_until(&mut self, delimiter: impl Into<Bytes>) -> Result<Bytes, StreamError> {
        let (limit, delimiter) = (self.limit, delimiter.into());
        if delimiter.is_empty() {
            return Err(StreamError::EmptyDelimiter);
        }
        match self
            .take(|buffer| buffer.take_until(&delimiter, limit))
            .await?
        {
            Cut::Whole(bytes) => Ok(bytes),
            Cut::Last(partial) => Err(StreamError::Incomplete { partial }),
            Cut::Over { length, .. } => Err(StreamError::TooLong { limit, length }),
        }
    }

    /// Everything up to the end, at most so many bytes: `read(-1)` (AIO-31), whose memory is bounded here.
    ///
    /// # Errors
    /// [`StreamError::TooMuch`] as soon as more has come: it stays; when the stream has ended by an error.
    pub async fn read_to_end(&mut self, max: usize) -> Result<Bytes, StreamError> {
        match self.take(|buffer| buffer.take_all(max)).await? {
            Cut::Whole(bytes) | Cut::Last(bytes) => Ok(bytes),
            Cut::Over { length, .. } => Err(StreamError::TooMuch { max, length }),
        }
    }

    async fn take(
        &mut self,
        mut take: impl FnMut(&mut StreamBuffer<StreamError>) -> Taken<StreamError>,
    ) -> Result<Cut, StreamError> {
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll_take(&mut take, cx)).await
    }

    /// Nobody waits for more; others may receive.
    fn leave(&mut self) {
        if let Source::Connection { half, slot } = &mut self.source {
            half.client().leave_receiving(slot);
        }
    }
}

/// A read under way; dropped, it leaves its turn to others.
struct Waiting<'a>(&'a mut Reader);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// What a read has taken.
enum Cut {
    Whole(Bytes),
    /// The rest before the end.
    Last(Bytes),
    Over {
        length: usize,
        dropped: usize,
    },
}

/// What every read is made of.
impl Reader {
    /// Tries, and asks for more until it succeeds.
    fn poll_take(
        &mut self,
        take: &mut impl FnMut(&mut StreamBuffer<StreamError>) -> Taken<StreamError>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Cut, StreamError>> {
        loop {
            let cut = match take(&mut self.buffer) {
                Taken::Ready(bytes) => Cut::Whole(bytes),
                Taken::Ended(bytes) => Cut::Last(bytes),
                Taken::Over { length, dropped } => Cut::Over { length, dropped },
                Taken::Failed(error) => return Poll::Ready(Err(error)),
                Taken::More => {
                    ready!(self.poll_more(cx))?;
                    continue;
                }
            };
            return Poll::Ready(Ok(cut));
        }
    }

    /// Waits until there are bytes, or the end is met.
    fn poll_some(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while self.buffer.is_empty() {
            if let Some(error) = self.buffer.error() {
                return Poll::Ready(Err(error.clone()));
            }
            if !self.buffer.is_open() {
                break;
            }
            ready!(self.poll_more(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Brings one more chunk, or the end, into the buffer. An error ends nothing: it may be asked again.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        match &mut self.source {
            Source::Connection { half, slot } => match ready!(half.client().poll_chunk(slot, cx)) {
                Ok(chunk) => self.add(chunk),
                Err(RecvError::Refused(refusal)) => {
                    return Poll::Ready(Err(StreamError::Refused(refusal)));
                }
                Err(end) => self.end(end),
            },
            Source::Fed(fed) => match ready!(fed.poll_chunk(cx)) {
                Ok(Some(chunk)) => self.add(chunk),
                Ok(None) => self.buffer.finish(),
                Err(error) => self.buffer.fail(error),
            },
        }
        Poll::Ready(Ok(()))
    }

    /// The connection has ended, or this direction of it.
    fn end(&mut self, end: RecvError) {
        match end {
            RecvError::Finished { partial } => {
                self.add(partial);
                self.buffer.finish();
            }
            RecvError::Closed { cause, partial } => {
                self.add(partial);
                self.buffer.fail(StreamError::Closed(cause));
            }
            RecvError::ConnectFailed(error) => {
                self.buffer.fail(StreamError::ConnectFailed(error));
            }
            // None is an end; no time was given, and nothing blocks.
            RecvError::Refused(_) | RecvError::TimedOut { .. } | RecvError::InsideAsync => {}
        }
    }

    fn add(&mut self, chunk: Bytes) {
        let pushed = self.buffer.push(chunk);
        debug_assert!(pushed.is_ok(), "nothing is asked for after the end");
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("buffered", &self.buffered())
            .field("limit", &self.limit)
            .field("at_eof", &self.at_eof())
            .finish_non_exhaustive()
    }
}
