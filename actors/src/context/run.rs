//! What runs a session in its own context: polls, as actix's context does, what the session waits for, its mailbox,
//! its connection's events and what it has spawned.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker, ready};

use actix::dev::Mailbox;
use actix::{Actor, ActorContext, ActorFuture, AsyncContext, Running, SpawnHandle};

use super::{More, SessionContext, Spawned, Stage};

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
    /// What a round begins with.
    first: Part,
    /// What was used of the context so far. Nothing is ever taken from here to be polled: what panics, and what is
    /// beside it, is dropped with all the rest, when the panic was caught and told.
    used: Option<Box<Used<S>>>,
}

/// What is polled in one go. Whatever makes the session wait comes last in the next round, so that nothing that
/// does so over and over keeps the others from their turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Mailbox,
    Events,
    Spawned,
}

impl Part {
    const fn next(self) -> Self {
        match self {
            Self::Mailbox => Self::Events,
            Self::Events => Self::Spawned,
            Self::Spawned => Self::Mailbox,
        }
    }
}

struct Used<S: Actor<Context = SessionContext<S>>> {
    mailbox: Option<Mailbox<S>>,
    /// Whether it was never polled.
    has_new_mailbox: bool,
    /// `None`: it has ended, or was cancelled.
    spawned: Vec<(SpawnHandle, Option<Spawned<S>>)>,
    /// Whether some of it was never polled.
    has_new_future: bool,
    /// The last is polled first, and all else waits for it.
    waits: Vec<Spawned<S>>,
}

impl<S: Actor<Context = SessionContext<S>>> Used<S> {
    const fn new() -> Self {
        Self {
            mailbox: None,
            has_new_mailbox: false,
            spawned: Vec::new(),
            has_new_future: false,
            waits: Vec::new(),
        }
    }

    /// Takes over what is new, and drops what was cancelled.
    fn take_over(&mut self, more: &mut More<S>) {
        self.has_new_future |= !more.spawned.is_empty();
        let spawned = more.spawned.drain(..);
        self.spawned
            .extend(spawned.map(|(handle, future)| (handle, Some(future))));
        self.waits.append(&mut more.waits);
        if let Some(mailbox) = more.mailbox.take() {
            self.mailbox = Some(mailbox);
            self.has_new_mailbox = true;
        }
        if let (Some(mailbox), Some(capacity)) = (&mut self.mailbox, more.capacity)
            && mailbox.capacity() != capacity
        {
            mailbox.set_capacity(capacity);
        }
        while let Some(cancelled) = more.cancelled.pop() {
            let spawned = self.spawned.iter_mut();
            for (_, future) in spawned.filter(|(handle, _)| *handle == cancelled) {
                *future = None;
            }
        }
    }

