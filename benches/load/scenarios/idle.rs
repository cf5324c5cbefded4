//! `idle`: what ten thousand connections cost that say nothing, and what stays when they are gone.

use std::io;
use std::thread;
use std::time::Duration;

use super::{Fold, MANY, Metric, Scenario, ratio};
use crate::fleet::{AfterReply, Fleet};
use crate::procfs::{cpu_time, resident_kib};
use crate::server::Server;

/// Time for the server to finish what it does after the last line, and after the last close.
const SETTLE: Duration = Duration::from_secs(1);
/// The idle time whose CPU use is measured.
const WATCHED: Duration = Duration::from_secs(3);

const METRICS: &[Metric] = &[
    Metric {
        name: "bytes per connection",
        fold: Fold::Median,
    },
    Metric {
        name: "cpu ms in 3 s",
        fold: Fold::Median,
    },
    Metric {
        name: "MB at start",
        fold: Fold::Median,
    },
    Metric {
        name: "MB kept",
        fold: Fold::Median,
    },
];

/// Opens the connections with one line exchanged on each, waits, and closes them.
#[derive(Debug)]
pub(super) struct Idle;

impl Scenario for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn about(&self) -> &'static str {
        "10,000 idle connections after one line on each; resident memory per connection, and kept after the last close"
    }

    fn metrics(&self) -> &'static [Metric] {
        METRICS
    }

    fn run(&self, server: &Server, _slice: Duration) -> io::Result<Vec<f64>> {
        let at_start = resident_kib(server.pid())?;
        let mut fleet = Fleet::new(server.address, 1, AfterReply::Repeat)?;
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
        Ok(vec![
            ratio(
                open.saturating_sub(at_start) * 1024,
                ratio(MANY as u64, 1.0),
            ),
            used.total.as_secs_f64() * 1e3,
            ratio(at_start, 1024.0),
            ratio(after.saturating_sub(at_start), 1024.0),
        ])
    }
}
