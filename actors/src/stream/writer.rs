//! `Writer`, the sending half of a stream.

mod io;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use switchboard_core::{ClosedDetail, ConnectError, Payload, SendError, SendRefusal};

use super::halves::Half;
use crate::client::{Client, ExtraInfo, SendWait, SentError};

/// The sending half of a stream: what asyncio calls a `StreamWriter`, and uasyncio a `Stream`.
///
/// Two seeds mean different things by the same words (AMB-09, AIO-28):
///
/// | | asyncio: a `Writer` as it is | uasyncio: [`buffered`](Self::buffered) |
/// |---|---|---|
/// | [`write`](Self::write) | begins to send at once, never waits | only collects |
/// | [`drain`](Self::drain) | waits while writing is paused (AIO-26, AIO-27) | sends all and waits for it (UA-20) |
/// | [`flush`](Self::flush) | waits until the system has taken all | the same |
///
/// Writing is paused above the connection's high mark and until its low one, 64 KiB and 16 KiB
/// ([`write_limits`](crate::ConnectionOptions::write_limits)). Beyond its write capacity, 16 MiB, a
/// write is refused and its bytes come back.
///
/// Its waits can be given up: nothing is lost or sent twice, and a drain or a flush that is asked for again goes on.
/// Only of [`write_all`](Self::write_all) it is not known then how much it has queued. Dropped before its reader, it
/// finishes nothing: [`write_eof`](Self::write_eof) does.
///
/// It is also a [`tokio::io::AsyncWrite`], which takes as much at a time as the high mark and nothing while
/// writing is paused; its shutdown flushes, then finishes this direction, or closes the connection on TLS.
pub struct Writer {
    half: Half,
    /// What was written and not drained; `None`: what is written is sent.
    collected: Option<Collected>,
    /// Who waits in `AsyncWrite`'s methods.
    waits: Waits,
}

/// What a buffered writer holds.
#[derive(Debug, Default)]
struct Collected {
    /// What is being drained.
    leaving: Bytes,
    /// What was written behind it.
    fresh: BytesMut,
}

impl Collected {
    fn len(&self) -> usize {
        self.leaving.len() + self.fresh.len()
    }
}

/// The waits of the methods that are polled.
#[derive(Debug, Default)]
struct Waits {
    drained: SendWait,
    flushed: SendWait,
}

/// Making, and looking.
impl Writer {
    pub(super) fn of(half: Half) -> Self {
        Self {
            half,
            collected: None,
            waits: Waits::default(),
        }
    }

    /// The same writer in uasyncio's way: what is written is collected and leaves with
    /// [`drain`](Self::drain), [`flush`](Self::flush), [`write_eof`](Self::write_eof) or
    /// [`close`](Self::close) (UA-20, AMB-09). What is collected when it is dropped is not sent.
    #[must_use]
    pub fn buffered(mut self) -> Self {
        self.collected.get_or_insert_default();
        self
    }

    /// The connection: for its addresses, its counters, its commands (AIO-25: `transport`).
    #[must_use]
    pub fn client(&self) -> &Client {
        self.half.client()
    }

    /// A fact by asyncio's name for it, such as `peername`; `None` for what is not known (UA-14, AIO-02). See
    /// [`Client::extra_info`].
    #[must_use]
    pub fn extra_info(&self, name: &str) -> Option<ExtraInfo> {
        self.client().extra_info(name)
    }

    /// Whether this direction alone can be finished; see [`Client::can_write_eof`].
    #[must_use]
    pub fn can_write_eof(&self) -> bool {
        self.client().can_write_eof()
    }

    /// Whether the connection is closed or closing.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.client().is_closed()
    }
}

