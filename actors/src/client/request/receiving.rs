//! Receiving by request.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::connection::Requested;
use switchboard_core::{ArmError, Cause, Event, Line, Now, Receive, ReceiveKind};

use crate::client::shared::{Core, Reader, wake_if_needed};
use crate::client::{Client, Shared, clock};

use super::{End, RecvError, Waiter};

/// Receiving in sequence: each call waits for what it asks for, with or without a session.
///
/// Calls from many places take turns, in their order: one that waits, and is neither awaited further nor dropped,
/// holds those behind it up. While a session has a receive armed, or one is preset for a session that is still
/// to come, they are refused ([`ArmError::AlreadyReceiving`]). A call that is dropped has taken nothing: what has come stays for the next
/// receive. The futures need no particular runtime.
impl Client {
    /// A line, without its ending (ACO-14).
    pub fn recv_line(&self) -> Receiving<Line> {
        self.receiving(ReceiveKind::Line {
            rule: None,
            encoding: None,
            max: None,
        })
    }

    /// Exactly so many bytes; of none, nothing at once (ACO-07).
    pub fn recv_exact(&self, size: usize) -> Receiving<Bytes> {
        self.receiving_some(size, ReceiveKind::Exact)
    }

    /// At most so many bytes, at least one; of none, nothing at once (ACO-05).
    pub fn recv_up_to(&self, most: usize) -> Receiving<Bytes> {
        self.receiving_some(most, ReceiveKind::UpTo)
    }

    /// All that has come, at least one byte.
    pub fn recv_available(&self) -> Receiving<Bytes> {
        self.receiving(ReceiveKind::Available)
    }

    /// Everything before this delimiter, which is taken away.
    pub fn recv_until(&self, delimiter: impl Into<Bytes>) -> Receiving<Bytes> {
        let (delimiter, max) = (delimiter.into(), None);
        self.receiving(ReceiveKind::Until { delimiter, max })
    }

    /// A message behind its 4-byte big-endian length (ACO-09). One that the peer does not finish ends the
    /// connection.
    pub fn recv_msg(&self) -> Receiving<Bytes> {
        self.receiving(ReceiveKind::Message { max: None })
    }

    fn receiving<T>(&self, kind: ReceiveKind) -> Receiving<T> {
        Receiving {
            client: self.clone(),
            receive: Receive::once(kind),
            slot: RecvSlot::default(),
            empty: None,
        }
    }

    fn receiving_some(
        &self,
        size: usize,
        kind: impl FnOnce(NonZeroUsize) -> ReceiveKind,
    ) -> Receiving<Bytes> {
        let size = NonZeroUsize::new(size);
        let mut receiving = self.receiving(size.map_or(ReceiveKind::Available, kind));
        receiving.empty = size.is_none().then(Bytes::new);
        receiving
    }

    /// All that has come, as [`recv_available`](Self::recv_available), for one who keeps the slot.
    pub(crate) fn poll_chunk(
        &self,
        slot: &mut RecvSlot,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, RecvError>> {
        const CHUNK: Receive = Receive::once(ReceiveKind::Available);
        self.shared.poll_receive(slot, &CHUNK, cx).map_ok(body)
    }

    /// Nobody waits in this slot any more.
    pub(crate) fn leave_receiving(&self, slot: &mut RecvSlot) {
        self.shared.leave_receiving(slot);
    }
}

/// What a frame that is not a line carries.
fn body(event: Event) -> Bytes {
    match event {
        Event::Data(bytes) | Event::Message(bytes) => bytes,
        // No other frame was asked for.
        _ => Bytes::new(),
    }
}

/// What a receive that was asked for gives.
pub trait Frame: sealed::Frame {}

mod sealed {
    use switchboard_core::{Encoding, LineEnding};

    use super::{Bytes, Event, Line, body};

    pub trait Frame: Unpin {
        fn of(event: Event) -> Self;
    }

    impl Frame for Bytes {
        fn of(event: Event) -> Self {
            body(event)
        }
    }

