//! `storm`: ten thousand connections at once.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{MANY, Scenario, micros, ratio};
use crate::figures::Figure;
use crate::fleet::{AfterReply, Fleet};
use crate::procfs::cpu_time;
use crate::stage::Stage;

/// Time for the server to see the last close.
const SETTLE: Duration = Duration::from_millis(500);

/// Begins all connections without waiting, writes a line on each, and closes them when every reply
/// is here.
///
/// More come at once than the queue of the listener holds, so some wait until the system tries
/// again.
#[derive(Debug)]
pub(super) struct Storm;

impl Scenario for Storm {
    fn name(&self) -> &'static str {
        "storm"
    }

    fn about(&self) -> &'static str {
        "10,000 connections at once, one line on each, all closed after the last reply; per connection"
    }

    fn expected(&self, _slice: Duration) -> Duration {
        Duration::from_secs(4)
    }

    fn run(&self, stage: &Stage, _slice: Duration) -> io::Result<Vec<Figure>> {
        let server = stage.first();
        let before = cpu_time(server.pid())?;
        let begin = Instant::now();
        let mut fleet = Fleet::new(server.target.clone(), 1, AfterReply::Repeat)?;
        fleet.connect(MANY)?;
        let tally = fleet.exchange_all(begin)?;
        let elapsed = begin.elapsed();
        drop(fleet);
        thread::sleep(SETTLE);
        let used = cpu_time(server.pid())? - before;
        Ok(vec![
            Figure::median("cpu us", micros(used.total) / ratio(MANY as u64, 1.0)),
            Figure::median("seconds", elapsed.as_secs_f64()),
            Figure::median("replies", ratio(tally.replies, 1.0)),
            Figure::sum("lost", ratio(tally.lost, 1.0)),
            Figure::sum("altered", ratio(tally.mismatches, 1.0)),
        ])
    }
}
