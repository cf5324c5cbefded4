//! One direction of one party: asks the scripts, waits as they say, and says what is to be done.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::counts::Counts;
use super::script::{Action, Fault, FaultScript, Operation};

/// Nobody waits for longer.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// What becomes of an operation, once all scripts are asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decision {
    /// The most bytes that it may move.
    pub(super) most: usize,
    /// How long it is held up.
    pub(super) delay: Duration,
    pub(super) outcome: Outcome,
}

/// How an operation ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Go,
    Fail(Fault),
    Eof,
    Lose,
    Corrupt,
}

impl Decision {
    const NONE: Self = Self {
        most: usize::MAX,
        delay: Duration::ZERO,
        outcome: Outcome::Go,
    };
}

/// Where the current operation of a direction is.
#[derive(Debug)]
enum Step {
    /// The script with this number is asked next.
    Asking { next: usize, so_far: Decision },
    /// All were asked.
    Decided(Decision),
    /// Nothing ever happens here again.
    Stalled,
}

/// One direction. It has its own sleep and its own waker: another task may poll the other one.
#[derive(Debug)]
pub(super) struct Lane {
    /// How many bytes have passed, lost ones included.
    pub(super) at: u64,
    step: Step,
    pause: Option<Pause>,
    waiting: Option<Waker>,
}

/// A moment to wait for. The sleep belongs to a thread's runtime and is made when it is needed.
#[derive(Debug)]
struct Pause {
    until: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Lane {
    pub(super) const fn new() -> Self {
        Self {
            at: 0,
            step: Step::Asking {
                next: 0,
                so_far: Decision::NONE,
            },
            pause: None,
            waiting: None,
        }
    }

    /// What becomes of the operation. It stays the same until [`done`](Self::done).
    pub(super) fn poll_decide(
        &mut self,
        scripts: &mut [Box<dyn FaultScript>],
        operation: Operation,
        counts: &Counts,
        cx: &Context<'_>,
    ) -> Poll<Decision> {
        loop {
            let (next, so_far) = match &mut self.step {
                Step::Decided(decision) => return Poll::Ready(*decision),
                Step::Stalled => return Poll::Pending,
                Step::Asking { next, so_far } => (next, so_far),
            };
            let Some(script) = scripts.get_mut(*next) else {
                let decision = *so_far;
                if !decision.delay.is_zero() {
                    counts.delays.one();
                }
                self.step = Step::Decided(decision);
                continue;
            };
            let mut ends = None;
            match script.decide(operation) {
                Action::Go => {}
                Action::Short(most) => so_far.most = so_far.most.min(most.max(1)),
                Action::Delay(time) => so_far.delay = so_far.delay.saturating_add(time),
                Action::Block => {
                    counts.blocks.one();
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Action::Stall => {
                    self.stall(counts);
                    return Poll::Pending;
                }
                Action::Fail(fault) => ends = Some(Outcome::Fail(fault)),
                Action::Eof => ends = Some(Outcome::Eof),
                Action::Lose => ends = Some(Outcome::Lose),
                Action::Corrupt => ends = Some(Outcome::Corrupt),
            }
            *next += 1;
            if let Some(outcome) = ends {
                // Nobody after it has a say.
                so_far.outcome = outcome;
                *next = scripts.len();
            }
        }
    }

    /// Waits for as long as was decided, from the first call on.
    pub(super) fn poll_delay(&mut self, delay: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if delay.is_zero() {
            return Poll::Ready(());
        }
        let pause = self.pause.get_or_insert_with(|| Pause {
            until: Instant::now() + delay.min(FOR_EVER),
            sleep: None,
        });
        let until = pause.until;
        let sleep = pause
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        sleep.as_mut().poll(cx)
    }

    /// The operation is over, `count` bytes have passed with it.
    pub(super) fn done(&mut self, count: usize) {
        self.at += count as u64;
        self.pause = None;
        self.step = Step::Asking {
            next: 0,
            so_far: Decision::NONE,
        };
    }

    /// Stands still from now on.
    pub(super) fn stall(&mut self, counts: &Counts) {
        counts.stalls.one();
        self.step = Step::Stalled;
    }

    /// Whether nothing is decided against what comes this way. An operation that goes on, and waits only
    /// for the other side, is nothing against it.
    pub(super) const fn is_free(&self) -> bool {
        match &self.step {
            Step::Asking { .. } => true,
            Step::Decided(decision) => matches!(decision.outcome, Outcome::Go),
            Step::Stalled => false,
        }
    }

    /// Remembers who waits.
    pub(super) fn waits(&mut self, waker: &Waker) {
        match &mut self.waiting {
            Some(waiting) => waiting.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Wakes whoever waits: the connection has ended.
    pub(super) fn wake(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// Lets go of the thread's runtime.
    pub(super) fn detach(&mut self) {
        self.waiting = None;
        if let Some(pause) = &mut self.pause {
            pause.sleep = None;
        }
    }
}
