//! What a shard does when the connections of its pool hold more than the memory budget.
//!
//! One task per shard sleeps until the budget is crossed. Then the connections that hold most stop
//! reading; if that does not help in time, those are ended whose bytes have waited longest.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use switchboard_core::Budget;
use tokio::time::timeout;

use crate::pool::PressureReport;

use super::ShardLocal;
use super::task::ShardTask;

/// How long reading is held before connections are ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// A budget that a shard keeps to, and whom it tells of it.
#[derive(Clone)]
pub(crate) struct KeepBudget {
    pub(crate) budget: Budget,
    pub(crate) report: PressureReport,
}

impl KeepBudget {
    /// Keeps to it on the calling thread, for as long as the task is there.
    pub(super) fn start(self, local: &Rc<ShardLocal>) -> ShardTask {
        let mut keeper = Keeper {
            local: Rc::clone(local),
            budget: self.budget,
            report: self.report,
            seen: 0,
        };
        let task = tokio::task::spawn_local(async move { keeper.keep().await });
        ShardTask(task.abort_handle())
    }
}

struct Keeper {
    local: Rc<ShardLocal>,
    budget: Budget,
    report: PressureReport,
    /// Crossings that were looked at.
    seen: u64,
}

impl Keeper {
    async fn keep(&mut self) {
        loop {
            self.crossed().await;
            let is_over = self.budget.is_over();
            if is_over {
                if self.budget.tells(true) {
                    self.report.pressure(&self.budget);
                }
                self.relieve().await;
            }
            // Who told of the pressure may have died with its thread, and that was the relief.
            if (is_over || self.budget.is_relieved()) && self.budget.tells(false) {
                self.report.relieved(&self.budget);
            }
            // Also when it is over before it was looked at: somebody may have been held meanwhile.
            self.release();
        }
    }

    /// Acts until the pressure is over.
    async fn relieve(&mut self) {
        while !self.budget.is_relieved() {
            if self.budget.is_over() {
                self.hold_largest();
            }
            let relief = async {
                while !self.budget.is_relieved() {
                    self.crossed().await;
                }
            };
            if timeout(PATIENCE, relief).await.is_ok() {
                return;
            }
            if self.budget.is_over() {
                self.end_idle();
            } else {
                // Frames that are half here can be finished; who grows too far is held again.
                self.release();
            }
        }
    }

    /// Waits for a crossing that was not looked at.
    async fn crossed(&mut self) {
        let (budget, seen) = (&self.budget, &mut self.seen);
        poll_fn(|cx| {
            budget.register(cx.waker());
            let crossings = budget.crossings();
            if std::mem::replace(seen, crossings) == crossings {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Stops the reading of those that hold most, as many as hold together what is too much.
    fn hold_largest(&self) {
        let mut clients: Vec<_> = self
            .local
            .streams()
            .into_iter()
            .filter_map(|client| Some((client.shared.held()?.0, client)))
            .collect();
        clients.sort_by_key(|(held, _)| std::cmp::Reverse(*held));
        let mut excess = self.budget.used().saturating_sub(self.budget.relief());
        for (held, client) in clients {
            if excess == 0 {
                break;
            }
            client.shared.hold_reading();
            excess = excess.saturating_sub(held);
        }
    }

    fn release(&self) {
        for client in self.local.streams() {
            client.shared.release_reading();
        }
    }

    /// Ends those that are counted and on whose link nothing has moved for longest, one after the other.
    fn end_idle(&self) {
        let mut clients: Vec<_> = self
            .local
            .streams()
            .into_iter()
            .filter_map(|client| Some((client.shared.held()?, client)))
            .collect();
        clients.sort_by_key(|((_, moved), _)| *moved);
        // What is with a session is not free at once, and is not to be looked for elsewhere.
        let mut excess = self.budget.used().saturating_sub(self.budget.limit());
        for ((held, _), client) in clients {
            if excess == 0 || !self.budget.is_over() {
                break;
            }
            client.shared.give_up_memory();
            excess = excess.saturating_sub(held);
        }
    }
}