/// Writing.
impl Writer {
    /// Sends bytes without waiting, or collects them if it is [`buffered`](Self::buffered). Of nothing, nothing,
    /// whatever the state of the connection.
    ///
    /// # Errors
    /// Nothing of it is queued then, and it comes back: with [`SendRefusal::Full`] if it would exceed the
    /// connection's write capacity, which [`drain`](Self::drain) waits for and [`write_all`](Self::write_all)
    /// never meets; when the connection is closed or was finished.
    pub fn write<P: Payload>(&mut self, data: P) -> Result<(), SendError<P>> {
        if data.as_slice().is_empty() {
            return Ok(());
        }
        self.forget_flush();
        match &mut self.collected {
            None => self.half.client().send(data),
            Some(collected) => {
                if let Err(refusal) = has_room(self.half.client(), collected, data.as_slice().len())
                {
                    let payload = data;
                    return Err(SendError { refusal, payload });
                }
                collected.fresh.extend_from_slice(data.as_slice());
                Ok(())
            }
        }
    }

    /// Sends several pieces, all or none, as `writelines`: nothing is put between them.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_lines<L: Into<Bytes>>(
        &mut self,
        lines: impl IntoIterator<Item = L>,
    ) -> Result<(), SendError<Vec<Bytes>>> {
        let lines: Vec<Bytes> = lines.into_iter().map(Into::into).collect();
        let length = lines.iter().map(Bytes::len).sum();
        if length == 0 {
            return Ok(());
        }
        self.forget_flush();
        match &mut self.collected {
            None => self.half.client().send_many(lines, None),
            Some(collected) => {
                if let Err(refusal) = has_room(self.half.client(), collected, length) {
                    let payload = lines;
                    return Err(SendError { refusal, payload });
                }
                lines
                    .iter()
                    .for_each(|line| collected.fresh.extend_from_slice(line));
                Ok(())
            }
        }
    }

    /// Sends bytes of whatever length, waiting while writing is paused; it is done when the last of them is
    /// queued. What was collected goes before them. One that is dropped has queued a part.
    ///
    /// # Errors
    /// When the connection is closed or was finished; what was not queued comes back.
    pub async fn write_all(&mut self, data: impl Into<Bytes>) -> Result<(), SendError<Bytes>> {
        let mut rest = data.into();
        let sent = poll_fn(|cx| {
            ready!(self.poll_collected(cx))?;
            self.poll_rest(&mut rest, cx)
        });
        let refusal = match sent.await {
            Ok(()) => return Ok(()),
            Err(SentError::Refused { refusal, .. }) => refusal,
            Err(_) => SendRefusal::Closed,
        };
        let payload = rest;
        Err(SendError { refusal, payload })
    }

    /// Waits while writing is paused: at once if it is not, even if bytes are queued (AIO-26), else until the low
    /// mark, not until nothing is queued (AIO-27). If it is [`buffered`](Self::buffered), it is
    /// [`flush`](Self::flush) (UA-20).
    ///
    /// # Errors
    /// When the connection is closed, also meanwhile, or can be written no more.
    pub async fn drain(&mut self) -> Result<(), SentError> {
        if self.collected.is_some() {
            return self.flush().await;
        }
        self.client().drained().await
    }

    /// Waits until the system has taken all that was written; not: until the peer has read it.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn flush(&mut self) -> Result<(), SentError> {
        poll_fn(|cx| self.poll_collected(cx)).await?;
        self.client().flushed().await
    }

    /// Finishes this direction behind what was written; the peer can still send. See
    /// [`WriteEof`](crate::message::WriteEof).
    ///
    /// # Errors
    /// [`SendRefusal::Unsupported`] on TLS; when the connection is closed; when what was collected does not fit
    /// into the write capacity. Then nothing changes.
    pub fn write_eof(&mut self) -> Result<(), SendRefusal> {
        if !self.can_write_eof() {
            return self.client().write_eof();
        }
        self.send_collected()?;
        self.client().write_eof()
    }

    /// Closes the connection: sends what was written, collected or not, then finishes. Reads fail from then on. It
    /// does not wait; [`wait_closed`](Self::wait_closed) does. Again, it does nothing.
    pub fn close(&mut self) {
        // What cannot be sent any more is lost with the connection.
        let _ = self.send_collected();
        self.client().close();
    }

    /// Waits until the connection has ended, by [`close`](Self::close) or whatever else, and says how; at once
    /// when it has (UA-15).
    ///
    /// # Errors
    /// When it never came to be.
    pub async fn wait_closed(&self) -> Result<Arc<ClosedDetail>, ConnectError> {
        self.client().closed().await
    }

    /// A flush that is polled again waits for what was written meanwhile, too.
    fn forget_flush(&mut self) {
        self.half.client().leave_sending(&mut self.waits.flushed);
    }

    fn send_collected(&mut self) -> Result<(), SendRefusal> {
        let Some(collected) = self.collected.as_mut().filter(|held| held.len() > 0) else {
            return Ok(());
        };
        let fresh = collected.fresh.split().freeze();
        let parts = vec![collected.leaving.clone(), fresh.clone()];
        match self.half.client().send_many(parts, None) {
            Ok(()) => {
                collected.leaving = Bytes::new();
                Ok(())
            }
            Err(SendError { refusal, .. }) => {
                collected.fresh = fresh.into();
                Err(refusal)
            }
        }
    }
}

