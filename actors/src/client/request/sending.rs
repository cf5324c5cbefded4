//! Sending by request.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use switchboard_core::{AsLine, ClosedDetail, ConnectError, Now, SendError, SendRefusal};

use crate::client::Client;
use crate::client::shared::{Core, Reader, wake_if_needed};

use super::{Awaited, End, SendWait, SentError};

/// Sending in sequence: each call waits until the system has taken what it sends, with or without a session.
///
/// What does not fit into the connection's write capacity waits until it does; there are no turns, so that one
/// who needs much room may wait long while others go on sending little. A call that is dropped while it waits
/// for room has sent nothing; what it has queued is sent. The futures need no particular runtime.
impl Client {
    /// Sends bytes, and waits until the system has taken them all, which is not: until the peer has read them
    /// (ACO-06, XAS-51). More than the write capacity is sent in pieces, between which others may send. Of
    /// nothing, at once (AMB-07).
    pub fn sent(&self, data: impl Into<Bytes>) -> Sending {
        self.sending(data.into(), Form::Bytes)
    }

    /// The same for a line: with its own ending if it is a received [`Line`](switchboard_core::Line), else
    /// with the connection's.
    pub fn sent_line(&self, line: &(impl AsLine + ?Sized)) -> Sending {
        let wire = match line.wire() {
            Some(wire) => line.block().unwrap_or_else(|| Bytes::copy_from_slice(wire)),
            None => {
                let core = self.shared.lock();
                let ending = line.ending().unwrap_or(core.machine.config().line_ending);
                drop(core);
                let mut wire = BytesMut::from(line.body());
                wire.extend_from_slice(ending.as_bytes());
                wire.freeze()
            }
        };
        self.sending(wire, Form::Bytes)
    }

    /// The same for a message behind its 4-byte big-endian length (ACO-08); an empty one is a message.
    pub fn sent_msg(&self, message: impl Into<Bytes>) -> Sending {
        self.sending(message.into(), Form::Message)
    }

    const fn is_nothing(data: &Bytes, form: &Form) -> bool {
        matches!(form, Form::Bytes) && data.is_empty()
    }

    fn sending(&self, data: Bytes, form: Form) -> Sending {
        let stage = if Self::is_nothing(&data, &form) {
            Stage::Done
        } else {
            Stage::Unsent(data)
        };
        Sending {
            client: self.clone(),
            stage,
            form,
            sent: 0,
            wait: SendWait::default(),
        }
    }

    /// Waits while writing is paused: at once if it is not, and else until no more than the low mark is queued
    /// (AIO-26, AIO-27).
    ///
    /// # Errors
    /// When the connection is closed, or can be written no more.
    pub async fn drained(&self) -> Result<(), SentError> {
        let mut wait = Waiting::new(self);
        poll_fn(|cx| self.poll_drained(&mut wait.wait, cx)).await
    }

    /// Waits until the system has taken all that was queued before, by whomever.
    ///
    /// # Errors
    /// When the connection is closed, or can be written no more, before it has.
    pub async fn flushed(&self) -> Result<(), SentError> {
        let mut wait = Waiting::new(self);
        poll_fn(|cx| self.poll_flushed(&mut wait.wait, cx)).await
    }

    /// The same for at most so long, by the connection's own timers.
    pub(crate) async fn flushed_within(&self, after: Duration) -> Result<(), SentError> {
        let mut wait = Waiting::new(self);
        wait.wait.after = Some(after);
        poll_fn(|cx| self.poll_flushed(&mut wait.wait, cx)).await
    }

    /// Waits until the connection has ended, and says how; at once when it has (UA-15). That the peer has finished
    /// sending does not end a connection without a session, which may still answer.
    ///
    /// # Errors
    /// When it never came to be.
    pub async fn closed(&self) -> Result<Arc<ClosedDetail>, ConnectError> {
        let mut wait = Waiting::new(self);
        poll_fn(|cx| self.poll_closed(&mut wait.wait, cx)).await
    }