    fn is_alive(&self) -> bool {
        self.spawned.iter().any(|(_, future)| future.is_some())
            || !self.waits.is_empty()
            || self.mailbox.as_ref().is_some_and(Mailbox::connected)
    }
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
            first: Part::Mailbox,
            used: None,
        }
    }

    /// Takes over what is new in the context.
    fn take_over(&mut self) {
        if let Some(more) = self.ctx.more.get_mut() {
            let used = self.used.get_or_insert_with(|| Box::new(Used::new()));
            used.take_over(more);
        }
    }

    /// Whether there is something that was never polled, and is to be.
    fn has_news(&self) -> bool {
        let is_new = |used: &Used<S>| used.has_new_mailbox || used.has_new_future;
        !self.ctx.is_stopping() && self.used.as_deref().is_some_and(is_new)
    }

    /// Whether something that it waits for holds everything else back.
    fn is_held(&self) -> bool {
        let waits = |used: &Used<S>| !used.waits.is_empty();
        !self.ctx.is_stopping() && self.used.as_deref().is_some_and(waits)
    }

    /// Whether anything could still come to it.
    fn is_alive(&self) -> bool {
        self.events.is_some() || self.used.as_deref().is_some_and(Used::is_alive)
    }

    fn start(&mut self) {
        if self.ctx.stage == Stage::New {
            self.ctx.stage = Stage::Starting;
            self.session.started(&mut self.ctx);
            if self.ctx.stage == Stage::Starting {
                self.ctx.stage = Stage::Running;
            }
        }
    }

    #[inline(never)]
    fn poll_all(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.start();
        self.take_over();
        loop {
            ready!(self.poll_waits(cx));
            self.poll_round(cx);
            if self.is_held() || self.has_news() {
                continue;
            }
            let stage = self.ctx.stage;
            if stage == Stage::Running && self.is_alive() {
                return Poll::Pending;
            }
            if stage == Stage::Stopped || self.session.stopping(&mut self.ctx) == Running::Stop {
                self.ctx.stage = Stage::Stopped;
                self.session.stopped(&mut self.ctx);
                return Poll::Ready(());
            }
            // It does not want to stop yet.
            self.take_over();
            if stage == Stage::Stopping && self.ctx.stage == Stage::Stopping {
                self.ctx.stage = Stage::Running;
            } else if self.ctx.stage == Stage::Running && !self.has_news() && !self.is_alive() {
                return Poll::Pending;
            }
        }
    }

    /// Polls what holds everything else back.
    fn poll_waits(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        while !self.ctx.is_stopping()
            && let Some(used) = &mut self.used
            && let Some(wait) = used.waits.last_mut()
        {
            let polled = wait.as_mut().poll(&mut self.session, &mut self.ctx, cx);
            if polled.is_ready() || self.ctx.is_stopping() {
                drop(used.waits.pop());
            } else if !self.ctx.waiting() {
                return Poll::Pending;
            }
            // It may wait for something else in its turn, which then comes first.
            self.take_over();
        }
        Poll::Ready(())
    }

    /// Polls everything once, until something makes the session wait.
    fn poll_round(&mut self, cx: &mut TaskContext<'_>) {
        let mut part = self.first;
        for _ in 0..3 {
            match part {
                Part::Mailbox => self.poll_mailbox(cx),
                Part::Events => self.poll_events(cx),
                Part::Spawned => self.poll_spawned(cx),
            }
            self.take_over();
            part = part.next();
            if self.is_held() {
                self.first = part;
                return;
            }
        }
        self.first = Part::Mailbox;
    }

    fn poll_mailbox(&mut self, cx: &mut TaskContext<'_>) {
        if let Some(used) = &mut self.used
            && let Some(mailbox) = &mut used.mailbox
        {
            used.has_new_mailbox = false;
            mailbox.poll(&mut self.session, &mut self.ctx, cx);
        }
    }

    fn poll_events(&mut self, cx: &mut TaskContext<'_>) {
        if !self.ctx.is_stopping()
            && let Some(events) = &mut self.events
        {
            let polled = Pin::new(events).poll(&mut self.session, &mut self.ctx, cx);
            if polled.is_ready() {
                self.events = None;
            }
        }
    }

    fn poll_spawned(&mut self, cx: &mut TaskContext<'_>) {
        let Some(used) = &mut self.used else {
            return;
        };
        used.has_new_future = false;
        // What they spawn comes in another round.
        let (mut at, count) = (0, used.spawned.len());
        while at < count
            && !self.ctx.is_stopping()
            && !self.is_held()
            && let Some(used) = &mut self.used
        {
            let (handle, future) = &mut used.spawned[at];
            at += 1;
            if let Some(running) = future {
                self.ctx.more().current = *handle;
                let polled = running.as_mut().poll(&mut self.session, &mut self.ctx, cx);
                if polled.is_ready() {
                    *future = None;
                }
                self.take_over();
            }
        }
        self.ctx.more().current = SpawnHandle::default();
        let is_held = self.is_held();
        if let Some(used) = &mut self.used {
            if is_held {
                // Next time those come first that were not polled.
                used.spawned.rotate_left(at);
            }
            used.spawned.retain(|(_, future)| future.is_some());
        }
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
    /// As it is with actix: whoever was started is stopped, if anything could still have come to it.
    fn drop(&mut self) {
        self.take_over();
        match self.ctx.stage {
            // It has panicked when it was told that it starts.
            Stage::Starting | Stage::Stopped => return,
            Stage::New => {
                self.ctx.stop();
                self.session.started(&mut self.ctx);
            }
            Stage::Running | Stage::Stopping if self.is_alive() => self.ctx.stop(),
            Stage::Running | Stage::Stopping => return,
        }
        let _ = self.poll_all(&mut TaskContext::from_waker(Waker::noop()));
    }
}

#[cfg(test)]
mod tests;
