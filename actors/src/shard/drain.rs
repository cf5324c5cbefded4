//! A shard's part of a drain: whom it tells, whom it closes and when, and its book of how each ended.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::future::pending;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{Handler, Message, ResponseActFuture, WrapFuture};
use switchboard_core::connection::{Ending, Standing};
use switchboard_core::{Cause, ClientId, TimeoutKind};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::client::Idleness;
use crate::drain::{Drain, DrainReport};
use crate::server::Server;

use super::{Channel, PATIENCE, Registered, ShardActor, ShardLocal};

/// How many connections are looked at again for one that is closed: with more that are never idle, the
/// choice is no longer exact.
const MOST_LOOKS: usize = 128;
/// How late a paced close may be without moving those behind it: timers are not exact.
const PACE_SLACK: Duration = Duration::from_millis(10);

/// Drains this shard; replies when no connection is left, or when a stop has taken over.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct DrainShard {
    pub(crate) drain: Drain,
    pub(crate) deadline: Instant,
    /// Common to all shards.
    pub(crate) pacer: Option<Arc<Pacer>>,
}

impl Handler<DrainShard> for ShardActor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, order: DrainShard, _: &mut Self::Context) -> Self::Result {
        let local = Rc::clone(&self.local);
        // Whoever is still accepted is turned away from here on.
        local.begin_drain(&order);
        let draining = async move {
            for server in local.home.servers() {
                Server::of(&server).close().await;
            }
            local.drain_on(order).await;
        };
        Box::pin(draining.into_actor(self))
    }
}

/// Gives out the moments at which connections are closed, one after the other.
#[derive(Debug)]
pub(crate) struct Pacer {
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    pub(crate) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self {
            interval,
            next: Mutex::new(Instant::now() + interval),
        }
    }

    /// The next moment, which is nobody else's.
    fn take(&self) -> Instant {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (*next).max(now.checked_sub(PACE_SLACK).unwrap_or(now));
        *next = slot + self.interval;
        slot
    }
}

/// What a shard knows of its drain, from the beginning of one on.
#[derive(Default)]
pub(super) struct Drainage {
    book: RefCell<Option<Book>>,
    /// Nobody is left in the book, or a stop has taken over.
    settled: Notify,
}

struct Book {
    drain: Drain,
    /// Those that are still there, and what was done to each.
    open: HashMap<ClientId, Outcome>,
    report: DrainReport,
    /// Whether a stop has taken over.
    cut: bool,
}

/// What a drain has done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing so far.
    Finished,
    GivenUp,
    Untold,
    Paced,
    Overdue,
    Aborted,
}

impl Drainage {
    pub(super) fn has_begun(&self) -> bool {
        self.book.borrow().is_some()
    }

    /// How it went so far; nothing at all without a drain.
    pub(super) fn report(&self) -> DrainReport {
        let book = self.book.borrow();
        let Some(book) = &*book else {
            return DrainReport::default();
        };
        let mut report = book.report.clone();
        // Whoever did not even end when it was reset.
        report.aborted += book.open.len() as u64;
        report
    }

    /// A connection is taken off the registry.
    pub(super) fn ended(&self, id: ClientId, ending: Ending<'_>) {
        let mut book = self.book.borrow_mut();
        let Some(book) = &mut *book else {
            return;
        };
        if let Some(outcome) = book.open.remove(&id) {
            *book.count(outcome, ending) += 1;
        }
        if book.open.is_empty() {
            self.settled.notify_one();
        }
    }

    /// A stop takes over. What is still there is closed by it; `aborts`: without grace.
    pub(super) fn cut(&self, aborts: bool) {
        if let Some(book) = &mut *self.book.borrow_mut() {
            book.cut = true;
            for outcome in book.open.values_mut() {
                if aborts {
                    *outcome = Outcome::Aborted;
                } else if *outcome == Outcome::Finished {
                    *outcome = Outcome::Overdue;
                }
            }
        }
        self.settled.notify_one();
    }

    /// Writes down what was done to a connection. `false`: it has ended, or a stop has taken over.
    fn mark(&self, id: ClientId, outcome: Outcome) -> bool {
        let mut book = self.book.borrow_mut();
        let Some(book) = &mut *book else {
            return false;
        };
        let Some(entry) = book.open.get_mut(&id).filter(|_| !book.cut) else {
            return false;
        };
        // Whoever was closed before the deadline was not closed at it.
        if outcome != Outcome::Overdue || *entry == Outcome::Finished {
            *entry = outcome;
        }
        true
    }

    fn is_settled(&self) -> bool {
        let book = self.book.borrow();
        book.as_ref()
            .is_none_or(|book| book.cut || book.open.is_empty())
    }

    async fn settle(&self) {
        while !self.is_settled() {
            self.settled.notified().await;
        }
    }
}

