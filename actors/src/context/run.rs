//! What runs a session in its own context: polls, in the order that actix's context keeps, what the session waits
//! for, its mailbox, its connection's events and what it has spawned.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker, ready};

use actix::{Actor, ActorContext, ActorFuture, Running, SpawnHandle};

use super::{SessionContext, Stage};

/// A session with its context.
pub(super) struct SessionFuture<S, E>
where
    S: Actor<Context = SessionContext<S>>,
    E: ActorFuture<S, Output = ()> + Unpin,
{
    session: S,
    ctx: SessionContext<S>,
    /// The events of its connection, until the last one.
    events: Option<E>,
    /// The events have made the session wait: then what it has spawned comes before them, once.
    events_later: bool,
}

impl<S, E> SessionFuture<S, E>
where
    S: Actor<Context = SessionContext<S>>,
    E: ActorFuture<S, Output = ()> + Unpin,
{
    pub(super) const fn new(session: S, ctx: SessionContext<S>, events: E) -> Self {
        Self {
            session,
            ctx,
            events: Some(events),
            events_later: false,
        }
    }

    /// Whether something that it waits for holds everything else back.
    fn is_held(&self) -> bool {
        !self.is_stopping()
            && self
                .ctx
                .more
                .get()
                .is_some_and(|more| !more.waits.is_empty())
    }

    /// Whether there is something that was not polled yet, and is to be.
    fn has_news(&self) -> bool {
        !self.is_stopping()
            && (self.ctx.more.get())
                .is_some_and(|more| more.has_new_future || more.has_new_mailbox.get())
    }

    fn is_stopping(&self) -> bool {
        matches!(self.ctx.stage, Stage::Stopping | Stage::Stopped)
    }

    /// Whether anything could still come to it.
    fn is_alive(&mut self) -> bool {
        self.events.is_some() || self.ctx.more.get_mut().is_some_and(|more| more.is_alive())
    }

    fn start(&mut self) {
        if self.ctx.stage == Stage::New {
            self.ctx.stage = Stage::Running;
            self.session.started(&mut self.ctx);
        }
    }

    #[inline(never)]
    fn poll_all(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.start();
        loop {
            ready!(self.poll_waits(cx));
            self.poll_mailbox(cx);
            if self.is_held() {
                continue;
            }
            self.poll_futures(cx);
            if self.is_held() || self.has_news() {
                continue;
            }
            match self.ctx.stage {
                Stage::New | Stage::Running => {
                    if self.is_alive() {
                        return Poll::Pending;
                    }
                    if self.session.stopping(&mut self.ctx) == Running::Continue {
                        if self.is_alive() {
                            continue;
                        }
                        return Poll::Pending;
                    }
                }
                Stage::Stopping => {
                    if self.session.stopping(&mut self.ctx) == Running::Continue {
                        self.ctx.stage = Stage::Running;
                        continue;
                    }
                }
                Stage::Stopped => {}
            }
            self.ctx.stage = Stage::Stopped;
            self.session.stopped(&mut self.ctx);
            return Poll::Ready(());
        }
    }

    /// Polls what holds everything else back.
    fn poll_waits(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        while !self.is_stopping()
            && let Some(more) = self.ctx.more.get_mut()
            && let Some(mut wait) = more.waits.pop()
        {
            let polled = wait.as_mut().poll(&mut self.session, &mut self.ctx, cx);
            if polled.is_pending() && !self.is_stopping() {
                self.ctx.more().waits.push(wait);
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn poll_mailbox(&mut self, cx: &mut TaskContext<'_>) {
        if let Some(more) = self.ctx.more.get_mut()
            && let Some(mut mailbox) = more.mailbox.take()
        {
            more.has_new_mailbox.set(false);
            mailbox.poll(&mut self.session, &mut self.ctx, cx);
            let more = self.ctx.more();
            if mailbox.capacity() != more.capacity {
                mailbox.set_capacity(more.capacity);
            }
            more.mailbox.set(Some(mailbox));
        }
    }

    /// Polls the events and what was spawned, once each, until something makes the session wait.
    fn poll_futures(&mut self, cx: &mut TaskContext<'_>) {
        let events_later = self.events_later;
        if !events_later {
            self.poll_events(cx);
        }
        if !self.is_held() {
            self.poll_spawned(cx);
        }
        if events_later && !self.is_held() {
            self.poll_events(cx);
        }
    }

    fn poll_events(&mut self, cx: &mut TaskContext<'_>) {
        if !self.is_stopping()
            && let Some(events) = &mut self.events
        {
            let polled = Pin::new(events).poll(&mut self.session, &mut self.ctx, cx);
            if polled.is_ready() {
                self.events = None;
            }
        }
        // If each event makes the session wait, what it has spawned would else never be polled.
        self.events_later = self.is_held();
    }

    fn poll_spawned(&mut self, cx: &mut TaskContext<'_>) {
        let Some(more) = self.ctx.more.get_mut() else {
            return;
        };
        more.has_new_future = false;
        let mut spawned = std::mem::take(&mut more.spawned);
        more.cancel(&mut spawned);
        let mut at = 0;
        while at < spawned.len() && !self.is_held() && !self.is_stopping() {
            let (handle, future) = &mut spawned[at];
            at += 1;
            let Some(running) = future else {
                continue;
            };
            self.ctx.more().current = *handle;
            let polled = running.as_mut().poll(&mut self.session, &mut self.ctx, cx);
            if polled.is_ready() {
                *future = None;
            }
            self.ctx.more().cancel(&mut spawned);
        }
        if self.is_held() {
            // Next time those come first that were not polled.
            spawned.rotate_left(at);
        }
        spawned.retain(|(_, future)| future.is_some());
        let more = self.ctx.more();
        more.current = SpawnHandle::default();
        spawned.append(&mut more.spawned);
        more.spawned = spawned;
    }
}

impl<S, E> Future for SessionFuture<S, E>
where
    S: Actor<Context = SessionContext<S>>,
    E: ActorFuture<S, Output = ()> + Unpin,
{
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.ctx.is_plain()
            && let Some(events) = &mut this.events
        {
            // All that mostly is to be done.
            let polled = Pin::new(events).poll(&mut this.session, &mut this.ctx, cx);
            if polled.is_ready() {
                this.events = None;
            } else if this.ctx.is_plain() {
                return Poll::Pending;
            }
        }
        this.poll_all(cx)
    }
}

impl<S, E> Drop for SessionFuture<S, E>
where
    S: Actor<Context = SessionContext<S>>,
    E: ActorFuture<S, Output = ()> + Unpin,
{
    /// As it is with actix: whoever was started is stopped.
    fn drop(&mut self) {
        if self.ctx.stage != Stage::Stopped && (self.ctx.stage == Stage::New || self.is_alive()) {
            self.start();
            self.ctx.stop();
            let _ = self.poll_all(&mut TaskContext::from_waker(Waker::noop()));
        }
    }
}

#[cfg(test)]
mod tests;
