//! `peer-uring-tokio ADDR`: a line echo on an `io_uring` within tokio.
//!
//! As `bare.rs`, but with what a runtime needs: a task per connection, which a task that reaps completions
//! wakes, and an eventfd in tokio's epoll, by which the kernel tells that there is something to reap. While
//! there is work the reaping task only yields to the others, and nothing is told; so a turn is still one
//! call. There is no back-pressure.
//!
//! `peer-uring-tokio --check` only says whether the kernel would let it.

mod answers;
mod buffers;
mod ring;
mod start;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};

use io_uring::cqueue;
use rustix::event::{EventfdFlags, eventfd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::{LocalSet, spawn_local};

use answers::Answers;
use buffers::Chunk;
use ring::{Event, Ring, Slot};

fn main() -> ExitCode {
    start::report(serve())
}

fn serve() -> io::Result<()> {
    let Some(ring) = start::start()? else {
        return Ok(());
    };
    let mut connections = Vec::new();
    connections.resize_with(ring::SLOTS as usize, Connection::default);
    let reactor = Rc::new(RefCell::new(Reactor { ring, connections }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // A task among the others, and not the future that is blocked on: that one has a turn of epoll each.
    LocalSet::new().block_on(&runtime, async { spawn_local(reap(reactor)).await? })
}

/// What the tasks share.
struct Reactor {
    ring: Ring,
    connections: Vec<Connection>,
}

/// What a connection and its task share.
#[derive(Debug, Default)]
struct Connection {
    received: VecDeque<Chunk>,
    task: Option<Waker>,
    answers: Answers,
    /// The peer sends nothing more.
    has_ended: bool,
    /// Its task has ended.
    is_left: bool,
}

/// Submits and reaps, and sleeps when there is nothing of either.
async fn reap(reactor: Rc<RefCell<Reactor>>) -> io::Result<()> {
    let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    // SAFETY: an `OwnedFd` names the same descriptor as long as it lives.
    let bell = unsafe { AsyncFd::register_with_interest(bell, Interest::READABLE)? };
    reactor.borrow_mut().connect(bell.get_ref())?;
    let mut completions = Vec::new();
    loop {
        let is_busy = Reactor::turn(&reactor, &mut completions)?;
        if is_busy {
            yield_to_tasks().await;
        } else if reactor.borrow_mut().ring_the_bell() {
            // It is never read: tokio waits for edges, and each ring is one.
            bell.readable().await?.clear_ready();
            reactor.borrow_mut().silence();
        }
    }
}

/// Lets all tasks run that are awake. `yield_now` would look into epoll first.
async fn yield_to_tasks() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Reactor {
    /// Submits what is queued, reaps what is complete; whether there is anything to do before the next turn.
    fn turn(this: &Rc<RefCell<Self>>, completions: &mut Vec<cqueue::Entry>) -> io::Result<bool> {
        let mut reactor = this.borrow_mut();
        reactor.ring.enter(0)?;
        reactor.ring.reap(completions);
        let mut woke = false;
        for completion in completions.drain(..) {
            if let Some((slot, event)) = reactor.ring.event(&completion) {
                if matches!(event, Event::Accepted) {
                    reactor.connections[slot as usize] = Connection::default();
                    let reactor = Rc::clone(this);
                    spawn_local(echo(Handle { reactor, slot }));
                    woke = true;
                } else {
                    woke |= reactor.deliver(slot, event);
                }
            }
        }
        Ok(woke || !reactor.ring.uring.submission().is_empty())
    }

    /// Tells a connection; whether its task was woken.
    fn deliver(&mut self, slot: Slot, event: Event) -> bool {
        let connection = &mut self.connections[slot as usize];
        match event {
            Event::Accepted => {}
            Event::Sent(result) => {
                // A failed one is followed by the end of what is received.
                let _ = connection.answers.sent(&mut self.ring, slot, result);
                self.close_if_done(slot);
                return false;
            }
            Event::Received(chunk) => connection.received.push_back(chunk),
            Event::Ended => connection.has_ended = true,
        }
        // Without a waker the task has not run yet and will look by itself.
        if let Some(task) = &connection.task {
            task.wake_by_ref();
        }
        true
    }

    fn close_if_done(&mut self, slot: Slot) {
        let connection = &mut self.connections[slot as usize];
        if connection.is_left && connection.answers.is_idle() {
            connection.is_left = false;
            self.ring.close(slot);
        }
    }

    fn connect(&mut self, bell: &OwnedFd) -> io::Result<()> {
        let submitter = self.ring.uring.submitter();
        submitter.register_eventfd(bell.as_raw_fd())?;
        self.silence();
        Ok(())
    }

    fn silence(&mut self) {
        self.ring.uring.completion().disable_eventfd();
    }

    /// Whether it will ring. It will not for what has come while it was silent; then there is a turn to take.
    fn ring_the_bell(&mut self) -> bool {
        self.ring.uring.completion().enable_eventfd();
        // The kernel marks that there is work and then looks whether it may ring.
        fence(Ordering::SeqCst);
        let has_work = self.ring.uring.submission().taskrun();
        if has_work || !self.ring.uring.completion().is_empty() {
            self.silence();
            return false;
        }
        true
    }
}

/// A task's connection.
struct Handle {
    reactor: Rc<RefCell<Reactor>>,
    slot: Slot,
}

/// Answers until the peer sends nothing more.
async fn echo(handle: Handle) {
    while let Some(chunk) = poll_fn(|context| handle.poll_receive(context)).await {
        let Reactor { ring, connections } = &mut *handle.reactor.borrow_mut();
        connections[handle.slot as usize]
            .answers
            .take(ring, handle.slot, chunk);
    }
    let mut reactor = handle.reactor.borrow_mut();
    reactor.connections[handle.slot as usize].is_left = true;
    reactor.close_if_done(handle.slot);
}

impl Handle {
    fn poll_receive(&self, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        let mut reactor = self.reactor.borrow_mut();
        let connection = &mut reactor.connections[self.slot as usize];
        if let Some(chunk) = connection.received.pop_front() {
            return Poll::Ready(Some(chunk));
        }
        if connection.has_ended {
            return Poll::Ready(None);
        }
        match &mut connection.task {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}