    impl Frame for Line {
        fn of(event: Event) -> Self {
            match event {
                Event::Line(line) => line,
                // No other frame was asked for.
                other => Self::new(body(other), LineEnding::None, Encoding::Utf8),
            }
        }
    }
}

impl<T: sealed::Frame> Frame for T {}

/// A receive that was asked for; the future of what it brings.
#[must_use = "nothing is received unless it is awaited"]
pub struct Receiving<T> {
    client: Client,
    receive: Receive,
    slot: RecvSlot,
    /// What it brings at once, where nothing is asked for.
    empty: Option<T>,
}

impl<T> Receiving<T> {
    /// How long it may take, from when it is first awaited, waiting for its turn included. Then it fails with
    /// [`RecvError::TimedOut`], the connection stays, and so does what has come (ACO-12). Default: for ever.
    pub const fn timeout(mut self, after: Duration) -> Self {
        self.slot.after = Some(after);
        self
    }
}

impl<T: Frame> Future for Receiving<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(empty) = this.empty.take() {
            return Poll::Ready(Ok(empty));
        }
        let shared = &this.client.shared;
        let polled = shared.poll_receive(&mut this.slot, &this.receive, cx);
        polled.map_ok(T::of)
    }
}

impl<T> Drop for Receiving<T> {
    fn drop(&mut self) {
        self.client.leave_receiving(&mut self.slot);
    }
}

impl<T> fmt::Debug for Receiving<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving")
            .field("client", &self.client.id())
            .field("receive", &self.receive)
            .finish_non_exhaustive()
    }
}

/// The place of one who receives by request.
#[derive(Debug, Default)]
pub(crate) struct RecvSlot {
    /// Its number in the queue, while it is there.
    id: Option<u64>,
    /// How long it may take.
    after: Option<Duration>,
}

impl Shared {
    fn poll_receive(
        self: &Arc<Self>,
        slot: &mut RecvSlot,
        receive: &Receive,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Event, RecvError>> {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        self.recall(&mut core, &mut now);
        let (first, _before) = core.take_place(slot, &mut now, cx);
        let outcome = if let Some(lost) = core.lost_with_link(slot) {
            Poll::Ready(Err(lost))
        } else if !core.machine.may_receive() {
            // Whosever turn it is.
            Poll::Ready(Err(core.not_armed(ArmError::Closed)))
        } else if first {
            core.receive(receive, &mut now, cx)
        } else {
            Poll::Pending
        };
        let outcome = match outcome {
            Poll::Pending if core.is_late(slot, &mut now) => {
                let partial = if first {
                    core.machine.cancel_request(&mut now);
                    core.machine.unread()
                } else {
                    Bytes::new()
                };
                let after = slot.after.unwrap_or_default();
                Poll::Ready(Err(RecvError::TimedOut { partial, after }))
            }
            outcome => outcome,
        };
        if outcome.is_pending() {
            core.count_held();
            wake_if_needed(core);
        } else {
            let _left = core.leave_place(slot);
            if first {
                self.pass_turn(core);
            } else {
                drop(core);
            }
        }
        outcome
    }

    fn leave_receiving(self: &Arc<Self>, slot: &mut RecvSlot) {
        let Some(id) = slot.id else {
            return;
        };
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        let first = core.receiver().is_some_and(|first| first.id == id);
        if first && core.receiver().is_some_and(|first| first.what) {
            core.machine.cancel_request(&mut now);
        }
        let _left = core.leave_place(slot);
        if first {
            self.pass_turn(core);
        } else {
            drop(core);
        }
    }
}

impl Core {
    /// Who has the turn to receive.
    fn receiver(&mut self) -> Option<&mut Waiter<bool>> {
        self.requests.as_mut()?.receivers.front_mut()
    }

