//! `ping1`, `ping50`, `ping500`, `pipe50x64` and `churn`, and over TLS `tls-ping50` and `handshakes`: a
//! closed loop for a slice of time.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{Scenario, micros, ratio};
use crate::figures::Figure;
use crate::fleet::{AfterReply, Fleet};
use crate::procfs::cpu_time;
use crate::server::{Server, Wire};
use crate::stage::Stage;
use crate::turns::{Load, Loads};

/// Time under load before the measured slice.
const WARM_UP: Duration = Duration::from_millis(200);
/// Time for the server to see the last closes and to go to sleep, after which its CPU time is
/// exact.
const SETTLE: Duration = Duration::from_millis(20);

/// A number of clients, each with one burst under way.
#[derive(Debug)]
pub(super) struct Steady {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) connections: usize,
    /// Lines of a burst.
    pub(super) lines: usize,
    pub(super) after_reply: AfterReply,
    pub(super) wire: Wire,
    pub(super) baselines: &'static [&'static str],
}

impl Scenario for Steady {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn baselines(&self) -> &'static [&'static str] {
        self.baselines
    }

    fn wire(&self) -> Wire {
        self.wire
    }

    fn in_turns(&self) -> Option<&dyn Loads> {
        Some(self)
    }

    fn run(&self, stage: &Stage, slice: Duration) -> io::Result<Vec<Figure>> {
        let server = stage.first();
        let mut fleet = self.fleet(server)?;
        thread::sleep(SETTLE);

        let before = cpu_time(server.pid())?;
        let tally = fleet.exchange_all(Instant::now() + slice)?.flawless()?;
        thread::sleep(SETTLE);
        let used = cpu_time(server.pid())? - before;

        let requests = ratio(tally.replies * self.lines as u64, 1.0);
        Ok(vec![
            Figure::median("cpu us", micros(used.total) / requests),
            Figure::mean("user us", micros(used.user) / requests),
            Figure::median("per second", requests / tally.elapsed.as_secs_f64()),
            Figure::median("p50 us", micros(tally.latency.quantile(500))),
            Figure::median("p99 us", micros(tally.latency.quantile(990))),
            Figure::median("p99.9 us", micros(tally.latency.quantile(999))),
        ])
    }
}

impl Steady {
    /// The clients of a server, warmed up.
    fn fleet(&self, server: &Server) -> io::Result<Fleet> {
        let mut fleet = Fleet::new(server.target.clone(), self.lines, self.after_reply)?;
        fleet.admit(self.connections)?;
        fleet.exchange_all(Instant::now() + WARM_UP)?.flawless()?;
        Ok(fleet)
    }
}

impl Loads for Steady {
    fn load(&self, server: &Server) -> io::Result<Box<dyn Load>> {
        Ok(Box::new(Part {
            fleet: self.fleet(server)?,
            lines: self.lines,
        }))
    }
}

/// The clients of one server among several.
struct Part {
    fleet: Fleet,
    lines: usize,
}

impl Load for Part {
    fn work(&mut self, end: Instant) -> io::Result<f64> {
        let tally = self.fleet.exchange_all(end)?.flawless()?;
        Ok(ratio(tally.replies * self.lines as u64, 1.0))
    }
}
