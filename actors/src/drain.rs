//! What a drain is asked for, and what it reports.

use std::fmt;
use std::time::Duration;

use actix::Message;

use crate::pool::Totals;

/// How long connections that a drain closes may take to send what is queued, unless it says otherwise.
const FLUSH: Duration = Duration::from_secs(5);

/// How a pool is to drain: an end that lets sessions finish what they are at.
///
/// 1. Listeners close their ports, and nothing new is opened. Connections that no session has yet are
///    ended, those that are being established included.
/// 2. Sessions are told [`Draining`](crate::message::Draining), once for each connection, with the
///    time that is left. They can finish their work and close.
/// 3. With a [pace](Self::pace), connections are closed one by one meanwhile. Without one, none is
///    closed before the deadline.
/// 4. At the deadline the rest is closed. What was not sent a [flush time](Self::flush) later is reset.
/// 5. As soon as no connection is left the pool stops, as by [`Pool::stop`](crate::Pool::stop).
///
/// What it closes has the cause [`Drained`](crate::Cause::Drained). Everything takes effect when the
/// drain begins; a drain that is under way is not changed by another one.
///
/// It is a message, too, for [`PoolActor`](crate::PoolActor).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "DrainReport")]
#[must_use = "nothing drains until it is given to a pool"]
pub struct Drain {
    pub(crate) within: Duration,
    pub(crate) pace: Option<u32>,
    pub(crate) flush: Duration,
    pub(crate) close_untold: bool,
}

impl Drain {
    /// A drain whose deadline is so far away. Zero: everything is closed at once.
    pub const fn within(deadline: Duration) -> Self {
        Self {
            within: deadline,
            pace: None,
            flush: FLUSH,
            close_untold: false,
        }
    }

    /// Closes so many connections per second before the deadline, over all shards together and evenly
    /// spaced: first those on whose link nothing has moved for longest, and last those that have
    /// something queued or with their session. Each shard goes by its own connections. 0, as by
    /// default: none.
    pub const fn pace(mut self, per_second: u32) -> Self {
        self.pace = if per_second == 0 {
            None
        } else {
            Some(per_second)
        };
        self
    }

    /// How long a connection that is closed by the pace or at the deadline may take to send what is
    /// queued; then it is reset. Zero resets it at once. Default: 5 s.
    pub const fn flush(mut self, time: Duration) -> Self {
        self.flush = time;
        self
    }

    /// Whether connections whose session does not handle [`Draining`](crate::message::Draining), and
    /// which so would do nothing about it, are closed at once; until the deadline they may send what is
    /// queued. Default: no.
    pub const fn close_untold(mut self, close: bool) -> Self {
        self.close_untold = close;
        self
    }
}

/// What became of the connections of a pool that drained. Each that was there when the drain began is
/// in exactly one of the six counts behind [`live`](Self::live).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that were there at the start, being established, or on the way to their shard.
    pub live: u64,
    /// Ended by themselves: by their session, by their peer, by an error.
    pub finished: u64,
    /// Given up before a session had them, those that were being established included.
    pub given_up: u64,
    /// Closed at once because their session would not have been told
    /// ([`Drain::close_untold`]).
    pub untold: u64,
    /// Closed by the pace.
    pub paced: u64,
    /// Still there at the deadline, or at a stop before it, and closed then.
    pub overdue: u64,
    /// Reset: closed by the drain, and what was queued could not be sent in time.
    pub aborted: u64,
    /// The pool's last counters.
    pub totals: Totals,
}

impl DrainReport {
    pub(crate) fn add(&mut self, other: &Self) {
        self.live += other.live;
        self.finished += other.finished;
        self.given_up += other.given_up;
        self.untold += other.untold;
        self.paced += other.paced;
        self.overdue += other.overdue;
        self.aborted += other.aborted;
        self.totals.add(&other.totals);
    }
}

impl fmt::Display for DrainReport {
    /// One line by outcome, without the counters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} live, {} finished, {} given up, {} untold, {} paced, {} overdue, {} aborted",
            self.live,
            self.finished,
            self.given_up,
            self.untold,
            self.paced,
            self.overdue,
            self.aborted
        )
    }
}