    /// Queues up, or says that it still waits; whether it is the first, and the waker that it had before.
    fn take_place(
        &mut self,
        slot: &mut RecvSlot,
        now: &mut Now,
        cx: &Context<'_>,
    ) -> (bool, Option<Waker>) {
        let requests = self.requests.get_or_insert_default();
        let id = match slot.id {
            Some(id) => id,
            None => {
                let id = requests.take_id();
                let deadline = slot.after.and_then(|after| now.get().checked_add(after));
                requests
                    .receivers
                    .push_back(Waiter::new(id, false, deadline));
                *slot.id.insert(id)
            }
        };
        let place = requests.receiver_at(id);
        let waiter = place.and_then(|place| requests.receivers.get_mut(place));
        let before = waiter.and_then(|waiter| waiter.sleep(cx.waker()));
        (place == Some(0), before)
    }

    /// What it leaves is dropped when the lock is free.
    fn leave_place(&mut self, slot: &mut RecvSlot) -> Option<Waiter<bool>> {
        self.requests.as_mut()?.leave_receivers(slot.id.take()?)
    }

    fn place(&self, slot: &RecvSlot) -> Option<&Waiter<bool>> {
        let requests = self.requests.as_ref()?;
        requests.receivers.get(requests.receiver_at(slot.id?)?)
    }

    fn is_late(&self, slot: &RecvSlot, now: &mut Now) -> bool {
        let deadline = self.place(slot).and_then(|waiter| waiter.deadline);
        deadline.is_some_and(|deadline| deadline <= now.get())
    }

    /// What it means that the link is lost on which it has waited.
    fn lost_with_link(&self, slot: &RecvSlot) -> Option<RecvError> {
        let detail = self.place(slot)?.lost.as_ref()?;
        let (cause, partial) = (detail.cause.clone(), detail.unread.clone());
        Some(RecvError::Closed { cause, partial })
    }

    /// The receive of the first one.
    fn receive(
        &mut self,
        receive: &Receive,
        now: &mut Now,
        cx: &Context<'_>,
    ) -> Poll<Result<Event, RecvError>> {
        let mut looked = false;
        loop {
            if self.receiver().is_some_and(|first| !first.what) {
                match self.machine.request(receive, now) {
                    Ok(()) => self.set_armed(true),
                    Err(error) => return Poll::Ready(Err(self.not_armed(error))),
                }
            }
            match self.machine.poll_request(now) {
                Some(Requested::Frame(event)) => return Poll::Ready(Ok(event)),
                Some(Requested::Finished(partial)) => {
                    return Poll::Ready(Err(RecvError::Finished { partial }));
                }
                None if self.machine.is_requested() => {}
                // The session that it was armed under is gone; perhaps all is.
                None => {
                    self.set_armed(false);
                    continue;
                }
            }
            if std::mem::replace(&mut looked, true) {
                return Poll::Pending;
            }
            self.write_at_home(now);
            self.forget_reader();
            if !self.has_listeners() {
                self.read_at_home((cx.waker(), Reader::Asker), now);
            }
        }
    }

    fn set_armed(&mut self, armed: bool) {
        if let Some(first) = self.receiver() {
            first.what = armed;
        }
        self.forget_reader();
    }

    /// What it means that a receive cannot be armed.
    fn not_armed(&mut self, error: ArmError) -> RecvError {
        match (error, self.fixed_end()) {
            (ArmError::PeerFinished, _) => RecvError::Finished {
                partial: Bytes::new(),
            },
            (ArmError::Closed, Some(End::ConnectFailed(error))) => RecvError::ConnectFailed(error),
            (ArmError::Closed, end) => {
                let (cause, partial) = match end {
                    Some(End::Closed(detail)) => (detail.cause.clone(), detail.unread.clone()),
                    _ => (self.ending_cause(), self.machine.unread()),
                };
                match cause {
                    // Over TLS, or when this side had finished before: the same end as without.
                    Cause::PeerFinished => self.finished(partial),
                    cause => RecvError::Closed { cause, partial },
                }
            }
            (refusal, _) => RecvError::Refused(refusal),
        }
    }

    /// The clean end of a connection that is over; the rest goes to who comes first.
    fn finished(&mut self, rest: Bytes) -> RecvError {
        let requests = self.requests.get_or_insert_default();
        let taken = std::mem::replace(&mut requests.rest_taken, true);
        let partial = if taken { Bytes::new() } else { rest };
        RecvError::Finished { partial }
    }
}
