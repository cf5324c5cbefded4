//! `udp1` and `udp16`: datagrams in a closed loop for a slice of time.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{Scenario, micros, ratio};
use crate::figures::Figure;
use crate::procfs::cpu_time;
use crate::server::{Server, Wire};
use crate::stage::Stage;
use crate::swarm::Swarm;
use crate::turns::{Load, Loads};

/// Time under load before the measured slice.
const WARM_UP: Duration = Duration::from_millis(200);
/// Time for the server to go to sleep, after which its CPU time is exact.
const SETTLE: Duration = Duration::from_millis(20);

/// A number of sockets, all to the one socket of the server.
#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) sockets: usize,
    /// Datagrams under way on each.
    pub(super) in_flight: usize,
}

impl Scenario for Datagrams {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn wire(&self) -> Wire {
        Wire::Udp
    }

    fn baselines(&self) -> &'static [&'static str] {
        &["tokio-udp", "tokio-udp-try"]
    }

    fn in_turns(&self) -> Option<&dyn Loads> {
        Some(self)
    }

    fn run(&self, stage: &Stage, slice: Duration) -> io::Result<Vec<Figure>> {
        let server = stage.first();
        let mut swarm = self.swarm(server)?;
        thread::sleep(SETTLE);

        let before = cpu_time(server.pid())?;
        let echoes = swarm.exchange(Instant::now() + slice)?;
        thread::sleep(SETTLE);
        let used = cpu_time(server.pid())? - before;

        let replies = ratio(echoes.replies, 1.0);
        Ok(vec![
            Figure::median("cpu us", micros(used.total) / replies),
            Figure::mean("user us", micros(used.user) / replies),
            Figure::median("per second", replies / echoes.elapsed.as_secs_f64()),
            Figure::median("p50 us", micros(echoes.latency.quantile(500))),
            Figure::median("p99 us", micros(echoes.latency.quantile(990))),
            Figure::median("p99.9 us", micros(echoes.latency.quantile(999))),
            Figure::sum("lost", ratio(echoes.lost, 1.0)),
        ])
    }
}

impl Datagrams {
    /// The sockets of a server, warmed up.
    fn swarm(&self, server: &Server) -> io::Result<Swarm> {
        let mut swarm = Swarm::new(server.target.address, self.sockets, self.in_flight)?;
        swarm.exchange(Instant::now() + WARM_UP)?;
        Ok(swarm)
    }
}

impl Loads for Datagrams {
    fn load(&self, server: &Server) -> io::Result<Box<dyn Load>> {
        Ok(Box::new(self.swarm(server)?))
    }
}

impl Load for Swarm {
    fn work(&mut self, end: Instant) -> io::Result<f64> {
        Ok(ratio(self.exchange(end)?.replies, 1.0))
    }
}