    pub(crate) fn poll_drained(
        &self,
        wait: &mut SendWait,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SentError>> {
        self.shared.poll_send(wait, cx, |core, wait, _| {
            wait.await_this(Awaited::Resumed);
            match core.broken(0) {
                Some(error) => Poll::Ready(Err(error)),
                None if core.machine.is_write_paused() => Poll::Pending,
                None => Poll::Ready(Ok(())),
            }
        })
    }

    pub(crate) fn poll_flushed(
        &self,
        wait: &mut SendWait,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SentError>> {
        self.shared.poll_send(wait, cx, |core, wait, _| {
            if wait.watch.is_none() {
                match core.fixed_end() {
                    Some(End::Closed(detail)) if detail.unsent == 0 => {}
                    None if !core.machine.has_dropped() => {}
                    _ => return Poll::Ready(Err(core.lost(0))),
                }
                let queued = core.machine.write_buffer_size();
                wait.watch_queued(&mut core.machine, queued);
            }
            core.poll_taken(wait, 0).map_ok(drop)
        })
    }

    pub(crate) fn poll_closed(
        &self,
        wait: &mut SendWait,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Arc<ClosedDetail>, ConnectError>> {
        let mut core = self.shared.lock();
        let ended = match core.end() {
            None => {
                let before = core.sleep(wait, Awaited::End, cx);
                if core.reader == Reader::Asker {
                    // From now on the actor listens.
                    core.forget_reader();
                    wake_if_needed(core);
                } else {
                    drop(core);
                }
                drop(before);
                return Poll::Pending;
            }
            Some(End::Closed(detail)) => Ok(detail),
            Some(End::ConnectFailed(error)) => Err(*error),
        };
        let left = core.leave_wait(wait);
        drop(core);
        drop(left);
        Poll::Ready(ended)
    }

    /// Nobody waits here any more.
    pub(crate) fn leave_sending(&self, wait: &mut SendWait) {
        if wait.id.is_some() || wait.watch.is_some() {
            let mut core = self.shared.lock();
            let left = core.leave_wait(wait);
            drop(core);
            drop(left);
        }
    }
}

/// A wait that ends when it is dropped.
struct Waiting<'a> {
    client: &'a Client,
    wait: SendWait,
}

impl<'a> Waiting<'a> {
    fn new(client: &'a Client) -> Self {
        let wait = SendWait::default();
        Self { client, wait }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.client.leave_sending(&mut self.wait);
    }
}

/// A send that was asked for; the future of its end.
#[must_use = "nothing is sent unless it is awaited"]
pub struct Sending {
    client: Client,
    stage: Stage,
    form: Form,
    /// How many bytes of it the system has taken with the pieces before.
    sent: usize,
    wait: SendWait,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Bytes,
    Message,
}

enum Stage {
    /// What is not queued yet.
    Unsent(Bytes),
    /// The last piece is watched.
    Queued,
    Done,
}

impl Sending {
    /// How long it may take, from when it is first awaited. Then it fails with [`SentError::TimedOut`]; the
    /// connection stays, and what is queued stays queued (ACO-12). Default: for ever.
    pub const fn timeout(mut self, after: Duration) -> Self {
        self.wait.after = Some(after);
        self
    }
}

impl Future for Sending {
    type Output = Result<(), SentError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            client,
            stage,
            form,
            sent,
            wait,
        } = &mut *self;
        if matches!(stage, Stage::Done) {
            return Poll::Ready(Ok(()));
        }
        let polled = client.shared.poll_send(wait, cx, |core, wait, now| {
            loop {
                if wait.watch.is_some() {
                    match core.poll_taken(wait, *sent) {
                        Poll::Ready(Ok(taken)) => *sent += taken,
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
                let Stage::Unsent(data) = stage else {
                    return Poll::Ready(Ok(()));
                };
                if *sent > 0
                    && let Some(cause) = core.link_lost(wait)
                {
                    // Another link has not seen the beginning.
                    let sent = *sent;
                    return Poll::Ready(Err(SentError::Closed { cause, sent }));
                }
                match core.queue(data, *form, wait, *sent, now) {
                    Poll::Ready(Ok(true)) => *stage = Stage::Queued,
                    Poll::Ready(Ok(false)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        if polled.is_ready() {
            *stage = Stage::Done;
        }
        // What the pieces before had of it counts, too.
        polled.map_err(|error| match error {
            SentError::TimedOut { sent: taken, after } => SentError::TimedOut {
                sent: *sent + taken,
                after,
            },
            error => error,
        })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.client.leave_sending(&mut self.wait);
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending")
            .field("client", &self.client.id())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Queues the next piece, and watches it; whether it was the last one.
    fn queue(
        &mut self,
        data: &mut Bytes,
        form: Form,
        wait: &mut SendWait,
        sent: usize,
        now: &mut Now,
    ) -> Poll<Result<bool, SentError>> {
        let capacity = self.machine.config().write_capacity;
        let (length, outcome) = match form {
            Form::Message => (
                data.len() + 4,
                self.machine
                    .send_message(data.clone(), None)
                    .map_err(refusal),
            ),
            Form::Bytes => {
                let piece = data.slice(..data.len().min(capacity));
                let length = piece.len();
                (length, self.machine.send(piece, None).map_err(refusal))
            }
        };
        match outcome {
            Ok(_) => {
                if matches!(form, Form::Bytes) {
                    let _ = data.split_to(length);
                } else {
                    data.clear();
                }
                wait.watch_queued(&mut self.machine, length);
                if self.is_at_home() {
                    self.write_at_home(now);
                } else {
                    wait.queued_elsewhere = true;
                }
                Poll::Ready(Ok(data.is_empty()))
            }
            Err(SendRefusal::Full { .. }) if length <= capacity => {
                wait.await_this(Awaited::Room(length));
                Poll::Pending
            }
            Err(refusal) => Poll::Ready(Err(self
                .broken(sent)
                .unwrap_or(SentError::Refused { refusal, sent }))),
        }
    }
}

fn refusal<P>(error: SendError<P>) -> SendRefusal {
    error.refusal
}