/// Whether so much more can be collected: no more than could be queued.
fn has_room(client: &Client, collected: &Collected, asked: usize) -> Result<(), SendRefusal> {
    // Nothing is sent by this, but whether something could be is looked at.
    client.try_send(&[])?;
    // What a drain that was given up has queued counts, too: closing must have room for both.
    let queued = collected.len().saturating_add(client.write_buffer_size());
    let capacity = limits(client).capacity;
    if asked > capacity.saturating_sub(queued) {
        return Err(SendRefusal::Full {
            queued,
            capacity,
            asked,
        });
    }
    Ok(())
}

struct Limits {
    capacity: usize,
    /// The most that is queued at a time.
    piece: usize,
}

fn limits(client: &Client) -> Limits {
    let core = client.shared.lock();
    let config = core.machine.config();
    let capacity = config.write_capacity;
    Limits {
        capacity,
        piece: config.write_high.clamp(1, capacity.max(1)),
    }
}

/// What is polled.
impl Writer {
    /// Queues what was collected.
    fn poll_collected(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SentError>> {
        while let Some(collected) = self.collected.as_mut().filter(|held| held.len() > 0) {
            if collected.leaving.is_empty() {
                collected.leaving = collected.fresh.split().freeze();
            }
            let mut rest = std::mem::take(&mut collected.leaving);
            let polled = self.poll_rest(&mut rest, cx);
            if let Some(collected) = &mut self.collected {
                collected.leaving = rest;
            }
            ready!(polled)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Queues the rest in pieces, each as soon as writing is not paused.
    fn poll_rest(&mut self, rest: &mut Bytes, cx: &mut Context<'_>) -> Poll<Result<(), SentError>> {
        let piece = limits(self.client()).piece;
        while !rest.is_empty() {
            let front = rest.slice(..rest.len().min(piece));
            let length = ready!(self.poll_piece(front, cx))?;
            rest.advance(length);
        }
        Poll::Ready(Ok(()))
    }

    /// Queues a piece when writing is not paused; says how long it was.
    fn poll_piece<P: Payload + Clone>(
        &mut self,
        piece: P,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, SentError>> {
        loop {
            let client = self.half.client();
            ready!(client.poll_drained(&mut self.waits.drained, cx))?;
            match client.send(piece.clone()) {
                Ok(()) => {
                    self.forget_flush();
                    return Poll::Ready(Ok(piece.as_slice().len()));
                }
                // Others send here, too.
                Err(refused) if refused.is_full() => {
                    ready!(client.poll_flushed(&mut self.waits.flushed, cx))?;
                }
                Err(SendError { refusal, .. }) => {
                    return Poll::Ready(Err(SentError::Refused { refusal, sent: 0 }));
                }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let client = self.half.client();
        client.leave_sending(&mut self.waits.drained);
        client.leave_sending(&mut self.waits.flushed);
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("client", self.client())
            .field("collected", &self.collected.as_ref().map(Collected::len))
            .finish_non_exhaustive()
    }
}
