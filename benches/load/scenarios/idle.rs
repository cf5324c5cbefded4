//! `idle`: what ten thousand connections cost that say nothing, and what stays when they are gone.

use std::io;
use std::thread;
use std::time::Duration;

use super::{MANY, Scenario, ratio};
use crate::figures::Figure;
use crate::fleet::{AfterReply, Fleet};
use crate::procfs::{cpu_time, resident_kib};
use crate::stage::Stage;

/// Time for the server to finish what it does after the last line, and after the last close.
const SETTLE: Duration = Duration::from_secs(1);
/// The idle time whose CPU use is measured.
const WATCHED: Duration = Duration::from_secs(3);

/// Rounds after which one more says nothing new.
const ROUNDS: u32 = 3;

/// Opens the connections with one line exchanged on each, waits, and closes them.
#[derive(Debug)]
pub(super) struct Idle;

impl Scenario for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn about(&self) -> &'static str {
        "10,000 idle connections after one line on each: resident memory, open and closed"
    }

    fn wants_quiet(&self) -> bool {
        false
    }

    /// Memory hardly differs from one round to the next.
    fn rounds(&self, wanted: u32) -> u32 {
        wanted.min(ROUNDS)
    }

    fn expected(&self, _slice: Duration) -> Duration {
        Duration::from_secs(6)
    }

    fn run(&self, stage: &Stage, _slice: Duration) -> io::Result<Vec<Figure>> {
        let server = stage.first();
        let at_start = resident_kib(server.pid())?;
        let mut fleet = Fleet::new(server.target.clone(), 1, AfterReply::Repeat)?;
        fleet.admit(MANY)?;
        thread::sleep(SETTLE);

        let open = resident_kib(server.pid())?;
        let before = cpu_time(server.pid())?;
        thread::sleep(WATCHED);
        let used = cpu_time(server.pid())? - before;
        let disturbed = fleet.disturbed()?;
        if disturbed > 0 {
            return Err(io::Error::other(format!(
                "the server did not leave {disturbed} connections alone"
            )));
        }

        drop(fleet);
        thread::sleep(SETTLE);
        let after = resident_kib(server.pid())?;
        let growth = |resident: u64| resident.saturating_sub(at_start);
        Ok(vec![
            Figure::median(
                "bytes per connection",
                ratio(growth(open) * 1024, ratio(MANY as u64, 1.0)),
            ),
            Figure::median("cpu ms in 3 s", used.total.as_secs_f64() * 1e3),
            Figure::median("MB at start", ratio(at_start, 1024.0)),
            Figure::median("MB kept", ratio(growth(after), 1024.0)),
        ])
    }
}
