//! Workers: threads for sessions whose handlers block.
//!
//! A connection's bytes stay with its shard. Only its session, made there by its factory, lives on a
//! worker's thread: while a handler sleeps, computes or waits for a disk, the shard goes on reading and
//! writing for everybody, and the sessions of other workers go on. All events of one connection are
//! handled by one worker, in order (XAS-03, XAS-09, XAS-10).

mod actor;

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard_core::{Cause, Interests};
use tokio::sync::Notify;
use tracing::Span;

use crate::client::Client;
use crate::placement::{Load, least};
use crate::shard::{AttachOnce, Member};
use crate::telemetry;

pub(crate) use actor::{Crowd, StopWorkers, WorkersActor};

/// How many connections may wait at one worker for their sessions to be made. One more is closed with
/// [`Cause::NoSession`].
const MOST_WAITING: usize = 16 * 1024;

/// What a worker is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerStatus {
    /// Whether its thread runs; one that ended is started again after a pause.
    pub running: bool,
    /// The sessions that live there, and those that it is still to make.
    pub sessions: usize,
    /// How often its thread was started again.
    pub restarts: u64,
}

/// Where the session of a connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seating {
    /// On the connection's own thread, or wherever it is already.
    Here,
    /// On a worker's thread, where it is made; it will handle these events.
    Worker(Interests),
}

impl Seating {
    /// Where sessions live, with or without workers in the pool; `own` is what they handle if they are a
    /// connection's own.
    pub(crate) fn of(
        asked: Option<bool>,
        own: Option<Interests>,
        workers: Option<&Arc<Workers>>,
    ) -> Result<Self, String> {
        match (asked, own, workers) {
            (Some(false), _, _) | (None, None, _) | (None, _, None) => Ok(Self::Here),
            (_, Some(interests), Some(_)) => Ok(Self::Worker(interests)),
            (Some(true), _, None) => Err("on_workers, but the pool has no workers".into()),
            (Some(true), None, Some(_)) => {
                Err("on_workers, but the session is an actor that lives elsewhere already".into())
            }
        }
    }
}

/// The workers of a pool, as its shards see them.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Box<[Worker]>,
    roster: Mutex<Roster>,
    /// A thread has ended.
    changed: Notify,
}

/// Who is next.
#[derive(Debug)]
enum Roster {
    Open {
        turn: usize,
    },
    /// The pool has ended: no session is made any more.
    Closed,
}

thread_local! {
    static ON_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// From now on the calling thread is a worker's.
fn arrive() {
    ON_WORKER.set(true);
}

/// Whether the calling thread is a worker's, on which handlers may block.
pub(crate) fn is_here() -> bool {
    ON_WORKER.get()
}

/// One worker; it outlives its threads.
#[derive(Debug, Default)]
struct Worker {
    running: AtomicBool,
    restarts: AtomicU64,
    sessions: Load,
    /// Survives the thread: who waits is served by the next one.
    errands: Mutex<VecDeque<Errand>>,
    called: Notify,
}

impl Workers {
    fn new(count: usize) -> Self {
        Self {
            workers: (0..count).map(|_| Worker::default()).collect(),
            roster: Mutex::new(Roster::Open { turn: 0 }),
            changed: Notify::new(),
        }
    }

    /// Has a session made by the worker that has the fewest; among equals by the next in turn. While no
    /// thread runs at all, it waits for one.
    pub(crate) fn assign(&self, mut errand: Errand) {
        // Held for the choice and its count, so that nobody chooses by old numbers.
        let mut roster = lock(&self.roster);
        let Roster::Open { turn } = &mut *roster else {
            drop(roster);
            return;
        };
        let count = self.workers.len();
        let sessions = |index: usize| self.workers[index].sessions.count();
        let running = |index: usize| self.workers[index].running.load(Ordering::Acquire);
        let chosen = least(count, *turn, |index| {
            running(index).then(|| sessions(index))
        })
        .or_else(|| least(count, *turn, |index| Some(sessions(index))))
        .unwrap_or(0);
        *turn = (chosen + 1) % count;
        let worker = &self.workers[chosen];
        if let Some(member) = &mut errand.member {
            member.share = Some(worker.sessions.add());
        }
        drop(roster);
        worker.take(errand);
    }

    pub(crate) fn status(&self) -> Vec<WorkerStatus> {
        self.workers
            .iter()
            .map(|worker| WorkerStatus {
                running: worker.running.load(Ordering::Acquire),
                sessions: worker.sessions.count(),
                restarts: worker.restarts.load(Ordering::Relaxed),
            })
            .collect()
    }

    fn is_running(&self, worker: usize) -> bool {
        self.workers[worker].running.load(Ordering::Acquire)
    }

    /// From now on no session is made; connections that wait for one close.
    fn close(&self) {
        *lock(&self.roster) = Roster::Closed;
        for worker in &self.workers {
            let errands = std::mem::take(&mut *lock(&worker.errands));
            drop(errands);
        }
    }
}

impl Worker {
    fn take(&self, errand: Errand) {
        let mut errands = lock(&self.errands);
        if errands.len() < MOST_WAITING {
            errands.push_back(errand);
            drop(errands);
            self.called.notify_one();
        } else {
            // Let go of without the lock, which the connection's end could need.
            drop(errands);
            drop(errand);
        }
    }

    fn next(&self) -> Option<Errand> {
        lock(&self.errands).pop_front()
    }
}

/// Nothing of ours panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session to be made on a worker's thread. Dropped before that, the connection closes for want of it.
pub(crate) struct Errand {
    client: Client,
    attach: Option<AttachOnce>,
    member: Option<Member>,
    span: Span,
}

impl Errand {
    pub(crate) fn new(client: &Client, attach: AttachOnce, member: Member, span: &Span) -> Self {
        Self {
            client: client.clone(),
            attach: Some(attach),
            member: Some(member),
            span: span.clone(),
        }
    }

    /// Makes the session on the calling thread, unless its connection is gone meanwhile.
    fn run(mut self) {
        let (Some(attach), Some(member)) = (self.attach.take(), self.member.take()) else {
            return;
        };
        let shared = &self.client.shared;
        if !shared.begin_session() {
            return;
        }
        match attach(&self.client, member, &self.span) {
            Ok((interests, _)) => {
                if let Err(error) = shared.session_made(interests) {
                    telemetry::not_adopted(&self.client, &error);
                }
            }
            Err(cause) => shared.session_not_made(cause),
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if self.attach.is_some() {
            self.client.shared.session_not_made(Cause::NoSession);
        }
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand")
            .field("client", &self.client.id())
            .finish_non_exhaustive()
    }
}
