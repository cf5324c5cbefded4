//! A source of bytes that is fed by hand, for tests and adapters (AIO-30).

use std::collections::VecDeque;
use std::error::Error;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::StreamError;

/// Feeds a [`Reader`](super::Reader) in place of a connection; see [`Reader::feeder`](super::Reader::feeder).
///
/// It belongs to one reader and can be on another thread. Dropped without an end, it makes the reader fail with
/// [`StreamError::FeederGone`], so that a stream that was broken off is not taken for a whole one.
#[derive(Debug)]
pub struct Feeder {
    shared: Arc<Shared>,
    /// Fed bytes above which it is paused.
    high: usize,
}

/// Bytes that were not taken; they come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// An end was fed before.
    #[error("the stream has ended")]
    Ended(Bytes),
    /// Nobody reads any more.
    #[error("the reader is gone")]
    ReaderGone(Bytes),
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// Bytes of the chunks.
    waiting: usize,
    end: Option<End>,
    reader_gone: bool,
    reader: Option<Waker>,
    feeder: Option<Waker>,
}

#[derive(Debug, Clone)]
enum End {
    Finished,
    Failed(StreamError),
}

impl Feeder {
    /// With the limit of its reader, twice which is how much may wait before it is paused (AIO-29).
    pub(super) fn new(limit: usize) -> (Self, Fed) {
        let shared = Arc::<Shared>::default();
        let fed = Fed(Arc::clone(&shared));
        let high = limit.saturating_mul(2);
        (Self { shared, high }, fed)
    }

    /// Adds bytes, as `feed_data`. Nothing is refused for want of room: whoever feeds more than a few chunks asks
    /// [`is_paused`](Self::is_paused), or awaits [`resumed`](Self::resumed) first.
    ///
    /// # Errors
    /// After an end, or when the reader is gone; the bytes come back.
    pub fn feed(&self, data: impl Into<Bytes>) -> Result<(), FeedError> {
        let data = data.into();
        let mut state = self.shared.lock();
        if state.reader_gone {
            return Err(FeedError::ReaderGone(data));
        }
        if state.end.is_some() {
            return Err(FeedError::Ended(data));
        }
        state.waiting += data.len();
        state.chunks.push_back(data);
        wake_reader(state);
        Ok(())
    }

    /// The clean end, as `feed_eof`. The first end holds.
    pub fn feed_eof(&self) {
        self.end(End::Finished);
    }

    /// An end by an error, as `set_exception`: the reader is told it when it has read what was fed before. The
    /// first end holds.
    pub fn set_error(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let error = Arc::from(error.into());
        self.end(End::Failed(StreamError::Fed(error)));
    }

    /// Whether more than twice the reader's limit waits to be read: asyncio pauses its transport then.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        let state = self.shared.lock();
        state.waiting > self.high && !state.reader_gone
    }

    /// Waits until it is not paused, or nobody reads any more.
    pub async fn resumed(&mut self) {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if state.waiting <= self.high || state.reader_gone {
                return Poll::Ready(());
            }
            state.feeder = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn end(&self, end: End) {
        let mut state = self.shared.lock();
        state.end.get_or_insert(end);
        wake_reader(state);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.end(End::Failed(StreamError::FeederGone));
    }
}

/// The reader's side.
#[derive(Debug)]
pub(super) struct Fed(Arc<Shared>);

impl Fed {
    /// The next chunk; `None` at the clean end.
    pub(super) fn poll_chunk(&self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        let mut state = self.0.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            state.waiting -= chunk.len();
            wake_feeder(state);
            return Poll::Ready(Ok(Some(chunk)));
        }
        match state.end.clone() {
            Some(End::Finished) => Poll::Ready(Ok(None)),
            Some(End::Failed(error)) => Poll::Ready(Err(error)),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.reader_gone = true;
        state.chunks.clear();
        wake_feeder(state);
    }
}

impl Shared {
    /// Nothing of ours panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake_reader(mut state: MutexGuard<'_, State>) {
    let waker = state.reader.take();
    drop(state);
    wake(waker);
}

fn wake_feeder(mut state: MutexGuard<'_, State>) {
    let waker = state.feeder.take();
    drop(state);
    wake(waker);
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