impl Book {
    /// The count that a connection which ended like this belongs to.
    fn count(&mut self, outcome: Outcome, ending: Ending<'_>) -> &mut u64 {
        const TOO_SLOW: TimeoutKind = TimeoutKind::Flush;
        let too_slow = matches!(
            ending,
            Ending::Closed(detail)
                if matches!(&detail.cut_short, Some(Cause::Timeout { kind: TOO_SLOW, .. }))
        );
        let report = &mut self.report;
        match outcome {
            Outcome::Finished => &mut report.finished,
            Outcome::Aborted => &mut report.aborted,
            _ if too_slow => &mut report.aborted,
            Outcome::GivenUp => &mut report.given_up,
            Outcome::Untold => &mut report.untold,
            Outcome::Paced => &mut report.paced,
            Outcome::Overdue => &mut report.overdue,
        }
    }
}

impl ShardLocal {
    /// Tells every session, and ends what no session has yet.
    fn begin_drain(&self, order: &DrainShard) {
        let drain = order.drain;
        let (ended, channels): (Vec<_>, Vec<_>) = self
            .channels()
            .into_iter()
            .partition(|channel| channel.has_ended());
        for channel in ended {
            // Its link must not be made again.
            channel.drain(Duration::ZERO);
        }
        let report = DrainReport {
            live: channels.len() as u64,
            ..DrainReport::default()
        };
        *self.drainage.book.borrow_mut() = Some(Book {
            drain,
            open: channels
                .iter()
                .map(|channel| (channel.id(), Outcome::Finished))
                .collect(),
            report,
            cut: self.stopping.get(),
        });
        for channel in channels {
            let left = order.deadline.saturating_duration_since(Instant::now());
            match channel.drain(left) {
                Standing::Unadopted => self.drain_one(&*channel, Outcome::GivenUp, drain.flush),
                Standing::Untold if drain.close_untold => {
                    self.drain_one(&*channel, Outcome::Untold, left.max(drain.flush));
                }
                Standing::Told | Standing::Untold | Standing::Ending => {}
            }
        }
    }

    /// A connection came here when the drain had begun.
    pub(crate) fn turn_away(&self, channel: &dyn Channel) {
        let flush = match &mut *self.drainage.book.borrow_mut() {
            Some(book) if !book.cut && !channel.has_ended() => {
                book.report.live += 1;
                book.open.insert(channel.id(), Outcome::GivenUp);
                book.drain.flush
            }
            _ => return,
        };
        self.drain_one(channel, Outcome::GivenUp, flush);
    }

    async fn drain_on(&self, order: DrainShard) {
        let DrainShard {
            drain,
            deadline,
            pacer,
        } = order;
        let pacing = async {
            if let Some(pacer) = pacer {
                self.pace(&pacer, drain.flush).await;
            }
            pending().await
        };
        tokio::select! {
            biased;
            () = self.drainage.settle() => return,
            () = sleep_until(deadline) => {}
            () = pacing => {}
        }
        for channel in self.channels() {
            self.drain_one(&*channel, Outcome::Overdue, drain.flush);
        }
        let patience = drain.flush.saturating_add(PATIENCE);
        if timeout(patience, self.drainage.settle()).await.is_ok() {
            return;
        }
        for channel in self.channels() {
            self.drain_one(&*channel, Outcome::Aborted, Duration::ZERO);
        }
        let _ = timeout(PATIENCE, self.drainage.settle()).await;
    }

    /// Closes one connection after the other as long as there are any in use.
    async fn pace(&self, pacer: &Pacer, flush: Duration) {
        let mut queue = Queue::of(self.channels());
        while !queue.0.is_empty() {
            sleep_until(pacer.take()).await;
            if let Some(channel) = queue.next(self) {
                self.drain_one(&*channel, Outcome::Paced, flush);
            }
        }
    }

    /// Closes a connection for the drain; with no time to flush it is reset.
    fn drain_one(&self, channel: &dyn Channel, outcome: Outcome, flush: Duration) {
        let resets = flush.is_zero() && outcome != Outcome::GivenUp;
        let outcome = if resets { Outcome::Aborted } else { outcome };
        if !self.drainage.mark(channel.id(), outcome) {
            return;
        }
        if resets {
            channel.abort(Cause::Drained);
        } else {
            channel.close_within(Cause::Drained, flush);
        }
    }
}

/// Connections in the order in which a pace closes them, as far as it is known.
struct Queue(BTreeSet<(Idleness, ClientId)>);

impl Queue {
    fn of(channels: Vec<Registered>) -> Self {
        let ranked = channels
            .iter()
            .filter_map(|channel| Some((channel.idleness()?, channel.id())));
        Self(ranked.collect())
    }

    /// The one that can be missed first. Who has been at work since it was ranked is ranked anew.
    fn next(&mut self, local: &ShardLocal) -> Option<Registered> {
        let mut anew = BTreeSet::new();
        let mut found = None;
        while found.is_none()
            && anew.len() < MOST_LOOKS
            && let Some((ranked, id)) = self.0.pop_first()
        {
            let Some(channel) = local.channel(id) else {
                continue;
            };
            match channel.idleness() {
                None => {}
                Some(now) if now <= ranked => found = Some(channel),
                Some(now) => {
                    anew.insert((now, id));
                }
            }
        }
        let found = found.or_else(|| {
            let (_, id) = anew.pop_first()?;
            local.channel(id)
        });
        self.0.append(&mut anew);
        found
    }
}
