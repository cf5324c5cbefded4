//! Waiting for what is queued to be taken, for room, or for the end.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use switchboard_core::connection::{WatchId, Watched};
use switchboard_core::{Cause, Connection, Now};

use crate::client::shared::{Core, wake};
use crate::client::{Shared, clock};

use super::{Awaited, End, SentError, Waiter};

/// The place of one who waits for sending, or for the end.
#[derive(Debug, Default)]
pub(crate) struct SendWait {
    /// Its number, while it waits.
    pub(super) id: Option<u64>,
    what: Option<Awaited>,
    pub(super) watch: Option<WatchId>,
    /// How long it may take.
    pub(super) after: Option<Duration>,
    deadline: Option<Instant>,
    /// Whether the actor has to be told, on its own thread, that something is queued.
    pub(super) queued_elsewhere: bool,
}

impl SendWait {
    pub(super) const fn await_this(&mut self, what: Awaited) {
        self.what = Some(what);
    }

    pub(super) fn watch_queued(&mut self, machine: &mut Connection, length: usize) {
        let watch = machine.watch_queued(length);
        self.watch = Some(watch);
        self.what = Some(Awaited::Taken(watch));
    }
}

impl Shared {
    /// Looks whether what is waited for is there; if not, the waiter is woken when it is.
    pub(super) fn poll_send<T>(
        self: &Arc<Self>,
        wait: &mut SendWait,
        cx: &Context<'_>,
        look: impl FnOnce(&mut Core, &mut SendWait, &mut Now) -> Poll<Result<T, SentError>>,
    ) -> Poll<Result<T, SentError>> {
        let mut now = Now::ask(clock);
        let mut core = self.lock();
        if core.machine.has_batch() {
            self.recall(&mut core, &mut now);
        }
        let mut polled = look(&mut core, wait, &mut now);
        // What is let go of is dropped when the lock is free.
        let mut _before = None;
        if polled.is_pending() {
            match core.wait_in_time(wait, &mut now, cx) {
                Ok(before) => _before = before,
                Err(late) => polled = Poll::Ready(Err(late)),
            }
        }
        let _left = polled.is_ready().then(|| core.leave_wait(wait));
        core.count_held();
        if std::mem::take(&mut wait.queued_elsewhere) {
            wake(core);
        } else {
            self.look_later_if_needed(core);
        }
        polled
    }
}

impl Core {
    /// Waits, unless time is up; the waker that it had before.
    fn wait_in_time(
        &mut self,
        wait: &mut SendWait,
        now: &mut Now,
        cx: &Context<'_>,
    ) -> Result<Option<Waker>, SentError> {
        let Some(what) = wait.what else {
            return Ok(None);
        };
        if let Some(after) = wait.after
            && wait.deadline.is_none()
        {
            wait.deadline = now.get().checked_add(after);
        }
        if wait.deadline.is_some_and(|deadline| deadline <= now.get()) {
            let sent = wait
                .watch
                .map_or(0, |watch| self.machine.watched_taken(watch));
            let after = wait.after.unwrap_or_default();
            return Err(SentError::TimedOut { sent, after });
        }
        Ok(self.sleep(wait, what, cx))
    }

    /// Is woken when that is due; the waker that it had before is dropped when the lock is free.
    pub(super) fn sleep(
        &mut self,
        wait: &mut SendWait,
        what: Awaited,
        cx: &Context<'_>,
    ) -> Option<Waker> {
        let requests = self.requests.get_or_insert_default();
        let id = match wait.id {
            Some(id) => id,
            None => *wait.id.insert(requests.take_id()),
        };
        let place = requests.sender_at(id).unwrap_or_else(|| {
            // Numbers rise, so the order is kept.
            let waiter = Waiter::new(id, what, wait.deadline);
            requests.senders.push(waiter);
            requests.senders.len() - 1
        });
        let waiter = requests.senders.get_mut(place)?;
        waiter.what = what;
        waiter.lost = None;
        waiter.sleep(cx.waker())
    }

    /// What it leaves is dropped when the lock is free.
    pub(super) fn leave_wait(&mut self, wait: &mut SendWait) -> Option<Waiter<Awaited>> {
        if let Some(watch) = wait.watch.take() {
            self.machine.unwatch(watch);
        }
        self.requests.as_mut()?.leave_senders(wait.id.take()?)
    }

    /// Why the link is lost on which it has waited, if it is.
    pub(super) fn link_lost(&self, wait: &SendWait) -> Option<Cause> {
        let requests = self.requests.as_ref()?;
        let waiter = requests.senders.get(requests.sender_at(wait.id?)?)?;
        waiter.lost.as_ref().map(|detail| detail.cause.clone())
    }

    /// What is watched was taken, so many bytes, or never will be.
    pub(super) fn poll_taken(
        &mut self,
        wait: &mut SendWait,
        sent: usize,
    ) -> Poll<Result<usize, SentError>> {
        let Some(watch) = wait.watch else {
            return Poll::Ready(Ok(0));
        };
        let taken = self.machine.watched_taken(watch);
        match self.machine.poll_watch(watch) {
            None => return Poll::Pending,
            Some(Watched::Taken) => {}
            Some(Watched::Lost { taken }) => {
                let sent = sent + taken;
                let lost = match self.link_lost(wait) {
                    Some(cause) => SentError::Closed { cause, sent },
                    None => self.lost(sent),
                };
                return Poll::Ready(Err(lost));
            }
        }
        self.machine.unwatch(watch);
        wait.watch = None;
        Poll::Ready(Ok(taken))
    }

    /// Why nothing can be sent any more, if that is so.
    pub(super) fn broken(&self, sent: usize) -> Option<SentError> {
        if self.machine.write_fault().is_none() && self.machine.may_receive() {
            return None;
        }
        Some(self.lost(sent))
    }

    /// What was to be sent is lost from here on.
    pub(super) fn lost(&self, sent: usize) -> SentError {
        if let Some(End::ConnectFailed(error)) = self.fixed_end() {
            return SentError::ConnectFailed(error);
        }
        let fault = self.machine.write_fault().cloned();
        let cause = fault.unwrap_or_else(|| self.ending_cause());
        SentError::Closed { cause, sent }
    }
}
